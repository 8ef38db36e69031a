"""The explorer of the degradation model. Taught in notebook 01."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hatlib.course.widgets import base, inputs
from hatlib.imaging.degradation import bicubic_kernel, degrade, gaussian_kernel, jpeg, motion_kernel
from hatlib.imaging.resize import imresize

if TYPE_CHECKING:
    import ipywidgets

KERNELS = ("Gaussian", "motion", "bicubic")
ENLARGED = ("repeated pixels", "bicubic")
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
    enlarged: str = "repeated pixels",
) -> tuple[np.ndarray, str]:
    """The picture of the degradation explorer: HR with the kernel in its corner, and LR enlarged to
    the same size.

    Args:
        hr: uint8 (H, W, 3).
        kernel: one of KERNELS.
        width: sigma of the Gaussian, or length of the motion, in HR pixels.
        ratio: narrow to wide side of the Gaussian, 0 to 1.
        angle: degrees, counter-clockwise.
        noise: sigma in grey levels. The draw is always the same, so that only what a slider changes
            is seen to change.
        quality: of the JPEG, 1 to 99; 100 leaves it out.
        enlarged: how LR is enlarged for the eye, one of ENLARGED.
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
    large = (
        lr.repeat(scale, axis=0).repeat(scale, axis=1)
        if enlarged == ENLARGED[0]
        else imresize(lr, scale)
    )
    left, tap = (
        hr.copy(),
        min(4, min(hr.shape[:2]) // (3 * SHOWN_TAPS)),
    )  # at most a third of the picture's side
    if tap:
        inset = _kernel_picture(k, tap)
        left[-len(inset) :, : len(inset)] = inset
    gap = np.full((hr.shape[0], 8, 3), 255, np.uint8)
    picture = np.concatenate([left, gap, large[: hr.shape[0], : hr.shape[1]]], axis=1)
    taps = f"k has {k.shape[0]}×{k.shape[1]} taps" + (
        f", drawn {tap} times as large in the corner" if tap else ""
    )
    after = f"JPEG quality {quality}" if quality < 100 else "no JPEG"
    return picture, (
        f"<b>left</b> HR {hr.shape[0]}×{hr.shape[1]}; {taps} &nbsp; <b>right</b> LR {lr.shape[0]}×"
        f"{lr.shape[1]}, {scale} times as large by {enlarged}; noise σ {noise:g} grey levels, {after}"
    )


def _kernel_picture(kernel: np.ndarray, tap: int) -> np.ndarray:
    """SHOWN_TAPS×SHOWN_TAPS taps around the kernel's middle, `tap` pixels each, framed; white is
    the largest tap."""
    canvas = np.zeros((SHOWN_TAPS, SHOWN_TAPS))
    size = min(kernel.shape[0], SHOWN_TAPS)
    cut, at = (kernel.shape[0] - size) // 2, SHOWN_TAPS // 2 - size // 2
    canvas[at : at + size, at : at + size] = kernel[cut : cut + size, cut : cut + size]
    gray = (
        np.clip(255 * canvas / canvas.max(), 0, 255).astype(np.uint8).repeat(tap, 0).repeat(tap, 1)
    )
    return np.pad(gray, 2, constant_values=255)[..., None].repeat(3, axis=2)


def degradation_explorer(image: np.ndarray | None = None) -> ipywidgets.VBox:
    """y = (x ⊗ k)↓s + n, then JPEG, with a slider for each part.

    Args:
        image: uint8 (H, W, 3) or (H, W); the middle 512×512 pixels of a larger one. A built-in
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
        "enlarged": base.choice("LR enlarged by", list(ENLARGED)),
    }
    return base.explorer(partial(degradation_view, hr), controls, width=2 * hr.shape[1] + 8)
