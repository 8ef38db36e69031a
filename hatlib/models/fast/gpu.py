"""Attention in large steps, for a GPU: what stands in for the `reference` passes there.

A layer is a shift, one projection, one copy that cuts windows and heads, one attention call, one
copy back, one projection. Two things make that possible:

* Heads are padded to a multiple of 8 channels. torch's fused attention takes no others on GPUs of
  today; without it the scores of all windows are stored, four to seven times the memory.
* The mask of a shifted map goes through two of the padded channels, so that the windows differ in
  nothing else and one bias does for all of them: see `part_tags`.

Letters: N images, H W map, C channels, B windows, w window side, T tokens of a window, S keys of an
overlapping one, h heads, d head size, d′ head size with padding, n of queries, keys and values.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from hatlib.models.fast.bias import position_bias
from hatlib.system.constants import constant

if TYPE_CHECKING:
    from hatlib.models.dat import WindowBranch
    from hatlib.models.window_attention import OverlappingAttention, WindowAttention

Side = tuple[int, int]  # height and width

# What the kernels of fused attention want the channels of a head to be a multiple of.
ALIGNED = 8


# --- layers ---------------------------------------------------------------------------------------


def window_attention(layer: WindowAttention, x: torch.Tensor) -> torch.Tensor:
    """`WindowAttention.reference`: (N, H, W, C) → (N, H, W, C)."""
    window = (layer.window, layer.window)
    shift = (layer.shift, layer.shift)
    x = roll(x, (-layer.shift, -layer.shift))
    qkv = layer.qkv(x).unflatten(-1, (3, layer.heads, -1))  # (N, H, W, 3, h, d)
    x = layer.proj(attend_windows(qkv, window, shift, position_bias(layer, qkv.dtype)))
    return roll(x, shift)


def rectangular_attention(layer: WindowBranch, qkv: torch.Tensor) -> torch.Tensor:
    """`WindowBranch.reference`: (N, H, W, 3, C/2) → (N, H, W, C/2)."""
    down, right = layer.shift
    qkv = roll(qkv, (-down, -right)).unflatten(-1, (layer.heads, -1))  # (N, H, W, 3, h/2, d)
    x = attend_windows(qkv, layer.window, layer.shift, layer.bias().to(qkv.dtype))
    return roll(x, layer.shift)


def attend_windows(
    qkv: torch.Tensor, window: Side, shift: Side, bias: torch.Tensor
) -> torch.Tensor:
    """Attention in the windows of a map that is shifted already: (N, H, W, 3, h, d) → (N, H, W, C).

    Args:
        bias: (1, h, T, T).
    """
    _, rows, columns, _, _, head_dim = qkv.shape
    height, width = window
    # (3, N, H/w, W/w, h, w, w, d), a view
    grid = qkv.unflatten(2, (-1, width)).unflatten(1, (-1, height)).permute(5, 0, 1, 3, 6, 2, 4, 7)
    tags = None
    if any(shift):
        spare = padding(head_dim, needed=2)
        tags = part_tags(rows, columns, window, shift, head_dim, spare, qkv.dtype, qkv.device)
        tags = tags[:, :, None]  # one for all heads
    q, k, v = cut_heads(grid, tags)  # each (B, h, T, d′)
    return merge(attend(q, k, v, bias, head_dim), window, rows, columns)


def overlapping_attention(layer: OverlappingAttention, x: torch.Tensor) -> torch.Tensor:
    """`OverlappingAttention.reference`: (N, H, W, C) → (N, H, W, C)."""
    _, rows, columns, channels = x.shape
    window, side = layer.window, layer.side
    head_dim = channels // layer.heads
    query, key_value = layer.qkv(x).split([channels, 2 * channels], dim=-1)

    query = query.unflatten(2, (-1, window)).unflatten(1, (-1, window))
    grid = query.unflatten(-1, (1, layer.heads, -1)).permute(5, 0, 1, 3, 6, 2, 4, 7)
    (q,) = cut_heads(grid)  # (B, h, T, d′)

    margin = (side - window) // 2
    padded = F.pad(key_value, (0, 0, margin, margin, margin, margin))
    padded = padded.unflatten(-1, (2, layer.heads, -1))
    grid = padded.unfold(1, side, window).unfold(2, side, window)  # (N, H/w, W/w, 2, h, d, …)
    k, v = cut_heads(grid.permute(3, 0, 1, 2, 4, 6, 7, 5))  # (B, h, S, d′)

    attended = attend(q, k, v, position_bias(layer, q.dtype), head_dim)
    return layer.proj(merge(attended, (window, window), rows, columns))


# --- steps ----------------------------------------------------------------------------------------


def roll(x: torch.Tensor, shift: Side) -> torch.Tensor:
    """(N, H, W, …), moved down and to the right, the end coming in at the start."""
    return torch.roll(x, shift, dims=(1, 2)) if any(shift) else x


def padding(head_dim: int, needed: int = 0) -> int:
    """How many channels make a head's size a multiple of 8; at least as many as are needed."""
    return needed + -(head_dim + needed) % ALIGNED


