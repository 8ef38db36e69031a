"""SwinIR: window attention in a residual network; and the frame that HAT and DRCT keep.

Liang et al., "SwinIR: Image Restoration Using Swin Transformer", arXiv 2108.10257, §3. Taught in
notebook 06.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from hatlib.errors import HatlibError
from hatlib.imaging.convert import of_channels
from hatlib.models import fast
from hatlib.models.initialisation import init_as_bilinear, init_linear
from hatlib.models.layers import (
    RGB_MEAN,
    UPSAMPLERS,
    ColourConv,
    ColourNetwork,
    DropPath,
    Padding,
    channels_first,
    check_blocks,
    check_hidden,
    conv3x3,
    image_layout,
    token_layout,
    upsampler,
)
from hatlib.models.window_attention import WindowAttention
from hatlib.validation import (
    Channels,
    Depths,
    Fraction,
    Heads,
    HiddenRatio,
    WindowSide,
    choice,
    validated,
)

FEATURES = 64  # between the body and the RGB image, in every released network of this family
HALO = 32  # LR pixels; what SwinIR's and HAT's own scripts let tiles overlap by


@validated
class SwinIRConfig:
    """SwinIR for classical super-resolution (SwinIR-M): arXiv 2108.10257, §4.1."""

    embed_dim: Channels = 180  # C
    depths: Depths = (6,) * 6  # blocks of each group
    num_heads: Heads = 6  # of 30 channels each
    window_size: WindowSide = 8  # larger is better and slower: HAT takes 16
    mlp_ratio: HiddenRatio = 2.0  # hidden channels of the MLP / C; Swin has 4
    upsampler: str = "pixelshuffle"  # "pixelshuffledirect" makes the lightweight networks light
    drop_path_rate: Fraction = 0.1  # in the last block; rises linearly from 0 in the first
    # the released code leaves the shift out, unsaid, if trained with img_size ≤ window_size
    shifted: bool = True

    def __post_init__(self) -> None:
        choice("upsampler", self.upsampler, UPSAMPLERS)
        check_blocks(sum(self.depths))
        check_hidden(self.mlp_ratio, self.embed_dim)
        self.check_heads()

    def check_heads(self) -> None:
        """Raises HatlibError where heads do not divide the channels."""
        if self.embed_dim % self.num_heads:
            raise HatlibError(
                f"num_heads is {self.num_heads}; it has to divide embed_dim, {self.embed_dim}"
            )


PRESETS = {
    "swinir": SwinIRConfig(),
    "swinir-light": SwinIRConfig(embed_dim=60, depths=(6,) * 4, upsampler="pixelshuffledirect"),
    # for lessons: heads of 16 channels suit the hardware, and short training wants no stochastic
    # depth
    "swinir-nano": SwinIRConfig(
        embed_dim=48,
        depths=(4,) * 2,
        num_heads=3,
        upsampler="pixelshuffledirect",
        drop_path_rate=0.0,
    ),
}


class Mlp(nn.Module):
    """Two linear layers on each token by itself, GELU between them. (…, C) → (…, C)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(x)))


