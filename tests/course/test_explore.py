"""Explorers without code: Voilà in a real browser."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hatlib import HatlibError
from hatlib.course import explore, widgets
from hatlib.system import machine
from tests.helpers.browsing import launch

pytestmark = pytest.mark.timeout(600)


def test_every_explorer_has_a_name_and_a_page(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    names = explore.explorers()
    assert {"windows", "hat-cost", "before-after"} <= names.keys()
    assert all(callable(getattr(widgets, function)) for function in names.values())
    for name, function in names.items():
        explore.write_notebook(tmp_path / f"{name}.ipynb", function)
        text, code = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4).cells
        assert re.match(r"# [A-Z][\w ]+\n\n\S.+\.$", text.source), text.source
        assert code.source.endswith(f"widgets.{function}()")


def test_unknown_names_and_a_missing_voila_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HatlibError, match="did you mean 'windows'"):
        explore.run("windws", 0, False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HatlibError, match=re.escape(machine.INSTALL_NOTEBOOKS)):
        explore.run("windows", 0, False)


@pytest.mark.skipif(sys.platform == "win32", reason="the server is ended as Ctrl-C ends it")
def test_an_explorer_opens_without_its_code() -> None:
    """A picture and sliders; the picture follows a slider."""
    pytest.importorskip("voila")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    command = [sys.executable, "-m", "hatlib", "explore", "windows", "--no-browser"]
    server = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ}
    )
    try:
        address = first_address(server)
        with playwright.sync_playwright() as running:
            try:
                browser = launch(running)
            except playwright.Error as error:
                pytest.skip(f"no browser starts: {str(error).splitlines()[0]}")
            page = browser.new_page()
            page.goto(address, wait_until="domcontentloaded", timeout=300_000)
            picture = page.locator("img.widget-image, .widget-image img").first
            picture.wait_for(timeout=300_000)
            before = picture.get_attribute("src")
            assert page.locator("h1").first.inner_text().startswith("Windows")
            assert "import widgets" not in page.content()
            handle = page.locator(".noUi-handle").first
            handle.focus()
            handle.press("ArrowRight")
            page.wait_for_function(
                "before => document.querySelector('img.widget-image, .widget-image img').src"
                " !== before",
                arg=before,
                timeout=60_000,
            )
            browser.close()
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def first_address(server: subprocess.Popen[str]) -> str:
    """Where the server says that it listens; what it says later is read and dropped."""
    assert server.stderr is not None
    said = []
    for line in server.stderr:
        said.append(line)
        if found := re.search(r"http://\S+:\d+/\S*", line):
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return found[0]
    raise AssertionError("".join(said))
