"""What the networks share: their base classes, padding, and the layers that several of them use.

Convolutions see (N, C, H, W) tensors and attention sees (N, H, W, C): one memory layout, channels
last, under two names. `image_layout` and `token_layout` change the name; nothing is copied.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from hatlib.errors import HatlibError, unknown
from hatlib.imaging.convert import luma_of_tensor
from hatlib.imaging.resize import border_indices
from hatlib.system.constants import constant

# Mean RGB of DIV2K in [0, 1]: RCAN, SwinIR, HAT and DRCT subtract it from the input and add it to
# the output.
RGB_MEAN = (0.4488, 0.4371, 0.4040)
UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect")

MOST_BLOCKS = 1000  # of a network; HAT-L has 72, RCAN 200
MOST_PAIRS = 64**4  # of a query and a key in a window: their table of indices takes 134 MB


# --- networks -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Padding:
    """How an image grows at the bottom and on the right until a network can take it."""

    multiple: int = 1  # both sides become a multiple of this
    # … 2 1 0 1 2 …, or "symmetric", with the edge pixel repeated: … 1 0 0 1 …
    border: str = "reflect"
    always: bool = False  # one multiple more where the side is a multiple already

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) of any size from 1×1 → (N, C, H, W); the image itself where nothing has to
        be added."""
        for axis in (2, 3):
            side = image.shape[axis]
            windows = side // self.multiple + 1 if self.always else -(-side // self.multiple)
            grown = windows * self.multiple
            if grown > side:
                image = image.index_select(axis, mirrored(grown, side, self.border, image.device))
        return image


@constant
def mirrored(grown: int, side: int, border: str, device: torch.device) -> torch.Tensor:
    """Which pixel of a side stands at each place of the side that it grows to: (grown,)."""
    return border_indices(torch.arange(grown, device=device), side, border)


class Network(nn.Module):
    """LR (N, C, h, w) in [0, 1] → SR (N, C, s·h, s·w).

    Attributes:
        scale: s, of the upsampling.
        halo: LR pixels around a tile that are computed with it and then cut off.
        local: whether nothing beyond the halo matters, so that tiles give the same as the whole
            image. False for the networks where attention passes information on from window to
            window, or where channel attention takes the mean over all that it is given: their tiles
            differ from the whole a little, by less the larger the halo.
        mixed_precision: whether "auto" may compute it in bfloat16. Convolutions that read or write
            colours stay in float32 then.
        padding: how the images were padded when the reported results were measured. Where it has a
            multiple, tiles and halo should be multiples of it, so that the windows of a tile are
            those of the whole image.
    """

    scale: int
    halo: int
    local: bool = True
    # false for SRCNN and interpolation: they take too little time to be rounded for it
    mixed_precision: bool = False
    padding: Padding = Padding()


def check_network(model: object) -> None:
    """Raises HatlibError unless this is one of hatlib's networks."""
    if not isinstance(model, Network):
        raise HatlibError(
            f"model is {type(model).__name__}, not a network of hatlib: load_model gives one by "
            "name, and adapt makes one of any other nn.Module"
        )


class ColourNetwork(Network):
    """A network for RGB images only. A gray image goes through it as RGB; what comes back is the
    luma of the result."""

    local = False
    mixed_precision = True

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """LR RGB (N, 3, h, w) or gray (N, 1, h, w) in [0, 1], any size from 1×1 → SR of the same
        channels."""
        _, channels, height, width = lr.shape
        rgb = Padding(self.padding.multiple)(lr.expand(-1, 3, -1, -1))
        # what was padded is cut off again
        sr = self.upscale_rgb(rgb)[..., : self.scale * height, : self.scale * width]
        return sr if channels == 3 else luma_of_tensor(sr)

    def upscale_rgb(self, rgb: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), both sides multiples of the padding's → (N, 3, s·H, s·W)."""
        raise NotImplementedError


def set_fused(model: nn.Module, fused: bool) -> None:
    """Chooses how a network computes, for all of its layers.

    Args:
        model: a network, or a part of one.
        fused: true, as every network starts, takes the fast ways of `hatlib.models.fast`; false the
            readable ones, which follow the papers. Both give the same numbers but for rounding.
    """
    for module in model.modules():
        if hasattr(module, "fused"):
            module.fused = fused  # type: ignore[assignment]


# --- limits that several options have together ----------------------------------------------------


