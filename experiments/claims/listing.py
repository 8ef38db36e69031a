"""The classes of notebook 08, the survey's listing among them, as the notebook's cells define
them."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hatlib.models.layers import DropPath
from hatlib.models.window_attention import attention_spelled_out, partition, reverse

from .frame import NOTEBOOKS

PARTS = ("WindowAttention", "ChannelAttention", "CAB")


@cache
def cells() -> list[str]:
    """The notebook's code."""
    notebook = json.loads((NOTEBOOKS / "08_hat_blocks.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def cell_with(name: str) -> str:
    """The notebook's cell that defines a class."""
    (found,) = [cell for cell in cells() if re.search(rf"^class {name}\(", cell, re.MULTILINE)]
    return found


def defined(source: str, name: str) -> Any:
    """A class from the text of a cell, with the notebook's other parts around it."""
    names = {
        "torch": torch,
        "nn": nn,
        "F": F,
        "DropPath": DropPath,
        "partition": partition,
        "reverse": reverse,
        "attention_spelled_out": attention_spelled_out,
    }
    for part in PARTS:
        exec(cell_with(part), names)
    exec(source, names)
    return names[name]
