"""JupyterLab in a real browser, for tests of what a learner sees: it starts both and presses
keys."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from tests.helpers import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Playwright, WebSocket

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# No sandbox, because a container's root has none; nothing that asks the network for updates.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# JupyterLab asks no question about news, and has every cell in the page, also those out of sight.
SETTINGS = {
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}
# What a control moves: its pictures' bytes and its captions, but not the numbers beside the
# sliders.
SHOWN = """async output => {
    const hash = async picture => {
        const bytes = await (await fetch(picture.src)).arrayBuffer();
        return Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))).join(' ');
    };
    const pictures = await Promise.all(Array.from(output.querySelectorAll('img'), hash));
    const said = '.widget-html-content, .jp-RenderedHTMLCommon, .jp-RenderedText';
    const texts = Array.from(output.querySelectorAll(said), text => text.innerText);
    return JSON.stringify([pictures, texts]);
}"""
# The name of a control: the label to its left, what stands on the button, or what it is called for
# screen readers.
NAME = """control =>
    control.closest('.widget-inline-hbox')?.querySelector('.widget-label')?.innerText ||
    control.innerText || control.getAttribute('aria-label') || control.className"""
CUT_OFF = """output => {
    const right = output.getBoundingClientRect().right;
    const labels = '.widget-label, .widget-readout, button, .widget-html-content';
    const words = Array.from(output.querySelectorAll(labels));
    const cut = words.filter(w => w.scrollWidth > w.clientWidth + 1).map(w => w.innerText);
    const pictures = Array.from(output.querySelectorAll('img'));
    const wide = pictures.filter(p => p.getBoundingClientRect().right > right + 1);
    return cut.concat(wide.map(picture => `a picture of ${picture.width} pixels`));
}"""
KERNEL_IS_READY = """() =>
    window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'
