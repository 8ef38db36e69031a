"""The two baselines that learn nothing, in the form of networks, so that everything that takes a
network takes them."""

from __future__ import annotations

import torch

from hatlib.imaging.resize import imresize
from hatlib.models.layers import Network


class Bicubic(Network):
    """MATLAB's bicubic upscaling: the baseline of every table."""

    halo = 2  # LR pixels around a pixel that its result depends on

    def __init__(self, scale: int = 4):
        super().__init__()
        self.scale = scale

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) → (N, C, s·h, s·w); may leave [0, 1] by a little."""
        return imresize(lr, self.scale)


class Nearest(Network):
    """Each pixel becomes a block of s×s: the LR image as it is, only larger."""

    halo = 0

    def __init__(self, scale: int = 4):
        super().__init__()
        self.scale = scale

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) → (N, C, s·h, s·w)."""
        return lr.repeat_interleave(self.scale, dim=-2).repeat_interleave(self.scale, dim=-1)
