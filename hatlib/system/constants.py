"""Tensors that depend on sizes alone, such as tables of positions: made once for each device.

A table that came from the host with every forward pass would make a GPU wait each time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

Tensors = TypeVar("Tensors", torch.Tensor, tuple[torch.Tensor, ...])

LIMIT = 16  # tables of one kind that are kept: the sizes of a few images, on one or two devices


def is_traced() -> bool:
    """Whether torch records a network now (to compile or to export it) instead of computing it.

    What it makes then holds no numbers, and must not be kept. Sizes may be symbols.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    # among "fake" tensors, every new one is fake
    return type(torch.empty(0)) is not torch.Tensor


def constant(table: Callable[..., Tensors]) -> Callable[..., Tensors]:
    """Remembers what a function of sizes, types and a device made; see `is_traced` for what not."""
    # outside inference mode, so that training can use the same tensor
    remembered = functools.lru_cache(LIMIT)(torch.inference_mode(False)(table))

    @functools.wraps(table)
    def look_up(*sizes: Any) -> Tensors:
        return table(*sizes) if is_traced() else remembered(*sizes)

    return look_up
