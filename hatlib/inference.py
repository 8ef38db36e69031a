"""Any image through a network: whole, or in tiles when it is large; in the precision that suits the network.

The memory that this takes beside the result depends on the tile, not on the image: tiles are cut from the image as it
is, and written into the result as they are finished.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from hatlib import runtime
from hatlib.errors import HatlibError, unknown
from hatlib.images import Picture, check_image, round_to_uint8
from hatlib.models import Network
from hatlib.models.base import ColourNetwork
from hatlib.models.interpolation import Bicubic
from hatlib.models.swinir import WindowNetwork

PRECISIONS = {"auto": None, "fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
LARGE = 512 * 512  # LR pixels that a network is given at once, at most, unless told otherwise
SMALLEST = 16  # side of a tile below which nothing is gained: the halo is most of the work
# Measured at ×4 in float32, rounded up. DRCT needs most, HAT two thirds of it; a CPU works in strips, a GPU does not.
BYTES_PER_PIXEL = {"cpu": 16_000, "elsewhere": 48_000}
BYTES_PER_PIXEL_EXACT = 16_000  # SRCNN, and interpolation all the more, need less
FEW = 3  # tiles that need no report

log = logging.getLogger(__name__)


@torch.inference_mode()
def upscale(model: Network, image: np.ndarray, tile: int | None = None, precision: str = "auto",
            ensemble: bool = False, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
    """Enlarges an image by the network's scale, on the device where the network is.

    An image that fits is padded as the network's published results were measured. In a larger one each tile is
    computed with the network's halo around it. Where nothing beyond the halo matters (`model.exact`), tiles give what
    the whole image gives; elsewhere neighbouring tiles fade into each other over the width of the halo.

    Args:
        model: a network of `hatlib.models`, in eval mode.
        image: (H, W, 3) or (H, W), any size from 1×1: uint8, uint16, or float in [0, 1].
        tile: side of the square tiles in LR pixels, rounded up to whole windows; None decides by the image's size and
            the memory at hand, 0 takes the image whole. If memory runs out, half of it is tried, and said.
        precision: "fp32", "bf16", "fp16" (not for networks with attention) or "auto": bfloat16 where that is faster
            (see `runtime.fast_bfloat16`), but float32 for SRCNN and interpolation, whose time it is not worth.
        ensemble: the mean over the eight flips and transposes of each tile: a little better, eight times slower.
        progress: called as progress(done, total) after each tile; not called if there are few.
    Returns:
        (s·H, s·W, 3), or (s·H, s·W) for a gray image. Of uint8 and uint16, the same type, clamped and rounded; of
        float, float32 as the network gave it.
    Raises:
        HatlibError: another kind of image, an unknown or unsuitable precision, a negative tile, a result that is not
            finite, not enough memory for the smallest tile.
    """
    wide = isinstance(image, np.ndarray) and image.dtype == np.uint16  # the only place that takes those
    check_image(image.view(np.float16) if wide else image)
    if tile is not None and tile < 0:
        raise HatlibError(f"tile is {tile}; it is a number of LR pixels, or 0 for no tiles")
    where = next((p.device for p in model.parameters()), torch.device("cpu"))
    dtype = arithmetic(model, precision, where)
    run = _ensemble(model) if ensemble else _padded(model)
    side = _whole_windows(model, max(image.shape[:2]) if tile == 0 else tile or tile_side(model, image, where))
    result = _empty_result(model, image)
    while True:
        try:
            with _mixed(model, where, dtype):
                _fill(result, model, run, image, side, where, progress)
            return result
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
        side = _next_side(model, min(side, max(image.shape[:2])), where, reason)


def enlarge_picture(model: Network, picture: Picture, **options: object) -> Picture:
    """The same for a picture from a file: alpha is enlarged apart (bicubic), and the colour profile is kept.

    Args:
        options: passed to `upscale`.
    """
    pixels = upscale(model, picture.pixels, **options)  # type: ignore[arg-type]
    alpha = None if picture.alpha is None else upscale(Bicubic(model.scale), picture.alpha)
    return dataclasses.replace(picture, pixels=pixels, alpha=alpha)


# --- tiles ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Span:
    """What a tile is along one side of the image, in LR pixels."""

    seen: slice  # what the network is given
    kept: slice  # what of its result is used
    end: int  # where the next tile's begins to be used: what lies before needs nothing more
    weights: torch.Tensor  # (s·kept,): how much it counts; where two tiles overlap, their weights sum to 1


def spans(length: int, side: int, halo: int, fade: int, scale: int) -> list[Span]:
    """Cuts a side of the image into tiles of `side` pixels, which fade into each other `fade` pixels on both sides of
    the cut, and are computed with `halo` pixels around them. Needs 2·fade ≤ side, so that no three tiles overlap."""
    found = []
    for start in range(0, length, side):
        stop = min(start + side, length)
        kept = slice(max(start - fade, 0), min(stop + fade, length))
        seen = slice(max(start - halo, 0), min(stop + halo, length))
        place = (torch.arange(scale * kept.start, scale * kept.stop) + 0.5) / scale  # centres of the SR pixels
        weights = torch.ones_like(place)
        if fade and start > 0:
            weights *= ((place - (start - fade)) / (2 * fade)).clamp(0, 1)
        if fade and stop < length:
            weights *= ((stop + fade - place) / (2 * fade)).clamp(0, 1)
        found.append(Span(seen, kept, stop - fade if stop < length else length, weights))
    return found


def _fill(result: np.ndarray, model: Network, run: Callable[[torch.Tensor], torch.Tensor], image: np.ndarray,
          side: int, where: torch.device, progress: Callable[[int, int], None] | None) -> None:
    """Writes the enlarged image into `result`, tile by tile in reading order.

    A tile is finished but for what it shares with the next one to the right and with the row below. That is carried
    over: `left` is the one, `above` and `below` the other, (C, rows, columns) of SR pixels.
    """
    scale, halo = model.scale, model.halo
    fade = 0 if model.exact else min(halo, side) // 2
    rows, columns = (spans(length, side, halo, fade, scale) for length in image.shape[:2])
    total, channels = len(rows) * len(columns), 1 if image.ndim == 2 else 3
    above = torch.zeros(channels, 0, result.shape[1])
    for i, row in enumerate(rows):
        height = scale * (row.end - row.kept.start)
        below = torch.zeros(channels, len(row.weights) - height, result.shape[1])
        left = torch.zeros(channels, len(row.weights), 0)
        for j, column in enumerate(columns):
            sr = run(_planes(image[row.seen, column.seen]).to(where))[0]
            part = sr[:, _inside(row, scale), _inside(column, scale)].float().cpu() * column.weights
            part *= row.weights[:, None]
            part[:, :, : left.shape[2]] += left
            width = scale * (column.end - column.kept.start)
            part, left = part[:, :, :width], part[:, :, width:].clone()
            place = slice(scale * column.kept.start, scale * column.end)
            part[:, : above.shape[1]] += above[:, :, place]
            below[:, :, place] = part[:, height:]
            result[scale * row.kept.start : scale * row.end, place] = _pixels(part[:, :height], result)
            if progress and total > FEW:
                progress(i * len(columns) + j + 1, total)
        above = below


def _inside(span: Span, scale: int) -> slice:
    """Where in the network's result for what a tile has seen stands what is kept."""
    return _times(slice(span.kept.start - span.seen.start, span.kept.stop - span.seen.start), scale)


