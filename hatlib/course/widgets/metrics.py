"""The explorer of PSNR and SSIM. Used in notebook 02."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from hatlib.course.widgets import base, inputs
from hatlib.errors import HatlibError
from hatlib.imaging.convert import round_to_uint8
from hatlib.imaging.degradation import jpeg
from hatlib.imaging.metrics import psnr, ssim_map

if TYPE_CHECKING:
    import ipywidgets

NEGATIVE = (214, 39, 40)  # red, where SSIM is below zero


# Each takes the photo as float32 in 0–255 and a strength above 0, up to 1; it returns the result
# and its amount in words. At 0.5 most photos have 20 to 30 dB. Random draws are always the same.


def _noise(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    draw = np.random.default_rng(0).standard_normal(x.shape, np.float32)
    return x + 40 * strength * draw, f"σ {40 * strength:.1f} levels"


def _blurred(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    sigma = 4 * strength  # pixels
    return gaussian_filter(x, (sigma, sigma, 0)), f"Gaussian, σ {sigma:.2f} pixels"


def _jpeg(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    quality = max(1, round(50 * (1 - strength) ** 2))
    return jpeg(x.astype(np.uint8), quality), f"quality {quality}"


def _salt_and_pepper(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    share = 0.04 * strength**2
    draw = np.random.default_rng(0).random((*x.shape[:2], 1), np.float32)
    salted = np.where(draw < share, np.where(draw < share / 2, 0, 255), x)
    return salted, f"{share:.2%} of the pixels"


def _brighter(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    return x + 28 * strength, f"by {28 * strength:.1f} levels"


def _less_contrast(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    factor = 1 - strength / 2
    mean = x.mean()
    return mean + factor * (x - mean), f"{factor:.0%} of it left"


def _moved(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    pixels = max(1, round(4 * strength))
    return x[:, np.maximum(np.arange(x.shape[1]) - pixels, 0)], f"{pixels} px to the right"


DISTORTIONS: dict[str, Callable[[np.ndarray, float], tuple[np.ndarray, str]]] = {
    "blur": _blurred,
    "Gaussian noise": _noise,
    "JPEG": _jpeg,
    "salt and pepper": _salt_and_pepper,
    "brighter": _brighter,
    "less contrast": _less_contrast,
    "moved": _moved,
}


def metrics_view(
    hr: np.ndarray, kind: str = "blur", strength: float = 0.5, channel: str = "y", shave: int = 4
) -> tuple[np.ndarray, str]:
    """The metrics explorer's picture: the distorted photo, and its SSIM map beside it.

    Args:
        hr: uint8 (H, W, 3).
        kind: one of DISTORTIONS.
        strength: 0 (no distortion) to 1.
        channel, shave: as in `hatlib.imaging.metrics.ssim`.
    Returns:
        uint8 (H, 2·W + gap, 3) and an HTML caption. The map is white at 1, black at 0, red below 0,
        and pale blue where no window has its centre.
    """
    sr, amount = DISTORTIONS[kind](hr.astype(np.float32), strength) if strength else (hr, "none")
    sr = round_to_uint8(sr)
    similarity = ssim_map(sr, hr, shave, channel)
    decibels = psnr(sr, hr, shave, channel)
    grey = np.clip(255 * np.abs(similarity), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    grey[similarity < 0] = NEGATIVE
    frame = np.full_like(hr, (214, 226, 238))
    top = shave + (hr.shape[0] - 2 * shave - grey.shape[0]) // 2
    frame[top : top + grey.shape[0], top : top + grey.shape[1]] = grey
    gap = np.full((hr.shape[0], 8, 3), 255, np.uint8)
    mse = 255**2 / 10 ** (decibels / 10)
    return np.concatenate([sr, gap, frame], axis=1), (
        f"<b>left</b> {kind}: {amount} &nbsp; "
        "<b>right</b> SSIM map: white 1, black 0, red below 0<br>"
        f"{'Y' if channel == 'y' else 'RGB'}, shave {shave}: MSE {mse:.1f} &nbsp; "
        f"<b>PSNR {decibels:.2f} dB</b> &nbsp; <b>SSIM {similarity.mean():.4f}</b> "
        f"(lowest window {similarity.min():.2f})"
    )


def metrics_explorer(image: np.ndarray | None = None) -> ipywidgets.VBox:
    """One photo, seven distortions: PSNR, SSIM and the SSIM map follow the sliders.

    Args:
        image: uint8 (H, W, 3) or (H, W), at least 11×11; of a larger one the middle 512×512 pixels.
            A built-in photograph by default.
    """
    hr = inputs.photo(image)
    side = min(hr.shape[:2])
    most = (side - 11) // 2
    if side < 11:
        raise HatlibError(
            f"SSIM needs an image of at least 11×11 pixels, got {hr.shape[0]}×{hr.shape[1]}"
        )
    controls = {
        "kind": base.choice("distortion", list(DISTORTIONS)),
        "strength": base.float_slider("strength", 0.5, 0.0, 1.0, 0.02),
        "channel": base.choice("channel", [("Y (luma, 16–235)", "y"), ("RGB", "rgb")], "y"),
        "shave": base.int_slider("shave (pixels at each border)", min(4, most), 0, min(32, most)),
    }
    return base.explorer(partial(metrics_view, hr), controls, width=2 * hr.shape[1] + 8)
