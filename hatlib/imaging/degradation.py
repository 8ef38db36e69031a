"""From HR to LR: the classical model y = (x ⊗ k)↓s + n, and the messier chain that real pictures go
through.

The classical model is Elad & Feuer's, "Restoration of a single superresolution image from several
blurred, noisy, and undersampled measured images" (1997), for a single image: blur with a kernel k,
keep one pixel out of every s×s, add white Gaussian noise. MATLAB's bicubic is one case of it
(`bicubic_kernel`). The second half of the module is the other things that happen to a photo, in
random order and more than once, after Zhang et al., "Designing a practical degradation model for
deep blind image super-resolution" (BSRGAN, arXiv 2103.14006), and Wang et al., "Real-ESRGAN" (arXiv
2107.10833).

Images are numpy (H, W) or (H, W, C), or torch tensors (…, H, W) on any device; uint8, or float in
[0, 1]. What goes in comes out: uint8 is rounded and clipped at the end, floats are neither. All of
it is computed in float64 (float32 on MPS, which has no other) and random numbers are drawn by
numpy, so every device gives the same picture. Sigmas of noise are in grey levels of the 0–255
scale, whatever the dtype. Taught in notebook 01.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from hatlib.errors import HatlibError, unknown
from hatlib.imaging.convert import check_image, from_planes, round_to_uint8, to_planes
from hatlib.imaging.resize import Array, border_indices, cubic, imresize
from hatlib.system import devices
from hatlib.validation import AnyNumber, Natural, Number, Size, Whole, checked

Rng = np.random.Generator | int | None  # a generator, a seed, or None for a fresh one

# side of the largest kernel, in taps: a Gaussian with σ 128. Its memory and time grow with the
# square
LARGEST_KERNEL = 1025

# grey levels added before rounding: devices differ by less in the last bits, so that exact halves
# round up on all of them
TIE = 1e-6


# --- kernels --------------------------------------------------------------------------------------
# float64 numpy (kh, kw), sum 1, applied as true convolutions with the centre tap at index K//2


def gaussian_kernel(
    sigma: float, sigma_y: float | None = None, angle: float = 0.0, size: int | None = None
) -> np.ndarray:
    """A Gaussian blur kernel, round or elongated.

    Args:
        sigma: standard deviation in HR pixels along the direction `angle`; 0 does not blur.
        sigma_y: the same across it; as `sigma` when None.
        angle: degrees, counter-clockwise from the horizontal.
        size: side of the kernel; by default odd and four sigmas to each side. An even size puts the
            centre between two pixels, half a pixel after tap K//2: where bicubic has it for an even
            scale.
    Raises:
        HatlibError: a sigma that is negative or not finite, a size below 1, a kernel of more than
            1025×1025 taps (σ 128).
    """
    sigmas = (
        checked("sigma", sigma, AnyNumber),
        checked("sigma_y", sigma if sigma_y is None else sigma_y, AnyNumber),
    )
    angle = checked("angle", angle, Number)
    size = checked("size", size, Whole | None)
    if not all(math.isfinite(v) and v >= 0 for v in sigmas):
        raise HatlibError(
            f"the sigmas of a Gaussian are numbers from 0 up, got {sigmas[0]} and {sigmas[1]}"
        )
    size = 2 * math.ceil(4 * max(sigmas)) + 1 if size is None else size
    if size < 1:
        raise HatlibError(f"a kernel has at least 1×1 taps, got size {size}")
    _check_taps(size, f"sigma {max(sigmas):g}")
    along, across = _rotated(np.arange(size) - (size - 1) / 2, angle)
    # a sigma of 0 would divide by 0; one of 0.01 pixels is as narrow as the grid can tell
    widths = [max(value, 0.01) for value in sigmas]
    kernel = np.exp(-0.5 * ((along / widths[0]) ** 2 + (across / widths[1]) ** 2))
    if kernel.sum() == 0:
        raise HatlibError(
            f"sigma {min(sigmas)} is too narrow for an even size ({size}): no tap lies near the "
            f"centre"
        )
    return kernel / kernel.sum()


def _check_taps(side: int, reason: str) -> None:
    if side > LARGEST_KERNEL:
        raise HatlibError(
            f"{reason} gives a kernel of {side:.6g}×{side:.6g} taps; the largest has "
            f"{LARGEST_KERNEL}×{LARGEST_KERNEL}"
        )


def _rotated(offset: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a direction, (K, K) each; rows count downwards, angles
    counter-clockwise."""
    y = -offset[:, None]
    x = offset[None, :]
    cos = math.cos(math.radians(angle))
    sin = math.sin(math.radians(angle))
    return x * cos + y * sin, y * cos - x * sin


