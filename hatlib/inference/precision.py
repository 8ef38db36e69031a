"""Which arithmetic a network computes in: float32, bfloat16, float16, and what stays float32."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

from hatlib.errors import HatlibError, unknown
from hatlib.models import DAT, Network
from hatlib.models.swinir import WindowNetwork
from hatlib.system import devices

PRECISIONS = {"auto": None, "fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def arithmetic(model: Network, precision: str, device: torch.device) -> torch.dtype | None:
    """What the network computes in, beside float32: bfloat16, float16, or None for float32 alone.

    Raises:
        HatlibError: an unknown precision, or one that the network can't be run in.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "fp16" and isinstance(model, WindowNetwork | DAT):
        raise HatlibError(
            "fp16 is refused for networks with window attention: their activations exceed 65504, "
            "the largest number that float16 has, and the picture becomes black; bf16 is as fast"
        )
    if precision == "auto" and model.mixed_precision and devices.fast_bfloat16(device):
        return torch.bfloat16
    return PRECISIONS[precision]


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Inside, networks compute in `dtype` on the device, or in float32 for None.

    Convolutions that give colours stay in float32: see `hatlib.models.layers.ColourConv`.
    """
    # torch keeps this choice for each thread, and nothing is changed in the model: one model may
    # serve several threads, in several precisions, at a time
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)
