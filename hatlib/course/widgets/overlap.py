"""The explorer of overlapping windows: HAT's queries from one window, keys from a larger one.

Used in notebook 08.

Chen et al., "Activating More Pixels in Image Super-Resolution Transformer", arXiv 2205.04437, §3.2.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image as PillowImage
from PIL import ImageDraw

from hatlib.course.widgets import base, drawing, inputs
from hatlib.course.widgets.drawing import BLUE, GOLD, INK, PALE, WHITE
from hatlib.course.widgets.windows import window_numbers
from hatlib.errors import HatlibError
from hatlib.models.window_attention import overlapping_partition

if TYPE_CHECKING:
    import ipywidgets

SIDE = 48  # of the map, tokens
CELL = 5  # pixels of a token in the picture of the map
PANEL = 288  # side of the two windows in the picture, pixels
# Window sides that divide SIDE, and with which every ratio gives windows with a common centre.
WINDOWS = (8, 16)
RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)
MARGIN = 8  # of the largest window, tokens
MAP = (SIDE + 2 * MARGIN) * CELL
WIDTH, HEIGHT = MAP + 2 * PANEL + 4 * drawing.GAP, MAP + 62  # the same for all settings


def key_side(window: int, ratio: float) -> int:
    """Side of the keys' window, (1 + γ)·w, in tokens.

    Raises:
        HatlibError: the two windows would have no common centre.
    """
    side = int((1 + ratio) * window)
    if (side - window) % 2:
        raise HatlibError(
            f"a ratio of {ratio} turns {window} into {side}; the difference has to be even, or the "
            "windows have no common centre"
        )
    return side


def attention_cost(channels: int, keys: int) -> tuple[int, int]:
    """Multiply-adds per token: (in the linear layers, in the scores and the weighted sum).

    Query, key and value take 3·C², the projection after them C². Each query meets S keys of C
    channels twice, in 2·S·C.
    """
    return 4 * channels**2, 2 * keys * channels


def overlap_view(
    tokens: np.ndarray,
    window: int = 16,
    ratio: float = 0.5,
    row: int = 0,
    column: int = 1,
    channels: int = 180,
) -> tuple[np.ndarray, str]:
    """The overlap explorer's picture: a query window on the map, its key window, each ratio's cost.

    Args:
        tokens: uint8 (SIDE, SIDE, 3), one pixel per token.
        window: w, side of the queries' window.
        ratio: γ; the keys' window has a side of (1 + γ)·w.
        row, column: of the query window, counted in windows from the top left.
        channels: C, for the cost; HAT has 180.
    Returns:
        uint8 picture and an HTML caption.
    Raises:
        HatlibError: the ratio gives windows without a common centre.
    """
    side = key_side(window, ratio)
    chosen = row * (len(tokens) // window) + column
    # A fourth channel tells the map (255) from the zeros around it.
    both = np.dstack([tokens, np.full_like(tokens[..., :1], 255)])
    windows = overlapping_partition(torch.from_numpy(both)[None], window, side)  # (B, S, 4)
    keys = windows[chosen].numpy().reshape(side, side, 4)
    outside = keys[..., 3] == 0
    panels = {
        f"1  the map, in windows of {window}×{window}; hatched:\nzeros around it": _map(
            tokens, window, side, row, column
        ),
        f"2  blue: {side}×{side} keys and values;\ngold: {window}×{window} queries": _key_window(
            keys[..., :3], outside, window
        ),
        "3  multiply-adds per token, in thousands;\nblue: scores and weighted sum": _bars(
            window, ratio, channels
        ),
    }
    linear, attention = attention_cost(channels, side**2)
    _, plain = attention_cost(channels, window**2)
    zeros = (
        f"{outside.sum()} of these keys lie outside the map: zeros, whose score is the bias alone; "
        "they take part in the softmax"
        if outside.any()
        else "all of these keys lie on the map"
    )
    return drawing.place_side_by_side(panels, WIDTH, HEIGHT), (
        f"<b>γ = {ratio:g}</b>: T = {window}·{window} = {window**2} queries, "
        f"S = {side}·{side} = {side**2} keys, (1 + γ)² = {(1 + ratio) ** 2:g} times as many; "
        f"{zeros}.<br>Multiply-adds per token with C = {channels}: 4·C² = {linear:,} in the linear "
        f"layers (grey), <b>2·S·C = {attention:,}</b> in scores and weighted sum, "
        f"{plain:,} with γ = 0.<br>The bias table has ({window} + {side} − 1)² = "
        f"{(window + side - 1) ** 2:,} rows."
    )


def _map(tokens: np.ndarray, window: int, side: int, row: int, column: int) -> np.ndarray:
    """The map in a margin of zeros, with its query windows and one key window."""
    image = np.pad(drawing.blend(tokens, WHITE, 0.35), ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))
    numbers = np.pad(window_numbers(len(tokens), window) + 1, MARGIN)
    picture = drawing.hatch(drawing.repeat_pixels(image, CELL), numbers == 0, CELL)
    drawing.draw_borders(picture, numbers, CELL, INK)
    y, x = (np.arange(len(numbers)) - MARGIN - window * place for place in (row, column))
    for margin, colour in (((side - window) // 2, BLUE), (0, GOLD)):
        down, across = ((line >= -margin) & (line < window + margin) for line in (y, x))
        drawing.draw_borders(picture, down[:, None] & across[None, :], CELL, colour, 3)
    return picture


def _key_window(keys: np.ndarray, outside: np.ndarray, window: int) -> np.ndarray:
    """A key window (side, side, 3), hatched outside the map, with its query window framed."""
    side = len(keys)
    cell = PANEL // side
    picture = drawing.hatch(drawing.repeat_pixels(keys, cell), outside, cell)
    drawing.draw_borders(picture, np.arange(side**2).reshape(side, side) + 1, cell, (128, 128, 128))
    inside = np.abs(np.arange(side) - (side - 1) / 2) < window / 2
    drawing.draw_borders(picture, np.ones((side, side)), cell, BLUE, 3)
    drawing.draw_borders(picture, inside[:, None] & inside[None, :], cell, GOLD, 3)
    return picture


def _bars(window: int, chosen: float, channels: int) -> np.ndarray:
    """One token's cost for each ratio: linear layers below, scores and weighted sum above."""
    costs = [attention_cost(channels, key_side(window, ratio) ** 2) for ratio in RATIOS]
    unit = (PANEL - 60) / sum(costs[-1])  # pixels per multiply-add
    image = PillowImage.new("RGB", (PANEL, PANEL), WHITE)
    draw = ImageDraw.Draw(image)
    step = PANEL // len(RATIOS)
    floor = PANEL - 22
    for k, (ratio, (linear, attention)) in enumerate(zip(RATIOS, costs, strict=True)):
        left, right = k * step + 6, (k + 1) * step - 6
        half = floor - round(linear * unit)
        top = floor - round((linear + attention) * unit)
        draw.rectangle((left, half, right, floor), fill=(150, 150, 150))
        draw.rectangle(
            (left, top, right, half), fill=BLUE if ratio == chosen else PALE, outline=BLUE
        )
        middle = (left + right) // 2
        draw.text(
            (middle, top - 3),
            f"{(linear + attention) / 1000:.3g}",
            INK,
            drawing.font(),
            anchor="mb",
        )
        draw.text((middle, floor + 4), f"γ {ratio:g}", INK, drawing.font(), anchor="mt")
    return np.asarray(image)


def overlap_explorer(image: np.ndarray | None = None, channels: int = 180) -> ipywidgets.VBox:
    """HAT's overlapping windows: queries from one window, keys from a larger one, zeros outside.

    Args:
        image: uint8 (H, W, 3) or (H, W), shown at 48×48 pixels, one per token. A façade by default.
        channels: C, for the cost; HAT has 180, hat-nano 48.
    """
    window = base.stops("query window w (tokens)", list(WINDOWS), 16)
    row = base.int_slider("row of the query window", 0, 0, SIDE // 16 - 1)
    column = base.int_slider("column of the query window", 1, 0, SIDE // 16 - 1)

    def limit(_: object) -> None:
        row.max = column.max = SIDE // window.value - 1

    window.observe(limit, names="value")
    ratio = base.stops("overlap ratio γ", list(RATIOS), 0.5)
    controls = {"window": window, "ratio": ratio, "row": row, "column": column}
    return base.explorer(
        partial(overlap_view, inputs.token_map(image, SIDE), channels=channels), controls, WIDTH
    )
