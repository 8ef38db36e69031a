"""DAT: attention over windows and attention over channels in turns.

Chen et al., "Dual Aggregation Transformer for Image Super-Resolution", ICCV 2023, arXiv 2308.03364,
§3. A successor of HAT with the same idea, spatial attention and channel attention in one network,
in another order: HAT puts the two side by side in each block, DAT lets blocks of either kind
alternate. Taught in notebook 08.

Letters: N images, H W map, C channels, h heads, d channels of a head, T tokens of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from hatlib.errors import HatlibError
from hatlib.models import fast
from hatlib.models.initialisation import init_as_bilinear, init_linear
from hatlib.models.layers import (
    UPSAMPLERS,
    ColourConv,
    DropPath,
    channels_first,
    check_blocks,
    check_pairs,
    conv3x3,
    upsampler,
)
from hatlib.models.swinir import TransformerFrame, drop_path_rates
from hatlib.models.window_attention import MASKED, attention
from hatlib.system.constants import constant
from hatlib.validation import (
    LISTED,
    Channels,
    Depths,
    Fraction,
    Heads,
    HiddenRatio,
    LongWindowSide,
    choice,
    validated,
)

FEATURES = 64  # channels between the body and the RGB image, in the networks that are not light
HALO = 32  # LR pixels around a tile: blocks pass information on from window to window

Side = tuple[int, int]  # height and width
Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@validated
class DATConfig:
    """DAT: arXiv 2308.03364, §4.1, and the option files of the authors' repository."""

    embed_dim: Channels = 180  # C
    depths: Depths = (6,) * 6  # blocks of each group; they alternate, spatial attention first
    num_heads: Heads = 6  # of 30 channels; in spatial attention half of them for either orientation
    # the sides of a window: long, so that few of them reach far
    split_size: Annotated[tuple[LongWindowSide, LongWindowSide], LISTED] = (8, 32)
    expansion_factor: HiddenRatio = 4.0  # hidden channels of the feed-forward network / C
    resi_connection: str = "1conv"  # after each group; "3conv" has a quarter of the channels inside
    upsampler: str = "pixelshuffle"  # "pixelshuffledirect" makes the light network light
    drop_path_rate: Fraction = 0.1  # in the last block; rises linearly from 0 in the first

    def __post_init__(self) -> None:
        choice("upsampler", self.upsampler, UPSAMPLERS)
        choice("resi_connection", self.resi_connection, ("1conv", "3conv"))
        check_blocks(sum(self.depths))
        hidden = int(self.embed_dim * self.expansion_factor)
        if hidden < 2 or hidden % 2:
            raise HatlibError(
                f"expansion_factor is {self.expansion_factor}; it gives {hidden} hidden channels "
                f"of {self.embed_dim}, which have to be even, as one half weighs the other"
            )
        if self.num_heads % 2 or self.embed_dim % self.num_heads:
            raise HatlibError(
                f"num_heads is {self.num_heads}; it has to be even, as half of the heads have wide "
                f"windows and half have tall ones, and to divide embed_dim, {self.embed_dim}"
            )
        if self.embed_dim < 32:
            raise HatlibError(f"embed_dim is {self.embed_dim}; DAT needs at least 32 channels")
        short, long = self.split_size
        check_pairs(short * long, short * long)
        if max(short, long) % min(short, long):
            raise HatlibError(
                f"split_size is {short}, {long}; the longer side of a window is a multiple "
                "of the shorter, so that both fill the same map"
            )


PRESETS = {
    "dat": DATConfig(),
    "dat-2": DATConfig(expansion_factor=2.0),
    "dat-s": DATConfig(split_size=(8, 16), expansion_factor=2.0),
    "dat-light": DATConfig(
        embed_dim=60,
        depths=(18,),
        expansion_factor=2.0,
        resi_connection="3conv",
        upsampler="pixelshuffledirect",
    ),
}


# --- attention within windows ---------------------------------------------------------------------


