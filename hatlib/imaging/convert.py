"""Between images (H, W, 3), planes (C, H, W) and tensors (N, C, H, W); luma, rounding, cropping.

An image is a numpy array (H, W, 3) of RGB, or (H, W) with one channel: uint8 in 0–255, or float in
[0, 1]. Where a docstring says so, also uint16 in 0–65535. Taught in notebook 00.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

from hatlib.errors import HatlibError
from hatlib.system.constants import constant
from hatlib.validation import Count, checked

# ITU-R BT.601: luma of R, G, B in [0, 1], before the studio range 16–235 is applied
LUMA = (0.299, 0.587, 0.114)

# the same with the studio range folded in, as MATLAB's rgb2ycbcr rounds it: with R, G, B in [0, 1],
# Y = 16 + their weighted sum
STUDIO_LUMA = (65.481, 128.553, 24.966)

Values = TypeVar("Values", np.ndarray, torch.Tensor)


def check_image(image: object, sixteen_bits: bool = False) -> None:
    """Raises HatlibError unless `image` is an array (H, W, 3) or (H, W) with at least one pixel,
    uint8, or float that is finite and in [0, 1] or near it (in [−1, 2]).

    Args:
        image: anything.
        sixteen_bits: whether uint16 will do, too.
    """
    if not isinstance(image, np.ndarray):
        raise HatlibError(
            f"an image is a numpy array here, got {type(image).__name__}; see hatlib.to_image"
        )
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or image.size == 0:
        raise HatlibError(f"an image has the shape (H, W, 3) or (H, W), got {image.shape}")
    whole_numbers = image.dtype == np.uint8 or (sixteen_bits and image.dtype == np.uint16)
    if not whole_numbers and not np.issubdtype(image.dtype, np.floating):
        kinds = "uint8 (0 to 255), uint16 (0 to 65535)" if sixteen_bits else "uint8 (0 to 255)"
        raise HatlibError(f"an image is {kinds} or float (0 to 1), got {image.dtype}")
    if not whole_numbers:
        low, high = image.min(), image.max()
        # a network may leave [0, 1] by a little; NaN fails, too
        if not (low >= -1 and high <= 2):
            raise HatlibError(f"float images go from 0 to 1, got values from {low:g} to {high:g}")


def white(dtype: np.dtype[Any] | type[np.generic]) -> float:
    """The value of white in images of a type: 255 for uint8, 65535 for uint16, 1 for floats."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def to_planes(image: np.ndarray) -> np.ndarray:
    """(H, W, C) → (C, H, W), and (H, W) → (1, H, W): a view, the values as they are."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def from_planes(planes: np.ndarray) -> np.ndarray:
    """(C, H, W) → (H, W, C), contiguous, and (H, W) as it is; the values as they are."""
    return planes if planes.ndim == 2 else np.ascontiguousarray(planes.transpose(1, 2, 0))


def to_tensor(image: np.ndarray, device: torch.device | str | None = None) -> torch.Tensor:
    """uint8 or uint16 (H, W, 3) or (H, W) → float32 (1, 3, H, W) or (1, 1, H, W) in [0, 1]. Float
    images keep their values.

    Args:
        image: as above.
        device: where the tensor goes; the CPU by default.
    Raises:
        HatlibError: something else than an image.
    """
    check_image(image, sixteen_bits=True)
    planes = np.ascontiguousarray(to_planes(image), dtype=np.float32)  # (C, H, W)
    tensor = torch.from_numpy(planes)[None].to(device or "cpu")
    return tensor if white(image.dtype) == 1 else tensor / white(image.dtype)


def to_image(tensor: torch.Tensor) -> np.ndarray:
    """Float (1, C, H, W) or (C, H, W) in [0, 1], C 3 or 1 → uint8 (H, W, 3) or (H, W): clamped,
    then rounded.

    Raises:
        HatlibError: another shape, or values that are not finite.
    """
    if not isinstance(tensor, torch.Tensor):
        raise HatlibError(f"a tensor was expected, got {type(tensor).__name__}")
    planes = tensor.detach()[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor.detach()
    if planes.ndim != 3 or planes.shape[0] not in (1, 3):
        raise HatlibError(
            f"one image of 1 or 3 channels was expected, got a tensor of shape "
            f"{tuple(tensor.shape)}"
        )
    if not torch.isfinite(planes).all():
        raise HatlibError("the image has values that are not finite (NaN or infinity)")
    return quantised(planes.float(), np.uint8)


def quantised(planes: torch.Tensor, dtype: np.dtype[Any] | type[np.generic]) -> np.ndarray:
    """Float planes (3, H, W) or (1, H, W) in [0, 1] → an image (H, W, 3) or (H, W) of that type:
    uint8 and uint16 are clamped and rounded, floats are neither."""
    planes = planes[0] if len(planes) == 1 else planes
    if dtype == np.uint8:
        values = round_to_uint8(planes * 255)
    elif dtype == np.uint16:
        # in double precision: a float32 has no bits left for the half that rounding adds; on the
        # CPU, as Apple's GPUs have no double precision
        values = torch.floor(planes.cpu().double().clamp(0, 1) * 65535 + 0.5)
    else:
        values = planes
    return from_planes(values.cpu().numpy()).astype(dtype, copy=False)


def in_floats(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of images of 8 bits or floats that takes 16 bits too, by way of floats."""

    def changed(image: np.ndarray) -> np.ndarray:
        if image.dtype != np.uint16:
            return change(image)
        values = change(image / 65535)
        return np.floor(np.clip(values, 0, 1) * 65535 + 0.5).astype(np.uint16)

    return changed


