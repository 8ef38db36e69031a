"""Networks by name. Each takes LR RGB (N, 3, h, w) in [0, 1] and returns SR RGB (N, 3, s·h, s·w); each has `.scale`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from hatlib.errors import HatlibError, unknown
from hatlib.models.base import Network
from hatlib.models.interpolation import Bicubic, Nearest
from hatlib.models.srcnn import SRCNN

SCALES = (2, 3, 4)
_MODELS: dict[str, Callable[..., Network]] = {"bicubic": Bicubic, "nearest": Nearest, "srcnn": SRCNN}


def names() -> list[str]:
    """The names that `create` knows."""
    return list(_MODELS)


def create(name: str, scale: int = 4, **overrides: Any) -> Network:
    """A new network (random weights, where it has any) for a scale of 2, 3 or 4.

    Args:
        name: one of `names()`.
        overrides: the network's own options, such as kernels=(9, 1, 5) for "srcnn".
    Raises:
        HatlibError: an unknown name, scale or option.
    """
    if name not in _MODELS:
        raise unknown("model", name, names())
    if scale not in SCALES:
        raise HatlibError(f"scale is {scale}; the networks know {', '.join(map(str, SCALES))}")
    options = set(inspect.signature(_MODELS[name]).parameters) - {"scale"}
    for option in overrides:
        if option not in options:
            raise unknown(f"option of {name}", option, sorted(options) or ["none"])
    return _MODELS[name](scale=scale, **overrides)
