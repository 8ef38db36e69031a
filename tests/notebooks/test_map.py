"""notebooks/MAP.md: every link leads to a file and a heading that exist, every name to something in hatlib."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


@cache
def text() -> str:
    return (NOTEBOOKS / "MAP.md").read_text(encoding="utf-8")


@cache
def headings(path: Path) -> set[str]:
    """What nbconvert, and JupyterLab, make of a notebook's headings: the words, with hyphens between them."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "markdown" for line in "".join(cell["source"]).splitlines()]
    found = [line.lstrip("#").strip() for line in lines if re.match(r"#{1,4} ", line)]
    return {re.sub(r"[`*]", "", heading).replace(" ", "-") for heading in found}


def named(dotted: str) -> object:
    """What a dotted name such as hatlib.models.swinir.SwinIR stands for; AttributeError where there is nothing."""
    parts = dotted.split(".")
    found: object = importlib.import_module(parts[0])
    for k, part in enumerate(parts[1:], start=2):
        if isinstance(found, ModuleType) and not hasattr(found, part):
            try:
                importlib.import_module(".".join(parts[:k]))
            except ModuleNotFoundError:
                raise AttributeError(f"hatlib has no {dotted}") from None
        found = getattr(found, part)
    return found


def mistakes(page: str) -> Iterator[str]:
    """What is wrong with the links of a page in notebooks/."""
    for label, address in LINK.findall(page):
        if re.match(r"https?:", address):
            continue
        target, _, anchor = address.partition("#")
        path = NOTEBOOKS / target
        if not path.is_file():
            yield f"{label}: no file {target}"
        elif anchor and unquote(anchor) not in headings(path):
            yield f"{label}: {target} has no heading for #{unquote(anchor)}"
        elif path.suffix == ".ipynb" and not label.startswith(path.name[:2]):
            yield f"{label}: leads to {target}"
        elif path.suffix == ".py" and (wrong := wrong_name(label.strip("`"), path)):
            yield wrong


def wrong_name(dotted: str, path: Path) -> str | None:
    """Why a name does not belong to the file that its link leads to; None if it does."""
    try:
        found = named(dotted)
    except AttributeError as error:
        return str(error)
    home = inspect.getsourcefile(inspect.unwrap(found))  # type: ignore[arg-type]
    return None if home and Path(home).resolve() == path.resolve() else f"{dotted} is not in {path.name}"


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
    lessons = {path.name for path in NOTEBOOKS.glob("*.ipynb")} - {"00_start_here.ipynb"}  # 00 has no formula
    assert linked == lessons
    for network in ("SRCNN", "RCAN", "SwinIR", "HAT", "DRCT"):
        assert f"{getattr(models, network).__module__}.{network}`" in text(), network


def test_the_readme_leads_to_the_map() -> None:
    assert "](notebooks/MAP.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "part"), [
    ("[09 x](09_none.ipynb#x)", "no file"),
    ("[03 x](03_srcnn.ipynb#Not-a-heading)", "no heading"),
    ("[02 x](03_srcnn.ipynb#The-idea)", "leads to"),
    ("[`hatlib.metrics.pnsr`](../hatlib/metrics.py)", "pnsr"),
    ("[`hatlib.metricks.psnr`](../hatlib/metrics.py)", "metricks"),
    ("[`hatlib.metrics.psnr`](../hatlib/resize.py)", "is not in resize.py"),
])
def test_the_check_sees_mistakes(page: str, part: str) -> None:
    (found,) = mistakes(page)
    assert part in found


def test_the_check_lets_pass_what_is_right() -> None:
    good = "[03 The idea](03_srcnn.ipynb#The-idea), [`hatlib.metrics.psnr`](../hatlib/metrics.py), [x](https://x.org/y)"
    assert list(mistakes(good)) == []