def _times(pixels: slice, scale: int) -> slice:
    return slice(pixels.start * scale, pixels.stop * scale)


def _empty_result(model: Network, image: np.ndarray) -> np.ndarray:
    height, width = (model.scale * side for side in image.shape[:2])
    kind = image.dtype if image.dtype in (np.uint8, np.uint16) else np.float32
    try:
        return np.empty((height, width, *image.shape[2:]), kind)
    except MemoryError:
        raise HatlibError(f"the result, {width}×{height} pixels, does not fit into memory") from None


def _planes(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) or (H, W) → float32 (1, 3 or 1, H, W) in [0, 1]."""
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    tensor = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))[None]
    return tensor if np.issubdtype(image.dtype, np.floating) else tensor / np.iinfo(image.dtype).max


def _pixels(planes: torch.Tensor, result: np.ndarray) -> np.ndarray:
    """Float (C, H, W) → (H, W, C) or (H, W) of the type that the result has."""
    if not torch.isfinite(planes).all():
        raise HatlibError("the network's result is not finite (NaN or infinity); if fp32 gives that too, the weights "
                          "are damaged")
    values = planes[0] if result.ndim == 2 else planes.permute(1, 2, 0)
    if result.dtype == np.uint8:
        return round_to_uint8(values * 255).numpy()
    if result.dtype == np.uint16:
        return np.floor(values.double().clamp(0, 1).numpy() * 65535 + 0.5)
    return values.numpy()


# --- what the network is given ----------------------------------------------------------------------------------------


def _padded(model: Network) -> Callable[[torch.Tensor], torch.Tensor]:
    """LR (1, C, h, w) of any size → SR (1, C, s·h, s·w), padded as the network's published results were measured."""

    def run(lr: torch.Tensor) -> torch.Tensor:
        height, width = (model.scale * side for side in lr.shape[2:])
        return model(model.padding(lr))[..., :height, :width]

    return run