def check_blocks(count: int) -> None:
    """Raises HatlibError for more blocks than a network can have."""
    if count > MOST_BLOCKS:
        raise HatlibError(f"all groups together have {count:,} blocks; the most is {MOST_BLOCKS:,}")


def check_pairs(queries: int, keys: int) -> None:
    """Raises HatlibError for windows with more pairs of a query and a key than memory holds."""
    if queries * keys > MOST_PAIRS:
        raise HatlibError(
            f"windows of {queries:,} queries and {keys:,} keys have {queries * keys:,} pairs; the "
            f"most is {MOST_PAIRS:,}, as in a window of 64×64"
        )


def check_hidden(ratio: float, channels: int) -> None:
    """Raises HatlibError where a ratio leaves no hidden channels."""
    if round(ratio * channels) < 1:
        raise HatlibError(f"a ratio of {ratio} leaves no hidden channels of {channels}")


# --- layouts --------------------------------------------------------------------------------------


def image_layout(x: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C) → (N, C, H, W), the same memory."""
    return x.permute(0, 3, 1, 2)


def token_layout(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) → (N, H, W, C), the same memory."""
    return x.permute(0, 2, 3, 1)


def channels_first(layers: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Applies convolutions, which want channels first, to a feature map (N, H, W, C)."""
    return token_layout(layers(image_layout(x)))


# --- layers ---------------------------------------------------------------------------------------


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """The convolution of all these networks: 3×3, zeros at the border, size kept."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


class ColourConv(nn.Conv2d):
    """A convolution that gives colours: inference keeps it in float32 whatever the rest is in.

    bfloat16 has 8 bits. What is as fine as a pixel's value must not pass through it; features may,
    which are added to it. Training in mixed precision rounds colours like everything else.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → (N, 3, H, W), or (N, 3·s², H, W) before a pixel shuffle."""
        kind = x.device.type
        mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        if torch.is_grad_enabled() or not mixed:
            return super().forward(x)
        with torch.autocast(kind, enabled=False):
            return super().forward(x.float())


class Residual(nn.Module):
    """x + body(x), the body being layers in a row."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class ChannelAttention(nn.Sequential):
    """Weighs each channel by what the means of all channels say (RCAN, arXiv 1807.02758, §3.3).

    The mean runs over the whole map that is given, padding included: a tile and the whole image
    differ here.

    Args:
        channels: C.
        squeezed: channels between the two 1×1 convolutions, C/r in the paper.
        first: number of the first layer in the state dict: 0 in RCAN, 1 in HAT, where the mean
            counts as layer 0.
    """

    def __init__(self, channels: int, squeezed: int, first: int = 0):
        super().__init__(
            *[nn.Identity()] * first,
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → the same shape."""
        # taken in the layout of tokens, so that the mean's gradient has the layout of x
        means = token_layout(x).mean(dim=(1, 2), keepdim=True)  # (N, 1, 1, C)
        return x * super().forward(image_layout(means))


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., arXiv 1603.09382): in training, leaves a branch out for some
    of the images."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate  # share of the images for which the branch is left out

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """(N, …) → the same shape; the mean over many calls is the branch itself."""
        if not self.training or self.rate == 0:
            return branch
        # one draw for each image
        shape = (len(branch), *[1] * (branch.ndim - 1))
        keep = torch.rand(shape, device=branch.device) >= self.rate
        return branch * (keep / (1 - self.rate)).to(branch.dtype)


def upsampler(kind: str, scale: int, channels: int) -> nn.Sequential:
    """From features at LR size to SR size (sub-pixel convolution, Shi et al., arXiv 1609.05158).

    Args:
        kind: "pixelshuffle" keeps the channels and goes ×2 by ×2, or ×3 at once: (N, C, H, W) → (N,
            C, s·H, s·W). "pixelshuffledirect" gives RGB in one step, for a fraction of the work: →
            (N, 3, s·H, s·W).
    """
    if kind == "pixelshuffledirect":
        colours = ColourConv(channels, 3 * scale**2, 3, padding=1)
        return nn.Sequential(colours, nn.PixelShuffle(scale))
    if kind != "pixelshuffle":
        raise unknown("upsampler", kind, UPSAMPLERS)
    steps = {2: (2,), 3: (3,), 4: (2, 2)}.get(scale)
    if steps is None:
        raise HatlibError(f"scale is {scale}; the networks know 2, 3, 4")
    pairs = [(conv3x3(channels, channels * step**2), nn.PixelShuffle(step)) for step in steps]
    return nn.Sequential(*[layer for pair in pairs for layer in pair])
