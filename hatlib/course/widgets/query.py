"""The explorer of attention: what one query attends to, in each block and head.

Used in notebooks 06 (windows, shifted in every other block) and 08 (overlapping windows).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from hatlib.course.widgets import base, drawing, hooks, inputs, overlays
from hatlib.errors import HatlibError
from hatlib.imaging.convert import crop_to_multiple
from hatlib.models import Network
from hatlib.models.fast.bias import border_bias
from hatlib.models.fast.windows import window_spans
from hatlib.models.window_attention import (
    BiasedAttention,
    OverlappingAttention,
    WindowAttention,
    overlapping_partition,
)

if TYPE_CHECKING:
    import ipywidgets

BOTH = "q·k and position, as in the network"
SCORES = {BOTH: (True, True), "q·k only": (True, False), "position only": (False, True)}
MEAN = 0  # the number of the head that stands for the mean of all
SHOWN = 320  # pixels: side of each of the three panels, at most
WIDTH = 3 * SHOWN + 2 * overlays.MARGIN + drawing.BAR + 5 * drawing.GAP
HEIGHT = SHOWN + 2 * overlays.MARGIN + overlays.BAND + 2 * drawing.GAP

Attention = WindowAttention | OverlappingAttention


@dataclass(frozen=True)
class Recorded:
    """A network's run on a picture.

    Attributes:
        lr: the picture, uint8 (H, W, 3), its sides multiples of the window's.
        blocks: name → the attention and its input, a map (H, W, C).
    """

    lr: np.ndarray
    blocks: dict[str, tuple[Attention, torch.Tensor]]


def record(model: Network, lr: np.ndarray) -> Recorded:
    """Runs the network once and keeps the input of each attention.

    Args:
        model: SwinIR, HAT or DRCT, in eval mode.
        lr: uint8 (h, w, 3); cropped at the bottom and on the right to whole windows.
    Raises:
        HatlibError: the network has no window attention, or the image is smaller than a window.
    """
    places = cast(
        "dict[tuple[int, int], Attention]", hooks.modules_by_place(model, BiasedAttention)
    )
    if not places:
        raise HatlibError(
            f"{hooks.class_name(model)} has no window attention; SwinIR, HAT and DRCT have it"
        )
    window = max(attention.window for attention in places.values())
    inputs.check_size(lr, window, f"attention in windows of {window}×{window}")
    lr = np.ascontiguousarray(crop_to_multiple(lr, window))
    names: dict[torch.nn.Module, str] = {
        attention: _name(place, attention) for place, attention in places.items()
    }
    maps: dict[str, torch.Tensor] = {}

    def keep_input(
        attention: torch.nn.Module, given: tuple[torch.Tensor, ...], _: torch.Tensor
    ) -> None:
        maps[names[attention]] = given[0][0].clone()

    hooks.run_with_hooks(model, lr, dict.fromkeys(names, keep_input))
    return Recorded(
        lr, {names[attention]: (attention, maps[names[attention]]) for attention in places.values()}
    )


def _name(place: tuple[int, int], attention: Attention) -> str:
    """Such as "group 1, block 2: windows 8×8, shifted by 4"."""
    group, number = place
    if isinstance(attention, OverlappingAttention):
        sides = f"windows {_square(attention.window)}, keys from {_square(attention.side)}"
        return f"group {group}, OCAB: {sides}"
    shift = f", shifted by {attention.shift}" if attention.shift else ""
    return f"group {group}, block {number}: windows {_square(attention.window)}{shift}"


def _square(side: int) -> str:
    return f"{side}×{side}"


@torch.inference_mode()
def weights(
    attention: Attention,
    x: torch.Tensor,
    row: int,
    column: int,
    content: bool = True,
    position: bool = True,
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """One query's attention weights, its row of softmax(q·kᵀ/√d + bias) (Swin eq. 4).

    Args:
        attention: of a network with windows.
        x: (H, W, C), its input.
        row, column: of the query, in pixels of the map.
        content, position: whether q·kᵀ/√d and the relative position bias count; in the network,
            both do.
    Returns:
        float32 (h, height, width), which sum to 1 in each head, and the keys' (top, left, height,
        width). An overlapping window may reach outside the map, where keys and values are zeros.
    """
    if isinstance(attention, OverlappingAttention):
        q, k, bias, box = _overlapping(attention, x, row, column)
    else:
        q, k, bias, box = _in_window(attention, x, row, column)
    scores = content * (q * k).sum(-1) * q.shape[-1] ** -0.5 + position * bias  # (h, S)
    return hooks.to_numpy(scores.softmax(-1)).reshape(-1, *box[2:]), box


Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor, tuple[int, int, int, int]]


def _in_window(attention: WindowAttention, x: torch.Tensor, row: int, column: int) -> Parts:
    """q (h, 1, d), k (h, T, d), bias (h, T) and the query's window, smaller at a shifted border."""
    (top, height), (left, width) = [
        _stretch(length, attention.window, attention.shift, at)
        for length, at in ((x.shape[0], row), (x.shape[1], column))
    ]
    token = (row - top) * width + column - left
    window = x[top : top + height, left : left + width].reshape(1, height * width, -1)
    q, k, _ = attention.split(attention.qkv(window))[:, 0]  # each (h, T, d)
    bias = border_bias(attention.bias(), attention.window, height, width)  # (1, h, T, T)
    return q[:, token, None], k, bias[0, :, token], (top, left, height, width)