def round_to_uint8(values: Values) -> Values:
    """Rounds half up (as MATLAB does, unlike numpy's round) and clips to 0–255; numpy array or
    tensor, as given."""
    if isinstance(values, torch.Tensor):
        return torch.floor(values + 0.5).clamp(0, 255).to(torch.uint8)
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def luma(image: np.ndarray, full_range: bool = False) -> np.ndarray:
    """BT.601 luma Y of an RGB image, on the 0–255 scale, not rounded; a one-channel image is taken
    as it is.

    Args:
        image: uint8 in 0–255, uint16 in 0–65535 or float in [0, 1], (H, W, 3) or (H, W).
        full_range: False gives the studio range 16–235 (MATLAB's rgb2ycbcr, and every
            super-resolution table); True the full range 0–255 (JPEG, Pillow, OpenCV).
    Returns:
        float64 (H, W).
    """
    check_image(image, sixteen_bits=True)
    values = image.astype(np.float64) / white(image.dtype)
    if values.ndim == 2:
        return values * 255
    return values @ (255 * np.array(LUMA)) if full_range else values @ np.array(STUDIO_LUMA) + 16


def luma_of_tensor(rgb: torch.Tensor) -> torch.Tensor:
    """Full-range luma of RGB tensors (N, 3, H, W) → (N, 1, H, W), on the scale of the input; (N, 1,
    H, W) is taken as it is. Differentiable."""
    if rgb.shape[1] == 1:
        return rgb
    return (rgb * of_channels(LUMA, rgb.dtype, rgb.device)).sum(dim=1, keepdim=True)


@constant
def of_channels(
    values: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Numbers that belong to the channels of an image, such as a mean colour: (C, 1, 1)."""
    return torch.tensor(values, dtype=dtype, device=device)[:, None, None]


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Cuts rows at the bottom and columns at the right so that both sides are multiples of `scale`.

    Raises:
        HatlibError: the image is smaller than `scale`.
    """
    check_image(image, sixteen_bits=True)
    scale = checked("scale", scale, Count)
    height, width = image.shape[:2]
    if min(height, width) < scale:
        raise HatlibError(
            f"scale {scale} needs an image of at least {scale}×{scale} pixels, got {height}×{width}"
        )
    return image[: height - height % scale, : width - width % scale]
