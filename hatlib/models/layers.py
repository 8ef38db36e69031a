"""Layers that several networks use: convolutions, residual sums, channel attention, pixel shuffle,
stochastic depth.

Convolutions see (N, C, H, W) tensors and attention sees (N, H, W, C): one memory layout, channels
last, under two names. `image_layout` and `token_layout` change the name; nothing is copied.
"""

from __future__ import annotations

import torch
from torch import nn

from hatlib.errors import HatlibError, unknown

UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect")


def set_fused(model: nn.Module, fused: bool) -> None:
    """Chooses how a network computes, for all of its layers.

    Args:
        model: a network, or a part of one.
        fused: true, as every network starts, takes the fast ways of `hatlib.models.fast`; false the
            readable ones, which follow the papers. Both give the same numbers but for rounding.
    """
    for module in model.modules():
        if hasattr(module, "fused"):
            module.fused = fused


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
        if torch.is_grad_enabled() or not torch.is_autocast_enabled(kind):
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
