"""The explorer of channel attention: how far each channel's gate is open, on two pictures.

Used in notebooks 04 (RCAN) and 08 (HAT's convolution branch).
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hatlib.course.widgets import base, drawing, hooks, inputs, overlays
from hatlib.errors import HatlibError, unknown
from hatlib.imaging.convert import check_image
from hatlib.imaging.resize import imresize
from hatlib.models import Network
from hatlib.models.layers import ChannelAttention

if TYPE_CHECKING:
    import ipywidgets

ORDERS = ("number of the channel", "gate on the first picture", "difference of the two")
COLOURS = (drawing.BLUE, drawing.RED)
SIDE = 144  # pixels: width of each of the six panels
WIDTH = 6 * SIDE + 7 * drawing.GAP
INNER = WIDTH - 2 * drawing.GAP
BARS = 150  # pixels: height of a bar of 1
RECENT = 8  # blocks whose maps are kept; those of all blocks of a large network take gigabytes
Gated = tuple[np.ndarray, np.ndarray]  # the map (C, H, W) before the gates, and the gates (C,)


def blocks(model: Network) -> dict[str, ChannelAttention]:
    """The channel attention of each block: name → module.

    Raises:
        HatlibError: the network has none.
    """
    places = hooks.modules_by_place(model, ChannelAttention)
    if not places:
        raise HatlibError(
            f"{hooks.class_name(model)} has no channel attention; RCAN and HAT have it"
        )
    return {f"group {group}, block {number}": module for (group, number), module in places.items()}


def gated(model: Network, attention: ChannelAttention, lr: np.ndarray) -> Gated:
    """The input and the gates of one block's channel attention on a picture (RCAN §3.3).

    Args:
        model: in eval mode; `attention` is one of its modules.
        lr: uint8 (h, w, 3).
    Returns:
        float32 (C, H, W) and float32 (C,) in [0, 1]; the attention returns their product.
    """
    recorded: list[np.ndarray] = []

    def keep(_: torch.nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        recorded.append(hooks.to_numpy(given[0][0]))

    def keep_gates(
        _: torch.nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> None:
        recorded.append(hooks.to_numpy(output[0, :, 0, 0]))

    hooks.run_with_hooks(model, lr, {attention: keep, attention[-1]: keep_gates})
    gates, before = recorded  # the sigmoid runs before the product
    return before, gates


def gates_view(
    pictures: Mapping[str, np.ndarray],
    gated_of: Callable[[str, str], Gated],
    block: str,
    channel: int = 0,
    order: str = ORDERS[0],
) -> tuple[np.ndarray, str]:
    """The gates explorer's picture: a bar per channel; one channel before and after its gate.

    Args:
        pictures: name → uint8 (h, w, 3), two of them.
        gated_of: (block, picture) → the result of `gated`.
        channel: 0 to C − 1.
        order: of the bars, one of ORDERS.
    Returns:
        uint8 (H, W, 3) and an HTML caption.
    """
    results = {name: gated_of(block, name) for name in pictures}
    gates = np.stack([opened for _, opened in results.values()])  # (2, C)
    if not 0 <= channel < gates.shape[1]:
        raise HatlibError(f"channel is {channel}; {block} has channels 0 to {gates.shape[1] - 1}")
    keys = {
        ORDERS[0]: np.arange(gates.shape[1]),
        ORDERS[1]: -gates[0],
        ORDERS[2]: gates[1] - gates[0],
    }
    ordered = np.argsort(keys[order], kind="stable")
    chart = overlays.bar_chart(
        [(row[ordered], colour) for row, colour in zip(gates, COLOURS, strict=True)],
        INNER,
        BARS,
        int(np.flatnonzero(ordered == channel)[0]),
    )
    maps = {name: before[channel] for name, (before, _) in results.items()}
    picture = overlays.stack_rows(
        drawing.place_side_by_side([_titled(chart, list(pictures), gates.shape[1], order)]),
        drawing.place_side_by_side(_maps(pictures, maps, gates[:, channel], channel)),
    )
    return picture, _caption(list(pictures), gates, maps, channel)


def _titled(chart: np.ndarray, names: list[str], channels: int, order: str) -> np.ndarray:
    """The bars, with a title that says which colour is which picture."""
    chart = overlays.panel(chart, f"gates of the {channels} channels, by {order}")
    for name, colour, column in zip(names, COLOURS, (INNER // 2, 3 * INNER // 4), strict=True):
        text, size = overlays.fit_text(f"■ {name}", INNER // 4 - 8)
        chart = overlays.draw_text(chart, text, (drawing.TITLE + 3, column), size, colour, "ld")
    return chart


def _maps(
    pictures: Mapping[str, np.ndarray], maps: dict[str, np.ndarray], gates: np.ndarray, channel: int
) -> list[np.ndarray]:
    """Each picture, the channel's map, and the map times its gate; one scale for all four maps."""
    largest = max(float(np.abs(feature_map).max()) for feature_map in maps.values())
    panels = []
    for name, gate in zip(pictures, gates, strict=True):
        before = drawing.colour_signed(maps[name], largest), f"channel {channel}, before"
        after = drawing.colour_signed(gate * maps[name], largest), f"after: times {gate:.3f}"
        for image, title in ((pictures[name], name), before, after):
            panels.append(
                overlays.panel(
                    drawing.repeat_pixels(image, overlays.zoom_factor(image, SIDE)), title, SIDE
                )
            )
    return panels


