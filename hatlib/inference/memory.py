"""How large a tile may be, and what to do when memory runs out."""

from __future__ import annotations

import logging
import math

import numpy as np
import torch

from hatlib.errors import HatlibError
from hatlib.models import Network
from hatlib.system import devices

# LR pixels that a network is given at once, at most, unless told otherwise
LARGE = 512 * 512

# side of a tile below which nothing is gained: the halo is most of the work
SMALLEST = 16

# Bytes per LR pixel, measured at ×4 and rounded up. On a CPU, where the networks work in strips,
# DRCT needs most and HAT two thirds of it. On a GPU they do not; HAT needs most, 13,300 and in
# bfloat16 8,200, as the fused attention keeps no scores. Where they are kept ("elsewhere": the
# readable arithmetic with 42,000, other devices, networks from elsewhere), they are most of it.
BYTES_PER_PIXEL = {"cpu": 16_000, "cuda": 16_000, "cuda half": 10_000, "elsewhere": 48_000}

# SRCNN, and interpolation all the more, need less
BYTES_PER_PIXEL_LOCAL = 16_000

# Python with torch and what `hatlib upscale` imports, in bytes
STARTED = 600e6

# parts of messages that mean it: of CUDA and MPS, the CPU's allocator, the system, cuBLAS, cuDNN
OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "HOST_ALLOCATION_FAILED",  # CUDNN_STATUS_INTERNAL_ERROR_… of cuDNN 9
    "DEVICE_ALLOCATION_FAILED",
    # torch tries all of cuDNN's ways, and says this when there was no workspace for any
    "unable to find an engine",
    # oneDNN, which computes convolutions on CPUs, when it finds no room for one
    "could not create a primitive",
)

# of the image before: (H, W, …)
_last_shape: tuple[int, ...] | None = None

log = logging.getLogger(__name__)


def check_tile(tile: int | None) -> None:
    """Raises HatlibError for a side of tiles that cannot be, or is so small that next to all of the
    work is computing the halo again."""
    if tile is not None and (tile < 0 or 0 < tile < SMALLEST):
        raise HatlibError(
            f"tile is {tile}; it is a number of LR pixels from {SMALLEST} up (smaller tiles are "
            "mostly halo, which each computes again), or 0 for no tiles"
        )


def first_side(
    model: Network,
    image: np.ndarray,
    tile: int | None,
    device: torch.device,
    precision: str = "fp32",
) -> int:
    """Side of the tiles to begin with, in LR pixels, a multiple of the network's windows.

    Args:
        image: (H, W, …).
        tile: the side that is wanted; 0 for the whole image, None for what memory allows.
        precision: fp32, tf32, bf16 or fp16.
    """
    if tile is None:
        return whole_windows(model, tile_side(model, image, device, precision))
    return whole_windows(model, tile or max(image.shape[:2]))


def bytes_per_pixel(model: Network, device: torch.device, precision: str = "fp32") -> int:
    """Bytes that a network needs per LR pixel, roughly."""
    if model.local:
        return BYTES_PER_PIXEL_LOCAL
    if device.type == "cpu":
        return BYTES_PER_PIXEL["cpu"]
    fused = [module.fused for module in model.modules() if hasattr(module, "fused")]
    if device.type != "cuda" or not fused or not all(fused):
        return BYTES_PER_PIXEL["elsewhere"]
    return BYTES_PER_PIXEL["cuda half" if precision in ("bf16", "fp16") else "cuda"]


def tile_side(
    model: Network, image: np.ndarray, device: torch.device, precision: str = "fp32"
) -> int:
    """Side of the tiles in LR pixels: the image's longer side where it fits whole, else as the
    memory at hand allows."""
    each = bytes_per_pixel(model, device, precision)
    # half of the free memory: others want some, and bytes per pixel are a rough measure
    pixels = min(LARGE, devices.free_memory(device) // 2 // each)
    height, width = image.shape[:2]
    if height * width <= pixels:
        return max(height, width)
    # what a tile and its halo hold together has to fit, in whole windows
    unit = math.lcm(SMALLEST, model.padding.multiple)
    return max(unit, (math.isqrt(pixels) - 2 * model.halo) // unit * unit)


def expected(lr_pixels: int, scale: int = 4, bits: int = 8) -> float:
    """Bytes that `hatlib upscale` takes on a CPU at most, roughly: Python and torch, the largest
    tile of the network that needs most, and a result in RGB, twice while its file is written.

    Args:
        bits: per channel, 8 or 16.
    """
    tile = min(lr_pixels, LARGE) * max(BYTES_PER_PIXEL["cpu"], BYTES_PER_PIXEL_LOCAL)
    return STARTED + tile + 2 * lr_pixels * scale**2 * 3 * bits / 8


def release_after(image: np.ndarray) -> None:
    """Gives freed memory back to the system where the size of images changes.

    oneDNN keeps what it prepared for each size, small blocks between which the large freed ones
    lie. They do not fit the next size: without this, 100 images of different sizes took five times
    the memory of one.
    """
    global _last_shape
    if _last_shape not in (None, image.shape):
        devices.release_memory()
    _last_shape = image.shape


def whole_windows(model: Network, side: int) -> int:
    """The next multiple of the network's windows, from `side` up."""
    multiple = model.padding.multiple
    return -(-side // multiple) * multiple


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the CPU, a CUDA GPU or Apple's."""
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in OUT_OF_MEMORY)
    return isinstance(error, MemoryError)


def smaller_side(model: Network, side: int, device: torch.device, reason: str) -> int:
    """Half the side, in whole windows, after memory ran out.

    Raises:
        HatlibError: half would be less than the smallest tile.
    """
    smaller = whole_windows(model, side // 2)
    # rounding up to whole windows may lead back to the same side
    if smaller >= side or smaller < min(SMALLEST, side):
        seen = side + 2 * model.halo
        raise HatlibError(
            f"out of memory on {device.type} even with tiles of {side}×{side} LR pixels "
            f"({seen}×{seen} with their halo): {reason}"
        )
    # torch keeps what was freed in blocks of the old size, which the smaller ones may not fit into
    if device.type == "cuda":
        torch.cuda.empty_cache()
    log.warning("out of memory with tiles of %d LR pixels; trying %d", side, smaller)
    return smaller
