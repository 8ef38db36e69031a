"""How large a network is and how much it computes, counted the way the papers count."""

from __future__ import annotations

import copy

import torch

from hatlib.models.layers import Network


def parameters(model: Network) -> int:
    """Numbers that training changes. SwinIR's paper leaves the relative position bias out; here it
    is counted."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def multiply_adds(model: Network, height: int = 64, width: int = 64) -> int:
    """Multiplications with addition for an LR image of that size, in convolutions, linear layers
    and attention.

    Nothing is computed: the network is run on torch's "meta" device, which knows shapes only.
    """
    from torch.utils.flop_counter import FlopCounterMode

    shapes_only = copy.deepcopy(model).to("meta").eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        shapes_only(torch.empty(1, 3, height, width, device="meta"))
    return counter.get_total_flops() // 2  # torch counts a multiplication and an addition as two