"""
CONTROLS = (
    ".noUi-handle, select, input[type=checkbox], input[type=radio]:checked, input[type=number], "
    ".widget-toggle-buttons button.mod-active, .widget-button"
)


class Server:
    """JupyterLab on a free port, with settings of its own, serving one folder."""

    def __init__(self, folder: Path, private: Path) -> None:
        for name, values in SETTINGS.items():
            file = private / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "IPYTHONDIR": str(private / "ipython"),
            "JUPYTER_CONFIG_DIR": str(private / "config"),
            "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(private / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(private / "workspaces"),
        }
        self.log = private / "jupyterlab.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "jupyterlab",
                    "--no-browser",
                    "--allow-root",
                    "--ServerApp.port_retries=0",
                    f"--ServerApp.port={self.port}",
                    "--ServerApp.token=letmein",
                    f"--ServerApp.root_dir={folder}",
                    "--LabApp.expose_app_in_browser=True",
                ],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.wait()

    def wait(self, seconds: float = 300) -> None:
        """Until it answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.close()
                    raise RuntimeError(
                        f"JupyterLab did not start:\n{self.log.read_text()[-2000:]}"
                    ) from None
                time.sleep(0.1)

    def address(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token=letmein"

    def close(self) -> None:
        self.process.terminate()  # its kernels end with it
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Traffic:
    """What passes between the page and the kernel: which requests are still being worked on, and
    every error."""

    def __init__(self, page: Page) -> None:
        self.asked = 0
        self.open: set[str] = set()
        self.errors: list[str] = []
        page.on("websocket", self._listen)

    def _listen(self, connection: WebSocket) -> None:
        connection.on("framesent", self._sent)
        connection.on("framereceived", self._received)

    def _sent(self, frame: bytes | str) -> None:
        header, _, _ = message(frame)
        if header.get("msg_type") in ("comm_msg", "execute_request"):
            self.open.add(header["msg_id"])
            self.asked += 1

    def _received(self, frame: bytes | str) -> None:
        header, parent, content = message(frame)
        kind = header.get("msg_type")
        if kind == "status" and content["execution_state"] == "idle":
            self.open.discard(parent.get("msg_id", ""))
        elif kind == "error":
            self.errors.append(f"{content['ename']}: {content['evalue']}")
        elif kind == "stream" and content["name"] == "stderr":
            self.errors.append(content["text"])


def message(frame: bytes | str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Header, parent header and content of a frame: n, n offsets (8 bytes each), then the parts;
    the first part is the channel's name. Empty for what is no message of a kernel
    (v1.kernel.websocket.jupyter.org of jupyter_server)."""
    if isinstance(frame, str) or len(frame) < 8:
        return {}, {}, {}
    numbers = (
        memoryview(frame)[: 8 * (1 + int.from_bytes(frame[:8], "little"))].cast("Q").tolist()[1:]
    )
    header, parent, _, content = (
        json.loads(frame[numbers[k] : numbers[k + 1]]) for k in range(1, 5)
    )
    return header, parent, content


class Notebook:
    """A notebook open in JupyterLab, one source a cell."""

    def __init__(self, browser: Browser, server: Server, name: str) -> None:
        self.page = browser.new_page(viewport={"width": 1400, "height": 1500})
        self.page.set_default_timeout(300_000)
        self.traffic = Traffic(self.page)
        self.page.goto(server.address(name))
        self.cells = self.page.locator(".jp-NotebookPanel .jp-Cell")
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        self.page.wait_for_function(KERNEL_IS_READY)
        self.theme("light")

    def theme(self, name: str) -> None:
        """ "light" or "dark"."""
        title = f"JupyterLab {name.title()}"
        self.page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
            title,
        )
        self.page.wait_for_selector(f"body[data-jp-theme-name='{title}']", state="attached")

    def run(self, cell: int) -> Locator:
        """Runs a cell as a user does, and returns its output when nothing moves there any more."""
        self.traffic.errors.clear()
        self.cells.nth(cell).locator(".cm-content").click()
        self.press("Control+Enter")
        output = self.cells.nth(cell).locator(".jp-Cell-outputArea").first
        before, calm = None, 0
        while calm < 4:  # widgets are drawn and laid out after the kernel is done
            self.page.wait_for_timeout(100)
            now = self.shown(output), output.bounding_box(), self.cut_off(output)
            before, calm = now, calm + 1 if now == before else 0
        return output

    def press(self, key: str, seconds: float = 300) -> None:
        """Presses a key where the focus is, and waits until the kernel has answered what the page
        asked because of it; a key that does nothing takes two seconds."""
        asked, start = self.traffic.asked, time.monotonic()
        self.page.keyboard.press(key)
        while self.traffic.asked == asked and time.monotonic() < start + 2:
            self.page.wait_for_timeout(20)
        calm = 0
        while calm < 3:  # ipywidgets sends the next change when the last one is answered
            self.page.wait_for_timeout(30)
            calm = 0 if self.traffic.open else calm + 1
            if time.monotonic() > start + seconds:
                raise TimeoutError(f"the kernel was still busy after {seconds:g} s")

    def shown(self, output: Locator) -> str:
        """Pictures and captions of an output, as one string to compare."""
        for _ in range(10):
            try:
                return str(output.evaluate(SHOWN))
            except Exception:  # a picture was replaced while it was read
                self.page.wait_for_timeout(50)
        return str(output.evaluate(SHOWN))

    def becomes(self, output: Locator, right: Callable[[str], bool], seconds: float = 2) -> bool:
        """Whether what is shown becomes right soon, now that the kernel has answered."""
        end = time.monotonic() + seconds
        while not (good := right(self.shown(output))) and time.monotonic() < end:
            self.page.wait_for_timeout(30)
        return good

    def cut_off(self, output: Locator) -> list[str]:
        """Labels, numbers and captions of which a part cannot be seen, and pictures wider than the
        page."""
        return list(output.evaluate(CUT_OFF))

    def controls(self, output: Locator) -> dict[str, Locator]:
        """Every control but Reset, by name."""
        found = [control for control in output.locator(CONTROLS).all() if control.is_visible()]
        names = [str(control.evaluate(NAME)).strip() for control in found]
        return {
            f"{name} ({k})" if names.index(name) != k else name: control
            for k, (name, control) in enumerate(zip(names, found, strict=True))
            if name != "Reset"
        }

    def move(self, control: Locator) -> None:
        """Focuses a control and presses the key that changes its value; back from the end of its
        range."""
        control.focus()
        assert control.evaluate("it => it === document.activeElement"), (
            "a control that cannot have the focus"
        )
        kind = control.evaluate("it => it.type || it.className")
        if "noUi-handle" in kind:
            at, end = (control.get_attribute(f"aria-value{name}") for name in ("now", "max"))
            key = "ArrowLeft" if float(at or 0) >= float(end or 0) else "ArrowRight"
        elif kind == "select-one":
            # the list is opened first: JupyterLab takes the arrow keys of a closed one, to go from
            # cell to cell
            last = control.evaluate("it => it.selectedIndex === it.options.length - 1")
            for step in ("Space", "ArrowUp" if last else "ArrowDown"):
                self.page.keyboard.press(step)
                self.page.wait_for_timeout(150)
            key = "Enter"
        elif "toggle-button" in kind or control.evaluate(
            "it => it.matches('.widget-toggle-buttons button')"
        ):
            control = control.locator("xpath=../button[not(contains(@class, 'mod-active'))]").first
            control.focus()
            key = "Enter"
        else:
            key = {"checkbox": "Space", "radio": "ArrowDown", "number": "ArrowUp"}.get(
                kind, "Enter"
            )
        self.press(key)


def installed_browser() -> str | None:
    """A Chromium or Chrome of this system."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def launch(playwright: Playwright) -> Browser:
    """That browser; else the Chrome of a macOS or Windows, or what `playwright install chromium`
    fetched.

    Raises:
        playwright.sync_api.Error: there is none, or it does not start.
    """
    from playwright.sync_api import Error

    if path := installed_browser():
        return playwright.chromium.launch(executable_path=path, args=FLAGS)
    try:
        return playwright.chromium.launch(channel="chrome", args=FLAGS)
    except Error:
        return playwright.chromium.launch(args=FLAGS)


def write_notebook(path: Path, sources: list[str]) -> None:
    """A notebook of code cells."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
