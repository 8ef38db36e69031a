"""Links of the pages in notebooks/: each leads to a file and a heading that exist, each name to
something in hatlib."""

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

from tests.helpers import ROOT

NOTEBOOKS = ROOT / "notebooks"
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


@cache
def headings(path: Path) -> set[str]:
    """What nbconvert, and JupyterLab, make of a notebook's headings: the words, with hyphens
    between them."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = [
        line
        for cell in cells
        if cell["cell_type"] == "markdown"
        for line in "".join(cell["source"]).splitlines()
    ]
    found = [line.lstrip("#").strip() for line in lines if re.match(r"#{1,4} ", line)]
    return {re.sub(r"[`*]", "", heading).replace(" ", "-") for heading in found}


def named(dotted: str) -> object:
    """What a dotted name such as hatlib.models.swinir.SwinIR stands for; AttributeError where there
    is nothing."""
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
    return (
        None
        if home and Path(home).resolve() == path.resolve()
        else f"{dotted} is not in {path.name}"
    )
