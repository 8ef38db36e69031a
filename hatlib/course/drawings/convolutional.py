"""Drawings of SRCNN, RCAN and what they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hatlib.course.drawings.sketch import (
    TAP,
    Part,
    Sketch,
    conv,
    figure,
    group,
    linear,
    sign,
    signal,
    weight,
)
from hatlib.models.rcan import PRESETS, RCANConfig
from hatlib.models.srcnn import SRCNN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# two pale colours for the grids of the pixel shuffle
OF_ONE_PIXEL = "#cfe3f5"
OF_OTHERS = "#ffffff"
CELL = 0.24  # side of their pixels, inches


def srcnn(network: SRCNN | None = None) -> Figure:
    """SRCNN (arXiv 1501.00092, §3.1): three convolutions on the luma. Shown in notebook 03.

    Args:
        network: whose sizes are drawn; by default those that hatlib trains, 9-5-5.
    """
    network = network or SRCNN()
    layers = (network.conv1, network.conv2, network.conv3)
    (f1, f2, f3) = (layer.kernel_size[0] for layer in layers)
    n1, n2 = layers[0].out_channels, layers[1].out_channels
    steps = ("patch extraction,\nrepresentation", "non-linear\nmapping", "reconstruction")

    sketch = Sketch(f"SRCNN {f1}-{f2}-{f3}, ×{network.scale}")
    *start, one, two, three, end = sketch.row(
        signal("LR"),
        linear(f"bicubic\n×{network.scale}"),
        "Y, 1×H×W",
        conv(f"{f1}×{f1} conv, ReLU\n1 → {n1}"),
        f"{n1}×H×W",
        conv(f"{f2}×{f2} conv, ReLU\n{n1} → {n2}"),
        f"{n2}×H×W",
        conv(f"{f3}×{f3} conv\n{n2} → 1"),
        "Y, 1×H×W",
        signal("SR"),
    )
    for box, what, layer in zip((one, two, three), steps, layers, strict=True):
        sketch.label(box.x, box.top + 0.08, what, va="bottom")
        count = layer.weight.numel()
        sketch.label(box.x, box.bottom - 0.06, f"{count:,} weights", va="top")
    y = start[1].bottom - 0.42
    sketch.line((start[1].x, start[1].bottom), (start[1].x, y), (end.x, y), (end.x, end.bottom))
    sketch.label(
        (start[1].x + end.x) / 2, y + 0.03, "Cb and Cr, 2×H×W: as bicubic made them", va="bottom"
    )
    return figure(sketch)


def residual_block(features: int = 64) -> Figure:
    """The residual block of super-resolution: y = x + F(x), without batch normalisation (EDSR,
    arXiv 1707.02921, §3.1). Shown in notebook 04."""
    return figure(_residual_block(features))


def _residual_block(features: int) -> Sketch:
    sketch = Sketch("Residual block: y = x + F(x)")
    shape = f"{features}×h×w"
    x, first, _, second, plus, _ = sketch.row(
        signal("x"),
        TAP + shape,
        conv(f"3×3 conv\n{features} → {features}"),
        linear("ReLU"),
        conv(f"3×3 conv\n{features} → {features}"),
        "  F(x)",
        sign("+"),
        shape,
        signal("y"),
    )
    frame = sketch.frame([first, second], "F", pad=0.09)
    sketch.skip(x, plus, frame.top + 0.12, "x, unchanged: gradients come back this way, too")
    return sketch


def pixel_shuffle(scale: int = 2, features: int = 64, upsampler: str = "") -> Figure:
    """Sub-pixel convolution (arXiv 1609.05158, §3.2): s² channels become blocks of s×s pixels.
    Shown in notebook 04.

    Args:
        scale: s.
        features: channels before it.
        upsampler: "pixelshuffle" or "pixelshuffledirect", to draw the upsampler of a network as a
            second panel; none by default.
    """
    panels = [_shuffled(scale)]
    if upsampler:
        panels.append(reconstruction(upsampler, scale, features))
    return figure(*panels)


def _shuffled(scale: int) -> Sketch:
    """Channels beside each other, and where their pixels go."""
    sketch = Sketch(
        f"Pixel shuffle ×{scale}: {scale**2} channels → 1 channel, {scale} times as large"
    )
    n = 3 if scale < 4 else 2  # pixels on a side of each map
    side = n * CELL
    space = 0.2
    total = scale * side + (scale - 1) * space
    for k in range(scale**2):
        row, column = divmod(k, scale)
        bottom = total - (row + 1) * side - row * space
        _numbered(sketch, column * (side + space), bottom, np.full((n, n), k), 1)

    large = scale * side
    start = total + 1.15
    middle = total / 2
    sketch.line((total + 0.15, middle), (start - 0.12, middle))
    sketch.label(total + 0.63, middle + 0.05, "same numbers,\nother places", va="bottom")
    block = np.arange(scale**2).reshape(scale, scale)
    _numbered(sketch, start, middle - large / 2, np.tile(block, (n, n)), scale)

    bottom = min(0, middle - large / 2) - 0.08
    sketch.label(total / 2, bottom, f"{scale**2}×h×w", va="top")
    sketch.label(start + large / 2, bottom, f"1×{scale}h×{scale}w", va="top")
    note = (
        f"blue: one LR pixel.\nIts {scale**2} channels\nbecome a block\n"
        f"of {scale}×{scale} pixels:\nchannel {scale}·i + j is\nrow i, column j."
    )
    sketch.label(start + large + 0.2, middle, note, "left")
    return sketch


def _numbered(
    sketch: Sketch, left: float, bottom: float, numbers: np.ndarray, coloured: int
) -> None:
    """A grid of pixels (n, n) with a number in each; a square at the top left is coloured."""
    n = len(numbers)
    for (i, j), number in np.ndenumerate(numbers):
        fill = OF_ONE_PIXEL if max(i, j) < coloured else OF_OTHERS
        x = left + j * CELL
        y = bottom + (n - 1 - i) * CELL
        sketch.rectangle(x, y, CELL, CELL, fill, "#999999", 0.5)
        sketch.label(x + CELL / 2, y + CELL / 2, str(number), size=6.5, spoken=False)
    sketch.rectangle(left, bottom, n * CELL, n * CELL)


def reconstruction(upsampler: str, scale: int, channels: int, between: int = 0) -> Sketch:
    """The end of a network, from features to RGB.

    Args:
        between: channels that a convolution reduces to first; 0: there is none.
    """
    kind = "in one step" if upsampler == "pixelshuffledirect" else "step by step"
    sketch = Sketch(f"Reconstruction ×{scale}, {kind}")
    items: list[Part | str] = [signal("features"), f"{channels}×h×w"]
    if upsampler == "pixelshuffledirect":
        many = 3 * scale**2
        items += [
            conv(f"3×3 conv\n{channels} → {many}"),
            f"{many}×h×w",
            linear(f"pixel\nshuffle ×{scale}"),
        ]
        sketch.row(*items, f"3×{scale}h×{scale}w", signal("RGB"))
        return sketch
    if between:
        items += [conv(f"3×3 conv,\nLeakyReLU\n{channels} → {between}"), f"{between}×h×w"]
        channels = between
    large = 1
    for step in {2: (2,), 3: (3,), 4: (2, 2)}[scale]:
        large *= step
        items += [
            conv(f"3×3 conv\n{channels} → {channels * step**2}"),
            linear(f"pixel\nshuffle ×{step}"),
            f"{channels}×{large}h×{large}w",
        ]
    sketch.row(*items, conv(f"3×3 conv\n{channels} → 3"), "", signal("RGB"))
    return sketch


def channel_attention(channels: int = 64, squeezed: int = 4) -> Figure:
    """Channel attention (RCAN, arXiv 1807.02758, §3.3): y = x · s, a weight for each channel.
    Shown in notebooks 04 and 08."""
    return figure(channel_attention_in(channels, squeezed))


def channel_attention_in(channels: int, squeezed: int) -> Sketch:
    """Channel attention as a panel."""
    sketch = Sketch("Channel attention: a weight for each channel, from the means of all")
    shape = f"{channels}×h×w"
    x, _, _, _, _, _, times, _ = sketch.row(
        signal("x"),
        TAP + shape,
        weight("mean over\nh×w"),
        f"{channels}×1×1",
        linear(f"1×1 conv\n{channels} → {squeezed}"),
        linear("ReLU"),
        f"{squeezed}×1×1",
        linear(f"1×1 conv\n{squeezed} → {channels}"),
        weight("sigmoid\n0 to 1"),
        f"g, {channels}×1×1",
        sign("×"),
        shape,
        signal("y"),
    )
    sketch.skip(x, times, 0.48, f"x, {shape}")
    return sketch


def rcab(config: RCANConfig = PRESETS["rcan"]) -> Figure:
    """Residual channel attention block (arXiv 1807.02758, §3.4), and the channel attention in it.
    Shown in notebook 04."""
    c = config.features
    return figure(_rcab(config), channel_attention_in(c, c // config.reduction))


def _rcab(config: RCANConfig) -> Sketch:
    c = config.features
    sketch = Sketch("RCAB: a residual block with channel attention")
    x, _, _, _, _, plus, _ = sketch.row(
        signal("x"),
        f"{TAP}{c}×h×w",
        conv(f"3×3 conv\n{c} → {c}"),
        linear("ReLU"),
        conv(f"3×3 conv\n{c} → {c}"),
        weight(f"channel attention\n{c} → {c // config.reduction} → {c}"),
        sign("+"),
        f"{c}×h×w",
        signal("y"),
    )
    sketch.skip(x, plus, 0.48)
    return sketch


def residual_in_residual(config: RCANConfig = PRESETS["rcan"], scale: int = 4) -> Figure:
    """RCAN (arXiv 1807.02758, §3.2): blocks in groups, each with a skip connection of its own, and
    a long one over all. Shown in notebook 04."""
    c = config.features
    network = Sketch(f"RCAN ×{scale}: {config.groups} residual groups and a long skip connection")
    _, first, *_, plus, _, _ = network.row(
        signal("LR"),
        "3×h×w",
        conv(f"3×3 conv\n3 → {c}"),
        *numbered("group", config.groups),
        conv(f"3×3 conv\n{c} → {c}"),
        sign("+"),
        f"{c}×h×w",
        group("reconstruction"),
        f"3×{scale}h×{scale}w",
        signal("SR"),
    )
    network.skip(first, plus, 0.5, f"long skip connection, {c}×h×w")

    inside = Sketch(f"Residual group: {config.blocks} RCABs and a short skip connection")
    x, *_, plus, _ = inside.row(
        signal("x"),
        f"{TAP}{c}×h×w",
        *numbered("RCAB", config.blocks),
        conv(f"3×3 conv\n{c} → {c}"),
        sign("+"),
        f"{c}×h×w",
        signal("y"),
    )
    inside.skip(x, plus, 0.42, "short skip connection")
    return figure(network, inside, _rcab(config), reconstruction(config.upsampler, scale, c))


def numbered(name: str, count: int, most: int = 4) -> list[Part]:
    """Parts of one kind in a row: all of them where they are no more than `most`; else the first
    `most` − 2, at least one, dots, and the last."""
    first = range(1, max(2, most - 1))
    shown = range(1, count + 1) if count <= most else (*first, 0, count)
    return [group(f"{name}\n{k}") if k else signal("…") for k in shown]
