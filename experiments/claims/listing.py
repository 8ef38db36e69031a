"""The classes of notebook 08, the survey's listing among them, as the notebook's cells define
them."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from functools import cache
from typing import Any

from .frame import NOTEBOOKS

PARTS = ("WindowAttention", "ChannelAttention", "CAB")


@cache
def cells() -> list[str]:
    """The notebook's code."""
    notebook = json.loads((NOTEBOOKS / "08_hat_blocks.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def cell_with(name: str) -> str:
    """The notebook's cell that defines a class."""
    (cell,) = [cell for cell in cells() if re.search(rf"^class {name}\(", cell, re.MULTILINE)]
    return cell


def imports() -> str:
    """The notebook's import statements, of all cells."""
    statements = [node for cell in cells() for node in ast.parse(cell).body]
    wanted = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, wanted))


def defined(source: str, name: str) -> Any:
    """A class from the text of a cell, with the notebook's imports and other parts around it."""
    names: dict[str, Any] = {}
    exec(imports(), names)
    with contextlib.redirect_stdout(io.StringIO()):  # whose functions the parts are made of
        for part in PARTS:
            exec(cell_with(part), names)
        exec(source, names)
    return names[name]
