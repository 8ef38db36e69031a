"""RCAN: two hundred residual blocks, each with channel attention, in groups with skip connections
of their own.

Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks", arXiv
1807.02758, §3. Taught in notebook 04.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from hatlib.errors import HatlibError
from hatlib.models import fast
from hatlib.models.initialisation import init_as_bilinear
from hatlib.models.layers import (
    RGB_MEAN,
    UPSAMPLERS,
    ChannelAttention,
    ColourConv,
    ColourNetwork,
    Residual,
    check_blocks,
    conv3x3,
    upsampler,
)
from hatlib.validation import Blocks, Channels, Groups, choice, validated

RGB_RANGE = 255  # the released weights work on pixels of 0–255


@validated
class RCANConfig:
    """RCAN: arXiv 1807.02758, §3.5."""

    groups: Groups = 10
    blocks: Blocks = 20  # of each group
    features: Channels = 64  # channels
    reduction: Channels = 16  # r: channels / those between the layers of the channel attention
    # "pixelshuffledirect" gives RGB in one step, as lightweight networks do
    upsampler: str = "pixelshuffle"

    def __post_init__(self) -> None:
        choice("upsampler", self.upsampler, UPSAMPLERS)
        check_blocks(self.groups * self.blocks)
        if self.features < self.reduction:
            raise HatlibError(f"reduction {self.reduction} leaves none of {self.features} features")


PRESETS = {
    "rcan": RCANConfig(),
    # for lessons: as many multiply-adds as swinir-nano and hat-nano have
    "rcan-nano": RCANConfig(
        groups=2, blocks=7, features=32, reduction=8, upsampler="pixelshuffledirect"
    ),
}


class MeanShift(ColourConv):
    """Adds (sign 1) or subtracts (sign −1) the mean colour. A convolution, because the released
    weights hold one."""

    def __init__(self, sign: int):
        super().__init__(3, 3, 1)
        with torch.no_grad():
            self.weight.copy_(torch.eye(3)[:, :, None, None])
            self.bias.copy_(sign * RGB_RANGE * torch.tensor(RGB_MEAN))  # type: ignore[union-attr]
        self.requires_grad_(False)


def block(config: RCANConfig) -> Residual:
    """RCAB (§3.4): two convolutions and channel attention. (N, C, H, W) → the same shape."""
    c = config.features
    attention = ChannelAttention(c, c // config.reduction)
    return Residual(
        conv3x3(c, c), nn.ReLU(), conv3x3(c, c), nn.Sequential(OrderedDict(conv_du=attention))
    )


def group(config: RCANConfig) -> Residual:
    """Residual group (§3.2): blocks, a convolution, and a short skip connection over them."""
    return Residual(
        *[block(config) for _ in range(config.blocks)], conv3x3(config.features, config.features)
    )


class RCAN(ColourNetwork):
    """RCAN. LR (N, 3, h, w) in [0, 1] → SR (N, 3, s·h, s·w)."""

    # the receptive field of 10×20 blocks is 400 pixels and more, but little is taken from far away
    halo = 32
    fused = True  # whether the last convolutions go through strips: see `hatlib.models.set_fused`

    def __init__(self, scale: int = 4, config: RCANConfig = PRESETS["rcan"]):
        super().__init__()
        self.scale = scale
        self.config = config
        c = config.features
        self.sub_mean = MeanShift(-1)
        self.add_mean = MeanShift(1)
        self.head = nn.Sequential(conv3x3(3, c))
        self.body = nn.Sequential(*[group(config) for _ in range(config.groups)], conv3x3(c, c))
        upsample = upsampler(config.upsampler, scale, c)
        direct = config.upsampler == "pixelshuffledirect"
        self.tail = nn.Sequential(upsample, *[] if direct else [ColourConv(c, 3, 3, padding=1)])
        if direct:
            init_as_bilinear(self.head[0], self.body[-1], upsample[0], scale)

    def upscale_rgb(self, rgb: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) → (N, 3, s·H, s·W)."""
        rgb = RGB_RANGE * rgb.contiguous(memory_format=torch.channels_last)
        shallow = self.head(self.sub_mean(rgb))  # (N, C, H, W)
        features = shallow + self.body(shallow)  # the long skip connection (§3.2)
        if self.fused:
            sr = fast.upsample_by_rows(self.tail, features, self.scale)
        else:
            sr = self.tail(features)
        return self.add_mean(sr) / RGB_RANGE
