"""Window attention: the part that SwinIR, HAT and DRCT share.

Liu et al., "Swin Transformer", arXiv 2103.14030, §3.2 (shifted windows, relative position bias);
the overlapping windows are HAT's (arXiv 2205.04437, §3.2). Taught in notebooks 05 and 08.

The method `reference` of each attention is the paper, line by line. `forward` gives the same
numbers, faster, as long as the attribute `fused` is true: see `hatlib.models.fast`.

Letters: N images, H W map, C channels, w window side, T = w·w tokens, B windows, h heads, d head
size, S keys of an overlapping window.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from hatlib.errors import HatlibError
from hatlib.models import fast
from hatlib.system.constants import constant

# What the released networks add where a token must not look: exp(−100) is 0 in float32.
MASKED = -100.0


# --- cutting a map into windows -------------------------------------------------------------------


def partition(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N, H, W, C) → (B, T, C): windows of height×width in reading order, and so are their T
    tokens."""
    images, rows, columns, channels = x.shape
    x = x.view(images, rows // height, height, columns // width, width, channels)
    return x.transpose(2, 3).reshape(-1, height * width, channels)


def reverse(
    windows: torch.Tensor, height: int, width: int, rows: int, columns: int
) -> torch.Tensor:
    """(B, T, C) → (N, H, W, C): undoes `partition`."""
    channels = windows.shape[-1]
    x = windows.view(-1, rows // height, columns // width, height, width, channels)
    return x.transpose(2, 3).reshape(-1, rows, columns, channels)


def overlapping_partition(x: torch.Tensor, window: int, side: int) -> torch.Tensor:
    """(N, H, W, C) → (B, S, C): around each window of w×w the larger one of side×side, with zeros
    outside the map."""
    margin = (side - window) // 2
    x = F.pad(x, (0, 0, margin, margin, margin, margin))
    x = x.unfold(1, side, window).unfold(2, side, window)  # (N, H/w, W/w, C, side, side)
    return x.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side, x.shape[3])


def check_sides(x: torch.Tensor, window: int) -> None:
    """Raises HatlibError where windows of w×w do not fill a map (N, H, W, C)."""
    for side in x.shape[1:3]:
        if side % window:
            raise HatlibError(
                f"windows of {window} need sides that are multiples of {window}, got {side}"
            )


# --- positions ------------------------------------------------------------------------------------


def grid(side: int, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of each token of a window in reading order: (side·side,) each."""
    steps = torch.arange(side, device=device)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return rows.flatten(), columns.flatten()


@constant
def relative_position_index(window: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Which row of the bias table belongs to a query and a key: (T, T), values 0 … (2w−1)² − 1.

    The table has one row for each of the (2w−1)² offsets between two tokens of a w×w window (Swin
    §3.2).
    """
    y, x = grid(window, device)
    down = y[:, None] - y[None, :] + window - 1
    right = x[:, None] - x[None, :] + window - 1
    return down * (2 * window - 1) + right


@constant
def overlapping_position_index(
    window: int, side: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """The same for w×w queries and side×side keys: (T, S), values 0 … (w + side − 1)² − 1.

    HAT's code starts counting at a negative offset (−880 for 16 and 24) and indexes its table from
    the end, as Python allows. The values modulo the table's length are the same rows; starting at 0
    instead would be a cyclic shift of the table, which ruins every released weight.
    """
    y, x = grid(window, device)
    key_y, key_x = grid(side, device)
    start = window - side + 1
    offsets = window + side - 1
    down = key_y[None, :] - y[:, None] + start
    right = key_x[None, :] - x[:, None] + start
    return (down * offsets + right) % offsets**2


@constant
def attention_mask(
    height: int, width: int, window: int, shift: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """The mask of a shifted map of H×W: (H/w · W/w, T, T), 0 for two tokens of one part of the map,
    `MASKED` for two that only the cyclic shift has put into one window."""
    part = torch.zeros(height, width, device=device)
    # Along each side, the last window holds two parts of the map: rows that were there before, and
    # the `shift` rows that came from the other end. Each of the 3×3 areas gets its own number.
    for _ in range(2):  # rows, then columns
        part = 3 * part.transpose(0, 1)
        part[-window:] += 1
        part[-shift:] += 1
    windows = partition(part.view(1, height, width, 1), window, window)[..., 0]  # (B, T)
    return torch.where(windows[:, :, None] == windows[:, None, :], 0.0, MASKED)


# --- attention with a bias ------------------------------------------------------------------------


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """softmax(q·kᵀ/√d + bias + mask)·v (Swin eq. 4).

    Args:
        q, k, v: (B, h, T, d), and (B, h, S, d) twice.
        bias: (1, h, T, S).
        mask: (windows of an image, T, S), the same for each image.
    Returns:
        (B, h, T, d).
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias  # (B, h, T, S)
    if mask is not None:
        by_image = scores.unflatten(0, (-1, mask.shape[0]))  # (N, H/w · W/w, h, T, S)
        scores = (by_image + mask[:, None]).flatten(0, 1)
    return scores.softmax(dim=-1) @ v


class BiasedAttention(nn.Module):
    """Multi-head attention with a relative position bias: what window and overlapping attention
    have in common.

    Args:
        channels: C; each head has d = C/h of them.
        heads: h.
        window: w, the side of the queries' window.
        offsets: rows of the bias table, one for each offset between a query and a key.
        index: which row of the table belongs to each query and key, (T, S).
    """

    fused = True  # whether `forward` takes the fast way: see `hatlib.models.set_fused`
    index: torch.Tensor

    def __init__(self, channels: int, heads: int, window: int, offsets: int, index: torch.Tensor):
        super().__init__()
        if channels % heads:
            raise HatlibError(f"{channels} channels can't be divided among {heads} heads")
        self.heads = heads
        self.window = window
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets, heads))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        # goes to the device with the weights, and is not stored with them
        self.register_buffer("index", index, persistent=False)

    def bias(self) -> torch.Tensor:
        """The relative position bias, the table's rows by query and key: (1, h, T, S)."""
        rows = self.relative_position_bias_table.index_select(0, self.index.flatten())  # (T·S, h)
        return rows.view(1, *self.index.shape, -1).permute(0, 3, 1, 2).contiguous()

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
        channels, heads, window: C, h and w.
        shift: how far the windows are moved; 0 in every other block, else half a window.
    """

    def __init__(self, channels: int, heads: int, window: int, shift: int):
        index = relative_position_index(window)
        super().__init__(channels, heads, window, (2 * window - 1) ** 2, index)
        self.shift = shift

    def mask(self, height: int, width: int, device: torch.device) -> torch.Tensor | None:
        """`attention_mask` of a map of H×W; None without a shift, which leaves nothing to mask."""
        if not self.shift:
            return None
        return attention_mask(height, width, self.window, self.shift, device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_sides(x, self.window)
        return fast.window_attention(self, x) if self.fused else self.reference(x)

    def reference(self, x: torch.Tensor) -> torch.Tensor:
        """As the paper has it: shift, partition, attend, reverse, shift back."""
        _, height, width, _ = x.shape
        x = torch.roll(x, (-self.shift, -self.shift), dims=(1, 2))
        windows = partition(x, self.window, self.window)  # (B, T, C)
        q, k, v = self.split(self.qkv(windows))  # each (B, h, T, d)
        mask = self.mask(height, width, x.device)  # (H/w · W/w, T, T)
        attended = attention(q, k, v, self.bias(), mask)  # (B, h, T, d)
        windows = self.proj(self.merge(attended))  # (B, T, C)
        x = reverse(windows, self.window, self.window, height, width)
        return torch.roll(x, (self.shift, self.shift), dims=(1, 2))


class OverlappingAttention(BiasedAttention):
    """Queries from a window, keys and values from a larger one around it: OCA (HAT §3.2).
    (N, H, W, C) → (N, H, W, C).

    Args:
        channels, heads, window: C, h and w.
        side: of the keys' window; (1 + γ)·w in the paper.
    """

    def __init__(self, channels: int, heads: int, window: int, side: int):
        index = overlapping_position_index(window, side)
        super().__init__(channels, heads, window, (window + side - 1) ** 2, index)
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_sides(x, self.window)
        return fast.overlapping_attention(self, x) if self.fused else self.reference(x)

    def reference(self, x: torch.Tensor) -> torch.Tensor:
        """As the paper has it: project, cut queries from windows and keys from larger ones,
        attend, reverse."""
        _, height, width, _ = x.shape
        # Projected first and padded then, as released: a key outside the map is zero, not the
        # projection of zero, which would be the bias of the linear layer.
        query, key, value = self.qkv(x).chunk(3, dim=-1)  # each (N, H, W, C)
        (q,) = self.split(partition(query, self.window, self.window))  # (B, h, T, d)
        (k,) = self.split(overlapping_partition(key, self.window, self.side))  # (B, h, S, d)
        (v,) = self.split(overlapping_partition(value, self.window, self.side))
        attended = attention(q, k, v, self.bias())  # (B, h, T, d)
        windows = self.proj(self.merge(attended))  # (B, T, C)
        return reverse(windows, self.window, self.window, height, width)
