"""The explorer of α: what HAT gives when its convolution branch counts for more, or for less, than
in training.

Taught in notebook 08.
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

STOPS = (
    0.0,
    0.002,
    0.005,
    0.01,
    0.015,
    0.02,
    0.03,
    0.05,
    0.1,
    0.3,
    1.0,
)  # the paper's α is 0.01 (HAT §4.1)
SIDE = 192  # HR pixels, one of which is one on the page: four panels fit beside each other
WIDTH = 4 * SIDE + drawing.BAR + 6 * drawing.GAP


def trained_scale(model: Network) -> float:
    """α of a network, which is the same in all its blocks.

    Raises:
        HatlibError: a network with no convolution branch, or one whose blocks differ.
    """
    scales = {float(block.conv_scale) for block in model.modules() if isinstance(block, HAB)}
    if not scales:
        raise HatlibError(
            f"{hooks.class_name(model)} has no convolution branch beside its attention; HAT has"
        )
    if len(scales) > 1:
        raise HatlibError(
            f"the blocks have different α: {', '.join(f'{scale:g}' for scale in sorted(scales))}"
        )
    return scales.pop()


def with_scale(model: Network, alpha: float) -> Network:
    """Sets α of all blocks of a network, in place, and returns it."""
    for block in model.modules():
        if isinstance(block, HAB):
            block.conv_scale = alpha
    return model


def conv_scale_view(
    hr: np.ndarray, scale: int, sr_of: Callable[[float], np.ndarray], trained: float, alpha: float
) -> tuple[np.ndarray, str]:
    """The picture of the α explorer: HR, SR as trained, SR with another α, and the difference of
    the two.

    Args:
        hr: uint8 (H, W, 3).
        scale: of the network; as many pixels are shaved from each border before PSNR is taken, of
            Y.
        sr_of: α → SR, uint8 (H, W, 3).
        trained, alpha: α of the network, and the one that is tried.
    Returns:
        uint8 (H', W', 3) and an HTML caption.
    """
    before, after = sr_of(trained), sr_of(alpha)
    difference = (after.astype(np.float32) - before).mean(axis=2)
    limit = float(
        np.quantile(np.abs(difference), 0.99) or np.abs(difference).max() or 1.0
    )  # a few pixels go beyond
    times = overlays.zoom_factor(hr, SIDE)
    parts = {
        "HR": hr,
        f"α = {trained:g}, as trained": before,
        f"α = {alpha:g}": after,
        "difference of the two": drawing.colour_signed(difference, limit),
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
    apart = psnr(*results, scale)
    between = "equal in every pixel" if apart == float("inf") else f"{apart:.2f} dB from each other"
    return (
        f"PSNR of Y against HR, {scale} pixels shaved: α = {alphas[0]:g} (as trained) <b>{first:.2f} dB</b>, "
        f"α = {alphas[1]:g} <b>{second:.2f} dB</b> ({second - first:+.2f} dB), bicubic {bicubic:.2f} dB<br>"
        f"the two results are {between}; the difference is the mean of R, G and B in levels of 255: blue darker, "
        "red brighter"
    )


def conv_scale_explorer(
    model: Network | str | None = None, image: np.ndarray | None = None
) -> ipywidgets.VBox:
    """α, the weight of HAT's convolution branch, in all blocks at once; the weights stay as
    trained.

    α is set in a copy of the network: the one that is given stays as it is.

    Args:
        model: HAT, or the name or file of its weights; the course's own by default.
        image: HR, uint8 (H, W, 3) or (H, W); the middle 192×192 pixels of a larger one. A built-in
            façade by default.
    Raises:
        HatlibError: a network with no convolution branch, an image smaller than 3 pixels times the
            scale.
    """
    network = copy.deepcopy(inputs.load_network(model, "hat-nano-x4")).eval()
    trained, scale = trained_scale(network), network.scale
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