class SwinBlock(nn.Module):
    """Swin transformer layer (SwinIR §3.2): attention within windows, then an MLP, each with a
    residual sum.

    Args:
        channels, heads, window, shift: of the attention.
        mlp_ratio: hidden channels of the MLP / channels.
        drop_path: rate of stochastic depth.
    """

    fused = True  # whether the MLP goes through strips of rows: see `hatlib.models.set_fused`

    def __init__(
        self, channels: int, heads: int, window: int, shift: int, mlp_ratio: float, drop_path: float
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window, shift)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, round(channels * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → the same shape."""
        x = x + self.mix(self.norm1(x))
        # stochastic depth leaves out whole images, so in training nothing goes through strips
        if self.fused and not self.training:
            return fast.add_by_rows(x, self.feed_forward)
        return x + self.drop_path(self.feed_forward(x))

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        """The MLP's branch, for each pixel by itself. (N, H, W, C) → the same shape."""
        return self.mlp(self.norm2(x))

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        """What passes information between pixels: attention here, and convolutions beside it in
        HAT."""
        return self.drop_path(self.attn(x))


class Blocks(nn.Module):
    """Blocks in a row. (N, H, W, C) → the same shape."""

    def __init__(self, blocks: Sequence[nn.Module]):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(x)


class ResidualGroup(nn.Module):
    """Blocks, a convolution, and a residual sum over both: RSTB (SwinIR §3.2), and RHAG in HAT."""

    def __init__(self, channels: int, blocks: Blocks):
        super().__init__()
        self.residual_group = blocks
        self.conv = conv3x3(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → the same shape."""
        return x + channels_first(self.conv, self.residual_group(x))


class TransformerFrame(ColourNetwork):
    """The way of an image through SwinIR, HAT, DRCT and DAT (SwinIR §3.1); a subclass makes the
    layers."""

    conv_first: nn.Conv2d
    layers: nn.ModuleList
    norm: nn.LayerNorm
    conv_after_body: nn.Module
    upsample: nn.Sequential
    direct: bool  # RGB in one step, without the two layers that follow
    conv_before_upsample: nn.Sequential
    conv_last: nn.Conv2d
    fused = True  # whether the reconstruction goes through strips: see `hatlib.models.set_fused`

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """The norm between the shallow features and the groups: (N, H, W, C) → the same shape."""
        raise NotImplementedError

    def upscale_rgb(self, rgb: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), multiples of the padding's → (N, 3, s·H, s·W)."""
        mean = of_channels(RGB_MEAN, rgb.dtype, rgb.device)
        centred = (rgb - mean).contiguous(memory_format=torch.channels_last)
        shallow = self.conv_first(centred)  # (N, C, H, W)
        # tokens from here on: (N, H, W, C)
        x = self.embed(token_layout(shallow))
        for layer in self.layers:
            x = layer(x)
        deep = self.conv_after_body(image_layout(self.norm(x)))  # (N, C, H, W)
        features = deep + shallow
        if self.fused:
            return fast.upsample_by_rows(self.reconstruct, features, self.scale) + mean
        return self.reconstruct(features) + mean

    def reconstruct(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → RGB less its mean (N, 3, s·H, s·W)."""
        if self.direct:
            return self.upsample(features)
        return self.conv_last(self.upsample(self.conv_before_upsample(features)))


class WindowNetwork(TransformerFrame):
    """The frame of SwinIR, HAT and DRCT: shallow features, groups of blocks, reconstruction (SwinIR
    §3.1).

    A subclass says what a group is.

    Args:
        scale: of the upsampling, s.
        config: of the subclass's kind.
    """

    def __init__(self, scale: int, config: SwinIRConfig):
        super().__init__()
        self.scale = scale
        self.config = config
        self.padding = Padding(config.window_size)
        self.halo = -(-HALO // config.window_size) * config.window_size
        channels = config.embed_dim
        self.conv_first = conv3x3(3, channels)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(channels)})
        rates = drop_path_rates(config.depths, config.drop_path_rate)
        self.layers = nn.ModuleList(self.group(of_group) for of_group in rates)
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = conv3x3(channels, channels)
        self.direct = config.upsampler == "pixelshuffledirect"
        if not self.direct:
            self.conv_before_upsample = nn.Sequential(conv3x3(channels, FEATURES), nn.LeakyReLU())
            self.conv_last = ColourConv(FEATURES, 3, 3, padding=1)
        self.upsample = upsampler(config.upsampler, scale, channels if self.direct else FEATURES)
        self.apply(init_linear)
        if self.direct:
            init_as_bilinear(self.conv_first, self.conv_after_body, self.upsample[0], scale)

    def group(self, rates: Sequence[float]) -> nn.Module:
        """A group (N, H, W, C) → (N, H, W, C) with as many blocks as there are rates of stochastic
        depth."""
        raise NotImplementedError

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """The norm between the shallow features and the groups: (N, H, W, C) → the same shape."""
        return self.patch_embed["norm"](tokens)


def drop_path_rates(depths: Sequence[int], last: float) -> list[list[float]]:
    """Rates of stochastic depth, a list for each group: linear from 0 in the first block to `last`
    in the last."""
    total = sum(depths)
    rates = iter(last * i / max(1, total - 1) for i in range(total))
    return [[next(rates) for _ in range(depth)] for depth in depths]


class SwinIR(WindowNetwork):
    """SwinIR. LR (N, 3, h, w) in [0, 1] → SR (N, 3, s·h, s·w)."""

    def __init__(self, scale: int = 4, config: SwinIRConfig = PRESETS["swinir"]):
        super().__init__(scale, config)
        # the authors' script mirrors the image with its edge, and by one window more than is
        # needed
        self.padding = dataclasses.replace(self.padding, border="symmetric", always=True)

    def group(self, rates: Sequence[float]) -> nn.Module:
        """RSTB: windows are shifted in every other block."""
        c = self.config
        blocks = [
            SwinBlock(c.embed_dim, c.num_heads, c.window_size, shift_of(i, c), c.mlp_ratio, rate)
            for i, rate in enumerate(rates)
        ]
        return ResidualGroup(c.embed_dim, Blocks(blocks))


def shift_of(block: int, config: SwinIRConfig) -> int:
    """How far the windows of a block are moved: half a window in every second one."""
    return config.window_size // 2 if block % 2 and config.shifted else 0