def motion_kernel(length: float, angle: float = 0.0) -> np.ndarray:
    """The blur of a straight, even movement during the exposure.

    Args:
        length: of the path in HR pixels; 0 does not blur.
        angle: degrees, counter-clockwise from the horizontal.
    Returns:
        An odd square kernel: points along the path, each shared out among the four nearest taps.
    """
    length = checked("length", length, AnyNumber)
    angle = checked("angle", angle, Number)
    if not (math.isfinite(length) and length >= 0):
        raise HatlibError(f"the length of a motion kernel is a number from 0 up, got {length}")
    radius = math.ceil(length / 2)
    _check_taps(2 * radius + 1, f"length {length:g}")
    path = np.linspace(-length / 2, length / 2, 16 * radius + 1)
    x = path * math.cos(math.radians(angle))
    y = -path * math.sin(math.radians(angle))
    # each point counts for the taps less than a pixel away, the more the nearer: (K, points)
    taps = np.arange(-radius, radius + 1)[:, None]
    near_x = np.clip(1 - np.abs(taps - x), 0, None)
    near_y = np.clip(1 - np.abs(taps - y), 0, None)
    kernel = near_y @ near_x.T  # (K, K)
    return kernel / kernel.sum()


def bicubic_kernel(scale: int) -> np.ndarray:
    """The k of MATLAB's bicubic: with it, blurring and keeping each s-th pixel is imresize(x, 1/s),
    borders included.

    Keys' cubic, stretched s times and sampled at the distances between the pixels and the centre of
    an s×s block. It is 4s taps wide for an even scale, where the centre lies between two pixels,
    and 4s − 1 for an odd one.
    """
    check_scale(scale)
    taps = 4 * scale - scale % 2
    _check_taps(taps, f"scale {scale}")
    line = cubic((np.arange(taps) - (taps - 1) / 2) / scale)
    return np.outer(line, line) / line.sum() ** 2


# --- the classical model --------------------------------------------------------------------------


def degrade(
    image: Array,
    kernel: np.ndarray | None = None,
    scale: int = 4,
    noise_sigma: float = 0.0,
    rng: Rng = None,
    phase: int | None = None,
    border: str = "symmetric",
) -> Array:
    """The classical degradation y = (x ⊗ k)↓s + n (Elad & Feuer 1997).

    Args:
        image: HR, numpy (H, W) or (H, W, C), or torch (…, H, W); uint8, or float in [0, 1].
        kernel: k, (kh, kw) with sum 1; None is MATLAB's bicubic, which on uint8 rounds after each
            of its two passes.
        scale: s, a whole number from 1 up.
        noise_sigma: standard deviation of n in grey levels of the 0–255 scale (a float image gets
            sigma/255).
        rng: where the noise comes from: a numpy generator, a seed, or None for a different one each
            time.
        phase: which pixel of each s×s block is kept, 0 … s−1 from its top left; by default
            (s−1)//2, which for an odd s is the middle one. The bicubic of kernel=None has that one
            built in.
        border: what lies outside the image, as in `hatlib.imaging.resize.imresize`.
    Returns:
        LR of ceil(H/s)×ceil(W/s) pixels, of the kind and dtype of `image`. uint8 is rounded half up
        and clipped; floats are not clipped. Differentiable for float tensors.
    Raises:
        HatlibError: a kernel that is not finite or does not sum to 1, an image smaller than the
            scale or not finite, a phase outside 0 … s−1, a negative noise_sigma.
    """
    check_scale(scale)
    planes = float_planes(image, scale)
    _check_noise("noise_sigma", noise_sigma)
    middle = (scale - 1) // 2
    phase = middle if phase is None else phase
    if phase not in range(scale):
        raise HatlibError(
            f"phase {phase} is outside 0 … {scale - 1}, the pixels of a block at scale {scale}"
        )
    if kernel is None and phase != middle:
        raise HatlibError(
            f"bicubic has phase {middle} built in; for phase {phase} give "
            f"kernel=bicubic_kernel({scale})"
        )
    if kernel is None:
        lr = float_planes(imresize(image, 1 / scale, border=border))
    else:
        lr = convolve(planes, _checked(kernel), scale, int(phase), border)
    return _like(_with_noise(lr, noise_sigma, image, rng), image)


