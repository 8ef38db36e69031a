"""How the weights of new networks begin, where torch's own way is not the papers' or not the best
for a short training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def init_linear(module: nn.Module) -> None:
    """Normal weights cut at two units, zero biases, as in Swin; convolutions keep torch's
    default."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


@torch.no_grad()
def init_as_bilinear(first: Any, body: Any, last: Any, scale: int) -> None:
    """Sets the weights of a network that makes RGB in one step so that it starts close to bilinear
    upsampling.

    Three feature channels carry the colours past the body, and the last convolution interpolates
    them; the other channels start with a tenth of their usual weight. A short training gains much:
    nothing is spent on learning what upsampling is.

    Args:
        first: RGB (3) → features (C), 3×3.
        body: the body's last convolution (C → C, 3×3), to whose result the first features are
            added.
        last: the convolution before the pixel shuffle (C → 3·s², 3×3).
    """
    # how far each of the s SR pixels lies from the middle of its LR pixel, in LR pixels
    offsets = (torch.arange(scale) + 0.5) / scale - 0.5
    # bilinear weights of the LR pixel before, its own, and the one after
    taps = (1 - (offsets[:, None] - torch.arange(-1, 2)).abs()).clamp(min=0)  # (s, 3)
    kernels = torch.einsum("iy,jx->ijyx", taps, taps).flatten(0, 1)  # (s², 3, 3)
    last.weight.mul_(0.1)
    for bias in (first.bias, body.bias, last.bias):
        nn.init.zeros_(bias)
    for c in range(first.in_channels):
        # feature c is colour c, which the body adds nothing to and no other pixel reads
        first.weight[c] = 0
        first.weight[c, c, 1, 1] = 1
        body.weight[c] = 0
        last.weight[:, c] = 0
        last.weight[c * scale**2 : (c + 1) * scale**2, c] = kernels
