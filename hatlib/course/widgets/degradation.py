"""The explorer of the degradation model. Taught in notebook 01."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hatlib.course.widgets import base, drawing, inputs
from hatlib.imaging.degradation import bicubic_kernel, degrade, gaussian_kernel, jpeg, motion_kernel
from hatlib.imaging.resize import imresize

if TYPE_CHECKING:
    import ipywidgets

KERNELS = ("Gaussian", "motion", "bicubic")
ZOOMS = ("repeated pixels", "bicubic")
SHOWN_TAPS = 33  # side of the kernel's picture in taps


def degradation_view(
    hr: np.ndarray,
    kernel: str = "Gaussian",
    width: float = 2.0,
    ratio: float = 1.0,
    angle: float = 30.0,
    scale: int = 4,
    noise: float = 0.0,
    quality: int = 100,
    zoom: str = "repeated pixels",
) -> tuple[np.ndarray, str]:
    """The degradation explorer's picture: HR with the kernel in its corner; LR at the same size.

    Args:
        hr: uint8 (H, W, 3).
        kernel: one of KERNELS.
        width: sigma of the Gaussian, or length of the motion, in HR pixels.
        ratio: narrow to wide side of the Gaussian, 0 to 1.
        angle: degrees, counter-clockwise.
        noise: sigma in grey levels. The draw is always the same: you see only the slider's effect.
        quality: of the JPEG, 1 to 99; 100 means no JPEG.
        zoom: how LR is brought to HR's size on the page, one of ZOOMS.
    Returns:
        uint8 (H, 2·W + gap, 3) and an HTML caption.
    """
    k = {
        "Gaussian": lambda: gaussian_kernel(width, width * ratio, angle),
        "motion": lambda: motion_kernel(width, angle),
        "bicubic": lambda: bicubic_kernel(scale),
    }[kernel]()
    lr = degrade(hr, k, scale, noise, rng=0)
    if quality < 100:
        lr = jpeg(lr, quality)
    shown = drawing.repeat_pixels(lr, scale) if zoom == ZOOMS[0] else imresize(lr, scale)
    left = hr.copy()
    tap = min(4, min(hr.shape[:2]) // (3 * SHOWN_TAPS))  # at most a third of the picture's side
    if tap:
        inset = _kernel_picture(k, tap)
        left[-len(inset) :, : len(inset)] = inset
    gap = np.full((hr.shape[0], 8, 3), 255, np.uint8)
    picture = np.concatenate([left, gap, shown[: hr.shape[0], : hr.shape[1]]], axis=1)
    inset_note = f", shown {tap}×{tap} pixels each in the corner" if tap else ""
    taps = f"k has {k.shape[0]}×{k.shape[1]} taps{inset_note}"
    after = f"JPEG quality {quality}" if quality < 100 else "no JPEG"
    return picture, (
        f"<b>left</b> HR {hr.shape[0]}×{hr.shape[1]}; {taps} &nbsp; "
        f"<b>right</b> LR {lr.shape[0]}×{lr.shape[1]}, ×{scale} by {zoom}; "
        f"noise σ {noise:g} grey levels, {after}"
    )


def _kernel_picture(kernel: np.ndarray, tap: int) -> np.ndarray:
    """SHOWN_TAPS×SHOWN_TAPS taps around the kernel's middle, tap×tap pixels each, framed.

    White is the largest tap.
    """
    canvas = np.zeros((SHOWN_TAPS, SHOWN_TAPS))
    size = min(kernel.shape[0], SHOWN_TAPS)
    cut = (kernel.shape[0] - size) // 2
    at = SHOWN_TAPS // 2 - size // 2
    canvas[at : at + size, at : at + size] = kernel[cut : cut + size, cut : cut + size]
    levels = np.clip(255 * canvas / canvas.max(), 0, 255).astype(np.uint8)
    gray = drawing.repeat_pixels(levels, tap)
    return np.pad(gray, 2, constant_values=255)[..., None].repeat(3, axis=2)


def degradation_explorer(image: np.ndarray | None = None) -> ipywidgets.VBox:
    """y = (x ⊗ k)↓s + n, then JPEG, with a slider for each part.

    Args:
        image: uint8 (H, W, 3) or (H, W); of a larger one the middle 512×512 pixels. A built-in
            photograph by default.
    """
    hr = inputs.photo(image)
    most = min(8, *hr.shape[:2])
    controls = {
        "kernel": base.choice("kernel k", list(KERNELS)),
        "width": base.float_slider(
            "width: σ, or length of the motion (HR pixels)", 2.0, 0.0, 8.0, 0.25
        ),
        "ratio": base.float_slider("narrow / wide side of the Gaussian", 1.0, 0.1, 1.0, 0.05),
        "angle": base.int_slider("angle (degrees)", 30, 0, 180, 5),
        "scale": base.int_slider("scale s", min(4, most), 1, most),
        "noise": base.int_slider("noise σ (grey levels of 255)", 0, 0, 50),
        "quality": base.int_slider("JPEG quality (100: no JPEG)", 100, 5, 100, 5),
        "zoom": base.choice("LR zoomed by", list(ZOOMS)),
    }
    return base.explorer(partial(degradation_view, hr), controls, width=2 * hr.shape[1] + 8)
