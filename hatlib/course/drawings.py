"""Drawings of the course's architectures, from the sizes of their configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hatlib import plotting
from hatlib.models.dat import DATConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PER_CHANNEL = "weight of each channel\nN×1×1×C"
PER_PIXEL = "weight of each pixel\nN×H×W×1"


def dat_blocks(config: DATConfig) -> Figure:
    """The two blocks of DAT and the feed-forward network at the end of both (arXiv 2308.03364,
    §3.2). Shown in notebook 08."""
    short, long = config.split_size
    windows = f"attention in windows\nof {short}×{long} and of {long}×{short}"
    of_head = config.embed_dim // config.num_heads
    channels = f"attention among the\n{of_head} channels of a head"
    return plotting.diagram(
        {
            "Spatial block": _dat_block(windows, PER_CHANNEL, PER_PIXEL),
            "Channel block": _dat_block(channels, PER_PIXEL, PER_CHANNEL),
            "SGFN, the end of both": _sgfn(int(config.expansion_factor * config.embed_dim) // 2),
        },
        height=2.4,
    )


def _dat_block(
    attend: str, weighs_attention: str, weighs_convolution: str
) -> tuple[plotting.Parts, list[plotting.Arrow]]:
    """A block; the two kinds differ in their attention, and in which branch gives which weights."""
    parts = {
        "in": (-0.3, 0.0, "x", "map"),
        "norm": (0.25, 0.0, "norm", "linear"),
        "qkv": (1.15, 0.0, "q, k, v\nN×H×W×3C", "linear"),
        "attention": (2.5, 1.05, attend, "attention"),
        "convolution": (2.5, -1.05, "3×3 depthwise\nconvolution", "convolution"),
        "from convolution": (4.7, 0.5, weighs_attention, "weight"),
        "from attention": (4.7, -0.5, weighs_convolution, "weight"),
        "× attention": (5.9, 1.05, "×", "map"),
        "× convolution": (5.9, -1.05, "×", "map"),
        "+": (6.25, 0.0, "+", "map"),
        "projection": (6.8, 0.0, "linear", "linear"),
        "+ x": (7.4, 0.0, "+", "map"),
        "sgfn": (8.1, 0.0, "norm,\nSGFN", "linear"),
        "+ again": (8.8, 0.0, "+", "map"),
        "out": (9.3, 0.0, "y", "map"),
    }
    arrows: list[plotting.Arrow] = [
        ("in", "norm"),
        ("norm", "qkv"),
        ("qkv", "attention"),
        ("qkv", "convolution", "v"),
        # AIM: each branch weighs the other
        ("attention", "× attention"),
        ("attention", "from attention"),
        ("convolution", "× convolution"),
        ("convolution", "from convolution"),
        ("from attention", "× convolution"),
        ("from convolution", "× attention"),
        ("× attention", "+"),
        ("× convolution", "+"),
        ("+", "projection"),
        # the two residual sums
        ("projection", "+ x"),
        ("in", "+ x", "", -0.3),
        ("+ x", "sgfn"),
        ("sgfn", "+ again"),
        ("+ x", "+ again", "", -0.8),
        ("+ again", "out"),
    ]
    return parts, arrows


def _sgfn(half: int) -> tuple[plotting.Parts, list[plotting.Arrow]]:
    """The feed-forward network; `half` of its hidden channels weigh the other half."""
    parts = {
        "in": (-0.3, 0.5, "x", "map"),
        "up": (0.9, 0.5, "linear,\nGELU", "linear"),
        "norm": (2.4, -0.7, "norm", "linear"),
        "convolution": (4.9, -0.7, "3×3 depthwise\nconvolution", "convolution"),
        "×": (6.2, 0.5, "×", "map"),
        "down": (7.4, 0.5, "linear", "linear"),
        "out": (9.0, 0.5, "y", "map"),
    }
    arrows: list[plotting.Arrow] = [
        ("in", "up", "C"),
        ("up", "×", f"half of the hidden channels: {half}"),
        ("up", "norm"),
        ("norm", "convolution", f"the other half: {half}"),
        ("convolution", "×"),
        ("×", "down"),
        ("down", "out", "C"),
    ]
    return parts, arrows
