"""PSNR and SSIM, per image and as maps, by the protocol of the super-resolution papers.

Two images in, one number out. Colour (Y of BT.601, 16–235), border (as many pixels as the scale are
shaved off), peak (255) and window (11×11 Gaussian, inside the image only) are part of the
definition: `choices` shows what each of them is worth. Everything is computed in float64. Taught in
notebook 02.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import correlate1d

from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image, luma, round_to_uint8, to_planes, white
from hatlib.validation import Pixels, checked

if TYPE_CHECKING:
    import pandas

PEAK = 255.0
# Wang et al. 2004, section III.C
K1 = 0.01
K2 = 0.03
SIGMA = 1.5
RADIUS = 5
GAUSSIAN = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2))
GAUSSIAN /= GAUSSIAN.sum()  # its outer product with itself is the 11×11 window
UNIFORM = np.full(7, 1 / 7)  # the default window of scikit-image's structural_similarity


def psnr(a: np.ndarray, b: np.ndarray, shave: int = 0, channel: str = "y") -> float:
    """Peak signal-to-noise ratio, 10·log10(255² / MSE), in dB; infinite for identical images.

    Args:
        a, b: uint8 in 0–255, uint16 in 0–65535 or float in [0, 1], (H, W, 3) or (H, W); both alike.
        shave: pixels left out at each border; papers use the scale.
        channel: "y" is BT.601 luma in 16–235, not rounded; "rgb" takes one MSE over the three
            channels. A one-channel image is taken as it is.
    Raises:
        HatlibError: shapes or kinds that differ, values outside the range, a border that leaves
            nothing.
    """
    x, y = _pair(a, b, shave, channel)
    return _psnr(x, y)


def psnr_and_ssim(
    a: np.ndarray, b: np.ndarray, shave: int = 0, channel: str = "y"
) -> tuple[float, float]:
    """Both at once: the values of `psnr` and `ssim`, the luma computed once. Arguments as there."""
    x, y = _pair(a, b, shave, channel, smallest=len(GAUSSIAN))
    return _psnr(x, y), float(_ssim_map(x, y).mean(axis=0).mean())


def ssim(a: np.ndarray, b: np.ndarray, shave: int = 0, channel: str = "y") -> float:
    """Structural similarity: the mean of `ssim_map`; 1 for identical images, and it may be
    negative.

    Arguments as in `psnr`; at least 11×11 pixels have to remain after shaving. "rgb" is the mean of
    the three channels' SSIM. (Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from
    error visibility to structural similarity", 2004, eq. 13 and 17.)
    """
    return float(ssim_map(a, b, shave, channel).mean())


def ssim_map(a: np.ndarray, b: np.ndarray, shave: int = 0, channel: str = "y") -> np.ndarray:
    """SSIM of each 11×11 Gaussian window (σ 1.5) that lies inside the image: float64 (H − 10, W −
    10).

    Pixel (i, j) of the map belongs to pixel (i + 5, j + 5) of the (shaved) image. Arguments as in
    `psnr`.
    """
    x, y = _pair(a, b, shave, channel, smallest=len(GAUSSIAN))
    return _ssim_map(x, y).mean(axis=0)


def psnr_map(a: np.ndarray, b: np.ndarray, shave: int = 0, channel: str = "y") -> np.ndarray:
    """PSNR of each window of `ssim_map`, in dB, from its Gaussian-weighted MSE: float64 (H − 10, W
    − 10).

    Infinite where the window is the same in both. Arguments as in `psnr`.
    """
    x, y = _pair(a, b, shave, channel, smallest=len(GAUSSIAN))
    error = _window_means((x - y) ** 2, GAUSSIAN).mean(axis=0)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(PEAK**2 / error)


def choices(sr: np.ndarray, hr: np.ndarray, scale: int) -> pandas.DataFrame:
    """The same pair scored eight ways: the protocol of the papers, and seven others that are all in
    use.

    Args:
        sr, hr: result and ground truth, as in `psnr`.
        scale: how much `sr` was upscaled; the protocol shaves as many pixels.
    Returns:
        One row per way: `psnr` (dB), `ssim`, and `difference` of the PSNR from the protocol's (dB).
    """
    import pandas

    _check_pair(sr, hr)
    studio = np.stack([_channels(image, "y") for image in (sr, hr)])  # (2, 1, H, W)
    rounded = round_to_uint8(studio).astype(np.float64)
    full = np.stack([luma(image, full_range=True) for image in (sr, hr)])[:, None]
    rgb = np.stack([_channels(image, "rgb") for image in (sr, hr)])  # (2, 3, H, W)
    brightest = float(_shaved(studio, scale)[1].max())
    rows = {
        f"the protocol: Y 16–235, shave {scale}": _scores(studio, scale),
        "Y rounded to 8 bits": _scores(rounded, scale),
        "Y in the full range 0–255": _scores(full, scale),
        "RGB": _scores(rgb, scale),
        "nothing shaved": _scores(studio, 0),
        "shave 1": _scores(studio, 1),
        "peak: the original's brightest pixel": _scores(studio, scale, peak=brightest),
        "SSIM in uniform 7×7 windows": _scores(studio, scale, window=UNIFORM, sample=True),
    }
    table = pandas.DataFrame.from_dict(rows, orient="index", columns=["psnr", "ssim"])
    # two identical images are infinitely good in every way: no difference, instead of inf − inf
    same = table.psnr == table.psnr.iloc[0]
    table["difference"] = (table.psnr - table.psnr.iloc[0]).mask(same, 0.0)
    return table.rename_axis("scored with")


def _scores(
    pair: np.ndarray,
    shave: int,
    peak: float = PEAK,
    window: np.ndarray = GAUSSIAN,
    sample: bool = False,
) -> tuple[float, float]:
    x, y = _shaved(pair, shave)
    _check_size(x, shave, len(window))
    return _psnr(x, y, peak), float(_ssim_map(x, y, peak, window, sample).mean())


def _psnr(x: np.ndarray, y: np.ndarray, peak: float = PEAK) -> float:
    error = float(np.mean((x - y) ** 2))
    return float(10 * np.log10(peak**2 / error)) if error else float("inf")


def _ssim_map(
    x: np.ndarray,
    y: np.ndarray,
    peak: float = PEAK,
    window: np.ndarray = GAUSSIAN,
    sample: bool = False,
) -> np.ndarray:
    """SSIM of every window, (C, H, W) → (C, H − P + 1, W − P + 1) with P = len(window).

    Eq. 13 needs σx² and σy² only as their sum, so four filtered planes do instead of five.
    `sample` divides the (co)variances by n − 1 instead of n, as scikit-image does by default.
    """
    if len(x) > 1:  # scipy lets other threads run, so the channels take little longer than one
        with ThreadPoolExecutor(len(x)) as pool:
            maps = pool.map(
                lambda c: _ssim_map(x[c : c + 1], y[c : c + 1], peak, window, sample), range(len(x))
            )
            return np.concatenate(list(maps))
    c1 = (K1 * peak) ** 2
    c2 = (K2 * peak) ** 2
    planes = np.stack([x, y, x * x + y * y, x * y])
    mean_x, mean_y, squares, products = _window_means(planes, window)
    n = len(window) ** 2
    unbiased = n / (n - 1) if sample else 1.0
    variances = unbiased * (squares - mean_x**2 - mean_y**2)  # σx² + σy²
    covariance = unbiased * (products - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2 * covariance + c2) / (variances + c2)


def _window_means(planes: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Weighted mean of every window that lies inside: (…, H, W) → (…, H − P + 1, W − P + 1)."""
    k = len(window) // 2
    # along the rows, then, transposed, along the columns: twice as fast as filtering down
    for _ in range(2):
        planes = correlate1d(planes, window, axis=-1)[..., k:-k]
        planes = np.ascontiguousarray(planes.swapaxes(-1, -2))
    return planes


