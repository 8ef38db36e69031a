"""Any image through a network: whole, or in tiles when it is large."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

from hatlib.errors import HatlibError
from hatlib.images import to_image, to_tensor
from hatlib.models import Network

PRECISIONS = {"auto": None, "fp32": None, "bf16": torch.bfloat16}
LARGE = 512 * 512  # LR pixels from which an image is cut into tiles of TILE×TILE unless told otherwise
TILE = 256


@torch.inference_mode()
def upscale(model: Network, image: np.ndarray, tile: int | None = None, precision: str = "auto") -> np.ndarray:
    """Enlarges an image by the network's scale, on the device where the network is.

    Args:
        model: a network with `.scale` and `.halo` (see `hatlib.models`), in eval mode.
        image: uint8 (H, W, 3) or (H, W), any size from 1×1.
        tile: side of the square tiles in LR pixels; None decides by the image's size, 0 takes the image whole. Each
            tile is computed with the network's halo around it, so that there are no seams.
        precision: "fp32", "bf16", or "auto", which is fp32.
    Returns:
        uint8 (s·H, s·W, 3), or (s·H, s·W) for a gray image.
    Raises:
        HatlibError: an unknown precision, a negative tile, a result that is not finite.
    """
    if precision not in PRECISIONS:
        raise HatlibError(f"precision is '{precision}'; it can be {', '.join(PRECISIONS)}")
    if tile is not None and tile < 0:
        raise HatlibError(f"tile is {tile}; it is a number of LR pixels, or 0 for no tiles")
    height, width = image.shape[:2]
    side = tile or max(height, width)
    if tile is None and height * width > LARGE:
        side = TILE
    where = next((p.device for p in model.parameters()), torch.device("cpu"))
    lr, scale = to_tensor(image), model.scale
    result = np.empty((scale * height, scale * width, *image.shape[2:]), np.uint8)
    with _autocast(where, PRECISIONS[precision]):
        for rows, columns in _tiles(height, width, side):
            sr = _with_halo(model, lr, rows, columns, where)
            result[_times(rows, scale), _times(columns, scale)] = to_image(sr)
    return result


def _tiles(height: int, width: int, side: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield slice(top, min(top + side, height)), slice(left, min(left + side, width))


def _with_halo(model: Network, lr: torch.Tensor, rows: slice, columns: slice, where: torch.device) -> torch.Tensor:
    """The network's result for one tile, computed on the tile with its halo (where the image has one) and cut out."""
    halo, scale = model.halo, model.scale
    top, left = max(rows.start - halo, 0), max(columns.start - halo, 0)
    sr = model(lr[..., top : rows.stop + halo, left : columns.stop + halo].to(where))
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    return sr[..., _times(inside[0], scale), _times(inside[1], scale)]


def _times(pixels: slice, scale: int) -> slice:
    return slice(pixels.start * scale, pixels.stop * scale)


def _autocast(where: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[object]:
    return torch.autocast(where.type, dtype) if dtype else contextlib.nullcontext()