def _ensemble(model: Network) -> Callable[[torch.Tensor], torch.Tensor]:
    """The mean over eight flips and transposes (Timofte et al., "Seven ways to improve example-based single image
    super resolution", arXiv 1511.02228, §3.4)."""
    one = _padded(model)

    def run(lr: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor | None = None
        for flips in ((), (2,), (3,), (2, 3)):
            for transposed in (False, True):
                turned = lr.flip(flips)
                sr = one(turned.transpose(2, 3) if transposed else turned).float()
                back = (sr.transpose(2, 3) if transposed else sr).flip(flips)
                total = back if total is None else total + back
        assert total is not None
        return total / 8

    return run


# --- precision --------------------------------------------------------------------------------------------------------


def arithmetic(model: Network, precision: str, where: torch.device) -> torch.dtype | None:
    """What the network computes in, beside float32: bfloat16, float16, or None for float32 alone.

    Raises:
        HatlibError: an unknown precision, or one that the network can't be run in.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "fp16" and isinstance(model, WindowNetwork):
        raise HatlibError("fp16 is refused for networks with window attention: their activations exceed 65504, the "
                          "largest number that float16 has, and the picture becomes black; bf16 is as fast")
    if precision == "auto" and isinstance(model, ColourNetwork) and runtime.fast_bfloat16(where):
        return torch.bfloat16
    return PRECISIONS[precision]


@contextlib.contextmanager
def _mixed(model: Network, where: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Inside, the network computes in `dtype`, but for the convolutions that work on colours: they stay float32.

    bfloat16 has 8 bits: what is as fine as a pixel's value must not pass through it, what is added to one may. So
    the mean is subtracted and added, and the last convolution makes its sums, in float32.
    """
    if dtype is None:
        yield
        return
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and isinstance(model, ColourNetwork)]
    shuffled = 3 * model.scale**2  # channels: RGB before the pixel shuffle, with which the lightweight networks end
    colours = [m for m in convolutions
               if m.out_channels == 3 or (m is convolutions[-1] and m.out_channels == shuffled)]
    for module in colours:
        module.forward = _in_float32(module.forward, where)  # type: ignore[method-assign]
    try:
        with torch.autocast(where.type, dtype):
            yield
    finally:
        for module in colours:
            vars(module).pop("forward", None)  # the class's own is there again


def _in_float32(forward: Callable[..., torch.Tensor], where: torch.device) -> Callable[..., torch.Tensor]:
    def run(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(where.type, enabled=False):
            return forward(x.float())

    return run


# --- memory -----------------------------------------------------------------------------------------------------------


def tile_side(model: Network, image: np.ndarray, where: torch.device) -> int:
    """Side of the tiles in LR pixels: the image's longer side where it fits whole, else as the memory at hand allows.

    A part of the free memory goes to the network: half, since others want some and the measure is a rough one.
    """
    height, width = image.shape[:2]
    each = BYTES_PER_PIXEL_EXACT if model.exact else BYTES_PER_PIXEL.get(where.type, BYTES_PER_PIXEL["elsewhere"])
    pixels = min(LARGE, runtime.free_memory(where) // 2 // each)
    if height * width <= pixels:
        return max(height, width)
    unit = math.lcm(SMALLEST, model.padding.multiple)
    return max(unit, (math.isqrt(pixels) - 2 * model.halo) // unit * unit)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the CPU, a CUDA GPU or Apple's."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))


def _whole_windows(model: Network, side: int) -> int:
    multiple = model.padding.multiple
    return -(-side // multiple) * multiple


def _next_side(model: Network, side: int, where: torch.device, reason: str) -> int:
    """Half the side, in whole windows; HatlibError where that would be less than the smallest tile."""
    smaller = _whole_windows(model, side // 2)
    if smaller >= side or smaller < min(SMALLEST, side):
        seen = side + 2 * model.halo
        raise HatlibError(f"out of memory on {where.type} even with tiles of {side}×{side} LR pixels ({seen}×{seen} "
                          f"with their halo): {reason}")
    if where.type == "cuda":
        torch.cuda.empty_cache()
    log.warning("out of memory with tiles of %d LR pixels; going on with %d", side, smaller)
    return smaller
