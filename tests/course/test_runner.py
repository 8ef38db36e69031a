"""`hatlib course` on small notebooks: fresh kernels, stored results, pages."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from hatlib import HatlibError
from hatlib.cli import app
from hatlib.course import drawings, kernel, pages, runner, site, widget_images
from hatlib.course.result import Result
from hatlib.system import machine, paths

pytest.importorskip("nbclient", reason="the course needs the extra `notebooks`")
pytest.importorskip("latex2mathml", reason="the course needs the extra `notebooks`")

BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/x)"
FIRST = f"""# Blur a photo, $y = x \\otimes k$

{BADGE}

You *measure* what a camera does: $k$ of [three](https://example.org) kinds.

Then go to [the next](01_wrong.ipynb#The-end), or read [about data](../data/README.md)."""
FORMULA = "$$\\begin{aligned} a &= |b| \\\\ c &= \\lVert d \\rVert^2 < 1 \\end{aligned}$$"
EXERCISE = (
    "<details><summary>Solution</summary>\n\n```python\ndef f(x):\n    return x\n```\n\n</details>"
)
EXPLORER = """\
import numpy as np
from hatlib.course import widgets

def render(sigma, kind):
    return np.full((8, 8, 3), int(sigma), np.uint8), f"<b>{kind}</b> {sigma}"

controls = {
    "sigma": widgets.float_slider("noise", 3.5, 0, 10, 0.5),
    "kind": widgets.choice("kind", ["one", "two"]),
}
widgets.explorer(render, controls)"""
BAR = """\
from tqdm.auto import tqdm
for _ in tqdm(range(3)):
    pass
for _ in tqdm(range(3), leave=False):
    pass"""
FIGURE = """\
import numpy as np
from hatlib import plotting
plotting.show_images({"a <diagonal>": np.eye(8)})"""
FACTS = """\
import json, os, sys
names = ("HATLIB_DATA", "HATLIB_PROFILE", "MPLBACKEND")
print(json.dumps([sys.executable, os.getcwd(), *(os.environ.get(name) for name in names)]))"""


def write(path: Path, *cells: str) -> None:
    """Writes a notebook with stale outputs; cells that begin with "#", "<" or "$" are Markdown."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    stale = new_output("stream", name="stdout", text="stale")
    notebook_cells = [
        new_markdown_cell(text)
        if text[0] in "#<$"
        else new_code_cell(text, outputs=[stale], execution_count=9)
        for text in cells
    ]
    notebook_cells[-1].metadata = nbformat.from_dict(
        {"tags": ["keep"], "ExecuteTime": {"end_time": "now"}}
    )
    spec = {"kernelspec": {"name": "somebodys-kernel", "display_name": "x", "language": "python"}}
    nbformat.write(new_notebook(cells=notebook_cells, metadata=spec), path)


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def printed(cell: dict[str, Any]) -> str:
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result], str]:
    """Three notebooks, the second of which fails: the folder, the results, what was printed."""
    from rich.console import Console

    folder = tmp_path_factory.mktemp("course")
    (folder / "notebooks").mkdir()
    write(folder / "notebooks" / "00_blur.ipynb", FIRST, FORMULA, EXPLORER, EXERCISE, FACTS)
    write(
        folder / "notebooks" / "01_wrong.ipynb",
        "# Divide [by] zero\n\n## The end",
        "print('before')",
        "1 / 0",
        "print('after')",
    )
    write(
        folder / "notebooks" / "02_last.ipynb",
        "# Last",
        "import sys\nprint('careful', file=sys.stderr)",
        BAR,
        FIGURE,
    )
    (folder / "notebooks" / "WORDS.md").write_text("# Words\n\n[02](02_last.ipynb) has them.\n")
    registered = (
        folder / "jupyter" / "kernels" / "python3"
    )  # what another environment may have left behind
    registered.mkdir(parents=True)
    spec = {
        "argv": ["no-such-python", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    (registered / "kernel.json").write_text(json.dumps(spec))
    screen = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        patch.setenv("HATLIB_DATA", "my data")  # relative to where the command is typed
        patch.setenv("MPLBACKEND", "Agg")
        results = runner.run(
            "build", notebooks="notebooks", console=Console(file=screen, width=200)
        )
    return folder, results, screen.getvalue()


@pytest.fixture(scope="module")
def page(ran: tuple[Path, list[Result], str]) -> Any:
    from bs4 import BeautifulSoup

    return BeautifulSoup(
        (ran[0] / "build" / "00_blur.html").read_text(encoding="utf-8"), "html.parser"
    )


def test_a_failure_does_not_stop_the_rest(ran: tuple[Path, list[Result], str]) -> None:
    folder, results, screen = ran
    assert [(r.name, r.state, r.done, r.cells) for r in results] == [
        ("00_blur", "passed", 2, 2),
        ("01_wrong", "failed", 1, 3),
        ("02_last", "passed", 3, 3),
    ]
    assert results[1].error == "ZeroDivisionError: division by zero"
    assert (
        "01_wrong failed: 1/3 cells" in screen and screen.count("\n") == 6
    )  # no terminal: plain lines
    assert all(r.seconds > 0 for r in results)
    assert results[2].warnings == ["careful"]
    before, error, after = cells(folder / "build" / "01_wrong.ipynb")[1:]
    assert printed(before) == "before\n" and error["outputs"][0]["ename"] == "ZeroDivisionError"
    assert (
        after["outputs"] == [] and after["execution_count"] is None
    )  # nothing stale passes for a result


def test_kernels_are_this_python_in_the_notebooks_folder(
    ran: tuple[Path, list[Result], str],
) -> None:
    folder = ran[0]
    python, place, data, profile, backend = json.loads(
        printed(cells(folder / "build" / "00_blur.ipynb")[-1])
    )
    assert Path(python) == Path(sys.executable)
    assert Path(place).resolve() == (folder / "notebooks").resolve()
    assert Path(data) == folder / "my data" and profile == "quick"
    assert (
        backend is None or "inline" in backend
    )  # figures go into the notebook, whatever the shell says


def test_record(ran: tuple[Path, list[Result], str]) -> None:
    folder, results, _ = ran
    record = json.loads((folder / "build" / "course.json").read_text(encoding="utf-8"))
    assert {"hatlib", "torch", "CPU", "profile"} <= record["machine"].keys()
    assert [n["state"] for n in record["notebooks"]] == ["passed", "failed", "passed"]
    assert record["notebooks"][0]["minutes"] == pytest.approx(results[0].seconds / 60, abs=0.006)
    names = ("00_blur", "01_wrong", "02_last")
    files = {name + suffix for name in names for suffix in (".html", ".ipynb")}
    written = {path.name for path in (folder / "build").iterdir()}
    assert files | {"course.json", "index.html", "search.html", "_static"} <= written


def test_finished_progress_bars_leave_nothing(ran: tuple[Path, list[Result], str]) -> None:
    assert cells(ran[0] / "build" / "02_last.ipynb")[-2]["outputs"] == []


def test_notebooks_stay_as_they_were(ran: tuple[Path, list[Result], str]) -> None:
    assert printed(cells(ran[0] / "notebooks" / "00_blur.ipynb")[-1]) == "stale"


# ---- pages ---------------------------------------------------------------------------------------


def test_pages_need_no_network(ran: tuple[Path, list[Result], str]) -> None:
    """Scripts, styles and pictures are files beside the pages, or in them."""
    from bs4 import BeautifulSoup

    for path in (ran[0] / "build").glob("*.html"):
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for tag in soup.select(
            "script[src], img[src], iframe, source, link[href]:not([rel=canonical])"
        ):
            address = str(tag.get("src") or tag.get("href"))
            if not address.startswith(("data:", "#")):
                file = path.parent / address.partition("?")[0].partition("#")[0]
                assert file.is_file(), f"{path.name}: {tag}"
    styles = [path.read_text(encoding="utf-8") for path in (ran[0] / "build").rglob("*.css")]
    assert styles and not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", "".join(styles))


def test_formulas_are_mathml(page: Any) -> None:
    body = page.select_one("article")
    assert len(body.select("math")) == 3
    assert body.select_one("h1 math") is not None
    assert len(body.select("math[display=block] mtr")) == 2
    assert "$" not in body.get_text() and "\\" not in body.get_text()


def test_solutions_fold_away(page: Any) -> None:
    assert "return x" in page.select_one("details").get_text()


def test_links_lead_somewhere(page: Any, ran: tuple[Path, list[Result], str]) -> None:
    links = {a.get_text().strip(): a["href"] for a in page.select("article a[href]")}
    assert links["the next"] == "01_wrong.html#the-end"
    assert links["about data"] == (ran[0] / "data" / "README.md").resolve().as_uri()
    assert links["three"] == "https://example.org" and "Open in Colab" in links  # the badge as text
    around = [a["href"] for a in page.select(".prev-next-area a")]
    assert around == ["index.html", "01_wrong.html"]
    beside = {a.get_text().strip(): a["href"] for a in page.select(".bd-sidebar-primary nav a")}
    assert beside["01 Divide [by] zero"] == "01_wrong.html" and beside["Words"] == "WORDS.html"
    words = (ran[0] / "build" / "WORDS.html").read_text(encoding="utf-8")
    assert 'href="02_last.html"' in words


def test_explorers_are_shown_still(page: Any, ran: tuple[Path, list[Result], str]) -> None:
    still = page.select_one(".cell_output img")
    assert still["src"].startswith("data:image/png;base64,")
    assert still.find_next("p").get_text() == "explorer: run the cell to use its controls"
    stored = cells(ran[0] / "build" / "00_blur.ipynb")[2]["outputs"][0]["data"]
    assert stored.keys() == {"image/png", "text/plain"}  # what a viewer without a kernel can show


def test_pictures_have_words_for_those_who_do_not_see_them(
    page: Any, ran: tuple[Path, list[Result], str]
) -> None:
    from bs4 import BeautifulSoup

    words = "Pictures: a <diagonal>."
    (output,) = cells(ran[0] / "build" / "02_last.ipynb")[-1]["outputs"]
    assert output["metadata"] == {"image/png": {"alt": words}}
    text = (ran[0] / "build" / "02_last.html").read_text(encoding="utf-8")
    (picture,) = BeautifulSoup(text, "html.parser").select("article img")
    assert picture["alt"] == words
    # the explorer's, too
    stored = cells(ran[0] / "build" / "00_blur.ipynb")[2]["outputs"][0]
    alt = stored["metadata"]["image/png"]["alt"]
    assert alt == widget_images.ALT == page.select_one("article img")["alt"]


def test_an_upload_button_has_no_picture() -> None:
    state = {
        "a": {"state": {"_model_name": "FileUploadModel", "description": "Choose", "value": []}}
    }
    assert widget_images.fallback("a", state) == {"text/plain": "a widget: run the cell to use it"}


def test_index(ran: tuple[Path, list[Result], str]) -> None:
    from bs4 import BeautifulSoup

    build = ran[0] / "build"
    soup = BeautifulSoup((build / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert soup.select_one(".run strong").get_text().startswith("1 of 3 failed")  # type: ignore[union-attr]
    rows = soup.select(".notebooks li")
    assert rows[0].select_one(".title math")
    assert "You measure what a camera does: k of three kinds." in rows[0].get_text()
    title = rows[1].select_one(".title")
    assert title and title.get_text() == "Divide [by] zero"
    error = rows[1].select_one("a:has(.error)")
    assert error and error.get_text() == "ZeroDivisionError: division by zero"
    target, _, anchor = str(error["href"]).partition("#")
    assert f'id="{anchor}"' in (build / target).read_text(encoding="utf-8")
    addresses = {str(a["href"]).split("#")[0] for a in soup.select("article a[href]")}
    assert all((build / address).is_file() for address in addresses - {""})
    facts = [tag.get_text() for tag in soup.select("dl.machine dt")]
    assert {"torch", "CPU", "profile"} <= set(facts)


@pytest.mark.parametrize(
    ("latex", "words"),
    [
        (r"\arg\min_x", "arg"),
        (r"\bigl\lvert x \bigr\rvert", "x"),
        (r"\begin{equation} a \end{equation}", "a"),
        (r"a < b & c", "a"),
    ],
)
def test_mathml_knows_what_mathjax_knows(latex: str, words: str) -> None:
    from bs4 import BeautifulSoup

    text = BeautifulSoup(site.mathml(latex), "html.parser").get_text()
    assert words in text and "\\" not in text


def test_a_formula_that_cannot_be_converted_stays_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise IndexError

    monkeypatch.setattr("latex2mathml.converter.convert", broken)
    assert site.mathml("a < b") == "<code>a &lt; b</code>"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[a](01_b.ipynb#Why%3F)", "[a](<01_b.ipynb|#Why?>)"),
        ("[a](#Why%3F) [b](https://x.org/?a%3Fb#c)", "[a](#Why?) [b](https://x.org/?a%3Fb#c)"),
        ("![badge](https://x.org/y.svg) ![photo](z.png)", "badge ![photo](<z.png|>)"),
    ],
)
def test_links_to_files_are_rewritten_and_no_others(before: str, after: str) -> None:
    assert site.relinked(before, lambda file, anchor: f"<{file}|{anchor}>") == after


# ---- storing -------------------------------------------------------------------------------------


def test_store_writes_outputs_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HATLIB_PROFILE", "full")
    write(tmp_path / "00_a.ipynb", "# A", EXPLORER, FACTS)
    write(tmp_path / "01_b.ipynb", "# B", "6 * 7")
    command = ["course", "--store", "--notebooks", str(tmp_path), "--out", str(tmp_path / "build")]
    assert app.main(command) == 0
    stored = json.loads((tmp_path / "00_a.ipynb").read_text(encoding="utf-8"))
    assert json.loads(printed(stored["cells"][-1]))[3] == "quick"  # whatever the environment says
    assert stored["cells"][-1]["metadata"] == {"tags": ["keep"]}
    assert stored["metadata"] == {
        **kernel.COLAB,
        "kernelspec": kernel.KERNELSPEC,
        "language_info": kernel.LANGUAGE,
    }
    assert [cell.get("execution_count") for cell in stored["cells"]] == [None, 1, 2]
    texts = [path.read_bytes() for path in sorted(tmp_path.glob("*.ipynb"))]
    assert app.main(command) == 0
    assert [
        path.read_bytes() for path in sorted(tmp_path.glob("*.ipynb"))
    ] == texts  # a second run changes nothing


def test_stored_pictures_are_smaller_and_the_same() -> None:
    picture = np.dstack(
        [np.arange(6400).reshape(80, 80) % 251] * 3 + [np.full((80, 80), 255)]
    ).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="png", compress_level=1)
    packed = kernel.recompress_png(buffer.getvalue())
    assert len(packed) < len(buffer.getvalue())
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(packed)).convert("RGBA")), picture
    )
    picture[0, 0, 3] = 0  # transparency is kept
    Image.fromarray(picture).save(buffer := io.BytesIO(), format="png")
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(kernel.recompress_png(buffer.getvalue())))), picture
    )


def test_drawings_get_a_palette_and_photographs_keep_every_pixel() -> None:
    drawings.residual_block().savefig(drawing := io.BytesIO(), format="png")
    ramp = np.arange(256 * 192).reshape(192, 256)
    photograph = np.dstack([ramp % 256, ramp // 256, ramp % 7]).astype(np.uint8)  # 49,152 colours
    Image.fromarray(photograph).save(photo := io.BytesIO(), format="png")
    for file, palette, most in ((drawing, True, 40), (photo, False, 0)):
        packed = kernel.recompress_png(file.getvalue())
        stored = Image.open(io.BytesIO(packed))
        assert (stored.mode == "P") == palette
        before = np.asarray(Image.open(file).convert("RGB")).astype(int)
        assert np.abs(np.asarray(stored.convert("RGB")) - before).max() <= most
        assert len(packed) < len(file.getvalue()) * (0.6 if palette else 1)


def test_pages_escape_what_notebooks_and_their_names_contain(tmp_path: Path) -> None:
    from bs4 import BeautifulSoup

    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    error = nbformat.v4.new_output("error", ename=evil, evalue=evil, traceback=[evil])
    picture = nbformat.v4.new_output("display_data", {"image/png": "AA=="})
    picture.metadata = {"image/png": {"alt": evil}}
    outputs = [nbformat.v4.new_output("stream", text=f"</pre>{evil}"), picture, error]
    code = nbformat.v4.new_code_cell(evil, outputs=outputs)
    heading = nbformat.v4.new_markdown_cell("# A")
    results = [Result('00" onmouseover="x', evil, evil, 1), Result("01", evil, evil, 1)]
    for result in results:
        result.state = "failed"
        result.error = evil
        file = tmp_path / f"{result.name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[heading, code]), file)
    pages.write(tmp_path, results, {evil: evil}, tmp_path)
    for name in (*(result.name for result in results), "index"):
        text = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        tags = BeautifulSoup(text, features="html.parser").find_all(True)
        assert not [tag for tag in tags if "alert" in str(tag.string) and tag.name == "script"]
        assert not [key for tag in tags for key in tag.attrs if key in ("onerror", "onmouseover")]


def test_the_picture_of_an_explorer_has_a_text() -> None:
    data = {"text/plain": "explorer", "image/png": "…"}
    assert widget_images.alt_text(data) == {"image/png": {"alt": widget_images.ALT}}
    assert widget_images.alt_text({"text/plain": "a widget"}) == {}


def test_store_is_whole_or_not_at_all(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "00_a.ipynb", "# A", "6 * 7")
    write(tmp_path / "01_b.ipynb", "# B", "raise SystemError('no')")
    texts = [path.read_bytes() for path in sorted(tmp_path.glob("*.ipynb"))]
    assert (
        app.main(
            ["course", "--store", "--notebooks", str(tmp_path), "--out", str(tmp_path / "build")]
        )
        == 1
    )
    assert "failed: 01_b, " in capfd.readouterr().out
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.ipynb"))] == texts


# ---- what goes wrong -----------------------------------------------------------------------------


def test_dead_kernel_and_endless_cell(tmp_path: Path) -> None:
    write(tmp_path / "00_dead.ipynb", "# Dead", "import os\nos._exit(1)")
    write(tmp_path / "01_slow.ipynb", "# Slow", "import time\ntime.sleep(600)")
    dead, slow = runner.run(tmp_path / "build", notebooks=tmp_path, timeout=3)
    assert dead.state == slow.state == "failed"
    assert (
        dead.error.startswith("DeadKernelError")
        and slow.error == "TimeoutError: the cell ran for more than 3 s"
    )
    for result in (dead, slow):
        text = (tmp_path / "build" / f"{result.name}.html").read_text(encoding="utf-8")
        assert result.error in re.sub("<[^>]*>", "", text)


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no way to send one process a Ctrl-C"
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_the_kernel_and_keeps_what_is_done(tmp_path: Path, jobs: int) -> None:
    write(tmp_path / "00_a.ipynb", "# A", "6 * 7")
    write(
        tmp_path / "01_b.ipynb",
        "# B",
        "import os, time",
        "while not os.path.exists('build/course.json'): time.sleep(0.05)",
        "open('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)",
    )
    write(tmp_path / "02_c.ipynb", "# C", "import time\ntime.sleep(600)")
    command = [
        sys.executable,
        "-m",
        "hatlib",
        "course",
        "--notebooks",
        str(tmp_path),
        "--out",
        str(tmp_path / "build"),
        "--jobs",
        str(jobs),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, "hatlib: interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    written = {path.name for path in (tmp_path / "build").iterdir()}
    assert {"00_a.html", "00_a.ipynb", "course.json", "index.html"} <= written
    assert not {name for name in written if name.startswith(("01_b", "02_c", ".hatlib-"))}


def test_side_by_side_as_one_after_another(tmp_path: Path) -> None:
    """The second ends only when the third has begun; the order of the results is the course's."""
    meet = "import pathlib, time\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.05)"
    write(tmp_path / "00_a.ipynb", "# A", "import os\nos.environ['OMP_NUM_THREADS']")
    write(tmp_path / "01_b.ipynb", "# B", meet.format("met"), "1 / 0")
    write(tmp_path / "02_c.ipynb", "# C", "import pathlib\npathlib.Path('met').touch()", "6 * 7")
    results = runner.run(tmp_path / "build", notebooks=tmp_path, timeout=60, jobs=2)
    assert [result.name for result in results] == ["00_a", "01_b", "02_c"]
    assert [result.state for result in results] == ["passed", "failed", "passed"]
    record = json.loads((tmp_path / "build" / "course.json").read_text(encoding="utf-8"))
    assert "2 side by side" in record["machine"]["notebooks"]
    assert [entry["state"] for entry in record["notebooks"]] == ["passed", "failed", "passed"]
    (cell,) = nbformat.read(tmp_path / "build" / "00_a.ipynb", 4).cells[1:]
    threads = max(1, torch.get_num_threads() // 2)
    assert cell.outputs[0].data["text/plain"] == repr(str(threads))


def test_only_and_what_ran_before(tmp_path: Path) -> None:
    for name in ("00_a", "01_b", "02_c"):
        write(tmp_path / f"{name}.ipynb", f"# {name}", "# see [the last](02_c.ipynb)", "6 * 7")
    assert [r.name for r in runner.run(tmp_path / "build", ["00"], notebooks=tmp_path)] == ["00_a"]
    page = (tmp_path / "build" / "00_a.html").read_text(encoding="utf-8")
    # no link to a page that is not there
    assert (tmp_path / "02_c.ipynb").as_uri() in page and "01_b.html" not in page
    index = (tmp_path / "build" / "index.html").read_text(encoding="utf-8")
    assert "1 passed (2 not run)" in index and index.count("not run</span>") == 2
    rest = [
        "course",
        "--only",
        "01_b,02",
        "--notebooks",
        str(tmp_path),
        "--out",
        str(tmp_path / "build"),
    ]
    assert app.main(rest) == 0
    index = (tmp_path / "build" / "index.html").read_text(encoding="utf-8")
    assert "all 3 passed" in index  # the first from the run before
    page = (tmp_path / "build" / "01_b.html").read_text(encoding="utf-8")
    assert all(f'href="{name}"' in page for name in ("00_a.html", "02_c.html"))
    (again,) = runner.run(tmp_path / "build", ["02"], notebooks=tmp_path)
    assert (again.done, again.cells) == (1, 1)  # not added to what the run before had counted
    with pytest.raises(HatlibError, match="unknown notebook '07'"):
        runner.run(tmp_path / "build", ["07"], notebooks=tmp_path)


def test_not_a_notebook(tmp_path: Path) -> None:
    (tmp_path / "00_a.ipynb").write_text("{")
    with pytest.raises(HatlibError, match="is not a notebook"):
        runner.run(tmp_path / "build", notebooks=tmp_path)
    assert not (tmp_path / "build").exists()


def test_installed_as_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "checkout", lambda: None)
    with pytest.raises(HatlibError, match="run this in a checkout"):
        runner.find_notebooks()


def test_missing_packages(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "hatlib.system.machine.NOTEBOOK_PACKAGES", ("nbformat", "a_package_nobody_has")
    )
    assert app.main(["course"]) == 2
    assert capfd.readouterr().err == (
        f"hatlib: the course needs a_package_nobody_has: {machine.INSTALL_NOTEBOOKS}\n"
    )


def test_live_table() -> None:
    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    board = runner.Board(console, [Result("00_a", "A", "", 3), Result("01_b", "B", "", 2)])
    with board.live():
        board.start(board.results[0])
        board.results[0].count()
        board.finish(board.results[0], "ValueError: [1, 2]")
    last = [
        line.split() for line in screen.getvalue().splitlines() if re.match(r"\S*0[01]_", line)
    ][-2:]
    assert last[0][1:] == ["failed", "1/3", "0.0", "ValueError:", "[1,", "2]"]
    assert last[1][1:] == ["waiting", "0/2"]


NOT_NOTEBOOKS: list[str] = [
    *("[]", "5", "", "null", "{}", "[" * 100_000, '{"nbformat": ' + "9" * 6000 + "}"),
    *(
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}'.replace(right, wrong)
        for right, wrong in [("[]", "5"), ("[]", "[5]"), ("{}", "5"), (": 4", ": 99")]
    ),
]


def test_a_file_that_is_no_notebook_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "execute", lambda *arguments: "")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write(folder / "99_good.ipynb", "1 + 1")
    for number, text in enumerate(NOT_NOTEBOOKS):
        (folder / f"{number:02}_bad.ipynb").write_text(text)
    results = runner.run(tmp_path / "out", notebooks=folder)
    assert [r.state for r in results] == ["failed"] * len(NOT_NOTEBOOKS) + ["passed"]
    assert all(r.error and "\n" not in r.error for r in results[:-1])
    assert (tmp_path / "out" / "99_good.html").is_file()


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "5", "", "{}", "[" * 100_000, '{"notebooks": 5}', '{"notebooks": [{}]}'),
        *(
            '{"notebooks": [{"name": "01_a", "state": "passed", FIELD}]}'.replace("FIELD", field)
            for field in ('"done": "x"', '"seconds": NaN', '"warnings": 5', '"error": null')
        ),
    ],
    ids=lambda text: text[-20:],
)
def test_a_damaged_record_is_kept_under_another_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "course.json").write_text(text)
    (tmp_path / "01_a.ipynb").write_text("an executed notebook")
    result = Result("01_a", "a", "", 1)
    runner.restore_earlier([result], tmp_path)
    assert result.state == "waiting"
    assert (tmp_path / "course.json.damaged").read_text() == text


def test_an_unknown_profile_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "00_a.ipynb", "1 + 1")
    monkeypatch.setenv("HATLIB_PROFILE", "QUICK")
    with pytest.raises(HatlibError, match="HATLIB_PROFILE is 'QUICK'"):
        runner.run(tmp_path / "build", notebooks=tmp_path)
    assert not (tmp_path / "build").exists()
