"""The explorer of the relative position bias: a table of offsets, and the row that one query takes
from it.

Liu et al., "Swin Transformer", arXiv 2103.14030, §3.2. Taught in notebook 05.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from hatlib.course.widgets import base, drawing, inputs
from hatlib.course.widgets.drawing import GOLD, HEAT, INK, SIGNED
from hatlib.errors import HatlibError
from hatlib.models import Network
from hatlib.models.window_attention import OverlappingAttention, WindowAttention

if TYPE_CHECKING:
    import ipywidgets

Layer = WindowAttention | OverlappingAttention
PANEL = 256  # side of a picture, pixels
WIDTH, HEIGHT = 3 * PANEL + 2 * drawing.BAR + 6 * drawing.GAP, PANEL + 62


def attention_layers(model: nn.Module) -> dict[str, Layer]:
    """The layers of a network that have a relative position bias, in the order in which they run,
    by what they are.

    Raises:
        HatlibError: it has none.
    """
    found: dict[str, Layer] = {}
    for name, layer in model.named_modules():
        group = f"group {int(name.split('.')[1]) + 1}" if name.startswith("layers.") else name
        if isinstance(layer, WindowAttention):
            block = 1 + sum(label.startswith(f"{group}, block") for label in found)
            found[
                f"{group}, block {block}: windows of {layer.window}×{layer.window}, shift {layer.shift}"
            ] = layer
        elif isinstance(layer, OverlappingAttention):
            sides = f"{layer.window}×{layer.window} queries, {layer.side}×{layer.side} keys"
            found[f"{group}, overlapping: {sides}"] = layer
    if not found:
        raise HatlibError(
            f"{type(model).__name__} has no relative position bias; networks with windows have: SwinIR, "
            "HAT, DRCT"
        )
    return found


def bias_rows(layer: Layer, head: int) -> np.ndarray:
    """The bias that a head adds to each query's score of each key: (T, S)."""
    sizes = (layer.window, layer.window) if isinstance(layer, WindowAttention) else ()
    table = layer.relative_position_bias_table.detach().float().cpu()
    return table[:, head][layer.index(*sizes)].numpy()


def bias_by_offset(rows: np.ndarray) -> np.ndarray:
    """The same numbers by where the key lies as seen from the query: (w + side − 1, w + side − 1),
    each once.

    Up is up and left is left; offset 0 is in the middle. A query in row y and column x of its
    window meets the part that begins at row w − 1 − y and column w − 1 − x.
    """
    window, side = (round(count**0.5) for count in rows.shape)
    found = np.empty((window + side - 1, window + side - 1))
    for query, row in enumerate(rows):
        top, left = window - 1 - query // window, window - 1 - query % window
        found[top : top + side, left : left + side] = row.reshape(side, side)
    return found


def bias_view(layer: Layer, head: int = 0, query: int = 0) -> tuple[np.ndarray, str]:
    """The picture of the bias explorer: a head's table, the row of one query, and what that row
    alone makes of it.

    Args:
        layer: as `attention_layers` finds them.
        head: from 0.
        query: number of a token of the window, in reading order.
    Returns:
        uint8 picture and an HTML caption.
    """
    rows = bias_rows(layer, head)
    window, side = (round(count**0.5) for count in rows.shape)
    limit = (
        float(layer.relative_position_bias_table.detach().abs().max()) or 1.0
    )  # one scale for all heads
    row, (y, x) = rows[query], divmod(query, window)
    weights = np.exp(row - row.max())
    weights /= weights.sum()
    here = np.zeros((side, side), bool)
    here[y + (side - window) // 2, x + (side - window) // 2] = True
    reach = np.zeros((window + side - 1, window + side - 1), bool)
    reach[window - 1 - y : window - 1 - y + side, window - 1 - x : window - 1 - x + side] = True
    panels = [
        drawing.add_title(
            _cells(drawing.colour_signed(bias_by_offset(rows), limit), reach),
            "1  the head's table, by offset\n(frame: what the query takes)",
        ),
        drawing.add_title(
            _cells(drawing.colour_signed(row.reshape(side, side), limit), here),
            f"2  bias of query {query} (frame)\nto each of {side}×{side} keys",
        ),
        drawing.add_title(drawing.scale_bar(PANEL, -limit, limit, SIGNED), "\nbias"),
        drawing.add_title(
            _cells(drawing.apply_colours(weights.reshape(side, side), 0, weights.max()), here),
            "3  softmax of 2: the weights, if\nall keys had the same q·k",
        ),
        drawing.add_title(drawing.scale_bar(PANEL, 0, float(weights.max()), HEAT), "\nweight"),
    ]
    return drawing.place_side_by_side(panels, WIDTH, HEIGHT), (
        f"Head {head} of {layer.heads}: a table of ({window} + {side} − 1)² = {(window + side - 1) ** 2} offsets; bias "
        f"from {rows.min():z.2f} to {rows.max():z.2f}: it multiplies a key's weight by {np.exp(rows.min()):.2f} to "
        f"{np.exp(rows.max()):.2f} before the sum is made 1.<br><b>Query {query}</b> (row {y}, column {x}): bias "
        f"{row[here.flatten()][0]:z.2f} to itself; with equal scores its largest weight would be "
        f"{weights.max():.2%}, {weights.max() * len(row):.1f} times that without a bias."
    )


def _cells(colours: np.ndarray, framed: np.ndarray) -> np.ndarray:
    """Square cells that fill a panel as far as whole pixels do, some of them framed: (PANEL, PANEL,
    3)."""
    cell = max(1, PANEL // len(colours))
    picture = drawing.repeat_pixels(colours, cell)
    drawing.draw_borders(picture, np.ones(framed.shape), cell, INK)
    drawing.draw_borders(picture, framed, cell, GOLD, 3)
    return drawing.pad(picture, PANEL, PANEL)


def bias_explorer(model: Network | str | None = None) -> ipywidgets.VBox:
    """The relative position bias of a network's blocks and heads.

    Args:
        model: a network with windows, its name or its file; the course's hat-nano-x4 by default.
    """
    layers = attention_layers(inputs.load_network(model, "hat-nano-x4"))
    first = next(iter(layers.values()))
    layer = base.choice("layer", list(layers))
    head = base.int_slider("head (number)", 0, 0, first.heads - 1)
    query = base.int_slider("query token (number, reading order)", 0, 0, 0)

    def limit(_: object) -> None:
        head.max = layers[layer.value].heads - 1
        query.max = layers[layer.value].window ** 2 - 1

    limit(None)
    query.value = first.window // 2 * (first.window + 1)  # in the middle
    layer.observe(limit, names="value")

    def render(layer: str, head: int, query: int) -> tuple[np.ndarray, str]:
        return bias_view(layers[layer], head, query)

    return base.explorer(render, {"layer": layer, "head": head, "query": query}, WIDTH)
