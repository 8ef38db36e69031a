"""What explorers that look into a network share: its picture, its blocks by place, and one run that
is recorded."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from hatlib.course.widgets import frame
from hatlib.errors import HatlibError
from hatlib.imaging.convert import to_tensor
from hatlib.imaging.resize import imresize
from hatlib.models import Network

Kind = TypeVar("Kind", bound=nn.Module)
SIDE = (
    64  # LR pixels that a network is given: a nano network takes a fraction of a second for 64×64
)


def lr_picture(image: np.ndarray | None, name: str, side: int = SIDE) -> np.ndarray:
    """What a network is given, uint8 (h, w, 3): the middle side×side pixels of an image as they
    are.

    By default a quarter of the size of the middle of a built-in picture, by bicubic.
    """
    return (
        frame.photo(image, side)
        if image is not None
        else imresize(frame.photo(None, 4 * side, name), 1 / 4)
    )


def in_eval(model: Network) -> Network:
    """The network itself, or a copy in eval mode of one that is in training."""
    return copy.deepcopy(model).eval() if model.training else model


def kind_of(model: Network) -> str:
    """What a network is called in a message."""
    return type(model).__name__


def by_place(model: Network, kind: type[Kind]) -> dict[tuple[int, int], Kind]:
    """The modules of a kind by their group and their number in it, both from 1, in the order of the
    network.

    The groups of all networks are members of a list: the first number in a module's name is that of
    its group.
    """
    found: dict[tuple[int, int], Kind] = {}
    for name, module in model.named_modules():
        if isinstance(module, kind):
            number = re.search(r"\.(\d+)\.", name)
            group = int(number[1]) + 1 if number else 1
            found[group, 1 + sum(place[0] == group for place in found)] = module
    return found


@torch.inference_mode()
def run(model: Network, lr: np.ndarray) -> torch.Tensor:
    """The network on uint8 (h, w, 3), on the network's device: (1, 3, s·h, s·w)."""
    return model(to_tensor(lr, next(model.parameters()).device))


def run_recorded(
    model: Network, lr: np.ndarray, hooks: Mapping[nn.Module, Callable[..., None]]
) -> torch.Tensor:
    """The same, with a function for each of some modules that is called as hook(module, inputs,
    output)."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        return run(model, lr)
    finally:
        for handle in handles:
            handle.remove()


def check_pixels(lr: np.ndarray, least: int, why: str) -> None:
    """Raises HatlibError for a picture that is too small."""
    if min(lr.shape[:2]) < least:
        raise HatlibError(
            f"{why} needs an image of at least {least}×{least} pixels, got {lr.shape[0]}×{lr.shape[1]}"
        )


def percent(share: float) -> str:
    """A share in words: 0 %, 0.4 %, 37 %."""
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def arrays(tensor: Any) -> np.ndarray:
    """A tensor of any device as float32 numbers."""
    return tensor.detach().float().cpu().numpy()
