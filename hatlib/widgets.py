"""Explorers: sliders on top of the package. Each is one call in a notebook and returns a widget.

They use only what ipywidgets 7.7 (Colab) and 8 (JupyterLab) both have. The arithmetic of an explorer is a plain
function of numbers that returns a picture and a caption, which tests call as such; `explorer` adds the controls.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

from hatlib.degradation import bicubic_kernel, degrade, gaussian_kernel, jpeg, motion_kernel
from hatlib.images import check_image
from hatlib.plotting import centre_box, crop
from hatlib.resize import imresize

if TYPE_CHECKING:
    import ipywidgets

Render = Callable[..., tuple[np.ndarray, str]]


def png(image: np.ndarray) -> bytes:
    """A uint8 image as PNG bytes; light compression, because speed matters more than size on a slider."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def explorer(render: Render, controls: dict[str, Any], width: int = 720) -> ipywidgets.VBox:
    """Controls, a reset button, a picture and a line of text that follow the controls.

    Args:
        render: takes the controls' values by name; returns a uint8 image and an HTML caption.
        controls: parameter name → ipywidgets control, with its label and unit as description.
        width: of the picture on the page, in pixels.
    Returns:
        A box whose children are (controls, picture, caption); nothing is stored besides the controls' values.
    """
    import ipywidgets as widgets

    picture = widgets.Image(format="png", layout=widgets.Layout(width=f"{width}px", max_width="100%"))
    caption = widgets.HTML()
    reset = widgets.Button(description="Reset", tooltip="back to the first values")
    defaults = {name: control.value for name, control in controls.items()}
    quiet = False

    def draw(_: Any = None) -> None:
        if not quiet:
            image, caption.value = render(**{name: control.value for name, control in controls.items()})
            picture.value = png(image)

    def restore(_: Any) -> None:
        nonlocal quiet
        quiet = True  # one picture at the end instead of one a control
        for name, control in controls.items():
            control.value = defaults[name]
        quiet = False
        draw()

    for control in controls.values():
        control.observe(draw, names="value")
        control.style.description_width = "initial"
    reset.on_click(restore)
    draw()
    panel = widgets.VBox([*controls.values(), reset])
    return widgets.VBox([panel, picture, caption])


def float_slider(label: str, value: float, low: float, high: float, step: float) -> ipywidgets.FloatSlider:
    """A slider for a number, with a label wide enough to be read."""
    import ipywidgets as widgets

    return widgets.FloatSlider(value=value, min=low, max=high, step=step, description=label,
                               layout=widgets.Layout(width="460px", max_width="100%"))


def int_slider(label: str, value: int, low: int, high: int, step: int = 1) -> ipywidgets.IntSlider:
    """A slider for a whole number."""
    import ipywidgets as widgets

    return widgets.IntSlider(value=value, min=low, max=high, step=step, description=label,
                             layout=widgets.Layout(width="460px", max_width="100%"))


def choice(label: str, options: list[Any], value: Any = None) -> ipywidgets.Dropdown:
    """A drop-down list."""
    import ipywidgets as widgets

    return widgets.Dropdown(options=options, value=options[0] if value is None else value, description=label,
                            layout=widgets.Layout(width="460px", max_width="100%"))


# The degradation model (notebook 01).

KERNELS = ("Gaussian", "motion", "bicubic")
ENLARGED = ("repeated pixels", "bicubic")
SHOWN_TAPS, TAP = 33, 4  # side of the kernel's picture in taps, and of a tap in pixels


