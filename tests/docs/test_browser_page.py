"""The page that upscales photos in the visitor's browser, in a real one, against Python."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import io
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import hatlib
from hatlib import HatlibError
from hatlib.course import site
from tests.helpers import ROOT
from tests.helpers.browsing import FLAGS, installed_browser, launch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

pytestmark = pytest.mark.timeout(900)

MINUTES = 5 * 60_000  # for a step, on a busy machine, in ms
WEEKLY = "HATLIB_RERUN" in os.environ
NETWORKS = ("srcnn-x4", "rcan-nano-x4", "swinir-nano-x4", "hat-nano-real-x4", "hat-nano-x4")
SERIOUS = """async () => (await axe.run({ resultTypes: ["violations"] })).violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ").slice(0, 200)}`)"""


def load_files() -> ModuleType:
    """docs/browser_files.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location(
        "browser_files", ROOT / "docs" / "browser_files.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["browser_files"] = module  # where the processes that export look for it
    spec.loader.exec_module(module)
    return module


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A plain server of files, as anybody has one: no header of its own."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page alone, as the site has it."""
    pytest.importorskip("sphinx_book_theme", reason="the site's packages are not installed")
    files = load_files()
    if not (files.at_hand() or WEEKLY):
        pytest.skip("`make site` has not built the page; the weekly tests do")
    try:
        built = files.gather()
    except HatlibError as error:
        pytest.skip(str(error))
    source, out, trees = (tmp_path_factory.mktemp(name) for name in ("source", "site", "trees"))
    shutil.copyfile(ROOT / "docs" / "try.md", source / "try.md")
    (source / "index.md").write_text("# Site\n\n```{toctree}\ntry\n```\n")
    site.build(source, out, trees)
    shutil.copytree(built, out / "_static" / "browser")
    return out


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def playwright(folder: Path) -> Iterator[Playwright]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    from playwright.sync_api import Error

    try:
        browser = launch(playwright)
    except Error as error:
        pytest.skip(f"no browser starts: {str(error).splitlines()[0]}")
    yield browser
    browser.close()


class Visit:
    """The page, open in a tab."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1000, "height": 900})
        self.page.set_default_timeout(MINUTES)
        self.requests: list[Any] = []
        self.mistakes: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("pageerror", lambda error: self.mistakes.append(str(error)))
        self.page.goto(f"{address}/try.html")
        self.page.wait_for_selector("#enlarge")

    def go(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_selector("#enlarge")

    def text(self, name: str) -> str:
        return self.page.locator(f"#enlarge-{name}").inner_text()

    def says(self, pattern: str, name: str = "status") -> None:
        """Waits until it does."""
        from playwright.sync_api import expect

        expect(self.page.locator(f"#enlarge-{name}")).to_have_text(
            re.compile(pattern), timeout=MINUTES
        )

    def drop(self, content: bytes, name: str = "photo.png", kind: str = "image/png") -> None:
        """Drops a file on the page, as a mouse does."""
        given = [list(content), name, kind]
        data = self.page.evaluate_handle(
            """([bytes, name, type]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], name, { type }));
                return data;
            }""",
            given,
        )
        self.page.dispatch_event("#enlarge-drop", "drop", {"dataTransfer": data})

    def upscale(self, method: str) -> np.ndarray:
        """The result, as it is downloaded."""
        self.page.select_option("#enlarge-method", method)
        self.page.click("#enlarge-start")
        self.says("^Done")
        link = self.page.locator(f"a[download='photo-x4-{method}.png']")
        with self.page.expect_download() as download:
            link.click()
        with Image.open(download.value.path()) as picture:
            assert picture.mode in ("RGB", "RGBA")
            return np.asarray(picture.convert("RGB"))


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    visit = Visit(browser, address)
    yield visit
    visit.page.close()
    assert visit.mistakes == []


def encoded(image: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, **{"format": "PNG", **options})
    return file.getvalue()


def levels_apart(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def check_same(result: np.ndarray, expected: np.ndarray) -> None:
    """At most one level apart, and that in few places: where rounding goes the other way."""
    assert levels_apart(result, expected) <= 1
    assert np.mean(result != expected) < 0.005


PHOTO = hatlib.imresize(hatlib.builtin_image("facade-2"), 1 / 4)[:80, :96]  # 96 wide, 80 high
# rows of tiles that see different things: RCAN's tiles are up to 8 levels from the whole picture
WIDE = hatlib.imresize(hatlib.builtin_image("coffee"), 1 / 2)[90:130, :192]


def test_results_are_pythons_and_nothing_leaves_the_machine(visit: Visit, address: str) -> None:
    visit.drop(encoded(PHOTO))
    visit.says("ready")
    assert levels_apart(visit.upscale("bicubic"), hatlib.imresize(PHOTO, 4)) == 0
    for name in NETWORKS:
        expected = hatlib.upscale(hatlib.load_model(name), PHOTO, tile=0, precision="fp32")
        check_same(visit.upscale(name), expected)
    # what the worker loads is among what is seen
    loaded = {request.url.rpartition("/")[2] for request in visit.requests}
    assert {"hat-nano-x4.onnx", "ort-wasm-simd-threaded.wasm", "worker.js"} <= loaded
    elsewhere = [
        request.url
        for request in visit.requests
        if not request.url.startswith((f"{address}/", f"blob:{address}/", "data:"))
    ]
    assert elsewhere == []
    sent = [request.url for request in visit.requests if request.method != "GET"]
    assert sent == []


slow = pytest.mark.skipif(not WEEKLY, reason="takes its time; the weekly tests run it")


@pytest.mark.parametrize(
    "name", ["srcnn-x4", "rcan-nano-x4", *(pytest.param(name, marks=slow) for name in NETWORKS[2:])]
)
def test_tiles_are_pythons(visit: Visit, address: str, name: str) -> None:
    visit.go(f"{address}/try.html?tile=32")
    visit.drop(encoded(WIDE))
    visit.says("ready")
    result = visit.upscale(name)
    model = hatlib.load_model(name)
    check_same(result, hatlib.upscale(model, WIDE, tile=32, precision="fp32"))
    if model.local:
        check_same(result, hatlib.upscale(model, WIDE, tile=0, precision="fp32"))


def test_photos_of_all_kinds(visit: Visit) -> None:
    """Turned, transparent, too large, or none at all."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    visit.drop(encoded(PHOTO, format="JPEG", exif=exif), "turned.jpg", "image/jpeg")
    visit.says("80×96 pixels.*320×384", "about")

    clear = np.dstack([PHOTO, np.zeros(PHOTO.shape[:2], np.uint8)])
    visit.drop(encoded(clear))
    visit.says("transparent pixels are laid on white", "about")
    assert visit.upscale("bicubic").min() == 255

    visit.drop(encoded(np.zeros((1100, 1200, 3), np.uint8)))
    visit.says("1200×1100 pixels. That is too much; .*middle 256×256", "about")

    visit.drop(b"no picture", "notes.txt", "text/plain")
    visit.says("cannot read notes.txt", "error")
    assert not visit.page.is_enabled("#enlarge-start")


