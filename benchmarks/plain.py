"""SwinIR and HAT computed step by step as published: what `speed.py` compares with, and what our
tests are equal to.

The map is shifted with a cyclic roll and masked, scores are kept whole, the bias is looked up and
copied for each block and call, overlapping windows are cut with im2col, and feature maps change
between tokens (N, L, C) and images (N, C, H, W) wherever a convolution stands between transformer
layers, each change a copy. Written from the papers (arXiv 2108.10257, 2205.04437) and from what the
published code does; none of its lines are here.

The weights are those of one of our networks: `Plain(network)` gives the same numbers as `network`,
another way.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hatlib.models.hat import HAB, OCAB, HybridBlocks
from hatlib.models.network import RGB_MEAN
from hatlib.models.swinir import WindowNetwork
from hatlib.models.window_attention import (
    BiasedAttention,
    WindowAttention,
    attention_mask,
    overlapping_position_index,
    relative_position_index,
)

Size = tuple[int, int]  # (H, W)

# The environment of a program that does not know hatlib: how long OpenMP's threads look out for
# work is libgomp's own choice, and `hatlib.system.devices.keep_memory` leaves the C library alone.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "300000", "GLIBC_TUNABLES": ""}


class Plain(nn.Module):
    """LR RGB (N, 3, H, W), both sides multiples of the window → SR (N, 3, s·H, s·W)."""

    def __init__(self, network: WindowNetwork):
        super().__init__()
        self.network, self.scale = network, network.scale

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        n, size = self.network, (lr.shape[2], lr.shape[3])
        mean = lr.new_tensor(RGB_MEAN).view(1, 3, 1, 1)
        shallow = n.conv_first(lr - mean)
        window = n.config.window_size
        mask = attention_mask(*size, window, window // 2).to(lr.device)  # (H/w · W/w, T, T)
        x = n.patch_embed["norm"](tokens(shallow))
        for layer in n.layers:
            x = group(layer, x, size, mask)
        deep = n.conv_after_body(image(n.norm(x), size)) + shallow
        return n.reconstruct(deep) + mean


def tokens(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) → (N, H·W, C), a copy."""
    return x.flatten(2).transpose(1, 2).contiguous()


def image(x: torch.Tensor, size: Size) -> torch.Tensor:
    """(N, H·W, C) → (N, C, H, W), a copy."""
    return x.transpose(1, 2).contiguous().view(len(x), -1, *size)


def group(layer: Any, x: torch.Tensor, size: Size, mask: torch.Tensor) -> torch.Tensor:
    """ResidualGroup: blocks, overlapping attention in HAT, a convolution, a sum. x (N, H·W, C) →
    the same shape."""
    y = x
    for block in layer.residual_group.blocks:
        y = swin_block(block, y, size, mask)
    if isinstance(layer.residual_group, HybridBlocks):
        y = overlapping_block(layer.residual_group.overlap_attn, y, size)
    return tokens(layer.conv(image(y, size))) + x


def swin_block(block: Any, x: torch.Tensor, size: Size, mask: torch.Tensor) -> torch.Tensor:
    """SwinBlock or HAB: (shifted) window attention, HAT's convolutions beside it, the MLP. (N, H·W,
    C) → the same."""
    n, length, channels = x.shape
    attention, shift = block.attn, block.attn.shift
    normed = block.norm1(x).view(n, *size, channels)
    shifted = torch.roll(normed, (-shift, -shift), dims=(1, 2)) if shift else normed
    windows = masked_attention(attention, cut(shifted, attention.window), mask if shift else None)
    attended = join(windows, attention.window, size)
    attended = torch.roll(attended, (shift, shift), dims=(1, 2)) if shift else attended
    x = x + attended.view(n, length, channels)
    if isinstance(block, HAB):
        convolved = block.conv_block.cab(normed.permute(0, 3, 1, 2))
        x = (
            x
            + convolved.permute(0, 2, 3, 1).contiguous().view(n, length, channels)
            * block.conv_scale
        )
    return x + block.mlp(block.norm2(x))


def masked_attention(
    layer: WindowAttention, windows: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Attention within windows (B, T, C) → (B, T, C); the mask is (windows of an image, T, T)."""
    q, k, v = heads(layer.qkv(windows), 3, layer.heads)  # each (B, h, T, d)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (B, h, T, T)
    scores = scores + bias(layer, relative_position_index(layer.window, layer.window, layer.window))
    if mask is not None:
        by_image = scores.view(-1, len(mask), *scores.shape[1:])  # (N, H/w · W/w, h, T, T)
        scores = (by_image + mask.unsqueeze(1).unsqueeze(0)).view(scores.shape)
    weighted = (scores.softmax(dim=-1) @ v).transpose(1, 2)  # (B, T, h, d)
    return layer.proj(weighted.reshape(windows.shape))


def overlapping_block(block: OCAB, x: torch.Tensor, size: Size) -> torch.Tensor:
    """Overlapping cross-attention, then the MLP. x (N, H·W, C) → the same shape."""
    n, length, channels = x.shape
    margin = (block.side - block.window) // 2
    qkv = (
        block.qkv(block.norm1(x)).view(n, *size, 3, channels).permute(3, 0, 4, 1, 2)
    )  # (3, N, C, H, W)
    queries = cut(qkv[0].permute(0, 2, 3, 1), block.window)  # (B, T, C)
    key_values = torch.cat((qkv[1], qkv[2]), dim=1)  # (N, 2C, H, W)
    columns = F.unfold(
        key_values, block.side, stride=block.window, padding=margin
    )  # (N, 2C·S, H/w · W/w)
    columns = columns.view(n, 2, channels, block.side**2, -1).permute(
        1, 0, 4, 3, 2
    )  # (2, N, H/w · W/w, S, C)
    k, v = (heads(part.reshape(-1, block.side**2, channels), 1, block.heads)[0] for part in columns)
    (q,) = heads(queries, 1, block.heads)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (B, h, T, S)
    scores = scores + bias(block, overlapping_position_index(block.window, block.side))
    weighted = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(queries.shape)
    attended = join(weighted, block.window, size).view(n, length, channels)
    x = block.proj(attended) + x
    return x + block.mlp(block.norm2(x))


def bias(layer: BiasedAttention, index: torch.Tensor) -> torch.Tensor:
    """The relative position bias for an index (T, S): (1, h, T, S), a copy."""
    rows = layer.relative_position_bias_table[
        index.flatten().to(layer.relative_position_bias_table.device)
    ]
    return rows.view(*index.shape, -1).permute(2, 0, 1).contiguous().unsqueeze(0)


def heads(x: torch.Tensor, parts: int, count: int) -> torch.Tensor:
    """(B, T, n·C) → (n, B, h, T, d), a view."""
    return x.reshape(*x.shape[:2], parts, count, -1).permute(2, 0, 3, 1, 4)


def cut(x: torch.Tensor, window: int) -> torch.Tensor:
    """(N, H, W, C) → (B, T, C), a copy."""
    n, height, width, channels = x.shape
    x = x.reshape(n, height // window, window, width // window, window, channels)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, window**2, channels)


def join(windows: torch.Tensor, window: int, size: Size) -> torch.Tensor:
    """(B, T, C) → (N, H, W, C), a copy: undoes `cut`."""
    height, width = size
    x = windows.view(-1, height // window, width // window, window, window, windows.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, height, width, windows.shape[-1])