def degradation_view(hr: np.ndarray, kernel: str = "Gaussian", width: float = 2.0, ratio: float = 1.0,
                     angle: float = 30.0, scale: int = 4, noise: float = 0.0, quality: int = 100,
                     enlarged: str = "repeated pixels") -> tuple[np.ndarray, str]:
    """The picture of the degradation explorer: HR with the kernel in its corner, and LR enlarged to the same size.

    Args:
        hr: uint8 (H, W, 3).
        kernel: one of KERNELS.
        width: sigma of the Gaussian, or length of the motion, in HR pixels.
        ratio: narrow to wide side of the Gaussian, 0 to 1.
        angle: degrees, counter-clockwise.
        noise: sigma in grey levels. The draw is always the same, so that only what a slider changes is seen to change.
        quality: of the JPEG, 1 to 99; 100 leaves it out.
        enlarged: how LR is enlarged for the eye, one of ENLARGED.
    Returns:
        uint8 (H, 2·W + gap, 3) and an HTML caption.
    """
    taps = {"Gaussian": lambda: gaussian_kernel(width, width * ratio, angle),
            "motion": lambda: motion_kernel(width, angle),
            "bicubic": lambda: bicubic_kernel(scale)}
    k = taps[kernel]()
    lr = degrade(hr, k, scale, noise, rng=0)
    if quality < 100:
        lr = jpeg(lr, quality)
    large = lr.repeat(scale, axis=0).repeat(scale, axis=1) if enlarged == ENLARGED[0] else imresize(lr, scale)
    left = hr.copy()
    inset = _kernel_picture(k)[: hr.shape[0], : hr.shape[1]]
    left[-inset.shape[0] :, : inset.shape[1]] = inset
    gap = np.full((hr.shape[0], 8, 3), 255, np.uint8)
    picture = np.concatenate([left, gap, large[: hr.shape[0], : hr.shape[1]]], axis=1)
    taps_shown = f"{k.shape[0]}×{k.shape[1]} taps, {TAP} times as large"
    after = f"JPEG quality {quality}" if quality < 100 else "no JPEG"
    return picture, (f"<b>left</b> HR {hr.shape[0]}×{hr.shape[1]}, in its corner k ({taps_shown}) &nbsp; <b>right</b> "
                     f"LR {lr.shape[0]}×{lr.shape[1]}, enlarged {scale} times by {enlarged}; noise σ {noise:g} grey levels, {after}")


def _kernel_picture(kernel: np.ndarray) -> np.ndarray:
    """A kernel as a framed picture of SHOWN_TAPS×SHOWN_TAPS taps around its middle; white is the largest tap."""
    canvas = np.zeros((SHOWN_TAPS, SHOWN_TAPS))
    size = min(kernel.shape[0], SHOWN_TAPS)
    cut, at = (kernel.shape[0] - size) // 2, SHOWN_TAPS // 2 - size // 2
    canvas[at : at + size, at : at + size] = kernel[cut : cut + size, cut : cut + size]
    gray = np.clip(255 * canvas / canvas.max(), 0, 255).astype(np.uint8).repeat(TAP, 0).repeat(TAP, 1)
    return np.pad(gray, 2, constant_values=255)[..., None].repeat(3, axis=2)


def degradation_explorer(image: np.ndarray | None = None) -> ipywidgets.VBox:
    """y = (x ⊗ k)↓s + n, then JPEG, with a slider for each part.

    Args:
        image: uint8 (H, W, 3) or (H, W); the middle 512×512 pixels of a larger one. A built-in photograph by default.
    """
    if image is None:
        from hatlib.pictures import builtin

        image = builtin("astronaut")
    check_image(image)
    hr = crop(image, centre_box(image, 512)) if min(image.shape[:2]) > 512 else image[:512, :512]
    hr = hr if hr.ndim == 3 else hr[..., None].repeat(3, axis=2)
    controls = {
        "kernel": choice("kernel k", list(KERNELS)),
        "width": float_slider("width: σ, or length of the motion (HR pixels)", 2.0, 0.0, 8.0, 0.25),
        "ratio": float_slider("narrow / wide side of the Gaussian", 1.0, 0.1, 1.0, 0.05),
        "angle": int_slider("angle (degrees)", 30, 0, 180, 5),
        "scale": int_slider("scale s", 4, 1, 8),
        "noise": int_slider("noise σ (grey levels of 255)", 0, 0, 50),
        "quality": int_slider("JPEG quality (100: no JPEG)", 100, 5, 100, 5),
        "enlarged": choice("LR enlarged by", list(ENLARGED)),
    }
    return explorer(partial(degradation_view, hr), controls, width=2 * hr.shape[1] + 8)
