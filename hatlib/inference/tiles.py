"""Tiles: cut from an image, computed with a halo, blended into the result."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch

from hatlib.errors import HatlibError
from hatlib.imaging.convert import quantised, to_tensor
from hatlib.models import Network
from hatlib.system import devices

# tiles that need no report
FEW = 3


@dataclasses.dataclass(frozen=True)
class Span:
    """What a tile is along one side of the image, in LR pixels."""

    seen: slice  # what the network is given
    kept: slice  # what of its result is used
    end: int  # where the next tile's begins to be used: what lies before needs nothing more
    weights: torch.Tensor  # (s·kept,): where two tiles overlap, their weights sum to 1

    def inside(self, scale: int) -> slice:
        """Where in the network's result for `seen` stands what is kept, in SR pixels."""
        start = self.kept.start - self.seen.start
        stop = self.kept.stop - self.seen.start
        return slice(scale * start, scale * stop)


def spans(length: int, side: int, halo: int, fade: int, scale: int) -> list[Span]:
    """Cuts a side of the image into tiles.

    Args:
        length: of the image's side, in LR pixels.
        side: of the tiles.
        halo: pixels that are computed around a tile.
        fade: pixels on both sides of a cut over which two tiles fade into each other. Needs 2·fade
            ≤ side, so that no three tiles overlap.
        scale: s.
    """
    result = []
    for start in range(0, length, side):
        stop = min(start + side, length)
        kept = slice(max(start - fade, 0), min(stop + fade, length))
        seen = slice(max(start - halo, 0), min(stop + halo, length))
        # centres of the SR pixels, in LR pixels
        centres = (torch.arange(scale * kept.start, scale * kept.stop) + 0.5) / scale
        weights = torch.ones_like(centres)
        if fade and start > 0:
            weights *= ((centres - (start - fade)) / (2 * fade)).clamp(0, 1)
        if fade and stop < length:
            weights *= ((stop + fade - centres) / (2 * fade)).clamp(0, 1)
        end = stop - fade if stop < length else length
        result.append(Span(seen, kept, end, weights))
    return result


def fill(
    result: np.ndarray,
    model: Network,
    run: Callable[[torch.Tensor], torch.Tensor],
    image: np.ndarray,
    side: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Writes the upscaled image into `result`, tile by tile in reading order.

    Args:
        result: (s·H, s·W, 3) or (s·H, s·W); its type is that of the pixels.
        run: what the network computes, LR (1, C, h, w) → SR (1, C, s·h, s·w).
        image: (H, W, 3) or (H, W).
        side: of the tiles, in LR pixels.
        progress: called as progress(done, total) after each tile, if there are more than a few.
    """
    scale = model.scale
    # where nothing beyond the halo matters tiles agree, and there is nothing to hide
    fade = 0 if model.local else min(model.halo, side) // 2
    rows, columns = (spans(length, side, model.halo, fade, scale) for length in image.shape[:2])
    total = len(rows) * len(columns)
    done = 0
    # A tile is finished but for what it shares with the next one to the right and with the row
    # below. That is carried over, in SR pixels: `left` (C, rows, columns) within a row of tiles,
    # `above` (C, rows, s·W) from one row of tiles to the next.
    channels = 1 if image.ndim == 2 else 3
    above = torch.zeros(channels, 0, result.shape[1])
    for row in rows:
        height = scale * (row.end - row.kept.start)  # of what this row of tiles finishes
        below = torch.zeros(channels, len(row.weights) - height, result.shape[1])
        left = torch.zeros(channels, len(row.weights), 0)
        for column in columns:
            lr = to_tensor(image[row.seen, column.seen]).to(device)  # (1, C, h, w)
            sr = run(lr)[0]  # (C, s·h, s·w)
            part = sr[:, row.inside(scale), column.inside(scale)].float().cpu()
            part = part * column.weights
            part *= row.weights[:, None]
            # the tile to the left has left its share
            part[:, :, : left.shape[2]] += left
            width = scale * (column.end - column.kept.start)
            left = part[:, :, width:].clone()
            part = part[:, :, :width]
            # and so has the row above; what the row below shares waits for it
            place = slice(scale * column.kept.start, scale * column.end)
            part[:, : above.shape[1]] += above[:, :, place]
            below[:, :, place] = part[:, height:]
            finished = pixels(part[:, :height], result.dtype)
            result[scale * row.kept.start : scale * row.end, place] = finished
            done += 1
            if progress and total > FEW:
                progress(done, total)
        above = below


def pixels(planes: torch.Tensor, dtype: np.dtype) -> np.ndarray:
    """Float (C, H, W) → (H, W, C) or (H, W) of that type; HatlibError where it is not finite."""
    if not torch.isfinite(planes).all():
        raise HatlibError(
            "the network's result is not finite (NaN or infinity); if fp32 gives that too, the "
            "weights are damaged"
        )
    return quantised(planes, dtype)


def empty_result(model: Network, image: np.ndarray) -> np.ndarray:
    """An array for the result, of the image's type, or float32 for any float: (s·H, s·W, …)."""
    height, width = (model.scale * side for side in image.shape[:2])
    floating = np.issubdtype(image.dtype, np.floating)
    result = f"the result, {width}×{height} pixels,"
    kind = np.dtype(np.float32 if floating else image.dtype)
    shape = (height, width, *image.shape[2:])
    # before the network runs: what cannot be stored need not be computed
    devices.require_memory(math.prod(shape) * kind.itemsize, result)
    return np.empty(shape, kind)