class DynamicPositionBias(nn.Module):
    """A small network that computes the bias of each offset, instead of a table that stores it.

    (§3.2; from CrossFormer, arXiv 2108.00154.) Offsets (…, 2) → biases (…, h).
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        hidden = channels // 4
        self.pos_proj = nn.Linear(2, hidden)
        self.pos1 = nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.pos2 = nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.pos3 = nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, heads))

    def forward(self, offsets: torch.Tensor) -> torch.Tensor:
        return self.pos3(self.pos2(self.pos1(self.pos_proj(offsets))))


@constant
def window_offsets(window: Side, device: torch.device | str = "cpu") -> torch.Tensor:
    """Each offset between two tokens of a window, rows and columns: float32 (offsets, 2).

    There are (2·height − 1)·(2·width − 1) of them, from the top left to the bottom right.
    """
    height, width = window
    rows = torch.arange(1 - height, height, device=device)
    columns = torch.arange(1 - width, width, device=device)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1).float()


@constant
def offset_index(window: Side, device: torch.device | str = "cpu") -> torch.Tensor:
    """Which row of `window_offsets` lies between a query and a key: int64 (T, T)."""
    height, width = window
    rows = torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    down = rows[:, None] - rows[None, :] + height - 1  # (height, height)
    right = columns[:, None] - columns[None, :] + width - 1  # (width, width)
    index = down[:, None, :, None] * (2 * width - 1) + right[None, :, None, :]
    return index.reshape(height * width, height * width)


@constant
def shift_mask(
    window: Side, shift: Side, last_row: bool, last_column: bool, device: torch.device | str
) -> torch.Tensor:
    """What keeps tokens apart that the cyclic shift has put into one window: (T, T), 0 or −100.

    Only windows of the last row and of the last column of a shifted map hold tokens that were no
    neighbours; all other windows have a mask of zeros.
    """
    height, width = window
    below = (torch.arange(height, device=device) >= height - shift[0]) & last_row
    beside = (torch.arange(width, device=device) >= width - shift[1]) & last_column
    part = (2 * below[:, None] + beside[None, :]).flatten()  # (T,): which of four parts
    return torch.where(part[:, None] == part[None, :], 0.0, MASKED)


class WindowBranch(nn.Module):
    """Attention in rectangular windows among half of the channels (§3.2).
    (N, H, W, 3, C/2) → (N, H, W, C/2), H and W multiples of both sides of the window.

    Args:
        channels: C/2.
        heads: h/2.
        window: height and width of a window.
        shift: how far the windows are moved down and to the right; (0, 0) leaves them in place.
    """

    fused = True  # whether attention takes the fast way: see `hatlib.models.set_fused`
    offsets: torch.Tensor
    index: torch.Tensor

    def __init__(self, channels: int, heads: int, window: Side, shift: Side):
        super().__init__()
        self.heads = heads
        self.window = window
        self.shift = shift
        self.pos = DynamicPositionBias(channels // 4, heads)
        # they go to the device with the weights, and are not stored with them
        self.register_buffer("offsets", window_offsets(window), persistent=False)
        self.register_buffer("index", offset_index(window), persistent=False)

    def forward(self, qkv: torch.Tensor) -> torch.Tensor:
        return fast.rectangular_attention(self, qkv) if self.fused else self.reference(qkv)

    def reference(self, qkv: torch.Tensor, attend: Attention = attention) -> torch.Tensor:
        """As the paper has it: shift, partition, attend, reverse, shift back."""
        height, width = self.window
        down, right = self.shift
        rows = qkv.shape[1] // height
        columns = qkv.shape[2] // width
        shifted = torch.roll(qkv, (-down, -right), dims=(1, 2)) if down else qkv

        # (N, H, W, 3, C/2) → (3, N, rows, columns, h/2, T, d): windows, then heads
        grid = shifted.unflatten(1, (rows, height)).unflatten(3, (columns, width))
        grid = grid.unflatten(-1, (self.heads, -1)).permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6)

        # all windows with the same mask at once: up to four kinds, of which only the first is large
        bias = self.bias().to(qkv.dtype)
        lines = []
        for down_part, last_row in kinds(rows, down):
            line = []
            for right_part, last_column in kinds(columns, right):
                mask = shift_mask(self.window, self.shift, last_row, last_column, qkv.device)
                here = grid[:, :, down_part, right_part]
                q, k, v = here.flatten(1, 3)  # each (B, h/2, T, d)
                line.append(attend(q, k, v, bias + mask.to(bias)).unflatten(0, here.shape[1:4]))
            lines.append(join(line, 2))
        attended = join(lines, 1)  # (N, rows, columns, h/2, T, d)

        attended = attended.unflatten(4, self.window).permute(0, 1, 4, 2, 5, 3, 6)
        attended = attended.reshape(*qkv.shape[:3], -1)  # (N, H, W, C/2)
        return torch.roll(attended, self.shift, dims=(1, 2)) if down else attended

    def bias(self) -> torch.Tensor:
        """The bias of each query and key: (1, h/2, T, T)."""
        biases = self.pos(self.offsets)  # (offsets, h/2)
        return biases[self.index].permute(2, 0, 1)[None].contiguous()


def join(parts: list[torch.Tensor], dim: int) -> torch.Tensor:
    """The parts one after another; a single one as it is, which torch would copy."""
    return torch.cat(parts, dim) if len(parts) > 1 else parts[0]


def kinds(windows: int, shift: int) -> list[tuple[slice, bool]]:
    """A row or column of windows, cut in two where the map is shifted: all but the last, and the
    last, which holds both ends of the map."""
    if not shift:
        return [(slice(0, windows), False)]
    both = [(slice(0, windows - 1), False), (slice(windows - 1, windows), True)]
    return [(place, last) for place, last in both if place.stop > place.start]


# --- the two kinds of blocks ----------------------------------------------------------------------


class AdaptiveInteraction(nn.Module):
    """Adaptive interaction module (AIM, §3.2): attention and a convolution weigh each other.

    A depthwise convolution runs beside the attention. One of the two gives a weight for each
    channel, the other a weight for each pixel, and each is multiplied by what the other gives. The
    batch norms use their stored statistics in eval mode.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        c = channels
        self.heads = heads
        self.qkv = nn.Linear(c, 3 * c)
        self.proj = nn.Linear(c, c)
        self.dwconv = nn.Sequential(
            nn.Conv2d(c, c, 3, padding=1, groups=c), nn.BatchNorm2d(c), nn.GELU()
        )
        self.channel_interaction = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(c, c // 8, 1),
            nn.BatchNorm2d(c // 8),
            nn.GELU(),
            nn.Conv2d(c // 8, c, 1),
        )
        self.spatial_interaction = nn.Sequential(
            nn.Conv2d(c, c // 16, 1), nn.BatchNorm2d(c // 16), nn.GELU(), nn.Conv2d(c // 16, 1, 1)
        )

    def channel_weights(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → (N, 1, 1, C) in 0 … 1."""
        return torch.sigmoid(channels_first(self.channel_interaction, x))

    def pixel_weights(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → (N, H, W, 1) in 0 … 1."""
        return torch.sigmoid(channels_first(self.spatial_interaction, x))


class SpatialAttention(AdaptiveInteraction):
    """Adaptive spatial self-attention (AS-SA, §3.2). (N, H, W, C) → the same shape.

    Half of the channels attend within wide windows and half within tall ones. Where the map is no
    multiple of the windows, queries, keys and values are padded with zeros after the projection.
    """

    def __init__(self, config: DATConfig, shifted: bool):
        super().__init__(config.embed_dim, config.num_heads)
        wide = config.split_size
        tall = (wide[1], wide[0])
        self.multiple = max(wide)
        self.attns = nn.ModuleList(
            WindowBranch(
                config.embed_dim // 2,
                config.num_heads // 2,
                window,
                (window[0] // 2, window[1] // 2) if shifted else (0, 0),
            )
            for window in (wide, tall)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, rows, columns, channels = x.shape
        qkv = self.qkv(x)  # (N, H, W, 3·C)
        value = qkv[..., 2 * channels :]

        below, beside = -rows % self.multiple, -columns % self.multiple
        padded = F.pad(qkv, (0, 0, 0, beside, 0, below)) if below or beside else qkv
        padded = padded.unflatten(-1, (3, 2, -1))
        halves = [branch(padded[..., i, :]) for i, branch in enumerate(self.attns)]
        attended = torch.cat(halves, -1)[:, :rows, :columns]  # (N, H, W, C)

        convolved = channels_first(self.dwconv, value)
        attended_weighted = attended * self.channel_weights(convolved)
        convolved_weighted = convolved * self.pixel_weights(attended)
        return self.proj(attended_weighted + convolved_weighted)


class ChannelAttention(AdaptiveInteraction):
    """Adaptive channel self-attention (AC-SA, §3.2). (N, H, W, C) → the same shape.

    The tokens are the channels of a head, and each has H·W numbers: so every pixel has a say in
    every weight, whatever its distance.
    """

    def __init__(self, config: DATConfig):
        super().__init__(config.embed_dim, config.num_heads)
        self.temperature = nn.Parameter(torch.ones(config.num_heads, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, rows, columns, channels = x.shape
        qkv = self.qkv(x)  # (N, H, W, 3·C)
        value = qkv[..., 2 * channels :]

        # (N, H, W, 3·C) → three of (N, h, H·W, d)
        q, k, v = qkv.flatten(1, 2).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q = F.normalize(q, dim=2)  # so that the scores are cosines and do not grow with the image
        k = F.normalize(k, dim=2)
        scores = q.transpose(2, 3) @ k * self.temperature  # (N, h, d, d)
        attended = v @ scores.softmax(-1).transpose(2, 3)  # (N, h, H·W, d)
        attended = attended.transpose(1, 2).reshape(len(x), rows, columns, channels)

        convolved = channels_first(self.dwconv, value)
        attended_weighted = attended * self.pixel_weights(convolved)
        convolved_weighted = convolved * self.channel_weights(attended)
        return self.proj(attended_weighted + convolved_weighted)


class SpatialGate(nn.Module):
    """Half of the channels weigh the other half, after a depthwise convolution. (N, H, W, 2·C) →
    (N, H, W, C)."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, gate = x.chunk(2, dim=-1)
        return kept * channels_first(self.conv, self.norm(gate))


class SGFN(nn.Module):
    """Spatial-gate feed-forward network (§3.2): the MLP of a block, which sees neighbours through
    its gate."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.act = nn.GELU()
        self.sg = SpatialGate(hidden // 2)
        self.fc2 = nn.Linear(hidden // 2, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → the same shape."""
        return self.fc2(self.sg(self.act(self.fc1(x))))


class DATBlock(nn.Module):
    """Dual aggregation transformer block (DATB, §3.1): attention of one kind, then the SGFN."""

    def __init__(self, config: DATConfig, attention: AdaptiveInteraction, drop_path: float):
        super().__init__()
        c = config.embed_dim
        self.norm1 = nn.LayerNorm(c)
        self.attn = attention
        self.ffn = SGFN(c, int(c * config.expansion_factor))
        self.norm2 = nn.LayerNorm(c)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.ffn(self.norm2(x)))


# --- the network ----------------------------------------------------------------------------------


class ResidualGroup(nn.Module):
    """Residual group (§3.1): blocks of either kind in turns, convolution, residual sum."""

    def __init__(self, config: DATConfig, group: int, rates: Sequence[float]):
        super().__init__()
        blocks = []
        for i, rate in enumerate(rates):
            if i % 2:
                attention: AdaptiveInteraction = ChannelAttention(config)
            else:
                # every second spatial block is shifted; in groups of odd number the first one is
                attention = SpatialAttention(config, shifted=(i // 2 + group) % 2 == 1)
            blocks.append(DATBlock(config, attention, rate))
        self.blocks = nn.ModuleList(blocks)
        self.conv = residual_convolution(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) → the same shape."""
        y = x
        for block in self.blocks:
            y = block(y)
        return x + channels_first(self.conv, y)


def residual_convolution(config: DATConfig) -> nn.Module:
    """The convolution before a residual sum: one, or three with a quarter of the channels."""
    c = config.embed_dim
    if config.resi_connection == "1conv":
        return conv3x3(c, c)
    few = c // 4
    return nn.Sequential(
        conv3x3(c, few),
        nn.LeakyReLU(0.2),
        nn.Conv2d(few, few, 1),
        nn.LeakyReLU(0.2),
        conv3x3(few, c),
    )


class DAT(TransformerFrame):
    """DAT. LR (N, 3, h, w) in [0, 1] → SR (N, 3, s·h, s·w)."""

    halo = HALO

    def __init__(self, scale: int = 4, config: DATConfig = PRESETS["dat"]):
        super().__init__()
        self.scale = scale
        self.config = config
        c = config.embed_dim
        self.conv_first = conv3x3(3, c)
        self.before_RG = nn.Sequential(nn.Identity(), nn.LayerNorm(c))
        rates = drop_path_rates(config.depths, config.drop_path_rate)
        self.layers = nn.ModuleList(
            ResidualGroup(config, i, of_group) for i, of_group in enumerate(rates)
        )
        self.norm = nn.LayerNorm(c)
        self.conv_after_body = residual_convolution(config)
        self.direct = config.upsampler == "pixelshuffledirect"
        if not self.direct:
            self.conv_before_upsample = nn.Sequential(conv3x3(c, FEATURES), nn.LeakyReLU())
            self.conv_last = ColourConv(FEATURES, 3, 3, padding=1)
        self.upsample = upsampler(config.upsampler, scale, c if self.direct else FEATURES)
        self.apply(init_linear)
        if self.direct:
            # of the three convolutions, the last one writes the features
            last = [m for m in self.conv_after_body.modules() if isinstance(m, nn.Conv2d)][-1]
            init_as_bilinear(self.conv_first, last, self.upsample[0], scale)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """The norm between the shallow features and the groups: (N, H, W, C) → the same shape."""
        return self.before_RG(tokens)
