"""What every network of the package has in common."""

from __future__ import annotations

from torch import nn


class Network(nn.Module):
    """LR (N, C, h, w) in [0, 1] → SR (N, C, s·h, s·w).

    Attributes:
        scale: s, the enlargement.
        halo: LR pixels around a pixel on which its result depends; tiles are computed with that much around them.
    """

    scale: int
    halo: int
