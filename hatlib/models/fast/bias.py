"""The relative position bias, looked up once as long as the weights do not change."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import torch

from hatlib.system.constants import is_traced

if TYPE_CHECKING:
    from hatlib.models.window_attention import BiasedAttention

Key = tuple[torch.dtype, int | None, int | None]  # precision, height, width


class Lookups:
    """The biases of one state of a table of parameters."""

    def __init__(self, table: torch.Tensor):
        self.table = weakref.ref(table)
        self.state = self._state(table)
        self.biases: dict[Key, torch.Tensor] = {}

    def are_of(self, table: torch.Tensor) -> bool:
        """Whether the table is the same one, and unchanged."""
        return self.table() is table and self.state == self._state(table)

    @staticmethod
    def _state(table: torch.Tensor) -> tuple[object, ...]:
        # A change in place counts the version up. A module that is moved, or turned into another
        # precision, puts other memory under the same parameter.
        version = 0 if table.is_inference() else table._version
        return version, table.data_ptr(), table.device, table.dtype


# An entry goes when its layer goes; a copy of a layer starts without one.
_lookups: weakref.WeakKeyDictionary[BiasedAttention, Lookups] = weakref.WeakKeyDictionary()


def position_bias(
    layer: BiasedAttention, dtype: torch.dtype, height: int | None = None, width: int | None = None
) -> torch.Tensor:
    """`layer.bias()`, (1, h, T, S), in a precision, for whole windows or smaller ones.

    Args:
        height, width: of windows at the border of a shifted map.
    """
    table = layer.relative_position_bias_table
    # A bias with a gradient belongs to one step. One made while torch traces a network is no bias.
    if (torch.is_grad_enabled() and table.requires_grad) or not is_plain(table):
        return border_bias(layer.bias(), layer.window, height, width).to(dtype)
    lookups = _lookups.get(layer)
    if lookups is None or not lookups.are_of(table):
        lookups = Lookups(table)
        _lookups[layer] = lookups
    key = (dtype, height, width)
    if key not in lookups.biases:
        # Outside inference mode, so that a later pass with gradients can use it as well.
        with torch.inference_mode(False), torch.no_grad():
            bias = border_bias(layer.bias(), layer.window, height, width)
            lookups.biases[key] = bias.to(dtype)
    return lookups.biases[key]


def border_bias(
    bias: torch.Tensor, window: int, height: int | None, width: int | None
) -> torch.Tensor:
    """(1, h, T, T) of windows of w×w → that of windows of height×width, whose offsets are among
    them; None leaves a side as it is."""
    height = height or window
    width = width or window
    if height == width == window:
        return bias
    bias = bias.unflatten(3, (window, window)).unflatten(2, (window, window))
    bias = bias[:, :, :height, :width, :height, :width]
    return bias.flatten(4).flatten(2, 3).contiguous()


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor may be remembered: false while torch traces or exports."""
    return not is_traced() and type(tensor.data) is torch.Tensor
