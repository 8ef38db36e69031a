"""The explorer of shifted windows: partition, cyclic shift, mask. Used in notebook 05.

Liu et al., "Swin Transformer", arXiv 2103.14030, §3.2.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hatlib.course.widgets import base, drawing, inputs
from hatlib.course.widgets.drawing import BLUE, GOLD, INK, RED, WHITE
from hatlib.models.window_attention import attention_mask

if TYPE_CHECKING:
    import ipywidgets

SIDE = 48  # of the map, tokens
CELL = 5  # pixels: side of a token in the picture of the map
PANEL = 256  # side of the largest panel, pixels
WIDTH, HEIGHT = 3 * SIDE * CELL + PANEL + 5 * drawing.GAP, PANEL + 62  # the same for all settings
WINDOWS = (4, 6, 8, 16)  # window sides that divide SIDE and whose mask is small enough to see


def window_numbers(side: int, window: int) -> np.ndarray:
    """The number of each token's window, in reading order: int (side, side)."""
    place = np.arange(side) // window
    return place[:, None] * (side // window) + place[None, :]


def windows_view(
    tokens: np.ndarray,
    window: int = 8,
    shift: int = 4,
    chosen: int = 35,
    query: int = 18,
    masked: bool = True,
) -> tuple[np.ndarray, str]:
    """The windows explorer's picture: map, shifted map, one query's window, that window's mask.

    Args:
        tokens: uint8 (SIDE, SIDE, 3), one pixel per token.
        window: w, one of WINDOWS.
        shift: of the map, in tokens up and to the left, 0 to w − 1.
        chosen: number of the window whose mask is shown, in reading order on the shifted map.
        query: number of a token of that window, in reading order.
        masked: whether the mask is on.
    Returns:
        uint8 picture and an HTML caption.
    """
    side = len(tokens)
    count = window**2
    numbers = window_numbers(side, window)
    # (B, T, T): True where a query may attend to a key
    mask = attention_mask(side, side, window, shift).numpy() == 0
    allowed = mask if masked else np.ones_like(mask)
    moved = np.roll(_wrapped(tokens, shift), (-shift, -shift), axis=(0, 1))
    place = np.argwhere(numbers == chosen)  # (T, 2): row and column on the shifted map
    home = (place + shift) % side  # and on the map itself
    panels = {
        f"1  the map, cut into windows\nof {window}×{window}, shifted by {shift}": _map(
            _wrapped(tokens, shift),
            np.roll(numbers, (shift, shift), axis=(0, 1)),
            chosen,
            home[query],
        ),
        f"2  rolled by −{shift}: now all\nwindows are {window}×{window}": _map(
            moved, numbers, chosen, place[query]
        ),
        f"3  window {chosen}: query {query} attends\nto all but the hatched": _seen(
            tokens[home[:, 0], home[:, 1]], allowed[chosen, query], mask[chosen, query], query
        ),
        f"4  mask of window {chosen}: {count} queries\ndown, {count} keys across": _mask(
            allowed[chosen], query
        ),
    }
    y, x = home[query]
    # The n tokens of a part attend to n tokens each: 1/n from each of them counts the part once.
    parts = round((1 / mask[chosen].sum(axis=1)).sum())
    effect = (
        f"the mask excludes {1 - mask[chosen].mean():.0%} of its pairs, {1 - mask.mean():.1%} of "
        "those of all windows"
        if masked
        else "the mask is off: tokens from opposite sides of the map attend to each other"
    )
    return drawing.place_side_by_side(panels, WIDTH, HEIGHT), (
        f"{len(mask)} windows of T = {window}·{window} = {count} tokens. Blue, red and purple: "
        f"tokens that the roll takes to the opposite side.<br>Window {chosen} (red frame) holds "
        f"tokens of {parts} part{'s' * (parts > 1)} of the map; {effect}.<br>"
        f"<b>Query {query}</b> (gold; row {y}, column {x} of the map) attends to "
        f"{allowed[chosen, query].sum()} of {count} tokens."
    )


def _wrapped(tokens: np.ndarray, shift: int) -> np.ndarray:
    """The map, paler, in colour where the cyclic shift takes tokens to the other side."""
    image = drawing.blend(tokens, WHITE, 0.35)
    image[:shift] = drawing.blend(image[:shift], BLUE, 0.45)
    image[:, :shift] = drawing.blend(image[:, :shift], RED, 0.45)
    return image


def _map(tokens: np.ndarray, numbers: np.ndarray, chosen: int, query: np.ndarray) -> np.ndarray:
    """A map with its windows' borders, one window in a frame, and one token marked."""
    picture = drawing.repeat_pixels(tokens, CELL)
    drawing.draw_borders(picture, numbers + 1, CELL, INK)
    drawing.draw_borders(picture, numbers == chosen, CELL, RED, 3)
    top, left = query * CELL
    picture[top : top + CELL, left : left + CELL] = GOLD
    return picture


def _seen(tokens: np.ndarray, seen: np.ndarray, part: np.ndarray, query: int) -> np.ndarray:
    """A window's tokens (T, 3), hatched where masked, with a line around the query's part."""
    window = round(len(tokens) ** 0.5)
    cell = SIDE * CELL // window
    picture = drawing.repeat_pixels(tokens.reshape(window, window, 3), cell)
    picture = drawing.hatch(picture, ~seen.reshape(window, window), cell)
    drawing.draw_borders(
        picture, np.arange(len(tokens)).reshape(window, window) + 1, cell, (128, 128, 128)
    )
    drawing.draw_borders(picture, part.reshape(window, window), cell, RED, 3)
    drawing.draw_borders(
        picture, (np.arange(len(tokens)) == query).reshape(window, window), cell, GOLD, 3
    )
    return picture


def _mask(allowed: np.ndarray, query: int) -> np.ndarray:
    """A mask (T, T): white where allowed, dark where −100 is added; the query's row in gold."""
    cell = max(1, PANEL // len(allowed))
    picture = np.where(allowed[..., None], np.array(WHITE, np.uint8), np.array(INK, np.uint8))
    row = np.zeros(allowed.shape)
    row[query] = 0.6
    picture = drawing.repeat_pixels(drawing.blend(picture, GOLD, row), cell)
    drawing.draw_borders(picture, np.ones_like(allowed), cell, INK)
    return picture


def windows_explorer(image: np.ndarray | None = None) -> ipywidgets.VBox:
    """How a map is cut into shifted windows, and which pairs of their tokens the mask excludes.

    Args:
        image: uint8 (H, W, 3) or (H, W), shown at 48×48 pixels, one per token. A façade by default.
    """
    tokens = inputs.token_map(image, SIDE)
    window = base.stops("window side w (tokens)", list(WINDOWS), 8)
    shift = base.int_slider("cyclic shift (tokens)", 4, 0, 7)
    chosen = base.int_slider("window (number, reading order)", 35, 0, 35)
    query = base.int_slider("query token (number in its window)", 18, 0, 63)

    def limit(_: object) -> None:
        w = window.value
        shift.max, chosen.max, query.max = w - 1, (SIDE // w) ** 2 - 1, w * w - 1

    window.observe(limit, names="value")
    controls = {
        "window": window,
        "shift": shift,
        "chosen": chosen,
        "query": query,
        "masked": base.switch("mask: exclude pairs that were not neighbours"),
    }
    return base.explorer(partial(windows_view, tokens), controls, WIDTH)
