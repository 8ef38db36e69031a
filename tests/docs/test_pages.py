"""The pages in docs/: what they name exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

import hatlib
from tests.helpers import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


@cache
def functions(path: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def mistakes(page: Path) -> list[str]:
    """Links of a page that lead nowhere, and tests that are not in their file."""
    found = []
    for label, address in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", address):
            continue
        file = (page.parent / address.partition("#")[0]).resolve()
        if not file.is_file():
            found.append(address)
        elif file.name.startswith("test_"):
            found += [
                name for name in re.findall(r"`(test_\w+)`", label) if name not in functions(file)
            ]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_tests_exist(page: Path) -> None:
    assert mistakes(page) == []


def test_the_readme_opens_the_notebooks_of_this_version_on_colab() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    address = "https://colab.research.google.com/github/hatlib/hatlib/blob/"
    opened = re.findall(re.escape(address) + r"([^/]*)/(notebooks/[^)]*)", text)
    names = [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert opened == [(f"v{hatlib.__version__}", name) for name in names]


def test_every_promise_has_its_test() -> None:
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    promises = [row for row in rows if row != "| promise | test |"]
    assert len(promises) > 30
    assert not [row for row in promises if not re.search(r"\[`test_\w+`.*\]\(\.\./tests/", row)]


def test_a_mistake_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[x](nowhere.md) [`test_none`](test_a.py)")
    (tmp_path / "test_a.py").write_text("def test_some() -> None: ...\n")
    assert mistakes(page) == ["nowhere.md", "test_none"]
