"""HAT, the Hybrid Attention Transformer: SwinIR's frame, with channel attention beside and
overlapping windows after.

Chen et al., "Activating More Pixels in Image Super-Resolution Transformer", arXiv 2205.04437, §3.
Taught in notebook 08.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from hatlib.errors import HatlibError
from hatlib.models import fast
from hatlib.models.layers import ChannelAttention, channels_first, check_pairs, conv3x3
from hatlib.models.released import hide_level
from hatlib.models.swinir import (
    Blocks,
    Mlp,
    ResidualGroup,
    SwinBlock,
    SwinIRConfig,
    WindowNetwork,
    shift_of,
)
from hatlib.models.window_attention import OverlappingAttention
from hatlib.validation import Channels, Number, OverlapRatio, WindowSide, validated


@validated
class HATConfig(SwinIRConfig):
    """HAT: arXiv 2205.04437, §4.1."""

    window_size: WindowSide = (
        16  # from 8: +0.36 dB on Urban100 ×4, before CAB and OCAB are added (§4.2)
    )
    compress_ratio: Channels = (
        3  # β: channels / those between the convolutions beside the attention
    )
    squeeze_factor: Channels = 30  # channels / those between the layers of the channel attention
    conv_scale: Number = 0.01  # α: keeps the convolutions from disturbing the attention
    overlap_ratio: OverlapRatio = 0.5  # γ: keys come from windows larger by this
    # The ablation of §4.2: cab=False leaves the convolutions out of every block, ocab=False the
    # block at the end of each group. With neither, what is left is SwinIR.
    cab: bool = True
    ocab: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("compress_ratio", "squeeze_factor"):
            ratio = getattr(self, name)
            if self.cab and ratio > self.embed_dim:
                raise HatlibError(f"{name} is {ratio}; it leaves none of {self.embed_dim} channels")
        if self.ocab:
            check_pairs(self.window_size**2, self.overlap_side**2)
        if (self.overlap_side - self.window_size) % 2:
            raise HatlibError(
                f"overlap_ratio {self.overlap_ratio} of window {self.window_size} gives windows of "
                f"{self.overlap_side}, which have no common centre; the difference has to be even"
            )

    @property
    def overlap_side(self) -> int:
        """Side of the overlapping windows."""
        return int((1 + self.overlap_ratio) * self.window_size)


PRESETS = {
    "hat": HATConfig(),
    # four fifths of the channels, and next to nothing between the convolutions: 9.6 M parameters
    # instead of 20.8 M
    "hat-s": HATConfig(embed_dim=144, compress_ratio=24, squeeze_factor=24),
    "hat-l": HATConfig(depths=(6,) * 12),
    # the paper's windows and ratios at swinir-light's multiply-adds
    "hat-light": HATConfig(
        embed_dim=64,
        depths=(4,) * 2,
        num_heads=4,
        squeeze_factor=16,
        upsampler="pixelshuffledirect",
        drop_path_rate=0.0,
    ),
    # for lessons: see swinir-nano; windows of 8 fit patches of 16
    "hat-nano": HATConfig(
        embed_dim=48,
        depths=(2,) * 2,
        num_heads=3,
        window_size=8,
        squeeze_factor=12,
        upsampler="pixelshuffledirect",
        drop_path_rate=0.0,
    ),
}


class CAB(nn.Module):
    """Channel attention block (§3.2): two convolutions with few channels between them, then channel
    attention."""

    def __init__(self, channels: int, compress_ratio: int, squeeze_factor: int):
        super().__init__()
        # the convolutions would cost more than the attention, if they kept all channels
        between = channels // compress_ratio
        attention = ChannelAttention(channels, channels // squeeze_factor, first=1)
        self.cab = nn.Sequential(
            conv3x3(channels, between),
            nn.GELU(),
            conv3x3(between, channels),
            # the released files call this level "attention"
            nn.Sequential(OrderedDict(attention=attention)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → the same shape."""
        return channels_first(self.cab, x)


class HAB(SwinBlock):
    """Hybrid attention block (§3.2): a Swin block with a CAB beside its attention.

    Both branches see the normed map, and α = `conv_scale` times the CAB's result is added to the
    attention's. Stochastic depth leaves out the attention, never the CAB.
    """

    def __init__(self, config: HATConfig, shift: int, drop_path: float):
        c = config
        super().__init__(c.embed_dim, c.num_heads, c.window_size, shift, c.mlp_ratio, drop_path)
        self.conv_scale = c.conv_scale
        self.conv_block = CAB(c.embed_dim, c.compress_ratio, c.squeeze_factor)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        # stochastic depth is inside SwinBlock's part, so it does not reach the CAB
        return torch.add(super().mix(x), self.conv_block(x), alpha=self.conv_scale)


class OCAB(nn.Module):
    """Overlapping cross-attention block (§3.2): as a Swin block, with keys and values from larger
    windows, and without stochastic depth."""

    fused = True  # whether the MLP goes through strips of rows: see `hatlib.models.set_fused`

    def __init__(self, config: HATConfig):
        super().__init__()
        c = config
        # first, as in the released files: an optimiser's state goes by the order of parameters
        self.attn = OverlappingAttention(c.embed_dim, c.num_heads, c.window_size, c.overlap_side)
        self.norm1 = nn.LayerNorm(c.embed_dim)
        self.norm2 = nn.LayerNorm(c.embed_dim)
        self.mlp = Mlp(c.embed_dim, round(c.embed_dim * c.mlp_ratio))
        # the released files have the attention's weights on one level with the norms'
        hide_level(self, "attn")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → the same shape."""
        x = x + self.attn(self.norm1(x))
        if self.fused:
            return fast.add_by_rows(x, self.feed_forward)
        return x + self.feed_forward(x)

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        """The MLP's branch, for each pixel by itself. (N, H, W, C) → the same shape."""
        return self.mlp(self.norm2(x))


class HybridBlocks(Blocks):
    """HABs in a row and one OCAB after them."""

    def __init__(self, blocks: Sequence[SwinBlock], config: HATConfig):
        super().__init__(blocks)
        self.overlap_attn = OCAB(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.overlap_attn(super().forward(x))


class HAT(WindowNetwork):
    """HAT. LR (N, 3, h, w) in [0, 1] → SR (N, 3, s·h, s·w)."""

    config: HATConfig

    def __init__(self, scale: int = 4, config: HATConfig = PRESETS["hat"]):
        super().__init__(scale, config)

    def group(self, rates: Sequence[float]) -> nn.Module:
        """RHAG, residual hybrid attention group (§3.2)."""
        c = self.config
        blocks = [self.block(shift_of(i, c), rate) for i, rate in enumerate(rates)]
        return ResidualGroup(c.embed_dim, HybridBlocks(blocks, c) if c.ocab else Blocks(blocks))

    def block(self, shift: int, drop_path: float) -> SwinBlock:
        """A HAB, or SwinIR's layer, which is a HAB without its CAB."""
        c = self.config
        if c.cab:
            return HAB(c, shift, drop_path)
        return SwinBlock(c.embed_dim, c.num_heads, c.window_size, shift, c.mlp_ratio, drop_path)
