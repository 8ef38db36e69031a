"""The explorer of HAT's cost: window, overlap ratio and β against multiply-adds and memory.

Chen et al., "Activating More Pixels in Image Super-Resolution Transformer", arXiv 2205.04437, §4.1
and §4.2. Used in notebook 08.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from hatlib.course.widgets import base, drawing
from hatlib.course.widgets.drawing import BLUE, GOLD, INK, PALE, RED, WHITE
from hatlib.models.hat import PRESETS, HATConfig

if TYPE_CHECKING:
    import ipywidgets

WINDOWS, RATIOS, RATES = (8, 16, 32), (0.0, 0.25, 0.5, 0.75, 1.0), (1, 2, 3, 6, 12, 24)
LR = 64 * 64  # LR pixels: the image size for which the papers count
COLOURS = {
    "linear maps": (150, 150, 150),
    "scores and sums": BLUE,
    "MLPs": PALE,
    "CABs": GOLD,
    "OCAB": RED,
    "convolution": (95, 108, 123),
}
WIDTH, HEIGHT, BAR = 330, 260, 74  # of a chart and of its bars, pixels


def group_cost(config: HATConfig, blocks: int = 6) -> dict[str, int]:
    """Multiply-adds per LR pixel in one group, by part, without channel attention and norms.

    A HAB takes 4·C² for query, key, value and projection, 2·T·C for scores and weighted sum,
    2·r·C² for the MLP (r is its ratio), and 2·9·C·C/β for the CAB's two convolutions. The OCAB has
    S keys instead of T, and an MLP of its own.

    Args:
        blocks: HABs of the group.
    """
    c = config
    keys = c.overlap_side**2
    between = c.embed_dim // c.compress_ratio
    linear = 4 * c.embed_dim**2
    mlp = 2 * round(c.embed_dim * c.mlp_ratio) * c.embed_dim
    return {
        "linear maps": blocks * linear,
        "scores and sums": blocks * 2 * c.window_size**2 * c.embed_dim,
        "MLPs": blocks * mlp,
        "CABs": blocks * 18 * c.embed_dim * between if c.cab else 0,
        "OCAB": linear + 2 * keys * c.embed_dim + mlp if c.ocab else 0,
        "convolution": 9 * c.embed_dim**2,
    }


def memory(config: HATConfig) -> dict[str, int]:
    """Float32 bytes per LR pixel: one block's scores if stored, the OCAB's keys and values.

    Scores are h·T numbers per token in a HAB and h·S in the OCAB. Overlapping windows copy each key
    and value (1 + γ)² times. hatlib's attention never stores the scores of all windows at once.
    """
    c = config
    keys = c.overlap_side**2
    return {
        "scores of a HAB": 4 * c.num_heads * c.window_size**2,
        "scores of the OCAB": 4 * c.num_heads * keys if c.ocab else 0,
        "keys and values of the OCAB": round(4 * 2 * c.embed_dim * keys / c.window_size**2)
        if c.ocab
        else 0,
    }


def hat_cost_view(
    config: HATConfig,
    window: int = 16,
    ratio: float = 0.5,
    compress: int = 3,
    cab: bool = True,
    ocab: bool = True,
) -> tuple[np.ndarray, str]:
    """The cost explorer's picture: a group as in the paper beside one of the chosen sizes.

    Args:
        config: the paper's sizes.
        window, ratio, compress: w, γ and β.
        cab, ocab: whether the group has them.
    Returns:
        uint8 picture and an HTML caption.
    Raises:
        HatlibError: the ratio gives windows without a common centre.
    """
    tried = dataclasses.replace(
        config, window_size=window, overlap_ratio=ratio, compress_ratio=compress, cab=cab, ocab=ocab
    )
    costs = [group_cost(c) for c in (config, tried)]
    bytes_ = [memory(c) for c in (config, tried)]
    first, second = (sum(cost.values()) for cost in costs)
    groups = len(config.depths)
    missing = ("" if cab else ", no CAB") + ("" if ocab else ", no OCAB")
    shades = dict(zip(bytes_[0], (BLUE, RED, GOLD), strict=True))
    panels = {
        "multiply-adds per LR pixel in a group, in millions": _chart(costs, COLOURS, 1e6),
        "float32 per LR pixel in a HAB and the OCAB, in kB": _chart(bytes_, shades, 1e3),
    }
    scores = LR * max(bytes_[1]["scores of a HAB"], bytes_[1]["scores of the OCAB"]) / 1e6
    return drawing.place_side_by_side(panels), (
        f"<b>w = {window}, γ = {ratio:g}, β = {compress}</b>{missing}: {groups} groups take "
        f"{groups * LR * second / 1e9:.1f} G multiply-adds for a 64×64 LR image, "
        f"<b>{second / first:.2f} times</b> the paper's {groups * LR * first / 1e9:.1f} G.<br>"
        f"All scores at once would take {scores:.0f} MB in the largest block for that image; "
        "fused attention does not store them."
    )


def _chart(
    columns: list[dict[str, int]], colours: dict[str, tuple[int, int, int]], unit: float
) -> np.ndarray:
    """Two stacked bars, the paper's and the chosen sizes, with the parts' names beside them."""
    image = PillowImage.new("RGB", (WIDTH, HEIGHT), WHITE)
    draw = ImageDraw.Draw(image)
    floor = HEIGHT - 22
    tall = (floor - 22) / max(sum(column.values()) for column in columns)
    for k, (column, label) in enumerate(zip(columns, ("paper", "chosen"), strict=True)):
        left = 4 + k * (BAR + 8)
        top = float(floor)
        for part, value in column.items():
            draw.rectangle(
                (left, round(top - value * tall), left + BAR, round(top)), fill=colours[part]
            )
            top -= value * tall
        middle = left + BAR // 2
        draw.text(
            (middle, top - 3),
            f"{sum(column.values()) / unit:,.3g}",
            INK,
            drawing.font(),
            anchor="mb",
        )
        draw.text((middle, floor + 4), label, INK, drawing.font(), anchor="mt")
    for k, (part, colour) in enumerate(reversed(colours.items())):
        y = 30 + 22 * k
        left = 2 * (BAR + 8) + 10
        draw.rectangle((left, y, left + 12, y + 12), fill=colour)
        draw.text(
            (left + 18, y - 1),
            part.replace("keys and values of the OCAB", "its keys, values"),
            INK,
            drawing.font(),
        )
    return np.asarray(image)


def hat_cost_explorer(config: HATConfig = PRESETS["hat"]) -> ipywidgets.VBox:
    """The cost of HAT's window, overlap ratio, β, CAB and OCAB, next to the paper's sizes.

    Args:
        config: the sizes to compare with; HAT's by default.
    """
    controls = {
        "window": base.stops("window w (tokens)", list(WINDOWS), config.window_size),
        "ratio": base.stops("overlap ratio γ", list(RATIOS), config.overlap_ratio),
        "compress": base.stops(
            "β: channels / channels inside a CAB", list(RATES), config.compress_ratio
        ),
        "cab": base.switch("CAB beside each attention"),
        "ocab": base.switch("OCAB at the end of each group"),
    }
    return base.explorer(partial(hat_cost_view, config), controls, 2 * WIDTH + 3 * drawing.GAP)