def test_a_network_is_cancelled_and_the_page_goes_on(visit: Visit, address: str) -> None:
    visit.go(f"{address}/try.html?tile=8")
    visit.drop(encoded(PHOTO))
    visit.says("ready")
    visit.page.select_option("#enlarge-method", "hat-nano-x4")
    visit.page.focus("#enlarge-start")
    visit.page.keyboard.press("Enter")
    visit.says("^[1-9].* of 120 tiles, about", "left")
    assert visit.page.evaluate("document.activeElement.id") == "enlarge-cancel"
    visit.page.keyboard.press("Enter")
    visit.says("^Cancelled")
    assert visit.page.evaluate("document.activeElement.id") == "enlarge-start"
    for _ in range(300):  # browsers take their time to end a worker
        if visit.page.workers:
            visit.page.wait_for_timeout(100)
    assert visit.page.workers == []  # nothing goes on computing
    assert levels_apart(visit.upscale("bicubic"), hatlib.imresize(PHOTO, 4)) == 0


def test_the_wipe_between_any_two_by_keyboard(visit: Visit) -> None:
    """One of our pictures, which has a ground truth."""
    page = visit.page
    page.select_option("#enlarge-ours", "cat")
    visit.says("ready")
    page.select_option("#enlarge-method", "bicubic")
    page.click("#enlarge-start")
    visit.says("^Done")
    titles = page.locator("#enlarge-a option").all_inner_texts()
    assert titles == ["LR, pixels as blocks", "HR, the ground truth", "Bicubic"]
    page.select_option("#enlarge-a", "HR, the ground truth")
    before = page.locator("#enlarge-image-b").evaluate("it => getComputedStyle(it).clipPath")
    page.focus("#enlarge-wipe")
    page.keyboard.press("ArrowRight")
    after = page.locator("#enlarge-image-b").evaluate("it => getComputedStyle(it).clipPath")
    assert (before, after) == ("inset(0px 0px 0px 50%)", "inset(0px 0px 0px 51%)")
    said = page.get_attribute("#enlarge-wipe", "aria-valuetext")
    assert said == "51 % HR, the ground truth, 49 % Bicubic"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Visit, theme: str) -> None:
    page = visit.page
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    page.select_option("#enlarge-ours", "cat")
    visit.says("ready")
    page.select_option("#enlarge-method", "bicubic")
    page.click("#enlarge-start")
    visit.says("^Done")
    page.add_script_tag(path=ROOT / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js")
    assert page.evaluate(SERIOUS) == []


def test_a_folder_is_told_that_it_needs_a_server(browser: Browser, folder: Path) -> None:
    page = browser.new_page()
    page.goto((folder / "try.html").as_uri())
    assert "Serve the folder" in page.locator("#enlarge-why-not").inner_text()
    assert not page.is_visible("#enlarge")
    page.close()


@slow
@pytest.mark.parametrize("honest", [True, False])
def test_a_gpu_computes_if_its_numbers_are_right(
    playwright: Playwright, address: str, honest: bool
) -> None:
    """A GPU in software, which visitors are spared."""
    if installed_browser() is None:
        pytest.skip("no browser of this system")
    flags = [flag for flag in FLAGS if flag != "--disable-gpu"]
    flags += ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]

    def patched(route: Any) -> None:
        text = (ROOT / "docs" / "browser" / "runtime.js").read_text(encoding="utf-8")
        text = text.replace("!adapter.info?.isFallbackAdapter", "true")
        if not honest:
            text = text.replace("await one.run(values", "await one.run(values.map((v) => 1 - v)")
        route.fulfill(body=text, content_type="text/javascript")

    browser = playwright.chromium.launch(executable_path=installed_browser(), args=flags)
    visit = Visit(browser, address)
    visit.page.route("**/runtime.js", patched)
    if not visit.page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
        pytest.skip("this browser has no GPU in software")
    lr = PHOTO[:12, :16]
    visit.drop(encoded(lr))
    visit.says("ready")
    result = visit.upscale("rcan-nano-x4")
    visit.says("on the GPU" if honest else "in WebAssembly")
    model = hatlib.load_model("rcan-nano-x4")
    check_same(result, hatlib.upscale(model, lr, tile=0, precision="fp32"))
    browser.close()