def _caption(names: list[str], gates: np.ndarray, maps: dict[str, np.ndarray], channel: int) -> str:
    first, second = (html.escape(name) for name in names)
    difference = np.abs(gates[0] - gates[1])
    spread = ", ".join(
        f"{row.min():.2f} to {row.max():.2f} on {name}"
        for name, row in zip((first, second), gates, strict=True)
    )
    means = ", ".join(f"{maps[name].mean():+.3g} on {html.escape(name)}" for name in names)
    return (
        f"gates {spread}; the two pictures differ by {difference.mean():.3f} on average, most in "
        f"channel {difference.argmax()} ({difference.max():.3f})<br>"
        f"channel {channel} (yellow): gate <b>{gates[0, channel]:.3f}</b> on {first}, "
        f"<b>{gates[1, channel]:.3f}</b> on {second}; mean of its map {means}; "
        "maps: blue negative, white 0, red positive, all four on one scale"
    )


def gates_explorer(
    model: Network | str | None = None,
    images: Mapping[str, np.ndarray] | None = None,
    block: str | None = None,
    channel: int = 0,
) -> ipywidgets.VBox:
    """Channel attention on two pictures: all gates, and one channel before and after its own.

    The network runs when a block is first chosen. HAT has channel attention in its convolution
    branch.

    Args:
        model: the network, or the name or file of its weights; the course's own RCAN by default.
        images: two LR images by name, uint8 (h, w, 3) or (h, w); of a larger one the middle 64×64
            pixels. A façade and a face by default.
        block: the one shown first, a name from `blocks`; by default the first.
        channel: the one shown first.
    Raises:
        HatlibError: the network has no channel attention or not this block or channel, or there
            are not two images.
    """
    network = hooks.in_eval_mode(inputs.load_network(model, "rcan-nano-x4"))
    modules = blocks(network)
    pictures = _two(images)
    first = next(iter(modules)) if block is None else block
    if first not in modules:
        raise unknown("block", first, modules)

    @lru_cache(maxsize=2 * RECENT)
    def gated_of(block: str, name: str) -> Gated:
        return gated(network, modules[block], pictures[name])

    channels = len(gated_of(first, next(iter(pictures)))[1])
    if not 0 <= channel < channels:
        raise HatlibError(f"channel is {channel}; {first} has channels 0 to {channels - 1}")
    controls: dict[str, Any] = {
        "block": base.choice("block", list(modules), first),
        "channel": base.int_slider("channel", channel, 0, channels - 1),
        "order": base.choice("bars by", list(ORDERS)),
    }
    return base.explorer(partial(gates_view, pictures, gated_of), controls, width=WIDTH)


def _two(images: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """The two pictures, at most 64×64."""
    if images is None:
        from hatlib.data.builtin import builtin_image

        face = builtin_image("astronaut")[:256, 96:352]
        return {"façade": inputs.lr_picture(None, "facade-5"), "face": imresize(face, 1 / 4)}
    if len(images) != 2:
        raise HatlibError(f"gates are compared on two images by name, got {len(images)}")
    for image in images.values():
        check_image(image)
    return {name: inputs.photo(image, inputs.LR_SIDE) for name, image in images.items()}