def cut_heads(grid: torch.Tensor, tags: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
    """(n, N, H/w, W/w, h, w, w, d), a view → n of (B, h, T, d′), with one copy.

    Args:
        tags: what stands in the channels that are added, to be expanded to (…, d′ − d); None:
            zeros, as many as a multiple of 8 needs.
    """
    n, images, rows, columns, heads, height, width, head_dim = grid.shape
    if tags is not None:
        grid = torch.cat((grid, tags.expand(*grid.shape[:-1], -1)), dim=-1)
    elif padding(head_dim):
        grid = F.pad(grid, (0, padding(head_dim)))
    windows = images * rows * columns
    return grid.reshape(n, windows, heads, height * width, grid.shape[-1]).unbind(0)


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor, head_dim: int
) -> torch.Tensor:
    """q (B, h, T, d′), k and v (B, h, S, d′), bias (1, h, T, S) → (B, h, T, d)."""
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=head_dim**-0.5)
    return out[..., :head_dim]


def merge(windows: torch.Tensor, window: Side, rows: int, columns: int) -> torch.Tensor:
    """(B, h, T, d) → (N, H, W, C), with one copy."""
    height, width = window
    x = windows.unflatten(2, window).unflatten(0, (-1, rows // height, columns // width))
    return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, rows, columns, x.shape[3] * x.shape[6])


# --- the mask -------------------------------------------------------------------------------------


@constant
def part_tags(
    height: int,
    width: int,
    window: Side,
    shift: Side,
    head_dim: int,
    spare: int,
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor:
    """Which part of a shifted map of H×W each token belongs to: (H/w, W/w, w, w, d′ − d).

    Parts are apart at two cuts, one along either side of the map: what lies before a cut has t in
    the cut's channel, what lies after it −t. Two tokens of one part add 2·t² to their product q·k,
    all tokens of the part the same, which the softmax removes. For two of different parts it is at
    most 0. The difference, 2·t²/√d, is 98 or more: that much falls a token which must not be seen,
    where the papers' mask takes 100 from it. Whole numbers up to 256 are exact in bfloat16, too.

    A window holds two parts only in the last row and the last column, as with the papers' mask.
    """
    tag = math.ceil(7 * head_dim**0.25)  # t
    before_row = torch.arange(height, device=device) < height - shift[0]
    before_column = torch.arange(width, device=device) < width - shift[1]
    rows = (2 * before_row - 1).view(-1, 1, window[0], 1)
    columns = (2 * before_column - 1).view(1, -1, 1, window[1])
    sides = torch.stack(torch.broadcast_tensors(rows, columns), dim=-1)  # (H/w, W/w, w, w, 2)
    return F.pad(tag * sides, (0, spare - 2)).to(dtype)
