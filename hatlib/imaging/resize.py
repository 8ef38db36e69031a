"""MATLAB's `imresize(…, 'bicubic')`: how every super-resolution benchmark makes its LR images.

The kernel is Keys' cubic with a = −0.5 (Keys, "Cubic convolution interpolation for digital image
processing", 1981). To downsample it is stretched by 1/scale, which removes what would alias. On
uint8 each of the two passes rounds, as MATLAB does, so that the result is equal in every pixel; on
floats nothing is rounded and torch tensors stay differentiable. Taught in notebook 01.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from hatlib.errors import HatlibError
from hatlib.imaging.convert import round_to_uint8
from hatlib.system import devices
from hatlib.system.constants import constant, is_traced
from hatlib.validation import AnyNumber, Size, checked

Array = TypeVar("Array", np.ndarray, torch.Tensor)
MOST_SIDE = 10**7  # pixels of a result's longer side
BORDERS = ("symmetric", "reflect", "replicate")


def cubic(t: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = −0.5; zero from |t| = 2 on (Keys 1981, eq. 15)."""
    t = np.abs(t)
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def border_indices(index: Array, n: int, border: str) -> Array:
    """Which of n samples stands in for each index, inside or outside 0 … n−1.

    "symmetric" mirrors with the edge sample repeated (… 1 0 0 1 …), "reflect" without (… 2 1 0 1 2
    …), both as often as it takes; "replicate" repeats the edge sample. As in numpy.pad, where the
    last is called "edge".
    """
    if border not in BORDERS:
        raise HatlibError(f"border is '{border}'; it can be symmetric, reflect or replicate")
    if border == "replicate":
        return index.clip(0, n - 1)
    edge = 1 if border == "reflect" else 0  # samples at each end that are not repeated
    period = max(1, 2 * (n - edge))
    # index % period, written so that ONNX can have it where n is a symbol
    folded = index - period * (index // period)
    # There and back: the smaller one of `folded` and `back − folded`, in arithmetic that numpy and
    # torch share.
    back = period - 1 + edge
    return (back - abs(2 * folded - back)) // 2


@lru_cache(maxsize=256)
def taps(
    n_in: int, n_out: int, scale: float, border: str, antialias: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """For each output sample, the input samples it is made of and their weights: (n_out, P) int64
    and float64."""
    # with antialiasing the kernel is four samples wide, of the input or the output, whichever are
    # farther apart
    stretch = max(1.0, 1.0 / scale) if antialias else 1.0
    # where the output samples lie among the input's
    centre = (np.arange(n_out) + 0.5) / scale - 0.5
    first = np.floor(centre - 2 * stretch).astype(np.int64)
    index = first[:, None] + np.arange(math.ceil(4 * stretch) + 2)
    weight = cubic((centre[:, None] - index) / stretch)
    used = weight.any(axis=0)
    weight = weight[:, used] / weight.sum(axis=1, keepdims=True)
    return border_indices(index[:, used], n_in, border), weight


def imresize(
    image: Array,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    border: str = "symmetric",
    antialias: bool = True,
) -> Array:
    """Bicubic resizing, equal to MATLAB's imresize.

    Args:
        image: numpy (H, W) or (H, W, C), or a torch tensor (…, H, W) on any device; uint8 or
            floating point.
        scale: output side / input side; the output has ceil(side · scale) samples. Give this or
            `size`.
        size: (height, width) of the output.
        border: what lies outside the image: "symmetric" (MATLAB today), "replicate" (older
            versions; the original LR files of Set5, Set14 and Urban100) or "reflect".
        antialias: whether the kernel is stretched to downsample; False is MATLAB's
            'Antialiasing', false. Upsampling is the same either way.
    Returns:
        The same kind and dtype. uint8 is rounded after each of the two passes; floats are not
        rounded and may leave the input's range by a little (the kernel has negative lobes).
    Raises:
        HatlibError: neither or both of scale and size, sides below 1, an image of another kind.
    """
    if size is None and border == "symmetric" and _is_traced_upsampling(image, scale):
        return _upsample_traced(image, scale)
    ndim = getattr(image, "ndim", 0)
    rows, columns = (0, 1) if isinstance(image, np.ndarray) else (ndim - 2, ndim - 1)
    sides = _check(image, rows, columns)
    targets, scales = _targets(sides, scale, size)
    checked("border", border, str)
    result: Any = image
    # MATLAB starts with the direction that is downsampled most, with rows when both are alike
    for side in sorted((0, 1), key=lambda k: scales[k]):
        axis = (rows, columns)[side]
        spread = (sides[side], targets[side], scales[side], border, antialias)
        result = _resample(result, axis, spread)
    return result


def _resample(image: Any, axis: int, spread: tuple[Any, ...]) -> Any:
    """One pass along one axis: a weighted sum of P shifted copies, one tap at a time to keep memory
    small. `spread` is what `taps` takes."""
    whole_numbers = image.dtype in (np.uint8, torch.uint8)
    if isinstance(image, np.ndarray):
        values = image.astype(np.float64) if whole_numbers else image
        result = _sum_numpy(values, axis, *taps(*spread))
    else:
        # MPS has no float64; there float32 has to do, and a uint8 result may differ by one level
        precise = torch.float32 if image.device.type == "mps" else torch.float64
        values = image.to(precise) if whole_numbers else image
        result = _sum_torch(values, axis, *tensor_taps(spread, values.dtype, values.device))
    return round_to_uint8(result) if whole_numbers else result


@constant
def tensor_taps(
    spread: tuple[Any, ...], dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """`taps` on a device: (P, n_out) int64, and of the image's type."""
    index, weight = (torch.from_numpy(np.ascontiguousarray(x.T)) for x in taps(*spread))
    return index.to(device), weight.to(device, dtype)


def _sum_numpy(x: np.ndarray, axis: int, index: np.ndarray, weight: np.ndarray) -> Any:
    sides = [len(index) if k == axis else 1 for k in range(x.ndim)]
    pairs = zip(weight.T.astype(x.dtype), index.T, strict=True)
    return sum(w.reshape(sides) * np.take(x, i, axis=axis) for w, i in pairs)


def _sum_torch(x: torch.Tensor, axis: int, index: torch.Tensor, weight: torch.Tensor) -> Any:
    sides = [index.shape[1] if k == axis else 1 for k in range(x.ndim)]
    pairs = zip(weight, index, strict=True)
    return sum(w.view(sides) * x.index_select(axis, i) for w, i in pairs)


# --- while torch compiles or exports --------------------------------------------------------------


def _is_traced_upsampling(image: Any, scale: float | None) -> bool:
    """Whether `_upsample_traced` is wanted: where a size is a symbol, its taps can't be listed."""
    if not isinstance(image, torch.Tensor) or scale is None or not is_traced():
        return False
    large = image.ndim > 2 and image.shape[-2] > 1 and image.shape[-1] > 1
    return large and image.is_floating_point() and scale >= 1 and scale == int(scale)


def _upsample_traced(image: Any, scale: Any) -> Any:
    """(…, H, W) → (…, s·H, s·W), as a convolution and a pixel shuffle: the same sums, taken in
    another order."""
    for axis in (-2, -1):
        # two pixels mirrored at each end
        first = image.narrow(axis, 0, 2).flip(axis)
        last = image.narrow(axis, image.shape[axis] - 2, 2).flip(axis)
        image = torch.cat((first, image, last), axis)
    kernels = phase_kernels(int(scale), image.dtype, image.device)  # (s², 1, 5, 5)
    phases = F.conv2d(image.flatten(0, -3)[:, None], kernels)  # (…, s², H, W)
    return F.pixel_shuffle(phases, int(scale))[:, 0].unflatten(0, image.shape[:-2])


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def phase_kernels(scale: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """What each of the s² pixels is made of that one pixel becomes: (s², 1, 5, 5)."""
    side = 5  # of an image whose middle pixel's s² pixels see all of it, and nothing beyond
    index, weight = taps(side, scale * side, float(scale), "replicate")
    lines = np.zeros((scale, side))
    for phase, line in enumerate(lines):
        place = scale * (side // 2) + phase
        np.add.at(line, index[place], weight[place])
    kernels = np.einsum("iy,jx->ijyx", lines, lines).reshape(scale**2, 1, side, side)
    return torch.from_numpy(kernels).to(device, dtype)


def _check(image: Any, rows: int, columns: int) -> tuple[int, int]:
    if isinstance(image, np.ndarray):
        good = image.ndim in (2, 3) and (
            image.dtype == np.uint8 or np.issubdtype(image.dtype, np.floating)
        )
    elif isinstance(image, torch.Tensor):
        good = image.ndim >= 2 and (image.dtype == torch.uint8 or image.is_floating_point())
    else:
        raise HatlibError(
            f"imresize takes a numpy array or a torch tensor, got {type(image).__name__}"
        )
    if not good or 0 in image.shape:
        raise HatlibError(
            f"imresize takes a uint8 or float image, numpy (H, W[, C]) or torch (…, H, W); "
            f"got {image.dtype} of shape {tuple(image.shape)}"
        )
    return image.shape[rows], image.shape[columns]


def _targets(
    sides: tuple[int, int], scale: float | None, size: tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[float, float]]:
    """Output sides and the scale in each direction."""
    if (scale is None) == (size is None):
        raise HatlibError("imresize needs either scale or size")
    if size is not None:
        size = checked("size", size, Size)
        if min(size) < 1:
            raise HatlibError(f"the output has at least 1×1 pixels, got size {size}")
        targets = (int(size[0]), int(size[1]))
        scales = (size[0] / sides[0], size[1] / sides[1])
    else:
        scale = checked("scale", scale, AnyNumber)
        if not (scale > 0 and math.isfinite(scale)):
            raise HatlibError(f"scale is a positive number, got {scale}")
        longest = scale * max(sides)
        # the kernel of a very small scale is much longer than the image
        if not 0.01 <= longest <= MOST_SIDE:
            raise HatlibError(
                f"scale {scale:g} gives a longer side of {longest:.3g} pixels; it can be 0.01 to "
                f"{MOST_SIDE:,}, rounded up"
            )
        targets = (math.ceil(sides[0] * scale), math.ceil(sides[1] * scale))
        scales = (scale, scale)
    height, width = targets
    devices.require_memory(8 * height * width, f"an image of {width}×{height} pixels")
    return targets, scales