def convolve(
    planes: torch.Tensor,
    kernel: np.ndarray,
    scale: int = 1,
    phase: int = 0,
    border: str = "symmetric",
) -> torch.Tensor:
    """(x ⊗ k)↓s of float planes (…, H, W): y[i, j] = Σ k[m, n] · x[p + kh//2 − m, q + kw//2 − n], p
    = s·i + phase.

    Computed with the FFT, whose time hardly depends on the size or the form of the kernel.
    """
    small = [-(-n // scale) for n in planes.shape[-2:]]
    for axis, taps in ((-2, kernel.shape[0]), (-1, kernel.shape[1])):
        n = planes.shape[axis]
        # the last pixel that is kept; it may lie past the edge
        last = scale * (small[axis] - 1) + phase
        before = taps - 1 - taps // 2
        after = last + taps // 2 + 1
        # the FFT is slow where the length has a large prime factor
        after += -(before + after) % 16
        inside = torch.from_numpy(border_indices(np.arange(-before, after), n, border))
        planes = planes.index_select(axis, inside.to(planes.device))
    height, width = planes.shape[-2:]
    response = torch.fft.rfft2(torch.from_numpy(kernel).to(planes), s=(height, width))
    spectrum = torch.fft.rfft2(planes) * response
    # the FFT is periodic: the first kh − 1 rows and kw − 1 columns mix both ends of the image and
    # are dropped
    top, left = (taps - 1 + phase for taps in kernel.shape)
    rows, columns = (scale * (n - 1) + 1 for n in small)
    lines = torch.fft.ifft(spectrum, dim=-2)[..., top : top + rows : scale, :]
    return torch.fft.irfft(lines, n=width)[..., left : left + columns : scale]


def _with_noise(planes: torch.Tensor, sigma: float, image: Any, rng: Rng) -> torch.Tensor:
    if sigma == 0:
        return planes
    noise = generator(rng).standard_normal(tuple(planes.shape))
    return planes + torch.from_numpy(noise).to(planes) * (sigma / _level(image))


# --- what cameras and the web do besides ----------------------------------------------------------
# each is a step of its own; `hatlib.imaging.real_world` strings them together


def blur(image: Array, sigma: float, sigma_y: float | None = None, angle: float = 0.0) -> Array:
    """Blurs with a Gaussian kernel (the lens) and keeps every pixel; arguments as in
    `gaussian_kernel`."""
    return degrade(image, gaussian_kernel(sigma, sigma_y, angle), scale=1)


def sensor_noise(image: Array, gain: float = 0.5, read: float = 2.0, rng: Rng = None) -> Array:
    """Noise of a sensor, which grows with the light: variance = gain · signal + read², in grey
    levels of 0–255.

    Light arrives as electrons, whose number is Poisson distributed; reading them out adds Gaussian
    noise (Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image
    raw-data", 2008).

    Args:
        gain: grey levels per electron; the higher the ISO setting, the higher the gain. 0 is no
            photon noise.
        read: standard deviation of the read-out, in grey levels.
    Raises:
        HatlibError: gain or read negative or not finite.
    """
    _check_noise("gain", gain)
    _check_noise("read", read)
    rng = generator(rng)
    signal = float_planes(image) * _level(image)
    if gain > 0:
        electrons = (signal.detach() / gain).clamp(min=0).cpu().numpy()
        signal = torch.from_numpy(rng.poisson(electrons) * gain).to(signal)
    return _like(_with_noise(signal / _level(image), read, image, rng), image)


def sharpen(image: Array, amount: float = 1.0, sigma: float = 1.5) -> Array:
    """Unsharp mask: x + amount · (x − Gaussian blur of x). What a camera calls sharpness; it leaves
    halos."""
    _check_noise("amount", amount)
    planes = float_planes(image)
    return _like(planes + amount * (planes - convolve(planes, gaussian_kernel(sigma))), image)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG and back (Pillow's encoder: 8×8 blocks, colour at half resolution).

    Args:
        image: numpy (H, W, 3) or (H, W); a float image is rounded to 8 bits on the way.
        quality: 1 (worst) to 100.
    """
    check_image(image)
    if quality not in range(1, 101):
        raise HatlibError(f"the JPEG quality is a whole number from 1 to 100, got {quality}")
    buffer = io.BytesIO()
    Image.fromarray(round_to_uint8(image * _level(image))).save(
        buffer, format="jpeg", quality=int(quality)
    )
    decoded = np.asarray(Image.open(buffer))
    return decoded if image.dtype == np.uint8 else (decoded / 255).astype(image.dtype)


RESIZE_METHODS = ("bicubic", "bilinear", "area", "nearest-exact")


def resize(image: Array, size: tuple[int, int], method: str = "bicubic") -> Array:
    """Resizing as other software does it: torch's bicubic or bilinear with antialiasing, area
    averages, or nearest."""
    if method not in RESIZE_METHODS:
        raise unknown("resize method", method, RESIZE_METHODS)
    size = checked("size", size, Size)
    if min(size) < 1:
        raise HatlibError(f"the output has at least 1×1 pixels, got size {size}")
    planes = float_planes(image)
    height, width = size
    needed = math.prod(planes.shape[:-2]) * height * width * planes.element_size()
    devices.require_memory(needed, f"an image of {width}×{height} pixels")
    batch = planes.reshape(-1, 1, *planes.shape[-2:])
    small = F.interpolate(
        batch, size=size, mode=method, antialias=method in ("bicubic", "bilinear")
    )
    return _like(small.reshape(*planes.shape[:-2], *size), image)


# What programs call "bicubic" when they downsample: name → in words, for a protocol.
DOWNSAMPLERS = {
    "matlab": "MATLAB bicubic, uint8",
    "float": "MATLAB bicubic, rounded once",
    "pil": "Pillow bicubic",
    "torch-antialias": "torch bicubic with antialias",
    "torch": "torch bicubic as it is, without antialias",
}


def downsample(
    image: np.ndarray, scale: int = 4, method: str = "matlab", border: str = "symmetric"
) -> np.ndarray:
    """LR of an image as various programs make it, all of them by "bicubic".

    The kernels differ (torch without antialias has Keys' cubic with a = −0.75, four pixels wide at
    any scale; the others have a = −0.5, stretched by the scale), and so do the borders and the
    rounding. Taught in notebook 10.

    Args:
        image: uint8 (H, W, 3) or (H, W), sides multiples of the scale.
        method: one of DOWNSAMPLERS. "float" is how BasicSR's Python code does it: both passes in
            floats, rounded at the end.
        border: of MATLAB's, as in `hatlib.imaging.resize.imresize`.
    Returns:
        uint8 (H/s, W/s, 3) or (H/s, W/s).
    """
    if method not in DOWNSAMPLERS:
        raise unknown("way to make LR", method, DOWNSAMPLERS)
    size = (image.shape[0] // scale, image.shape[1] // scale)
    if method == "matlab":
        return imresize(image, 1 / scale, border=border)
    if method == "float":
        return round_to_uint8(imresize(image.astype(np.float64), 1 / scale, border=border))
    if method == "pil":
        return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))
    if method == "torch-antialias":
        return resize(image, size)
    planes = float_planes(image)
    batch = planes.reshape(-1, 1, *planes.shape[-2:])
    return _like(
        F.interpolate(batch, size=size, mode="bicubic").reshape(*planes.shape[:-2], *size), image
    )


def generator(rng: Rng) -> np.random.Generator:
    """The generator of random numbers that a seed stands for.

    Raises:
        HatlibError: something else than a generator, a seed from 0 up, or None.
    """
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    return np.random.default_rng(checked("rng", rng, Natural))


# --- forms of images, and checks ------------------------------------------------------------------


def float_planes(image: Any, at_least: int = 1) -> torch.Tensor:
    """The values of an image as float64 planes (…, H, W) on its device; not rescaled."""
    if isinstance(image, np.ndarray) and image.ndim in (2, 3):
        planes = torch.from_numpy(np.ascontiguousarray(to_planes(image)))
        planes = planes[0] if image.ndim == 2 else planes
    elif isinstance(image, torch.Tensor) and image.ndim >= 2:
        planes = image
    else:
        shape = f"{type(image).__name__} of shape {tuple(getattr(image, 'shape', ()))}"
        raise HatlibError(f"an image is numpy (H, W[, C]) or torch (…, H, W), got a {shape}")
    if not (planes.dtype == torch.uint8 or planes.is_floating_point()):
        raise HatlibError(f"an image is uint8 (0 to 255) or float (0 to 1), got {image.dtype}")
    height, width = planes.shape[-2:]
    if min(height, width) < at_least or planes.numel() == 0:
        raise HatlibError(
            f"scale {at_least} needs an image of at least {at_least}×{at_least}, "
            f"got {height}×{width}"
        )
    if planes.is_floating_point() and not torch.isfinite(planes).all():
        raise HatlibError("the image has values that are not finite (NaN or infinity)")
    return planes.to(torch.float32 if planes.device.type == "mps" else torch.float64)


def _like(planes: torch.Tensor, image: Any) -> Any:
    """Planes in the form of `image`: numpy or torch, its dtype; uint8 is rounded and clipped."""
    if isinstance(image, torch.Tensor):
        exact = image.dtype != torch.uint8
        return planes.to(image.dtype) if exact else round_to_uint8(planes + TIE)
    array = from_planes(planes.numpy())
    return round_to_uint8(array + TIE) if image.dtype == np.uint8 else array.astype(image.dtype)


def _level(image: Any) -> float:
    """How many grey levels of the 0–255 scale a value of 1 stands for."""
    return 1.0 if image.dtype in (np.uint8, torch.uint8) else 255.0


def check_scale(scale: int) -> None:
    if isinstance(scale, bool) or not isinstance(scale, (int, np.integer)) or scale < 1:
        raise HatlibError(f"the scale of a degradation is a whole number from 1 up, got {scale}")


def _check_noise(name: str, value: float) -> None:
    value = checked(name, value, AnyNumber)
    if not (math.isfinite(value) and value >= 0):
        raise HatlibError(f"{name} is a number from 0 up, got {value}")


def _checked(kernel: Any) -> np.ndarray:
    """The kernel as float64, if it is one."""
    try:
        taps = np.asarray(kernel)
        real = taps.dtype.kind in "fiu"
    except ValueError:  # rows of different lengths
        real = False
    if not real:
        raise HatlibError("a kernel is an array of real numbers of the shape (kh, kw)")
    taps = np.ascontiguousarray(taps, dtype=np.float64)
    if taps.ndim != 2 or taps.size == 0:
        raise HatlibError(f"a kernel has the shape (kh, kw), got {taps.shape}")
    if not np.isfinite(taps).all():
        raise HatlibError("the kernel has values that are not finite (NaN or infinity)")
    if abs(taps.sum() - 1) > 1e-6:
        raise HatlibError(
            f"the kernel sums to {taps.sum():.6g}; it has to sum to 1 to keep the brightness "
            f"(divide it by its sum)"
        )
    return taps
