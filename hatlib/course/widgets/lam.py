"""The explorer of LAM: the LR pixels that a network uses for a chosen window of SR.

Used in notebook 07.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hatlib import attribution, plotting
from hatlib.course.widgets import base, drawing, hooks, inputs, overlays
from hatlib.errors import HatlibError
from hatlib.models import Network

if TYPE_CHECKING:
    import ipywidgets

NETWORKS = ("rcan-nano-x4", "swinir-nano-x4", "hat-nano-x4")
LR_SIDE = 48  # LR pixels: their map takes a nano network a second or two
STEPS = (5, 10, 20, 50)  # the paper takes 50, with the gradient at the end of each step
DEFAULT_STEPS = 5  # few, for speed; the caption says what they miss
SHOWN = 288  # pixels: side of each of the three panels
WIDTH = 3 * (SHOWN + 2 * overlays.MARGIN) + 4 * drawing.GAP
NEAR = 96  # SR pixels: side of the crop around the window
SMALLEST, LARGEST = 4, 64  # SR pixels: side of the window
Attribute = Callable[[str, attribution.Window, int], attribution.Attribution]


def lam_view(
    lr: np.ndarray,
    attribute: Attribute,
    network: str,
    size: int = 16,
    row: int = 0,
    column: int = 0,
    steps: int = DEFAULT_STEPS,
) -> tuple[np.ndarray, str]:
    """The LAM explorer's picture: LR with the window, the map over LR, and SR around the window.

    Args:
        lr: uint8 (h, w, 3).
        attribute: (network, window, steps) → the attribution of that window.
        network: its name.
        size, row, column: side and upper left corner of the window in SR pixels.
        steps: of the path.
    Returns:
        uint8 (H, W, 3) and an HTML caption.
    """
    result = attribute(network, (row, column, size), steps)
    zoom = overlays.zoom_factor(lr, SHOWN)
    scale = result.sr.shape[0] // lr.shape[0]
    image = drawing.repeat_pixels(lr, zoom)
    used = plotting.overlay(image, drawing.repeat_pixels(result.map, zoom))
    side = size * zoom // scale
    box = (row * zoom // scale, column * zoom // scale, side, side)
    parts = {
        f"LR, {lr.shape[0]}×{lr.shape[1]}, and the window": overlays.draw_frames(
            image, 1, [(box, overlays.ORANGE)]
        ),
        "attribution of each LR pixel, log scale": overlays.draw_frames(
            used, 1, [(box, overlays.ORANGE)]
        ),
        f"SR by {network}": _near(result.sr, (row, column, size)),
    }
    panels = [
        overlays.panel(image, title, SHOWN + 2 * overlays.MARGIN) for title, image in parts.items()
    ]
    return drawing.place_side_by_side(panels), _caption(
        result, html.escape(network), (row, column, size), steps
    )


def _near(sr: np.ndarray, window: attribution.Window) -> np.ndarray:
    """SR around the window, with a frame around the window."""
    row, column, size = window
    side = max(NEAR, size)
    top, left = (
        min(max(0, at + size // 2 - side // 2), max(0, length - side))
        for at, length in zip((row, column), sr.shape[:2], strict=True)
    )
    crop = sr[top : top + side, left : left + side]
    zoom = overlays.zoom_factor(crop, SHOWN)
    frame_of = (row - top, column - left, size, size)
    return overlays.draw_frames(
        drawing.repeat_pixels(crop, zoom), zoom, [(frame_of, overlays.ORANGE)]
    )


def _caption(
    result: attribution.Attribution, network: str, window: attribution.Window, steps: int
) -> str:
    row, column, size = window
    added, detail = result.completeness
    complete = f"{100 * added / detail:.1f} %" if detail else "all"
    touched = int((result.map > 0.1).sum())
    return (
        f"{network}, window of {size}×{size} SR pixels at row {row}, column {column}: "
        f"<b>diffusion index {result.diffusion_index:.2f}</b> (Gini {result.gini:.3f}); "
        f"{touched} of {result.map.size} LR pixels have more than a tenth of the largest "
        f"attribution<br>{steps} steps, gradient halfway in each: the attributions add up to "
        f"{complete} of the detail to be explained"
    )


def lam_explorer(
    models: Mapping[str, Network] | Network | None = None, image: np.ndarray | None = None
) -> ipywidgets.VBox:
    """Local attribution maps: choose a network and a window of SR, and see which LR pixels count.

    Args:
        models: networks by name, or a single one; the course's own RCAN, SwinIR and HAT by default.
        image: LR, uint8 (h, w, 3) or (h, w); of a larger one the middle 48×48 pixels. A built-in
            façade by default.
    Raises:
        HatlibError: there is no network, the scales differ, or the image is smaller than the
            window.
    """
    chosen = _named(models)
    lr = inputs.lr_picture(image, "facade-5", LR_SIDE)
    scale = next(iter(chosen.values())).scale
    height, width = (scale * side for side in lr.shape[:2])
    most = min(LARGEST, height, width)
    inputs.check_size(lr, -(-SMALLEST // scale), f"a window of {SMALLEST}×{SMALLEST} SR pixels")

    @lru_cache(maxsize=64)
    def attribute(name: str, window: attribution.Window, steps: int) -> attribution.Attribution:
        return attribution.lam(chosen[name], lr, window, steps, rule="midpoint")

    side = min(16, most)
    controls: dict[str, Any] = {
        "network": base.choice("network", list(chosen)),
        "size": base.int_slider(
            "side of the window (SR pixels)", side, min(SMALLEST, most), most, 4
        ),
        "row": base.int_slider(
            "upper edge of the window (SR pixels)", (height - side) // 2, 0, height - side, 4
        ),
        "column": base.int_slider(
            "left edge of the window (SR pixels)", (width - side) // 2, 0, width - side, 4
        ),
        "steps": base.stops("steps of the path", list(STEPS), DEFAULT_STEPS),
    }

    def keep_inside(_: Any) -> None:
        controls["row"].max = height - controls["size"].value
        controls["column"].max = width - controls["size"].value

    controls["size"].observe(keep_inside, names="value")
    return base.explorer(partial(lam_view, lr, attribute), controls, WIDTH, slow=True)


def _named(models: Mapping[str, Network] | Network | None) -> dict[str, Network]:
    """The networks by name, all of one scale: a window then covers the same part in each."""
    if models is None:
        models = {name: inputs.load_network(name, name) for name in NETWORKS}
    elif isinstance(models, Network):
        models = {hooks.class_name(models): models}
    if not models:
        raise HatlibError("LAM needs at least one network")
    scales = {name: model.scale for name, model in models.items()}
    if len(set(scales.values())) > 1:
        listed = ", ".join(f"{name} ×{scale}" for name, scale in scales.items())
        raise HatlibError(
            f"the networks need one scale, so that a window covers the same part; got {listed}"
        )
    return dict(models)
