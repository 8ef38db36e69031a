"""Where a function of the learner stands in a network of hatlib.

A `Part` says which layers it stands in for, and how to call it with what such a layer holds.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Part:
    """What a function can stand in for."""

    fits: Callable[[nn.Module], bool]  # whether it can stand in for this layer
    # name of a method of the layer → (the function, the layer, *arguments) → what it returns
    methods: Mapping[str, Callable[..., Any]]


@contextlib.contextmanager
def replaced(
    model: nn.Module, functions: Sequence[tuple[Part, Callable[..., Any]]]
) -> Iterator[list[int]]:
    """Puts functions into a network while the context lasts; the network is then as it was before.

    Yields:
        In how many layers each of them stands.
    """
    changed: list[tuple[nn.Module, str]] = []
    counts = []
    try:
        for part, function in functions:
            layers = [layer for layer in model.modules() if part.fits(layer)]
            counts.append(len(layers))
            for layer in layers:
                for method, call in part.methods.items():
                    setattr(layer, method, functools.partial(call, function, layer))
                    changed.append((layer, method))
        yield counts
    finally:
        for layer, method in changed:
            vars(layer).pop(method, None)  # two functions may stand in one method's place
