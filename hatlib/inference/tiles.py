"""Tiles: cut from an image, computed with a halo, blended into the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from hatlib.errors import HatlibError
from hatlib.imaging.convert import round_to_uint8
from hatlib.models import Network

FEW = 3  # tiles that need no report


@dataclasses.dataclass(frozen=True)
class Span:
    """What a tile is along one side of the image, in LR pixels."""

    seen: slice  # what the network is given
    kept: slice  # what of its result is used
    end: int  # where the next tile's begins to be used: what lies before needs nothing more
    weights: (
        torch.Tensor
    )  # (s·kept,): how much it counts; where two tiles overlap, their weights sum to 1


def spans(length: int, side: int, halo: int, fade: int, scale: int) -> list[Span]:
    """Cuts a side of the image into tiles of `side` pixels, which fade into each other `fade`
    pixels on both sides of the cut, and are computed with `halo` pixels around them. Needs 2·fade ≤
    side, so that no three tiles overlap."""
    found = []
    for start in range(0, length, side):
        stop = min(start + side, length)
        kept = slice(max(start - fade, 0), min(stop + fade, length))
        seen = slice(max(start - halo, 0), min(stop + halo, length))
        place = (
            torch.arange(scale * kept.start, scale * kept.stop) + 0.5
        ) / scale  # centres of the SR pixels
        weights = torch.ones_like(place)
        if fade and start > 0:
            weights *= ((place - (start - fade)) / (2 * fade)).clamp(0, 1)
        if fade and stop < length:
            weights *= ((stop + fade - place) / (2 * fade)).clamp(0, 1)
        found.append(Span(seen, kept, stop - fade if stop < length else length, weights))
    return found


def _fill(
    result: np.ndarray,
    model: Network,
    run: Callable[[torch.Tensor], torch.Tensor],
    image: np.ndarray,
    side: int,
    where: torch.device,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Writes the enlarged image into `result`, tile by tile in reading order.

    A tile is finished but for what it shares with the next one to the right and with the row below.
    That is carried
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
            result[scale * row.kept.start : scale * row.end, place] = _pixels(
                part[:, :height], result
            )
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
        raise HatlibError(
            f"the result, {width}×{height} pixels, does not fit into memory"
        ) from None


def _planes(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) or (H, W) → float32 (1, 3 or 1, H, W) in [0, 1]."""
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    tensor = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))[None]
    return tensor if np.issubdtype(image.dtype, np.floating) else tensor / np.iinfo(image.dtype).max


def _pixels(planes: torch.Tensor, result: np.ndarray) -> np.ndarray:
    """Float (C, H, W) → (H, W, C) or (H, W) of the type that the result has."""
    if not torch.isfinite(planes).all():
        raise HatlibError(
            "the network's result is not finite (NaN or infinity); if fp32 gives that too, the weights "
            "are damaged"
        )
    values = planes[0] if result.ndim == 2 else planes.permute(1, 2, 0)
    if result.dtype == np.uint8:
        return round_to_uint8(values * 255).numpy()
    if result.dtype == np.uint16:
        return np.floor(values.double().clamp(0, 1).numpy() * 65535 + 0.5)
    return values.numpy()
