"""Between uint8 images (H, W, 3), planes and tensors (N, 3, H, W); luma, rounding, cropping."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hatlib.errors import HatlibError

# ITU-R BT.601: luma of R, G, B in [0, 1], before the studio range 16–235 is applied.
LUMA = (0.299, 0.587, 0.114)


# The same with the studio range folded in, as MATLAB's rgb2ycbcr rounds it; Y = 16 + these · (R, G,
# B in [0, 1]).
STUDIO_LUMA = (65.481, 128.553, 24.966)


def check_image(image: object) -> None:
    """Raises HatlibError unless `image` is an array (H, W, 3) or (H, W) with at least one pixel,
    uint8 or float."""
    if not isinstance(image, np.ndarray):
        raise HatlibError(
            f"an image is a numpy array here, got {type(image).__name__}; see hatlib.imaging.convert.to_image"
        )
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or image.size == 0:
        raise HatlibError(f"an image has the shape (H, W, 3) or (H, W), got {image.shape}")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise HatlibError(f"an image is uint8 (0 to 255) or float (0 to 1), got {image.dtype}")


def to_tensor(image: np.ndarray, device: torch.device | str | None = None) -> torch.Tensor:
    """uint8 (H, W, 3) or (H, W) → float32 (1, 3, H, W) or (1, 1, H, W) in [0, 1]. Float images keep
    their values."""
    check_image(image)
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    tensor = torch.from_numpy(np.ascontiguousarray(planes))[None].to(device or "cpu")
    return tensor.float() / 255 if image.dtype == np.uint8 else tensor.float()


def to_image(tensor: torch.Tensor) -> np.ndarray:
    """Float (1, C, H, W) or (C, H, W) in [0, 1], C 3 or 1 → uint8 (H, W, 3) or (H, W): clamped,
    then rounded.

    Raises:
        HatlibError: another shape, or values that are not finite.
    """
    planes = tensor.detach()[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor.detach()
    if planes.ndim != 3 or planes.shape[0] not in (1, 3):
        raise HatlibError(
            f"one image of 1 or 3 channels was expected, got a tensor of shape {tuple(tensor.shape)}"
        )
    if not torch.isfinite(planes).all():
        raise HatlibError("the image has values that are not finite (NaN or infinity)")
    pixels = round_to_uint8(planes.float() * 255).permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def round_to_uint8(values: Any) -> Any:
    """Rounds half up (as MATLAB does, unlike numpy's round) and clips to 0–255; numpy array or
    tensor, as given."""
    if isinstance(values, torch.Tensor):
        return torch.floor(values + 0.5).clamp(0, 255).to(torch.uint8)
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def luma(image: np.ndarray, full_range: bool = False) -> np.ndarray:
    """BT.601 luma Y of an RGB image, on the 0–255 scale, not rounded; a one-channel image is taken
    as it is.

    Args:
        image: uint8 in 0–255 or float in [0, 1], (H, W, 3) or (H, W).
        full_range: False gives the studio range 16–235 (MATLAB's rgb2ycbcr, and every
            super-resolution table); True the full range 0–255 (JPEG, Pillow, OpenCV).
    Returns:
        float64 (H, W).
    """
    check_image(image)
    values = image.astype(np.float64) / 255 if image.dtype == np.uint8 else image.astype(np.float64)
    if values.ndim == 2:
        return values * 255
    return values @ (255 * np.array(LUMA)) if full_range else values @ np.array(STUDIO_LUMA) + 16


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Cuts rows at the bottom and columns at the right so that both sides are multiples of `scale`.

    Raises:
        HatlibError: the image is smaller than `scale`.
    """
    height, width = image.shape[:2]
    if min(height, width) < scale:
        raise HatlibError(
            f"scale {scale} needs an image of at least {scale}×{scale} pixels, got {height}×{width}"
        )
    return image[: height - height % scale, : width - width % scale]