def _pair(
    a: np.ndarray, b: np.ndarray, shave: int, channel: str, smallest: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Both images as float64 (C, H, W) on the 0–255 scale, C 1 or 3, checked and without their
    borders."""
    _check_pair(a, b)
    shave = checked("shave", shave, Pixels)
    if channel not in ("y", "rgb"):
        raise HatlibError(f"channel is '{channel}'; it can be 'y' or 'rgb'")
    x, y = (_shaved(_channels(image, channel), shave) for image in (a, b))
    _check_size(x, shave, smallest)
    return x, y


def _channels(image: np.ndarray, channel: str) -> np.ndarray:
    """Float64 (C, H, W) on the 0–255 scale: luma, or RGB."""
    if channel == "y" or image.ndim == 2:
        return to_planes(luma(image))
    return to_planes(image).astype(np.float64) * (PEAK / white(image.dtype))


def _shaved(planes: np.ndarray, shave: int) -> np.ndarray:
    if shave < 0:
        raise HatlibError(f"shave is a number of pixels, 0 or more, got {shave}")
    height, width = planes.shape[-2:]
    return planes[..., shave : max(shave, height - shave), shave : max(shave, width - shave)]


def _check_size(planes: np.ndarray, shave: int, smallest: int) -> None:
    height, width = planes.shape[-2:]
    if min(height, width) < smallest:
        raise HatlibError(
            f"at least {smallest}×{smallest} pixels are needed, got {height}×{width} "
            f"after {shave} were shaved off each border"
        )


def _check_pair(a: np.ndarray, b: np.ndarray) -> None:
    for image in (a, b):
        check_image(image, sixteen_bits=True)
    if a.shape != b.shape:
        raise HatlibError(f"two images of the same shape are needed, got {a.shape} and {b.shape}")
    if white(a.dtype) != white(b.dtype):
        raise HatlibError(
            f"both have to be uint8 (0 to 255), both uint16 (0 to 65535) or both float (0 to 1), "
            f"got {a.dtype} and {b.dtype}"
        )
