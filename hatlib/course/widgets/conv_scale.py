"""The explorer of α: HAT's result when its convolution branch has another weight than in training.

Used in notebook 08.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from hatlib.course.widgets import base, drawing, hooks, inputs, overlays
from hatlib.errors import HatlibError
from hatlib.imaging.convert import crop_to_multiple, to_image
from hatlib.imaging.metrics import psnr
from hatlib.imaging.resize import imresize
from hatlib.models import Network
from hatlib.models.hat import HAB

if TYPE_CHECKING:
    import ipywidgets

# The paper's α is 0.01 (HAT §4.1).
STOPS = (0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.3, 1.0)
SIDE = 192  # HR pixels, each one pixel on the page: four panels fit side by side
WIDTH = 4 * SIDE + drawing.BAR + 6 * drawing.GAP


def trained_scale(model: Network) -> float:
    """A network's α, the same in all its blocks.

    Raises:
        HatlibError: the network has no convolution branch, or its blocks differ.
    """
    scales = {float(block.conv_scale) for block in model.modules() if isinstance(block, HAB)}
    if not scales:
        raise HatlibError(
            f"{hooks.class_name(model)} has no convolution branch beside its attention; HAT has one"
        )
    if len(scales) > 1:
        raise HatlibError(
            f"the blocks have different α: {', '.join(f'{scale:g}' for scale in sorted(scales))}"
        )
    return scales.pop()


def with_scale(model: Network, alpha: float) -> Network:
    """Sets α in all blocks of a network, in place, and returns the network."""
    for block in model.modules():
        if isinstance(block, HAB):
            block.conv_scale = alpha
    return model


def conv_scale_view(
    hr: np.ndarray, scale: int, sr_of: Callable[[float], np.ndarray], trained: float, alpha: float
) -> tuple[np.ndarray, str]:
    """The α explorer's picture: HR, SR as trained, SR with another α, and their difference.

    Args:
        hr: uint8 (H, W, 3).
        scale: of the network; PSNR on Y leaves out as many pixels at each border.
        sr_of: α → SR, uint8 (H, W, 3).
        trained, alpha: the network's α, and the one to try.
    Returns:
        uint8 (H', W', 3) and an HTML caption.
    """
    before, after = sr_of(trained), sr_of(alpha)
    difference = (after.astype(np.float32) - before).mean(axis=2)
    # The colours saturate at the 99th percentile, so that a few pixels do not dim all others.
    limit = float(np.quantile(np.abs(difference), 0.99) or np.abs(difference).max() or 1.0)
    times = overlays.zoom_factor(hr, SIDE)
    parts = {
        "HR": hr,
        f"α = {trained:g}, as trained": before,
        f"α = {alpha:g}": after,
        "their difference": drawing.colour_signed(difference, limit),
    }
    panels = [
        overlays.panel(drawing.repeat_pixels(image, times), title) for title, image in parts.items()
    ]
    bar = drawing.scale_bar(times * hr.shape[0], -limit, limit, drawing.SIGNED)
    return drawing.place_side_by_side([*panels, overlays.panel(bar, "levels")]), _caption(
        hr, scale, (before, after), (trained, alpha)
    )


def _caption(
    hr: np.ndarray, scale: int, results: tuple[np.ndarray, np.ndarray], alphas: tuple[float, float]
) -> str:
    first, second = (psnr(sr, hr, scale) for sr in results)
    bicubic = psnr(imresize(imresize(hr, 1 / scale), scale), hr, scale)
    mutual = psnr(*results, scale)
    between = "equal in every pixel" if mutual == float("inf") else f"{mutual:.2f} dB apart"
    return (
        f"PSNR on Y against HR, border of {scale} pixels left out: α = {alphas[0]:g} (as trained) "
        f"<b>{first:.2f} dB</b>, α = {alphas[1]:g} <b>{second:.2f} dB</b> "
        f"({second - first:+.2f} dB), bicubic {bicubic:.2f} dB<br>"
        f"the two results are {between}; their difference is the mean of R, G and B in levels of "
        "255: blue darker, red brighter"
    )


def conv_scale_explorer(
    model: Network | str | None = None, image: np.ndarray | None = None
) -> ipywidgets.VBox:
    """α, the factor of HAT's convolution branch, in all blocks at once, with the trained weights.

    α changes in a copy of the network; yours stays as it is.

    Args:
        model: HAT, or the name or file of its weights; the course's own by default.
        image: HR, uint8 (H, W, 3) or (H, W); of a larger one the middle 192×192 pixels. A built-in
            façade by default.
    Raises:
        HatlibError: the network has no convolution branch, or the image is smaller than 3 pixels
            times the scale.
    """
    network = copy.deepcopy(inputs.load_network(model, "hat-nano-x4")).eval()
    trained = trained_scale(network)
    scale = network.scale
    hr = inputs.photo(image, SIDE, "facade-5")
    inputs.check_size(hr, 3 * scale, f"PSNR at ×{scale}")
    hr = np.ascontiguousarray(crop_to_multiple(hr, scale))
    lr = imresize(hr, 1 / scale)

    @lru_cache(maxsize=32)
    def sr_of(alpha: float) -> np.ndarray:
        return to_image(hooks.run(with_scale(network, alpha), lr))

    labels = [
        (f"{alpha:g}{' (as trained)' if alpha == trained else ''}", alpha)
        for alpha in sorted({*STOPS, trained})
    ]
    controls = {"alpha": base.stops("α of all blocks", labels, 0.0 if trained else STOPS[-1])}
    return base.explorer(
        partial(conv_scale_view, hr, scale, sr_of, trained), controls, WIDTH, slow=True
    )
