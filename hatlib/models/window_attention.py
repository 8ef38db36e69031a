"""Window attention: the part that SwinIR, HAT and DRCT share.

Liu et al., "Swin Transformer", arXiv 2103.14030, §3.2 (shifted windows, relative position bias);
the overlapping windows are HAT's (arXiv 2205.04437, §3.2). Taught in notebooks 05 and 08.

Everything is here twice. `spelled_out` follows the papers: shift the map cyclically, cut it into
windows, keep tokens that were no neighbours from seeing each other with a mask of −100, add the
bias, softmax. What the networks use gives the same numbers: the mask says no more than that the
windows at the border of a shifted map are smaller ones, so they are cut as smaller ones, with no
shift, no mask and less to compute; the rest is in `hatlib.models.fast.attention`.

Letters: N images, H W map, C channels, w window side, T = w·w tokens, B windows, h heads, d
channels of a head, S tokens of an overlapping window.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hatlib.errors import HatlibError
from hatlib.models.fast.attention import (
    attention,
    attention_spelled_out,
    grouped_attention,
    roomy,
    wants_gradient,
)
from hatlib.models.layers import strips

MASKED = (
    -100.0
)  # what the published networks add where a token must not look; exp(−100) is 0 in float32


# --- cutting a map into windows -------------------------------------------------------------------


def partition(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N, H, W, C) → (B, T, C): windows of height×width in reading order, T their tokens in reading
    order."""
    images, rows, columns, channels = x.shape
    x = x.view(images, rows // height, height, columns // width, width, channels)
    return x.transpose(2, 3).reshape(-1, height * width, channels)  # one copy


def reverse(
    windows: torch.Tensor, height: int, width: int, rows: int, columns: int
) -> torch.Tensor:
    """(B, T, C) → (N, H, W, C), a view: undoes `partition`."""
    channels = windows.shape[-1]
    x = windows.view(-1, rows // height, columns // width, height, width, channels)
    return x.transpose(2, 3).reshape(-1, rows, columns, channels)


def overlapping_partition(x: torch.Tensor, window: int, side: int) -> torch.Tensor:
    """(N, H, W, C) → (B, S, C): around each window of w×w the larger one of side×side, with zeros
    outside the map."""
    margin = (side - window) // 2
    return cut_overlapping(F.pad(x, (0, 0, margin, margin, margin, margin)), window, side)


def cut_overlapping(x: torch.Tensor, window: int, side: int) -> torch.Tensor:
    """The same for a map that has its margin already."""
    x = x.unfold(1, side, window).unfold(2, side, window)  # (N, H/w, W/w, C, side, side), a view
    return x.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side, x.shape[3])  # one copy


def partition_heads(x: torch.Tensor, window: int, heads: int, n: int) -> torch.Tensor:
    """(N, H, W, n·C) → (n, B, h, T, d), `roomy`, cut into windows and heads with one copy: n is 3
    for q, k and v."""
    images, rows, columns, channels = x.shape
    check_side(rows, window)
    check_side(columns, window)
    x = x.reshape(
        images, rows // window, window, columns // window, window, n, heads, channels // (n * heads)
    )
    x = roomy(x.permute(5, 0, 1, 3, 6, 2, 4, 7))
    return x.reshape(n, -1, heads, window**2, x.shape[-1])


def reverse_heads(windows: torch.Tensor, window: int, rows: int, columns: int) -> torch.Tensor:
    """(B, h, T, d) → (N, H, W, C), one copy."""
    heads, d = windows.shape[1], windows.shape[3]
    x = windows.view(-1, rows // window, columns // window, heads, window, window, d)
    return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, rows, columns, heads * d)


class OverlappingHeads(torch.autograd.Function):
    """(N, H, W, n·C) → (n, B, h, S, d), `roomy`: `overlapping_partition`, cut into heads too.

    Backward, each pixel gets what the windows over it got. Windows that stand apart are added in
    one step.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, window: int, side: int, heads: int, n: int
    ) -> torch.Tensor:
        ctx.sizes = window, side, x.shape
        margin = (side - window) // 2
        padded = F.pad(x, (0, 0, margin, margin, margin, margin)).unflatten(-1, (n, heads, -1))
        windows = padded.unfold(1, side, window).unfold(
            2, side, window
        )  # (N, H/w, W/w, n, h, d, side, side), a view
        windows = roomy(windows.permute(3, 0, 1, 2, 4, 6, 7, 5))
        return windows.reshape(n, -1, heads, side**2, windows.shape[-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        window, side, (images, rows, columns, channels) = ctx.sizes
        n, _, heads, _, _ = gradient.shape
        d = channels // (n * heads)
        margin, apart = (
            (side - window) // 2,
            -(-side // window),
        )  # every so many windows, they no longer overlap
        grid = gradient.view(n, images, rows // window, columns // window, heads, side, side, -1)[
            ..., :d
        ]
        grid = grid.permute(1, 2, 3, 5, 6, 0, 4, 7).reshape(*grid.shape[1:4], side, side, channels)
        padded = gradient.new_zeros(images, rows + 2 * margin, columns + 2 * margin, channels)
        for i in range(min(apart, rows // window)):
            for j in range(min(apart, columns // window)):
                places = padded[:, i * window :, j * window :].unfold(1, side, apart * window)
                places = places.unfold(
                    2, side, apart * window
                )  # (N, H/(a·w), W/(a·w), C, side, side), a view
                places.permute(0, 1, 2, 4, 5, 3).add_(grid[:, i::apart, j::apart])
        return padded[:, margin : margin + rows, margin : margin + columns], None, None, None, None


def check_side(length: int, window: int) -> None:
    """Raises HatlibError where windows would not fill a side."""
    if length % window:
        raise HatlibError(
            f"windows of {window} need sides that are multiples of {window}, got {length}"
        )


def cuts(length: int, window: int, shift: int) -> list[tuple[slice, int]]:
    """Where the windows of a shifted map lie along one side of it: stretches, and the window's side
    in each.

    >>> cuts(32, 8, 4)
    [(slice(0, 4, None), 4), (slice(4, 28, None), 8), (slice(28, 32, None), 4)]
    """
    check_side(length, window)
    last = length - window + shift
    found = [
        (slice(0, shift), shift),
        (slice(shift, last), window),
        (slice(last, length), window - shift),
    ]
    return [(where, side) for where, side in found if where.stop > where.start]


def over_windows(
    function: Callable[[torch.Tensor, int, int], torch.Tensor],
    x: torch.Tensor,
    window: int,
    shift: int,
) -> torch.Tensor:
    """Applies a function to the windows of a map, those at the border of a shifted map being
    smaller.

    Args:
        function: called as function(windows (B, T, C), height, width) with windows of one size,
            strip by strip; returns (B, T, C).
        x: (N, H, W, C), H and W multiples of the window.
        shift: 0, or how far the windows are moved down and to the right (Swin §3.2: half a window).
    Returns:
        (N, H, W, C).
    """
    columns = cuts(x.shape[2], window, shift)
    done = []
    for rows, height in cuts(x.shape[1], window, shift):
        for strip in strips(x[:, rows], height):
            cells = [strip[:, :, where] for where, _ in columns]
            results: dict[int, torch.Tensor] = {}
            for width in {side for _, side in columns}:
                alike = [j for j, (_, side) in enumerate(columns) if side == width]
                windows = [partition(cells[j], height, width) for j in alike]
                made = function(
                    torch.cat(windows) if len(windows) > 1 else windows[0], height, width
                )
                for j, result in zip(
                    alike, made.split([len(part) for part in windows]), strict=True
                ):
                    results[j] = reverse(result, height, width, *cells[j].shape[1:3])
            done.append(
                torch.cat([results[j] for j in range(len(columns))], 2)
                if len(columns) > 1
                else results[0]
            )
    return torch.cat(done, 1) if len(done) > 1 else done[0]


# --- positions ------------------------------------------------------------------------------------


def _constant(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Remembers what `make` returns; made outside inference mode, so that training can use the same
    tensor."""

    @functools.lru_cache(maxsize=64)
    @functools.wraps(make)
    def remembered(*args: Any) -> torch.Tensor:
        with torch.inference_mode(False), torch.device("cpu"):
            return make(*args)

    return remembered


def _grid(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of each token of a window: two of (T,)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return y.flatten(), x.flatten()


@_constant
def relative_position_index(window: int, height: int, width: int) -> torch.Tensor:
    """Which row of the bias table belongs to a query and a key: (T, T), for a window of
    height×width ≤ w×w.

    The table has one row for each of the (2w−1)² offsets between two tokens of a w×w window (Swin
    §3.2). In a smaller window the offsets are among them.
    """
    y, x = _grid(height, width)
    down, right = y[:, None] - y[None, :] + window - 1, x[:, None] - x[None, :] + window - 1
    return down * (2 * window - 1) + right


@_constant
def overlapping_position_index(window: int, side: int) -> torch.Tensor:
    """The same for w×w queries and side×side keys: (T, S), values 0 … (w + side − 1)² − 1.

    HAT's code starts counting at a negative offset (−880 for 16 and 24) and indexes its table from
    the end, as Python allows. The values modulo the table's length are the same rows; starting at 0
    instead would be a cyclic shift of the table, which ruins every published weight.
    """
    (y, x), (key_y, key_x) = _grid(window, window), _grid(side, side)
    start, offsets = window - side + 1, window + side - 1
    down, right = key_y[None, :] - y[:, None] + start, key_x[None, :] - x[:, None] + start
    return (down * offsets + right) % offsets**2


@_constant
def attention_mask(height: int, width: int, window: int, shift: int) -> torch.Tensor:
    """What keeps tokens apart that the cyclic shift of an H×W map has put into one window: (H/w ·
    W/w, T, T)."""
    part = torch.zeros(height, width)
    for _ in range(2):  # rows, then columns
        part = 3 * part.transpose(0, 1)
        part[-window:] += 1
        part[-shift:] += 1
    windows = partition(part.view(1, height, width, 1), window, window)[..., 0]  # (B, T)
    return torch.where(windows[:, :, None] == windows[:, None, :], 0.0, MASKED)


# --- attention with a bias ------------------------------------------------------------------------


class BiasedAttention(nn.Module):
    """Multi-head attention with a relative position bias: what window and overlapping attention
    have in common.

    Args:
        channels: C; each head has d = C/h of them.
        heads: h.
        offsets: rows of the bias table, one for each offset between a query and a key.
    """

    def __init__(self, channels: int, heads: int, offsets: int):
        super().__init__()
        if channels % heads:
            raise HatlibError(f"{channels} channels can't be divided among {heads} heads")
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets, heads))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self._biases: dict[tuple[object, ...], torch.Tensor] = {}

    def bias(self, dtype: torch.dtype, *sizes: int) -> torch.Tensor:
        """The bias (1, h, T, S) for windows of these sizes: looked up at each call while training,
        else once."""
        table = self.relative_position_bias_table
        if torch.is_grad_enabled() and table.requires_grad:
            return self._look_up(self.index(*sizes)).to(dtype)
        state = (table.data_ptr(), 0 if table.is_inference() else table._version, table.device)
        key = (state, dtype, *sizes)
        if key not in self._biases:
            self._biases = {
                k: v for k, v in self._biases.items() if k[0] == state
            }  # other weights, other biases
            with torch.inference_mode(False), torch.no_grad():
                self._biases[key] = self._look_up(self.index(*sizes)).to(dtype)
        return self._biases[key]

    def index(self, *sizes: int) -> torch.Tensor:
        """Which row of the table belongs to each query and key: (T, S)."""
        raise NotImplementedError

    def _look_up(self, index: torch.Tensor) -> torch.Tensor:
        table = self.relative_position_bias_table
        rows = table.index_select(0, index.flatten().to(table.device))  # (T·S, h)
        return rows.view(1, *index.shape, -1).permute(0, 3, 1, 2).contiguous()

    def split(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, n·C) → (n, B, h, T, d), a view: the n of query, key and value, one head after the
        other."""
        n = tokens.shape[-1] // self.proj.in_features
        return tokens.unflatten(-1, (n, self.heads, -1)).permute(2, 0, 3, 1, 4)

    @staticmethod
    def merge(heads: torch.Tensor) -> torch.Tensor:
        """(B, h, T, d) → (B, T, C)."""
        return heads.transpose(1, 2).flatten(2)


class WindowAttention(BiasedAttention):
    """Attention among the tokens of each window: (S)W-MSA (Swin §3.2). (N, H, W, C) → (N, H, W, C).

    Args:
        window: w, its side.
        shift: how far the windows are moved; 0 in every other block, else half a window.
    """

    def __init__(self, channels: int, heads: int, window: int, shift: int):
        super().__init__(channels, heads, (2 * window - 1) ** 2)
        self.window, self.shift = window, shift

    def index(self, *sizes: int) -> torch.Tensor:
        return relative_position_index(self.window, *sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if wants_gradient(x, *self.parameters()):
            return self.with_gradient(x)
        return over_windows(self._attend, x, self.window, self.shift)

    def with_gradient(self, x: torch.Tensor) -> torch.Tensor:
        """As the papers have it, in few and large steps: on small maps, masks cost less than
        windows of four sizes."""
        _, height, width, _ = x.shape
        shifted = torch.roll(x, (-self.shift, -self.shift), dims=(1, 2)) if self.shift else x
        qkv = partition_heads(self.qkv(shifted), self.window, self.heads, 3)
        mask = (
            attention_mask(height, width, self.window, self.shift).to(qkv.dtype)
            if self.shift
            else None
        )
        bias = self.bias(qkv.dtype, self.window, self.window)
        attended = grouped_attention(bias, mask, qkv, d=x.shape[-1] // self.heads)
        attended = self.proj(reverse_heads(attended, self.window, height, width))
        return (
            torch.roll(attended, (self.shift, self.shift), dims=(1, 2)) if self.shift else attended
        )

    def _attend(self, windows: torch.Tensor, height: int, width: int) -> torch.Tensor:
        q, k, v = self.split(self.qkv(windows))  # each (B, h, T, d)
        bias = self.bias(q.dtype, height, width)
        return self.proj(self.merge(attention(q, k, v, bias)))

    def spelled_out(self, x: torch.Tensor) -> torch.Tensor:
        """The same as the papers have it: shift, partition, attend with a mask, reverse, shift
        back."""
        images, height, width, _ = x.shape
        shifted = torch.roll(x, (-self.shift, -self.shift), dims=(1, 2))
        windows = partition(shifted, self.window, self.window)  # (B, T, C)
        q, k, v = self.split(self.qkv(windows))
        bias = self.bias(q.dtype, self.window, self.window)
        if self.shift:
            mask = attention_mask(height, width, self.window, self.shift).to(bias)
            bias = (bias + mask[:, None]).repeat(images, 1, 1, 1)  # (B, h, T, T)
        windows = self.proj(self.merge(attention_spelled_out(q, k, v, bias)))
        shifted = reverse(windows, self.window, self.window, height, width)
        return torch.roll(shifted, (self.shift, self.shift), dims=(1, 2))


class OverlappingAttention(BiasedAttention):
    """Queries from a window, keys and values from a larger one around it: OCA (HAT §3.2). (N, H, W,
    C) → the same.

    Keys and values outside the map are zeros, not the projection of zeros: they are padded after
    the projection.

    Args:
        window: w, the side of the queries' window.
        side: of the keys' window; (1 + γ)·w in the paper.
    """

    def __init__(self, channels: int, heads: int, window: int, side: int):
        super().__init__(channels, heads, (window + side - 1) ** 2)
        self.window, self.side = window, side

    def index(self, *sizes: int) -> torch.Tensor:
        return overlapping_position_index(self.window, self.side)

    def attend(
        self, x: torch.Tensor, core: Callable[..., torch.Tensor] = attention
    ) -> torch.Tensor:
        """(N, H, W, C) → (N, H, W, C); `core` is `attention` or `attention_spelled_out`."""
        _, height, width, channels = x.shape
        sizes, margin, done, top = [channels, 2 * channels], (self.side - self.window) // 2, [], 0
        if core is attention and wants_gradient(x, *self.parameters()):
            query, key_value = self.qkv(x).split(sizes, dim=-1)
            q = partition_heads(query, self.window, self.heads, 1)
            kv = OverlappingHeads.apply(key_value, self.window, self.side, self.heads, 2)
            attended = grouped_attention(self.bias(q.dtype), None, q, kv, d=channels // self.heads)
            return self.proj(reverse_heads(attended, self.window, height, width))
        for rows in (strip.shape[1] for strip in strips(x, self.window)):
            first, last = (
                top - margin,
                top + rows + margin,
            )  # the rows that keys and values come from
            above, below = (
                max(0, -first),
                max(0, last - height),
            )  # those of them that lie outside the map
            query, key_value = self.qkv(x[:, first + above : last - below]).split(sizes, dim=-1)
            query = query[:, margin - above :][:, :rows]
            key_value = F.pad(key_value, (0, 0, margin, margin, above, below))
            (q,) = self.split(partition(query, self.window, self.window))  # (B, h, T, d)
            k, v = self.split(cut_overlapping(key_value, self.window, self.side))  # (B, h, S, d)
            windows = self.proj(self.merge(core(q, k, v, self.bias(q.dtype))))
            done.append(reverse(windows, self.window, self.window, rows, width))
            top += rows
        return torch.cat(done, 1) if len(done) > 1 else done[0]
