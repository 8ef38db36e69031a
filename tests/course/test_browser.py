"""Every explorer in JupyterLab and a real browser: a picture, and controls that obey the keyboard.

Screenshots in both themes are left in build/explorers/ to be looked at. Without Playwright or a
browser: skipped.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from operator import eq, ne
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hatlib.course import widgets
from hatlib.data.builtin import builtin_image
from hatlib.imaging.io import save_image
from tests.helpers import ROOT
from tests.helpers.browsing import Notebook, Server, installed_browser, launch, write_notebook

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

# JupyterLab, a kernel and a browser start slowly on a busy machine.
pytestmark = pytest.mark.timeout(1200)
SCREENSHOTS = ROOT / "build" / "explorers"
# The arguments of explorers that have no defaults.
ARGUMENTS: dict[str, str] = {}
IMPORTS = """\
import numpy as np
from hatlib.course import widgets
from hatlib.data.builtin import builtin_image"""
DRAW = "(np.full((8, 8, 3), 9 * x, np.uint8), str(x))"
# The finding → an explorer with that fault.
WRONG = {
    "no reaction to the keyboard: ['deaf']": f"""
sliders = {{name: widgets.int_slider(name, 1, 0, 9) for name in ("x", "deaf")}}
widgets.explorer(lambda x, deaf: {DRAW}, sliders)""",
    "not drawn: ZeroDivisionError": f"""
slider = widgets.int_slider("x", 2, 0, 9)
widgets.explorer(lambda x: {DRAW} if x < 3 else 1 / 0, {{"x": slider}})""",
    'error: ["KeyError': f"""
box = widgets.explorer(lambda x: {DRAW}, {{"x": widgets.int_slider("x", 1, 0, 9)}})
box.children[0].children[0].observe(lambda change: change["valeu"], names="value")
box""",
    "not complete on the page: ['a label": f"""
slider = widgets.int_slider("a label of more than 100 pixels", 1, 0, 9)
box = widgets.explorer(lambda x: {DRAW}, {{"x": slider}})
box.children[0].children[0].style.description_width = "100px"
box""",
    "not complete on the page: ['a picture": f"""
box = widgets.explorer(lambda x: {DRAW}, {{"x": widgets.int_slider("x", 1, 0, 9)}}, width=3000)
box.children[1].layout.max_width = "none"
box""",
    "Reset does not bring back": f"""
box = widgets.explorer(lambda x: {DRAW}, {{"x": widgets.int_slider("x", 1, 0, 9)}})
reset = box.children[0].children[1]
reset.on_click(lambda button: setattr(box.children[2], "value", "something else"))
box""",
    "no picture": "print('no explorer')",
}


def explorers() -> dict[str, str]:
    """Name → call of every public function of `hatlib.course.widgets` that returns an explorer."""
    calls = {}
    for name, function in inspect.getmembers(widgets, inspect.isfunction):
        signature = inspect.signature(function)
        if (
            name.startswith("_")
            or name == "explorer"
            or not str(signature.return_annotation).endswith("Box")
        ):
            continue
        calls[name] = f"widgets.{name}({ARGUMENTS.get(name, '')})"
    return calls


# A photo is chosen, and looked at in the next cell.
UPLOAD = (
    "button = widgets.upload_button()\nbutton",
    """
name, image = widgets.your_photo(button=button)
print(name, image.shape, "the same:", np.array_equal(image, builtin_image("cat")))""",
)
SOURCES = [IMPORTS, *explorers().values(), *WRONG.values(), *UPLOAD]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: it drives the browser"
    )
    with playwright.sync_playwright() as started:
        try:
            browser = launch(started)
        except playwright.Error:
            if installed_browser():
                raise
            pytest.skip("no browser: neither Chromium nor Chrome is installed")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def notebook(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """One notebook with a cell for each explorer, and its imports run."""
    folder, private = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("jupyter")
    write_notebook(folder / "explorers.ipynb", SOURCES)
    server = Server(folder, private)
    try:
        opened = Notebook(browser, server, "explorers.ipynb")
        opened.run(0)
        assert "Error" not in str(
            opened.traffic.errors
        )  # JupyterLab asks for widgets before there are any
        yield opened
    finally:
        server.close()


def move_all(notebook: Notebook, output: Locator) -> str | None:
    """Moves each control by the keyboard; returns which ones change nothing, or what failed.

    A control may matter only for some values of the others (the angle of a kernel that is not
    round), so it has two chances: after those before it have moved, and after Reset.
    """
    waiting = notebook.controls(output)
    for _ in range(2):
        for name, control in list(waiting.items()):
            before = notebook.shown(output)
            notebook.move(control)
            if notebook.becomes(output, partial(ne, before)):
                del waiting[name]
            if "not drawn:" in output.inner_text():
                return output.inner_text()
        if waiting:
            output.get_by_role("button", name="Reset").focus()
            notebook.press("Enter")
    return f"no reaction to the keyboard: {list(waiting)}" if waiting else None


def reset(notebook: Notebook, output: Locator, first: str) -> str | None:
    """Whether the button brings back what was shown at first, by both keys that press a button."""
    for key in ("Enter", "Space"):
        output.get_by_role("button", name="Reset").focus()
        notebook.press(key)
        if not notebook.becomes(output, partial(eq, first)):
            return f"Reset does not bring back the first picture ({key})"
        notebook.move(next(iter(notebook.controls(output).values())))
    return None


def photograph(notebook: Notebook, output: Locator, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for theme in ("dark", "light"):
        notebook.theme(theme)
        output.screenshot(path=SCREENSHOTS / f"{name}-{theme}.png")


def fault(notebook: Notebook, source: str, name: str | None = None) -> str | None:
    """What is wrong with a cell's explorer, or None; with a name, it takes a screenshot."""
    output = notebook.run(SOURCES.index(source))
    if not output.locator("img").count():
        return f"no picture: {notebook.traffic.errors}"
    first = notebook.shown(output)
    if name:
        photograph(notebook, output, name)
    if cut := notebook.cut_off(output):
        return f"not complete on the page: {cut}"
    found = move_all(notebook, output) or reset(notebook, output, first)
    return f"error: {notebook.traffic.errors}" if notebook.traffic.errors else found


@pytest.mark.parametrize("name", explorers())
def test_an_explorer_answers_to_the_keyboard(notebook: Notebook, name: str) -> None:
    assert fault(notebook, explorers()[name], name) is None


@pytest.mark.parametrize("expected", WRONG)
def test_a_broken_explorer_is_noticed(notebook: Notebook, expected: str) -> None:
    assert expected in (fault(notebook, WRONG[expected]) or "nothing")


def test_a_photo_goes_from_the_browser_into_the_kernel(notebook: Notebook, tmp_path: Path) -> None:
    save_image(tmp_path / "mine.png", builtin_image("cat"))
    button = notebook.run(SOURCES.index(UPLOAD[0]))
    photograph(notebook, button, "upload_button")
    with notebook.page.expect_file_chooser() as chooser:
        button.get_by_role("button").click()
    chooser.value.set_files(tmp_path / "mine.png")
    button.get_by_text("(1)").wait_for()  # the page has read the file, and sent it
    assert (
        "mine.png (300, 451, 3) the same: True"
        in notebook.run(SOURCES.index(UPLOAD[1])).inner_text()
    )


def test_every_explorer_is_found() -> None:
    assert {"degradation_explorer", "metrics_explorer"} <= set(explorers())
    assert not set(ARGUMENTS) - set(explorers())
