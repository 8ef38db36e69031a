"""The explorer of shifted windows: partition, cyclic shift, mask. Taught in notebook 05.

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
CELL = 5  # pixels of a token in the picture of the map
PANEL = 256  # side of the largest panel, pixels
WIDTH, HEIGHT = 3 * SIDE * CELL + PANEL + 5 * drawing.GAP, PANEL + 62  # the same for all settings
WINDOWS = (4, 6, 8, 16)  # window sides that divide SIDE and whose mask can be seen as a picture


def window_numbers(side: int, window: int) -> np.ndarray:
    """Which window each token of a side×side map lies in, in reading order: int (side, side)."""
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
    """The picture of the windows explorer: map, shifted map, what a query sees in one window, that
    window's mask.

    Args:
        tokens: uint8 (SIDE, SIDE, 3), a pixel a token.
        window: w, one of WINDOWS.
        shift: tokens by which the map is moved up and to the left, 0 to w − 1.
        chosen: number of the window whose mask is shown, in reading order on the shifted map.
        query: number of a token of that window, in reading order.
        masked: whether the mask is in use.
    Returns:
        uint8 picture and an HTML caption.
    """
    side, count = len(tokens), window**2
    numbers = window_numbers(side, window)
    mask = (
        attention_mask(side, side, window, shift).numpy() == 0
    )  # (B, T, T): True where a token may look
    apart = mask if masked else np.ones_like(mask)
    moved = np.roll(_wrapped(tokens, shift), (-shift, -shift), axis=(0, 1))
    place = np.argwhere(numbers == chosen)  # (T, 2): row and column on the shifted map
    home = (place + shift) % side
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
        f"3  window {chosen}: what query {query}\nsees (hatched: it does not)": _seen(
            tokens[home[:, 0], home[:, 1]], apart[chosen, query], mask[chosen, query], query
        ),
        f"4  mask of window {chosen}: {count} queries\ndown, {count} keys across": _mask(
            apart[chosen], query
        ),
    }
    y, x = home[query]
    parts = round((1 / mask[chosen].sum(axis=1)).sum())  # n tokens that see n of them count as one
    said = (
        f"the mask keeps {1 - mask[chosen].mean():.0%} of its pairs apart, {1 - mask.mean():.1%} of all windows'"
        if masked
        else "the mask is off: tokens from opposite sides of the map see each other"
    )
    return drawing.place_side_by_side(panels, WIDTH, HEIGHT), (
        f"{len(mask)} windows of T = {window}·{window} = {count} tokens. Blue, red and purple: what the roll takes to "
        f"the opposite side.<br>Window {chosen} (red frame) holds tokens of {parts} part{'s' * (parts > 1)} of the map"
        f"; {said}.<br><b>Query {query}</b> (gold; row {y}, column {x} of the map) sees "
        f"{apart[chosen, query].sum()} of {count} tokens."
    )


def _wrapped(tokens: np.ndarray, shift: int) -> np.ndarray:
    """The map, paler, with colour where the cyclic shift takes tokens to the other side."""
    image = drawing.blend(tokens, WHITE, 0.35)
    image[:shift] = drawing.blend(image[:shift], BLUE, 0.45)
    image[:, :shift] = drawing.blend(image[:, :shift], RED, 0.45)
    return image


def _map(tokens: np.ndarray, numbers: np.ndarray, chosen: int, query: np.ndarray) -> np.ndarray:
    """A map with its windows' borders, one window framed, and one token marked."""
    picture = drawing.repeat_pixels(tokens, CELL)
    drawing.draw_borders(picture, numbers + 1, CELL, INK)
    drawing.draw_borders(picture, numbers == chosen, CELL, RED, 3)
    top, left = query * CELL
    picture[top : top + CELL, left : left + CELL] = GOLD
    return picture


def _seen(tokens: np.ndarray, seen: np.ndarray, part: np.ndarray, query: int) -> np.ndarray:
    """The tokens of a window (T, 3), hatched where the query must not look, with a line around its
    part of the map."""
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


def _mask(may_look: np.ndarray, query: int) -> np.ndarray:
    """A mask (T, T): white where a query may look, dark where −100 is added; the query's row in
    gold."""
    cell = max(1, PANEL // len(may_look))
    picture = np.where(may_look[..., None], np.array(WHITE, np.uint8), np.array(INK, np.uint8))
    row = np.zeros(may_look.shape)
    row[query] = 0.6
    picture = drawing.repeat_pixels(drawing.blend(picture, GOLD, row), cell)
    drawing.draw_borders(picture, np.ones_like(may_look), cell, INK)
    return picture


def windows_explorer(image: np.ndarray | None = None) -> ipywidgets.VBox:
    """How a map is cut into shifted windows, and which of their tokens the mask keeps apart.

    Args:
        image: uint8 (H, W, 3) or (H, W), shown with 48×48 pixels, one a token. A façade by default.
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
        "masked": base.switch("mask: keep apart what was not together"),
    }
    return base.explorer(partial(windows_view, tokens), controls, WIDTH)
