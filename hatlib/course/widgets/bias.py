"""The explorer of the relative position bias: a table of offsets, and one query's row of it.

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
    """Label → each layer with a relative position bias, in the order in which they run.

    Raises:
        HatlibError: the network has none.
    """
    layers: dict[str, Layer] = {}
    for name, layer in model.named_modules():
        group = f"group {int(name.split('.')[1]) + 1}" if name.startswith("layers.") else name
        if isinstance(layer, WindowAttention):
            block = 1 + sum(label.startswith(f"{group}, block") for label in layers)
            windows = f"windows of {layer.window}×{layer.window}, shift {layer.shift}"
            layers[f"{group}, block {block}: {windows}"] = layer
        elif isinstance(layer, OverlappingAttention):
            sides = f"{layer.window}×{layer.window} queries, {layer.side}×{layer.side} keys"
            layers[f"{group}, overlapping: {sides}"] = layer
    if not layers:
        raise HatlibError(
            f"{type(model).__name__} has no relative position bias; SwinIR, HAT and DRCT have one"
        )
    return layers


def bias_rows(layer: Layer, head: int) -> np.ndarray:
    """The bias that a head adds to the scores of each query and key: (T, S)."""
    table = layer.relative_position_bias_table.detach().float().cpu()
    return table[:, head][layer.index.cpu()].numpy()


def bias_by_offset(rows: np.ndarray) -> np.ndarray:
    """The same numbers by the key's offset from the query: (w + side − 1, w + side − 1).

    Up is up and left is left; offset 0 is in the middle. A query in row y and column x of its
    window takes the part that starts at row w − 1 − y and column w − 1 − x.
    """
    window, side = (round(count**0.5) for count in rows.shape)
    table = np.empty((window + side - 1, window + side - 1))
    for query, row in enumerate(rows):
        top = window - 1 - query // window
        left = window - 1 - query % window
        table[top : top + side, left : left + side] = row.reshape(side, side)
    return table


def bias_view(layer: Layer, head: int = 0, query: int = 0) -> tuple[np.ndarray, str]:
    """The bias explorer's picture: a head's table, one query's row, and that row's softmax.

    Args:
        layer: from `attention_layers`.
        head: from 0; captions count from 1, as the notebooks do.
        query: number of a token of the window, in reading order.
    Returns:
        uint8 picture and an HTML caption.
    """
    rows = bias_rows(layer, head)
    window, side = (round(count**0.5) for count in rows.shape)
    # One scale for all heads.
    limit = float(layer.relative_position_bias_table.detach().abs().max()) or 1.0
    row = rows[query]
    y, x = divmod(query, window)
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
        f"Head {head + 1} of {layer.heads}: a table of ({window} + {side} − 1)² = "
        f"{(window + side - 1) ** 2} offsets; bias from {rows.min():z.2f} to {rows.max():z.2f}. "
        f"It multiplies a key's weight by {np.exp(rows.min()):.2f} to {np.exp(rows.max()):.2f}, "
        f"before the weights are normalised to sum 1.<br>"
        f"<b>Query {query}</b> (row {y}, column {x}): bias {row[here.flatten()][0]:z.2f} to "
        f"itself; with equal scores its largest weight would be {weights.max():.2%}, "
        f"{weights.max() * len(row):.1f} times that without a bias."
    )


def _cells(colours: np.ndarray, framed: np.ndarray) -> np.ndarray:
    """Square cells of whole pixels in a panel, some of them framed: (PANEL, PANEL, 3)."""
    cell = max(1, PANEL // len(colours))
    picture = drawing.repeat_pixels(colours, cell)
    drawing.draw_borders(picture, np.ones(framed.shape), cell, INK)
    drawing.draw_borders(picture, framed, cell, GOLD, 3)
    return drawing.pad(picture, PANEL, PANEL)


def bias_explorer(model: Network | str | None = None) -> ipywidgets.VBox:
    """The relative position bias of a network's blocks and heads.

    Args:
        model: a network with windows, or the name or file of its weights; hat-nano-x4 by default.
    """
    layers = attention_layers(inputs.load_network(model, "hat-nano-x4"))
    first = next(iter(layers.values()))
    layer = base.choice("layer", list(layers))
    head = base.int_slider("head (number)", 1, 1, first.heads)
    query = base.int_slider("query token (number, reading order)", 0, 0, 0)

    def limit(_: object) -> None:
        head.max = layers[layer.value].heads
        query.max = layers[layer.value].window ** 2 - 1

    limit(None)
    query.value = first.window // 2 * (first.window + 1)  # in the middle
    layer.observe(limit, names="value")

    def render(layer: str, head: int, query: int) -> tuple[np.ndarray, str]:
        return bias_view(layers[layer], head - 1, query)

    return base.explorer(render, {"layer": layer, "head": head, "query": query}, WIDTH)
