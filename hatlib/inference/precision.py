"""Which arithmetic a network computes in: float32, bfloat16, float16, and what stays float32."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn

from hatlib.errors import HatlibError, unknown
from hatlib.models import Network
from hatlib.models.network import ColourNetwork
from hatlib.models.swinir import WindowNetwork
from hatlib.system import devices

PRECISIONS = {"auto": None, "fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def arithmetic(model: Network, precision: str, where: torch.device) -> torch.dtype | None:
    """What the network computes in, beside float32: bfloat16, float16, or None for float32 alone.

    Raises:
        HatlibError: an unknown precision, or one that the network can't be run in.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "fp16" and isinstance(model, WindowNetwork):
        raise HatlibError(
            "fp16 is refused for networks with window attention: their activations exceed 65504, the "
            "largest number that float16 has, and the picture becomes black; bf16 is as fast"
        )
    if precision == "auto" and isinstance(model, ColourNetwork) and devices.fast_bfloat16(where):
        return torch.bfloat16
    return PRECISIONS[precision]


@contextlib.contextmanager
def _mixed(model: Network, where: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Inside, the network computes in `dtype`, but for the convolutions that work on colours: they
    stay float32.

    bfloat16 has 8 bits: what is as fine as a pixel's value must not pass through it, what is added
    to one may. So the mean is subtracted and added, and the last convolution makes its sums, in
    float32.
    """
    if dtype is None:
        yield
        return
    convolutions = [
        m for m in model.modules() if isinstance(m, nn.Conv2d) and isinstance(model, ColourNetwork)
    ]
    shuffled = (
        3 * model.scale**2
    )  # channels: RGB before the pixel shuffle, with which the lightweight networks end
    colours = [
        m
        for m in convolutions
        if m.out_channels == 3 or (m is convolutions[-1] and m.out_channels == shuffled)
    ]
    for module in colours:
        module.forward = _in_float32(module.forward, where)  # type: ignore[method-assign]
    try:
        with torch.autocast(where.type, dtype):
            yield
    finally:
        for module in colours:
            vars(module).pop("forward", None)  # the class's own is there again


def _in_float32(
    forward: Callable[..., torch.Tensor], where: torch.device
) -> Callable[..., torch.Tensor]:
    def run(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(where.type, enabled=False):
            return forward(x.float())

    return run
