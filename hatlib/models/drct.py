"""DRCT: SwinIR's frame with dense connections inside each group.

Hsu, Lee, Chou, "DRCT: Saving Image Super-resolution away from Information Bottleneck", arXiv
2404.00722, §3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from hatlib.models.layers import channels_first
from hatlib.models.swinir import SwinBlock, SwinIRConfig, WindowNetwork, shift_of
from hatlib.validation import Channels, WindowSide, validated

BLOCKS = 5  # of a group, whatever `depths` says: the released code reads the number of groups only
MLP_RATIO_OF_LAST = 1  # of the fourth and fifth block, whose channels are many


@validated
class DRCTConfig(SwinIRConfig):
    """DRCT: the options of the released code; `depths` gives the number of groups and spreads
    stochastic depth."""

    window_size: WindowSide = 16
    growth: Channels = 32  # channels that each block adds to the input of the next

    def check_heads(self) -> None:
        """Nothing here: each block has as many heads as suit its channels, or refuses them."""


PRESETS = {"drct": DRCTConfig(), "drct-l": DRCTConfig(depths=(6,) * 12)}


class ResidualDenseGroup(nn.Module):
    """Residual dense group (§3): the input of each of five Swin blocks is the group's input and
    the output of all blocks before.

    Args:
        config: the network's.
        drop_path: rate of stochastic depth, the same in all five blocks.
    """

    def __init__(self, config: DRCTConfig, drop_path: float):
        super().__init__()
        c = config
        for i in range(BLOCKS):
            channels = c.embed_dim + i * c.growth
            # fewer heads where they would not divide the channels of the presets
            heads = c.num_heads - channels % c.num_heads
            ratio = c.mlp_ratio if i < 3 else MLP_RATIO_OF_LAST
            growth = c.embed_dim if i == BLOCKS - 1 else c.growth
            self.add_module(
                f"swin{i + 1}",
                SwinBlock(channels, heads, c.window_size, shift_of(i, c), ratio, drop_path),
            )
            self.add_module(f"adjust{i + 1}", nn.Conv2d(channels, growth, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → the same shape."""
        dense = x
        for i in range(1, BLOCKS):
            features = F.leaky_relu(self.block(i, dense), 0.2)  # (N, H, W, growth)
            dense = torch.cat((dense, features), dim=-1)  # (N, H, W, C + i·growth)
        # the last block comes back to C channels, which are added with a fifth of their weight
        return x + 0.2 * self.block(BLOCKS, dense)

    def block(self, number: int, x: torch.Tensor) -> torch.Tensor:
        """A Swin block, and the 1×1 convolution that sets the number of channels after it."""
        x = self.get_submodule(f"swin{number}")(x)
        return channels_first(self.get_submodule(f"adjust{number}"), x)


class DRCT(WindowNetwork):
    """DRCT. LR (N, 3, h, w) in [0, 1] → SR (N, 3, s·h, s·w)."""

    config: DRCTConfig

    def __init__(self, scale: int = 4, config: DRCTConfig = PRESETS["drct"]):
        super().__init__(scale, config)

    def group(self, rates: Sequence[float]) -> nn.Module:
        return ResidualDenseGroup(self.config, rates[0])
