"""How large a tile may be, and what to do when memory runs out."""

from __future__ import annotations

import logging
import math

import numpy as np
import torch

from hatlib.errors import HatlibError
from hatlib.models import Network
from hatlib.system import devices

LARGE = 512 * 512  # LR pixels that a network is given at once, at most, unless told otherwise


SMALLEST = 16  # side of a tile below which nothing is gained: the halo is most of the work


# Measured at ×4 in float32, rounded up. DRCT needs most, HAT two thirds of it; a CPU works in
# strips, a GPU does not.
BYTES_PER_PIXEL = {"cpu": 16_000, "elsewhere": 48_000}


BYTES_PER_PIXEL_EXACT = 16_000  # SRCNN, and interpolation all the more, need less


log = logging.getLogger(__name__)


def tile_side(model: Network, image: np.ndarray, where: torch.device) -> int:
    """Side of the tiles in LR pixels: the image's longer side where it fits whole, else as the
    memory at hand allows.

    A part of the free memory goes to the network: half, since others want some and the measure is a
    rough one.
    """
    height, width = image.shape[:2]
    each = (
        BYTES_PER_PIXEL_EXACT
        if model.exact
        else BYTES_PER_PIXEL.get(where.type, BYTES_PER_PIXEL["elsewhere"])
    )
    pixels = min(LARGE, devices.free_memory(where) // 2 // each)
    if height * width <= pixels:
        return max(height, width)
    unit = math.lcm(SMALLEST, model.padding.multiple)
    return max(unit, (math.isqrt(pixels) - 2 * model.halo) // unit * unit)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the CPU, a CUDA GPU or Apple's."""
    words = (
        "out of memory",
        "not enough memory",
        "can't allocate memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
    )
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(w in str(error) for w in words)
    )


def _whole_windows(model: Network, side: int) -> int:
    multiple = model.padding.multiple
    return -(-side // multiple) * multiple


def _next_side(model: Network, side: int, where: torch.device, reason: str) -> int:
    """Half the side, in whole windows; HatlibError where that would be less than the smallest
    tile."""
    smaller = _whole_windows(model, side // 2)
    if smaller >= side or smaller < min(SMALLEST, side):
        seen = side + 2 * model.halo
        raise HatlibError(
            f"out of memory on {where.type} even with tiles of {side}×{side} LR pixels ({seen}×{seen} "
            f"with their halo): {reason}"
        )
    if where.type == "cuda":
        torch.cuda.empty_cache()
    log.warning("out of memory with tiles of %d LR pixels; going on with %d", side, smaller)
    return smaller
