"""Window attention and overlapping attention, faster: what stands in for the two `reference` passes
of `hatlib.models.window_attention`.

Three ways, by device and by whether gradients are needed:

* CPU with gradients: shift and mask as in the papers, in few large steps (maps are small in
  training), with one copy into heads and one out of them.
* CPU without: no shift and no mask. The mask says no more than that the windows at the border of a
  shifted map are smaller ones, so they are cut as smaller ones, a strip of rows at a time.
* GPU: the map in one piece, see `hatlib.models.fast.gpu`.

Letters: N images, H W map, C channels, w window side, T = w·w tokens, B windows, h heads, d head
size, d′ head size with padding, S keys of an overlapping window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from hatlib.models.fast import gpu
from hatlib.models.fast.attention import (
    chunked_attention,
    fused_attention,
    needs_grad,
    pad_head_dim,
)
from hatlib.models.fast.bias import position_bias
from hatlib.models.fast.device import wants_large_steps
from hatlib.models.fast.rows import row_strips

if TYPE_CHECKING:
    from hatlib.models.dat import WindowBranch
    from hatlib.models.window_attention import OverlappingAttention, WindowAttention


# --- window attention -----------------------------------------------------------------------------


def window_attention(layer: WindowAttention, x: torch.Tensor) -> torch.Tensor:
    """`WindowAttention.reference`: (N, H, W, C) → (N, H, W, C)."""
    if wants_large_steps(x):
        return gpu.window_attention(layer, x)
    if x.device.type == "cpu" and needs_grad(x, *layer.parameters()):
        return masked_windows(layer, x)

    def attend(windows: torch.Tensor, height: int, width: int) -> torch.Tensor:
        q, k, v = layer.split(layer.qkv(windows))  # each (B, h, T, d)
        bias = position_bias(layer, q.dtype, height, width)
        return layer.proj(layer.merge(fused_attention(q, k, v, bias)))

    return map_windows(attend, x, layer.window, layer.shift)


def masked_windows(layer: WindowAttention, x: torch.Tensor) -> torch.Tensor:
    """The same with shift and mask: (N, H, W, C) → (N, H, W, C).

    On the small maps of training, a mask costs less than windows of four sizes.
    """
    _, height, width, channels = x.shape
    shift = layer.shift
    if shift:
        x = torch.roll(x, (-shift, -shift), dims=(1, 2))
    q, k, v = WindowHeads.apply(layer.qkv(x), layer.window, layer.heads, 3)
    bias = position_bias(layer, q.dtype)
    mask = layer.mask(height, width, x.device)
    if mask is not None:
        mask = mask.to(q.dtype)
    attended = chunked_attention(q, k, v, bias, mask, head_dim=channels // layer.heads)
    x = layer.proj(merge_heads(attended, layer.window, height, width))
    return torch.roll(x, (shift, shift), dims=(1, 2)) if shift else x


def rectangular_attention(layer: WindowBranch, qkv: torch.Tensor) -> torch.Tensor:
    """`WindowBranch.reference`: (N, H, W, 3, C/2) → (N, H, W, C/2)."""
    if wants_large_steps(qkv):
        return gpu.rectangular_attention(layer, qkv)
    # windows with masks of one kind go together in the readable pass, too
    return layer.reference(qkv, fused_attention)


# --- overlapping attention ------------------------------------------------------------------------


def overlapping_attention(layer: OverlappingAttention, x: torch.Tensor) -> torch.Tensor:
    """`OverlappingAttention.reference`: (N, H, W, C) → (N, H, W, C)."""
    if wants_large_steps(x):
        return gpu.overlapping_attention(layer, x)
    if x.device.type == "cpu" and needs_grad(x, *layer.parameters()):
        return overlapping_heads(layer, x)
    _, height, width, channels = x.shape
    margin = (layer.side - layer.window) // 2
    parts = []
    top = 0
    for strip in row_strips(x, layer.window):
        rows = strip.shape[1]
        # keys and values come from the strip's rows and the margin's, some of which may lie
        # outside the map
        above = max(0, margin - top)
        below = max(0, top + rows + margin - height)
        part = x[:, top - margin + above : top + rows + margin - below]
        query, key_value = layer.qkv(part).split([channels, 2 * channels], dim=-1)
        query = query[:, margin - above :][:, :rows]
        key_value = F.pad(key_value, (0, 0, margin, margin, above, below))
        (q,) = layer.split(cut_windows(query, layer.window, layer.window))  # (B, h, T, d)
        k, v = layer.split(cut_overlapping(key_value, layer.window, layer.side))  # (B, h, S, d)
        attended = fused_attention(q, k, v, position_bias(layer, q.dtype))
        windows = layer.proj(layer.merge(attended))  # (B, T, C)
        parts.append(join_windows(windows, layer.window, layer.window, rows, width))
        top += rows
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


def overlapping_heads(layer: OverlappingAttention, x: torch.Tensor) -> torch.Tensor:
    """The same with gradients, the map in one piece: (N, H, W, C) → (N, H, W, C)."""
    _, height, width, channels = x.shape
    query, key_value = layer.qkv(x).split([channels, 2 * channels], dim=-1)
    (q,) = WindowHeads.apply(query, layer.window, layer.heads, 1)
    k, v = OverlappingHeads.apply(key_value, layer.window, layer.side, layer.heads, 2)
    bias = position_bias(layer, q.dtype)
    attended = chunked_attention(q, k, v, bias, head_dim=channels // layer.heads)
    return layer.proj(merge_heads(attended, layer.window, height, width))


# --- windows cut at the border --------------------------------------------------------------------


def window_spans(length: int, window: int, shift: int) -> list[tuple[slice, int]]:
    """Where the windows of a shifted map lie along one of its sides: (span, side of its windows).

    >>> window_spans(32, 8, 4)
    [(slice(0, 4, None), 4), (slice(4, 28, None), 8), (slice(28, 32, None), 4)]
    """
    last = length - window + shift
    spans = [
        (slice(0, shift), shift),
        (slice(shift, last), window),
        (slice(last, length), window - shift),
    ]
    return [(span, side) for span, side in spans if span.stop > span.start]


def map_windows(
    function: Callable[[torch.Tensor, int, int], torch.Tensor],
    x: torch.Tensor,
    window: int,
    shift: int,
) -> torch.Tensor:
    """Applies a function to the windows of a map; those at a shifted map's border are smaller.

    Args:
        function: called as function(windows (B, T, C), height, width) with windows of one size,
            strip by strip; gives (B, T, C).
        x: (N, H, W, C), H and W multiples of the window.
        shift: 0, or how far the windows are moved down and to the right (Swin §3.2).
    Returns:
        (N, H, W, C).
    """
    rows = []
    for span, height in window_spans(x.shape[1], window, shift):
        for strip in row_strips(x[:, span], height):
            rows.append(_map_strip(function, strip, height, window, shift))
    return torch.cat(rows, 1) if len(rows) > 1 else rows[0]


def _map_strip(
    function: Callable[[torch.Tensor, int, int], torch.Tensor],
    strip: torch.Tensor,
    height: int,
    window: int,
    shift: int,
) -> torch.Tensor:
    """`map_windows` for rows (N, rows, W, C) whose windows have one height."""
    columns = window_spans(strip.shape[2], window, shift)
    cells = [strip[:, :, span] for span, _ in columns]
    results: dict[int, torch.Tensor] = {}
    # the cells at the left and at the right have windows of one size where the shift is half a
    # window: they go through the function together
    for width in {side for _, side in columns}:
        alike = [j for j, (_, side) in enumerate(columns) if side == width]
        windows = [cut_windows(cells[j], height, width) for j in alike]
        joined = torch.cat(windows) if len(windows) > 1 else windows[0]
        parts = function(joined, height, width).split([len(part) for part in windows])
        for j, part in zip(alike, parts, strict=True):
            results[j] = join_windows(part, height, width, *cells[j].shape[1:3])
    if len(columns) == 1:
        return results[0]
    return torch.cat([results[j] for j in range(len(columns))], 2)


def cut_windows(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N, H, W, C) → (B, T, C): windows of height×width, with one copy."""
    images, rows, columns, channels = x.shape
    x = x.view(images, rows // height, height, columns // width, width, channels)
    return x.transpose(2, 3).reshape(-1, height * width, channels)


def join_windows(
    windows: torch.Tensor, height: int, width: int, rows: int, columns: int
) -> torch.Tensor:
    """(B, T, C) → (N, H, W, C): undoes `cut_windows`."""
    channels = windows.shape[-1]
    x = windows.view(-1, rows // height, columns // width, height, width, channels)
    return x.transpose(2, 3).reshape(-1, rows, columns, channels)


def cut_overlapping(x: torch.Tensor, window: int, side: int) -> torch.Tensor:
    """(N, H + margins, W + margins, C) → (B, S, C): windows of side×side, with one copy."""
    x = x.unfold(1, side, window).unfold(2, side, window)  # (N, H/w, W/w, C, side, side), a view
    return x.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side, x.shape[3])


# --- from a map into heads, and back --------------------------------------------------------------


class WindowHeads(torch.autograd.Function):
    """(N, H, W, n·C) → n of (B, h, T, d′): windows and heads are cut with one copy.

    n is 3 for queries, keys and values. Backward, their gradients are written into one map.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, window: int, heads: int, n: int
    ) -> tuple[torch.Tensor, ...]:
        images, rows, columns, channels = x.shape
        grid = (images, rows // window, window, columns // window, window, n, heads)
        ctx.grid = (*grid, channels // (n * heads))
        x = x.reshape(ctx.grid).permute(5, 0, 1, 3, 6, 2, 4, 7)  # (n, N, H/w, W/w, h, w, w, d)
        x = pad_head_dim(x)
        return x.reshape(n, -1, heads, window**2, x.shape[-1]).unbind(0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        images, rows, window, columns, _, n, heads, head_dim = ctx.grid
        result = gradients[0].new_empty(ctx.grid)
        for i, gradient in enumerate(gradients):
            parts = gradient.reshape(images, rows, columns, heads, window, window, -1)
            parts = parts[..., :head_dim].permute(0, 1, 4, 2, 5, 3, 6)
            result[:, :, :, :, :, i] = parts  # (N, H/w, w, W/w, w, h, d)
        shape = (images, rows * window, columns * window, n * heads * head_dim)
        return result.view(shape), None, None, None


class OverlappingHeads(torch.autograd.Function):
    """(N, H, W, n·C) → n of (B, h, S, d′): around each window the larger one, zeros outside.

    Backward, each pixel gets the sum of what the windows over it got. Windows that do not overlap
    are added in one step.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, window: int, side: int, heads: int, n: int
    ) -> tuple[torch.Tensor, ...]:
        ctx.sizes = (window, side, heads, x.shape)
        margin = (side - window) // 2
        padded = F.pad(x, (0, 0, margin, margin, margin, margin)).unflatten(-1, (n, heads, -1))
        windows = padded.unfold(1, side, window).unfold(2, side, window)
        windows = windows.permute(3, 0, 1, 2, 4, 6, 7, 5)  # (n, N, H/w, W/w, h, side, side, d)
        windows = pad_head_dim(windows)
        return windows.reshape(n, -1, heads, side**2, windows.shape[-1]).unbind(0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        window, side, heads, (images, rows, columns, channels) = ctx.sizes
        n = len(gradients)
        head_dim = channels // (n * heads)
        down = rows // window
        right = columns // window
        grid = gradients[0].new_empty(images, down, right, side, side, n, heads, head_dim)
        for i, gradient in enumerate(gradients):
            parts = gradient.reshape(images, down, right, heads, side, side, -1)[..., :head_dim]
            grid[:, :, :, :, :, i] = parts.permute(0, 1, 2, 4, 5, 3, 6)
        grid = grid.flatten(-3)  # (N, H/w, W/w, side, side, n·C)
        # Every so many windows, they no longer overlap: `stride` rows, or columns, from one to the
        # next. What the last ones reach beyond the map is less than that.
        step = -(-side // window)
        stride = step * window
        padded = grid.new_zeros(images, rows + stride, columns + stride, channels)
        for i in range(min(step, down)):
            for j in range(min(step, right)):
                parts = grid[:, i::step, j::step]  # (N, …, …, side, side, n·C)
                places = padded[:, i * window :, j * window :]
                places = places[:, : parts.shape[1] * stride, : parts.shape[2] * stride]
                # (N, …, …, stride, stride, n·C): a view whose pixels are in memory once. Windows
                # of torch's `unfold` would not do: compiled, only one of them keeps what is added.
                places = places.unflatten(2, (-1, stride)).unflatten(1, (-1, stride))
                places.transpose(2, 3)[:, :, :, :side, :side].add_(parts)
        margin = (side - window) // 2
        inside = padded[:, margin : margin + rows, margin : margin + columns]
        return inside, None, None, None, None


def merge_heads(windows: torch.Tensor, window: int, rows: int, columns: int) -> torch.Tensor:
    """(B, h, T, d) → (N, H, W, C), with one copy."""
    heads, head_dim = windows.shape[1], windows.shape[3]
    x = windows.view(-1, rows // window, columns // window, heads, window, window, head_dim)
    return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, rows, columns, heads * head_dim)
