"""Any image through a network: whole, or in tiles when it is large; in the precision that suits the
network.

The memory that this takes beside the result depends on the tile, not on the image: tiles are cut
from the image as it is, and written into the result as they are finished.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image
from hatlib.imaging.user_files import Picture
from hatlib.inference.memory import _next_side, _whole_windows, out_of_memory, tile_side
from hatlib.inference.precision import _mixed, arithmetic
from hatlib.inference.tiles import _empty_result, _fill
from hatlib.models import Network
from hatlib.models.interpolation import Bicubic


@torch.inference_mode()
def upscale(
    model: Network,
    image: np.ndarray,
    tile: int | None = None,
    precision: str = "auto",
    ensemble: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Enlarges an image by the network's scale, on the device where the network is.

    An image that fits is padded as the network's published results were measured. In a larger one
    each tile is computed with the network's halo around it. Where nothing beyond the halo matters
    (`model.exact`), tiles give what the whole image gives; elsewhere neighbouring tiles fade into
    each other over the width of the halo.

    Args:
        model: a network of `hatlib.models`, in eval mode.
        image: (H, W, 3) or (H, W), any size from 1×1: uint8, uint16, or float in [0, 1].
        tile: side of the square tiles in LR pixels, rounded up to whole windows; None decides by
            the image's size and the memory at hand, 0 takes the image whole. If memory runs out,
            half of it is tried, and said.
        precision: "fp32", "bf16", "fp16" (not for networks with attention) or "auto": bfloat16
            where that is faster (see `runtime.fast_bfloat16`), but float32 for SRCNN and
            interpolation, whose time it is not worth.
        ensemble: the mean over the eight flips and transposes of each tile: a little better, eight
            times slower.
        progress: called as progress(done, total) after each tile; not called if there are few.
    Returns:
        (s·H, s·W, 3), or (s·H, s·W) for a gray image. Of uint8 and uint16, the same type, clamped
        and rounded; of float, float32 as the network gave it.
    Raises:
        HatlibError: another kind of image, an unknown or unsuitable precision, a negative tile, a
            result that is not finite, not enough memory for the smallest tile.
    """
    wide = (
        isinstance(image, np.ndarray) and image.dtype == np.uint16
    )  # the only place that takes those
    check_image(image.view(np.float16) if wide else image)
    if tile is not None and tile < 0:
        raise HatlibError(f"tile is {tile}; it is a number of LR pixels, or 0 for no tiles")
    where = next((p.device for p in model.parameters()), torch.device("cpu"))
    dtype = arithmetic(model, precision, where)
    run = _ensemble(model) if ensemble else _padded(model)
    side = _whole_windows(
        model, max(image.shape[:2]) if tile == 0 else tile or tile_side(model, image, where)
    )
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
    """The same for a picture from a file: alpha is enlarged apart (bicubic), and the colour profile
    is kept.

    Args:
        options: passed to `upscale`.
    """
    pixels = upscale(model, picture.pixels, **options)  # type: ignore[arg-type]
    alpha = None if picture.alpha is None else upscale(Bicubic(model.scale), picture.alpha)
    return dataclasses.replace(picture, pixels=pixels, alpha=alpha)


# --- tiles ----------------------------------------------------------------------------------------


# --- what the network is given --------------------------------------------------------------------


def _padded(model: Network) -> Callable[[torch.Tensor], torch.Tensor]:
    """LR (1, C, h, w) of any size → SR (1, C, s·h, s·w), padded as the network's published results
    were measured."""

    def run(lr: torch.Tensor) -> torch.Tensor:
        height, width = (model.scale * side for side in lr.shape[2:])
        return model(model.padding(lr))[..., :height, :width]

    return run


def _ensemble(model: Network) -> Callable[[torch.Tensor], torch.Tensor]:
    """The mean over eight flips and transposes (Timofte et al., "Seven ways to improve
    example-based single image super resolution", arXiv 1511.02228, §3.4)."""
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


# --- precision ------------------------------------------------------------------------------------


# --- memory ---------------------------------------------------------------------------------------
