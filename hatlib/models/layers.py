"""Layers that several networks use: residual sums, channel attention, pixel shuffle, stochastic
depth.

Convolutions see (N, C, H, W) tensors and attention sees (N, H, W, C): one memory layout, channels
last, under two names. `image_layout` and `token_layout` change the name; nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hatlib.errors import HatlibError, unknown

STRIP = 4096  # pixels of a feature map that a CPU works on at a time: what is computed of them stays in its caches
REACH = 3  # rows of LR that three 3×3 convolutions see up and down, of which the last two work at a larger size
UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect")


def image_layout(x: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C) → (N, C, H, W), the same memory."""
    return x.permute(0, 3, 1, 2)


def token_layout(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) → (N, H, W, C), the same memory."""
    return x.permute(0, 2, 3, 1)


def on_tokens(layers: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Applies convolutions to a feature map (N, H, W, C)."""
    return token_layout(layers(image_layout(x)))


def strips(x: torch.Tensor, unit: int = 1, times: int = 1) -> tuple[torch.Tensor, ...]:
    """(N, H, W, C) → the same map in strips of whole units of rows, views; on a GPU it stays whole.

    Each has about `times` the pixels of `STRIP`.
    """
    rows = times * STRIP // (unit * len(x) * x.shape[2]) if x.device.type == "cpu" else x.shape[1]
    return x.split(max(1, rows) * unit, dim=1)


def add_pixelwise(x: torch.Tensor, branch: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """x + branch(x), the branch seeing each pixel of (N, H, W, C) by itself; without gradients in
    place, in strips."""
    if torch.is_grad_enabled():
        return x + branch(x)
    for strip in strips(x):
        strip += branch(strip)
    return x


def enlarge_by_strips(
    layers: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, scale: int
) -> torch.Tensor:
    """layers(x) for the last convolutions of a network, (N, C, H, W) → (N, 3, s·H, s·W); without
    gradients in strips.

    Between them lie the largest maps of all. They look at most three rows up and down, which each
    strip gets too.
    """
    parts = strips(
        token_layout(x), unit=4 * REACH, times=4
    )  # not too many: what two of them see is computed twice
    if torch.is_grad_enabled() or len(parts) == 1:
        return layers(x)
    made, top = [], 0
    for rows in (part.shape[1] for part in parts):
        above = min(REACH, top)
        sr = layers(x[:, :, top - above : top + rows + REACH])
        made.append(sr[:, :, scale * above : scale * (above + rows)])
        top += rows
    return torch.cat(made, 2)


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """The convolution of all these networks: 3×3, zeros at the border, size kept."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


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
        means = image_layout(
            token_layout(x).mean(dim=(1, 2), keepdim=True)
        )  # so that their gradient has x's layout
        return x * super().forward(means)


def upsampler(kind: str, scale: int, channels: int) -> nn.Sequential:
    """From features at LR size to SR size (sub-pixel convolution, Shi et al., arXiv 1609.05158).

    Args:
        kind: "pixelshuffle" keeps the channels and goes ×2 by ×2, or ×3 at once: (N, C, H, W) → (N,
            C, s·H, s·W). "pixelshuffledirect" gives RGB in one step, for a fraction of the work: →
            (N, 3, s·H, s·W).
    """
    if kind == "pixelshuffledirect":
        return nn.Sequential(conv3x3(channels, 3 * scale**2), nn.PixelShuffle(scale))
    if kind != "pixelshuffle":
        raise unknown("upsampler", kind, UPSAMPLERS)
    steps = {2: (2,), 3: (3,), 4: (2, 2)}.get(scale)
    if steps is None:
        raise HatlibError(f"scale is {scale}; the networks know 2, 3, 4")
    pairs = [(conv3x3(channels, channels * step**2), nn.PixelShuffle(step)) for step in steps]
    return nn.Sequential(*[layer for pair in pairs for layer in pair])


@torch.no_grad()
def start_as_enlargement(first: Any, body: Any, last: Any, scale: int) -> None:
    """Sets the weights of a network that makes RGB in one step so that it starts close to a
    bilinear enlargement.

    Three feature channels carry the colours past the body, and the last convolution interpolates
    them; the other channels start with a tenth of their usual weight. A short training gains much:
    nothing is spent on learning what an enlargement is.

    Args:
        first: RGB (3) → features (C), 3×3.
        body: the body's last convolution (C → C, 3×3), to whose result the first features are
            added.
        last: the convolution before the pixel shuffle (C → 3·s², 3×3).
    """
    colours = range(first.in_channels)
    offsets = (
        torch.arange(scale) + 0.5
    ) / scale - 0.5  # of the SR pixels from the middle of their LR pixel
    taps = (1 - (offsets[:, None] - torch.arange(-1, 2)).abs()).clamp(min=0)  # (s, 3), bilinear
    kernels = torch.einsum("iy,jx->ijyx", taps, taps).flatten(0, 1)  # (s², 3, 3)
    last.weight.mul_(0.1)
    for bias in (first.bias, body.bias, last.bias):
        nn.init.zeros_(bias)
    for c in colours:
        first.weight[c] = 0
        first.weight[c, c, 1, 1] = 1
        body.weight[c] = 0
        last.weight[:, c] = 0
        last.weight[c * scale**2 : (c + 1) * scale**2, c] = kernels


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
        kept = torch.rand(len(branch), *[1] * (branch.ndim - 1), device=branch.device) >= self.rate
        return branch * (kept / (1 - self.rate)).to(branch.dtype)
