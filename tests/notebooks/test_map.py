"""notebooks/MAP.md: every link leads to a file and a heading that exist, every name to something in
hatlib."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.helpers import ROOT
from tests.helpers.links import LINK, NOTEBOOKS, mistakes


@cache
def text() -> str:
    return (NOTEBOOKS / "MAP.md").read_text(encoding="utf-8")


def test_every_link_of_the_map_leads_to_what_it_says() -> None:
    assert len(LINK.findall(text())) > 60
    assert list(mistakes(text())) == []


def test_every_row_names_a_formula_a_section_and_a_function() -> None:
    lines = [line for line in text().splitlines() if line.startswith("| ")]
    rows = [line for line in lines if not line.startswith(("| section", "| ---"))]
    assert len(rows) >= 25
    for row in rows:
        formula, sections, names = row.strip("| ").split(" | ")
        assert formula and ".ipynb#" in sections and "`hatlib." in names, row


def test_every_notebook_and_every_network_is_on_the_map() -> None:
    from hatlib import models

    linked = set(re.findall(r"\]\((\d\d_\w+\.ipynb)", text()))
    lessons = {path.name for path in NOTEBOOKS.glob("*.ipynb")} - {
        "00_start_here.ipynb"
    }  # 00 has no formula
    assert linked == lessons
    for network in ("SRCNN", "RCAN", "SwinIR", "HAT", "DRCT"):
        assert f"{getattr(models, network).__module__}.{network}`" in text(), network


def test_the_readme_leads_to_the_map() -> None:
    assert "](notebooks/MAP.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "part"),
    [
        ("[09 x](09_none.ipynb#x)", "no file"),
        ("[03 x](03_srcnn.ipynb#Not-a-heading)", "no heading"),
        ("[02 x](03_srcnn.ipynb#The-idea)", "leads to"),
        ("[`hatlib.imaging.metrics.pnsr`](../hatlib/imaging/metrics.py)", "pnsr"),
        ("[`hatlib.metricks.psnr`](../hatlib/imaging/metrics.py)", "metricks"),
        ("[`hatlib.imaging.metrics.psnr`](../hatlib/imaging/resize.py)", "is not in resize.py"),
    ],
)
def test_the_check_sees_mistakes(page: str, part: str) -> None:
    (found,) = mistakes(page)
    assert part in found


def test_the_check_lets_pass_what_is_right() -> None:
    good = (
        "[03 The idea](03_srcnn.ipynb#The-idea), [x](https://x.org/y), "
        "[`hatlib.imaging.metrics.psnr`](../hatlib/imaging/metrics.py)"
    )
    assert list(mistakes(good)) == []
