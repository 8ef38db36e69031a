"""The learner's functions after their checks: they go on in the notebook, and into networks.

A function counts from its passed check until its check fails, in this session only. Until then the
course's own takes its place, and a line says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hatlib.course.exercises.console import show
from hatlib.course.exercises.parts import replaced
from hatlib.course.exercises.registry import Exercise, get
from hatlib.errors import HatlibError
from hatlib.inference.upscale import upscale
from hatlib.models.layers import Network

_passed: dict[str, Callable[..., Any]] = {}


def remember(id: str, attempt: Callable[..., Any]) -> None:
    """Keeps a function whose check has passed."""
    _passed[id] = attempt


def forget(id: str) -> None:
    """Drops the function of an exercise, if there is one."""
    _passed.pop(id, None)


def answer(id: str) -> Callable[..., Any]:
    """The learner's function if its check has passed in this session, else the course's own.

    Prints which of them it is.
    """
    item = get(id)
    show(_line(item))
    return _passed.get(id, item.solution)


@contextlib.contextmanager
def put_in(model: Network, *ids: str) -> Iterator[Network]:
    """A network in which the answers to some exercises do the work of its own layers.

    Prints a line for each of them. When the context ends, the network is what it was.

    Args:
        model: one of hatlib's.
        ids: exercises whose functions are parts of networks, such as "04.3".
    Raises:
        HatlibError: the network has no layer that such a function could stand in for.
    """
    items = [get(id) for id in ids]
    for item in items:
        if item.part is None:
            raise HatlibError(f"the function of exercise {item.id} is not a part of a network")
    functions = [(item.part, _passed.get(item.id, item.solution)) for item in items if item.part]
    with replaced(model, functions) as counts:
        for item, count in zip(items, counts, strict=True):
            if not count:
                kind = type(model).__name__
                raise HatlibError(f"{kind} has no layer that {item.id}'s function could stand for")
            show(_line(item, f", in {count} layer{'s' if count > 1 else ''}"))
        yield model


def same_picture(model: Network, lr: np.ndarray, *ids: str) -> np.ndarray:
    """Upscales with the network as it is and with the answers in it, and prints how they compare.

    Args:
        model: a network with its trained weights.
        lr: uint8 (h, w, 3).
        ids: as in `put_in`.
    Returns:
        The picture that the answers made, uint8 (s·h, s·w, 3).
    """
    before = upscale(model, lr, precision="fp32")
    with put_in(model, *ids):
        after = upscale(model, lr, precision="fp32")
    apart = int(np.abs(after.astype(int) - before).max())
    own = sum(id in _passed for id in ids)
    if own == len(ids):
        whose = "your network"
    elif own:
        whose = f"a network with {own} of {len(ids)} parts yours"
    else:
        whose = "the course's own functions"
    # Sums in another order may round a value to the next grey level.
    same = "the same picture" if apart <= 1 else f"another picture, up to {apart} grey levels away"
    show(f"upscaled with {whose}: {same}")
    return after


def _line(item: Exercise, where: str = "") -> str:
    """Which function is used, and where."""
    if item.id in _passed:
        return f"{item.id}: your {item.name} is used{where}"
    return f"{item.id}: the course's own {item.name}{where} (yours once its check has passed)"
