"""Running a network for an explorer, and recording what its modules are given and return."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from hatlib.imaging.convert import to_tensor
from hatlib.models import Network

Kind = TypeVar("Kind", bound=nn.Module)


def in_eval_mode(model: Network) -> Network:
    """The network itself; a copy in eval mode if it is in training mode."""
    return copy.deepcopy(model).eval() if model.training else model


def class_name(model: Network) -> str:
    """What a message calls the network."""
    return type(model).__name__


def modules_by_place(model: Network, kind: type[Kind]) -> dict[tuple[int, int], Kind]:
    """(group, number in the group), both from 1 → module of that class, in the network's order.

    In all our networks the groups are members of a list: the first number in a module's name is
    that of its group.
    """
    modules: dict[tuple[int, int], Kind] = {}
    for name, module in model.named_modules():
        if isinstance(module, kind):
            number = re.search(r"\.(\d+)\.", name)
            group = int(number[1]) + 1 if number else 1
            modules[group, 1 + sum(place[0] == group for place in modules)] = module
    return modules


@torch.inference_mode()
def run(model: Network, lr: np.ndarray) -> torch.Tensor:
    """The network's result for uint8 (h, w, 3), on the network's device: (1, 3, s·h, s·w)."""
    return model(to_tensor(lr, next(model.parameters()).device))


def run_with_hooks(
    model: Network, lr: np.ndarray, hooks: Mapping[nn.Module, Callable[..., None]]
) -> torch.Tensor:
    """`run`, with forward hooks: module → function called as hook(module, inputs, output)."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        return run(model, lr)
    finally:
        for handle in handles:
            handle.remove()


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor of any device and dtype as a float32 array."""
    return tensor.detach().float().cpu().numpy()