def _stretch(length: int, window: int, shift: int, at: int) -> tuple[int, int]:
    """Start and length of the window that a row (or a column) lies in."""
    for where, side in window_spans(length, window, shift):
        if where.start <= at < where.stop:
            return where.start + (at - where.start) // side * side, side
    raise HatlibError(f"pixel {at} is not in a map of {length}")


def _overlapping(attention: OverlappingAttention, x: torch.Tensor, row: int, column: int) -> Parts:
    """The same for an overlapping window, which has more keys than queries."""
    window = attention.window
    side = attention.side
    # Both raise unless the query lies in the map.
    _stretch(x.shape[0], window, 0, row)
    _stretch(x.shape[1], window, 0, column)
    token = row % window * window + column % window
    query, keys, _ = attention.qkv(x[None]).chunk(3, dim=-1)  # each (1, H, W, C)
    (q,) = attention.split(query[:, row, column, None])  # (1, h, 1, d)
    number = row // window * (x.shape[1] // window) + column // window
    (k,) = attention.split(overlapping_partition(keys, window, side)[number, None])  # (1, h, S, d)
    margin = (side - window) // 2
    box = (row // window * window - margin, column // window * window - margin, side, side)
    return q[0], k[0], attention.bias()[0, :, token], box


def query_view(
    recorded: Recorded,
    block: str,
    head: int = MEAN,
    row: int = 0,
    column: int = 0,
    scores: str = BOTH,
) -> tuple[np.ndarray, str]:
    """The query explorer's picture: the weights over the picture, the keys' pixels, the weights.

    Args:
        recorded: from `record`.
        block: the name of one of its blocks.
        head: 1 to h, or MEAN for the mean of all.
        row, column: of the query in LR pixels.
        scores: the softmax's argument, one of SCORES.
    Returns:
        uint8 (H, W, 3) and an HTML caption.
    """
    attention, x = recorded.blocks[block]
    if not 0 <= head <= attention.heads:
        raise HatlibError(
            f"head is {head}; {block} has heads 1 to {attention.heads}, and 0 is their mean"
        )
    all_heads, box = weights(attention, x, row, column, *SCORES[scores])
    shown = all_heads.mean(0) if head == MEAN else all_heads[head - 1]
    window = attention.window
    query = (row, column)
    panels = (
        _over_picture(recorded.lr, shown, box, window, query),
        *_keys_window(recorded.lr, shown, box, query),
    )
    return drawing.place_side_by_side(panels, WIDTH, HEIGHT), _caption(
        shown, box, recorded.lr.shape[:2], window, query
    )


def _inside(shown: np.ndarray, box: overlays.Box, size: tuple[int, ...]) -> np.ndarray:
    """The weights on the map (H, W), zero outside the keys' window, cropped to the map."""
    whole = np.zeros((size[0] + 2 * box[2], size[1] + 2 * box[3]), np.float32)
    whole[box[0] + box[2] :, box[1] + box[3] :][: box[2], : box[3]] = shown
    return whole[box[2] : box[2] + size[0], box[3] : box[3] + size[1]]


def _over_picture(
    lr: np.ndarray, shown: np.ndarray, box: overlays.Box, window: int, query: tuple[int, int]
) -> np.ndarray:
    """The left panel: the picture in grey, the weights in red, frames for windows and query."""
    size = lr.shape[:2]
    times = overlays.zoom_factor(lr, SHOWN)
    strength = _inside(shown, box, size) / shown.max()
    image = overlays.tint(drawing.repeat_pixels(lr, times), drawing.repeat_pixels(strength, times))
    frames: list[tuple[overlays.Box, drawing.Colour]] = [
        (box, drawing.INK),
        ((*query, 1, 1), drawing.BLUE),
    ]
    if max(box[2:]) > window:
        own = (query[0] // window * window, query[1] // window * window, window, window)
        frames.insert(1, (own, overlays.ORANGE))
    return overlays.panel(
        overlays.draw_frames(image, times, frames), f"{size[0]}×{size[1]} LR pixels, weights in red"
    )


def _keys_window(
    lr: np.ndarray, shown: np.ndarray, box: overlays.Box, query: tuple[int, int]
) -> list[np.ndarray]:
    """The other panels: the keys' pixels, black outside the picture, and their weights."""
    top, left, height, width = box
    times, (rows, columns) = overlays.zoom_factor(shown, SHOWN), lr.shape[:2]
    padded = np.pad(lr, ((height, height), (width, width), (0, 0)))
    pixels = padded[top + height :][:height, left + width :][:, :width]
    largest = float(shown.max())
    images = []
    for image in (pixels, drawing.apply_colours(shown, 0, largest)):
        image = drawing.repeat_pixels(image, times)
        if top < 0 or left < 0 or top + height > rows or left + width > columns:
            image = overlays.draw_frame(
                image, overlays.scale_box((-top, -left, rows, columns), times), overlays.GRAY
            )
        images.append(
            overlays.draw_frame(
                image,
                overlays.scale_box((query[0] - top, query[1] - left, 1, 1), times),
                drawing.BLUE,
                3,
            )
        )
    bar = drawing.scale_bar(len(images[1]), 0, 100 * largest, drawing.HEAT)
    weighed = np.concatenate([images[1], np.full_like(bar[:, :6], 255), bar], axis=1)
    return [
        overlays.panel(images[0], f"the {height}×{width} keys", SHOWN),
        overlays.panel(weighed, "weight of each key (%)"),
    ]


def _caption(
    shown: np.ndarray, box: overlays.Box, size: tuple[int, ...], window: int, query: tuple[int, int]
) -> str:
    p = shown[shown > 0]
    effective = float(np.exp(-(p * np.log(p)).sum()))
    y, x = np.unravel_index(int(shown.argmax()), shown.shape)
    down = int(y) + box[0] - query[0]
    right = int(x) + box[1] - query[1]
    outside = 1 - float(_inside(shown, box, size).sum())
    beyond = (
        f"; <b>{base.percent(outside)}</b> of the weight falls on zeros outside the picture "
        "(beyond the grey line)"
        if outside > 5e-4
        else ""
    )
    own = ", its own window in orange" if max(box[2:]) > window else ""
    return (
        f"query (blue) at row {query[0]}, column {query[1]}; keys (black) in rows {box[0]} to "
        f"{box[0] + box[2] - 1}, columns {box[1]} to {box[1] + box[3] - 1}{own}<br>"
        f"largest weight {base.percent(float(shown.max()))}, {_offset(down, right)}; as spread out "
        f"as <b>{effective:.0f} of {shown.size}</b> equal weights (exp of the entropy){beyond}"
    )


def _offset(down: int, right: int) -> str:
    """A key's offset from its query in words."""
    if not (down or right):
        return "on the query itself"
    parts = [f"{abs(down)} {'below' if down > 0 else 'above'}"] if down else []
    parts += [f"{abs(right)} to the {'right' if right > 0 else 'left'}"] if right else []
    return " and ".join(parts) + " of the query" if right else " and ".join(parts) + " the query"


def query_explorer(
    model: Network | str | None = None, image: np.ndarray | None = None
) -> ipywidgets.VBox:
    """What one query attends to, over the picture: any block and head of SwinIR, HAT or DRCT.

    The network runs once; a slider then costs one row of the attention.

    Args:
        model: the network, or the name or file of its weights; the course's own HAT by default.
        image: LR, uint8 (h, w, 3) or (h, w); of a larger one the middle 64×64 pixels, cropped to
            whole windows. A built-in façade by default.
    Raises:
        HatlibError: the network has no window attention, or the image is smaller than a window.
    """
    network = hooks.in_eval_mode(inputs.load_network(model, "hat-nano-x4"))
    recorded = record(network, inputs.lr_picture(image, "facade-5"))
    height, width = recorded.lr.shape[:2]
    # DRCT's blocks have different numbers of heads: offer those that all of them have.
    heads = min(attention.heads for attention, _ in recorded.blocks.values())
    controls = {
        "block": base.choice("block", list(recorded.blocks)),
        "head": base.choice(
            "head", [("mean of all", MEAN), *[(str(head), head) for head in range(1, heads + 1)]]
        ),
        "row": base.int_slider("row of the query (LR pixels)", height // 2 - 3, 0, height - 1),
        "column": base.int_slider("column of the query (LR pixels)", width // 2 - 3, 0, width - 1),
        "scores": base.choice("softmax of", list(SCORES)),
    }
    return base.explorer(partial(query_view, recorded), controls, width=WIDTH)
