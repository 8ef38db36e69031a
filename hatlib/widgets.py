"""Explorers: sliders on top of the package. Each is one call in a notebook and returns a widget.

They use only what ipywidgets 7.7 (Colab) and 8 (JupyterLab) both have. The arithmetic of an explorer is a plain
function of numbers that returns a picture and a caption, which tests call as such; `explorer` adds the controls.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter

from hatlib.degradation import bicubic_kernel, degrade, gaussian_kernel, jpeg, motion_kernel
from hatlib.errors import HatlibError
from hatlib.images import check_image, round_to_uint8
from hatlib.metrics import psnr, ssim_map
from hatlib.resize import imresize

if TYPE_CHECKING:
    import ipywidgets

Render = Callable[..., tuple[np.ndarray, str]]


def png(image: np.ndarray) -> bytes:
    """A uint8 image as PNG bytes; light compression, because speed matters more than size on a slider."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, format="png", compress_level=1, compress_type=zlib.Z_RLE)
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


def _photo(image: np.ndarray | None) -> np.ndarray:
    """What an explorer shows, uint8 (H, W, 3): at most 512×512 pixels from the middle; a built-in photo by default."""
    if image is None:
        from hatlib.pictures import builtin

        image = builtin("astronaut")
    check_image(image)
    image = image if image.dtype == np.uint8 else round_to_uint8(image * 255)
    top, left = (max(0, (side - 512) // 2) for side in image.shape[:2])
    image = image[top : top + 512, left : left + 512]
    return np.ascontiguousarray(image if image.ndim == 3 else image[..., None].repeat(3, axis=2))


# The degradation model (notebook 01).

KERNELS = ("Gaussian", "motion", "bicubic")
ENLARGED = ("repeated pixels", "bicubic")
SHOWN_TAPS = 33  # side of the kernel's picture in taps


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
    k = {"Gaussian": lambda: gaussian_kernel(width, width * ratio, angle),
         "motion": lambda: motion_kernel(width, angle),
         "bicubic": lambda: bicubic_kernel(scale)}[kernel]()
    lr = degrade(hr, k, scale, noise, rng=0)
    if quality < 100:
        lr = jpeg(lr, quality)
    large = lr.repeat(scale, axis=0).repeat(scale, axis=1) if enlarged == ENLARGED[0] else imresize(lr, scale)
    left, tap = hr.copy(), min(4, min(hr.shape[:2]) // (3 * SHOWN_TAPS))  # at most a third of the picture's side
    if tap:
        inset = _kernel_picture(k, tap)
        left[-len(inset) :, : len(inset)] = inset
    gap = np.full((hr.shape[0], 8, 3), 255, np.uint8)
    picture = np.concatenate([left, gap, large[: hr.shape[0], : hr.shape[1]]], axis=1)
    taps = f"k has {k.shape[0]}×{k.shape[1]} taps" + (f", drawn {tap} times as large in the corner" if tap else "")
    after = f"JPEG quality {quality}" if quality < 100 else "no JPEG"
    return picture, (f"<b>left</b> HR {hr.shape[0]}×{hr.shape[1]}; {taps} &nbsp; <b>right</b> LR {lr.shape[0]}×"
                     f"{lr.shape[1]}, {scale} times as large by {enlarged}; noise σ {noise:g} grey levels, {after}")


def _kernel_picture(kernel: np.ndarray, tap: int) -> np.ndarray:
    """SHOWN_TAPS×SHOWN_TAPS taps around the kernel's middle, `tap` pixels each, framed; white is the largest tap."""
    canvas = np.zeros((SHOWN_TAPS, SHOWN_TAPS))
    size = min(kernel.shape[0], SHOWN_TAPS)
    cut, at = (kernel.shape[0] - size) // 2, SHOWN_TAPS // 2 - size // 2
    canvas[at : at + size, at : at + size] = kernel[cut : cut + size, cut : cut + size]
    gray = np.clip(255 * canvas / canvas.max(), 0, 255).astype(np.uint8).repeat(tap, 0).repeat(tap, 1)
    return np.pad(gray, 2, constant_values=255)[..., None].repeat(3, axis=2)


def degradation_explorer(image: np.ndarray | None = None) -> ipywidgets.VBox:
    """y = (x ⊗ k)↓s + n, then JPEG, with a slider for each part.

    Args:
        image: uint8 (H, W, 3) or (H, W); the middle 512×512 pixels of a larger one. A built-in photograph by default.
    """
    hr = _photo(image)
    most = min(8, *hr.shape[:2])
    controls = {
        "kernel": choice("kernel k", list(KERNELS)),
        "width": float_slider("width: σ, or length of the motion (HR pixels)", 2.0, 0.0, 8.0, 0.25),
        "ratio": float_slider("narrow / wide side of the Gaussian", 1.0, 0.1, 1.0, 0.05),
        "angle": int_slider("angle (degrees)", 30, 0, 180, 5),
        "scale": int_slider("scale s", min(4, most), 1, most),
        "noise": int_slider("noise σ (grey levels of 255)", 0, 0, 50),
        "quality": int_slider("JPEG quality (100: no JPEG)", 100, 5, 100, 5),
        "enlarged": choice("LR enlarged by", list(ENLARGED)),
    }
    return explorer(partial(degradation_view, hr), controls, width=2 * hr.shape[1] + 8)


# PSNR and SSIM (notebook 02).

NEGATIVE = (214, 39, 40)  # red, where SSIM is below zero


# Each takes the photo as float32 in 0–255 and a strength above 0, up to 1, and gives the result and its measure in
# words. At 0.5 most photos come to 20 to 30 dB. Random draws are always the same.


def _noise(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    draw = np.random.default_rng(0).standard_normal(x.shape, np.float32)
    return x + 40 * strength * draw, f"σ {40 * strength:.1f} levels"


def _blurred(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    return gaussian_filter(x, (4 * strength, 4 * strength, 0)), f"Gaussian, σ {4 * strength:.2f} pixels"


def _jpeg(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    quality = max(1, round(50 * (1 - strength) ** 2))
    return jpeg(x.astype(np.uint8), quality), f"quality {quality}"


def _salt_and_pepper(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    share, dice = 0.04 * strength**2, np.random.default_rng(0).random((*x.shape[:2], 1), np.float32)
    return np.where(dice < share, np.where(dice < share / 2, 0, 255), x), f"{share:.2%} of the pixels"


def _brighter(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    return x + 28 * strength, f"by {28 * strength:.1f} levels"


def _less_contrast(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    factor, mean = 1 - strength / 2, x.mean()
    return mean + factor * (x - mean), f"{factor:.0%} of it left"


def _moved(x: np.ndarray, strength: float) -> tuple[np.ndarray, str]:
    pixels = max(1, round(4 * strength))
    return x[:, np.maximum(np.arange(x.shape[1]) - pixels, 0)], f"{pixels} px to the right"


DISTORTIONS: dict[str, Callable[[np.ndarray, float], tuple[np.ndarray, str]]] = {
    "blur": _blurred, "Gaussian noise": _noise, "JPEG": _jpeg, "salt and pepper": _salt_and_pepper,
    "brighter": _brighter, "less contrast": _less_contrast, "moved": _moved,
}


def metrics_view(hr: np.ndarray, kind: str = "blur", strength: float = 0.5, channel: str = "y",
                 shave: int = 4) -> tuple[np.ndarray, str]:
    """The picture of the metrics explorer: the distorted photo, and its SSIM map in place.

    Args:
        hr: uint8 (H, W, 3).
        kind: one of DISTORTIONS.
        strength: 0 (nothing is done) to 1.
        channel, shave: as in `hatlib.metrics.ssim`.
    Returns:
        uint8 (H, 2·W + gap, 3) and an HTML caption. In the map white is 1, black 0 and red below; where no window has
        its middle it is pale blue.
    """
    sr, amount = DISTORTIONS[kind](hr.astype(np.float32), strength) if strength else (hr, "none")
    sr = round_to_uint8(sr)
    similarity, decibels = ssim_map(sr, hr, shave, channel), psnr(sr, hr, shave, channel)
    grey = np.clip(255 * np.abs(similarity), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    grey[similarity < 0] = NEGATIVE
    frame = np.full_like(hr, (214, 226, 238))
    top = shave + (hr.shape[0] - 2 * shave - grey.shape[0]) // 2
    frame[top : top + grey.shape[0], top : top + grey.shape[1]] = grey
    gap = np.full((hr.shape[0], 8, 3), 255, np.uint8)
    mse = 255**2 / 10 ** (decibels / 10)
    return np.concatenate([sr, gap, frame], axis=1), (
        f"<b>left</b> {kind}: {amount} &nbsp; <b>right</b> SSIM map: white 1, black 0, red below 0<br>"
        f"{'Y' if channel == 'y' else 'RGB'}, shave {shave}: MSE {mse:.1f} &nbsp; <b>PSNR {decibels:.2f} dB</b> &nbsp; "
        f"<b>SSIM {similarity.mean():.4f}</b> (lowest window {similarity.min():.2f})")


def metrics_explorer(image: np.ndarray | None = None) -> ipywidgets.VBox:
    """One photo, seven distortions: PSNR, SSIM and the SSIM map follow the sliders.

    Args:
        image: uint8 (H, W, 3) or (H, W), at least 11×11; the middle 512×512 pixels of a larger one. A built-in
            photograph by default.
    """
    hr = _photo(image)
    side = min(hr.shape[:2])
    if side < 11:
        raise HatlibError(f"SSIM needs an image of at least 11×11 pixels, got {hr.shape[0]}×{hr.shape[1]}")
    controls = {
        "kind": choice("distortion", list(DISTORTIONS)),
        "strength": float_slider("strength", 0.5, 0.0, 1.0, 0.02),
        "channel": choice("channel", [("Y (luma, 16–235)", "y"), ("RGB", "rgb")], "y"),
        "shave": int_slider("shave (pixels at each border)", min(4, (side - 11) // 2), 0, min(32, (side - 11) // 2)),
    }
    return explorer(partial(metrics_view, hr), controls, width=2 * hr.shape[1] + 8)
