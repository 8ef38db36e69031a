"""Attention with a bias, three times: as it is written, as torch fuses it, and with a gradient that is fast on a CPU.

softmax(q·kᵀ/√d + bias)·v (Swin, arXiv 2103.14030, eq. 4), where the bias is learned. Taught in notebook 05.

Letters: B windows, h heads, T queries, S keys, d channels of a head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

GROUP = 4 << 20  # bytes of scores that are worked on at a time: about what stays in a core's cache


def attention_spelled_out(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """q (B, h, T, d), k and v (B, h, S, d), bias (1 or B, h, T, S) → (B, h, T, d)."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + bias  # (B, h, T, S)
    return scores.softmax(dim=-1) @ v  # (B, h, T, d)


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The same, by the fastest way at hand; the bias is (1, h, T, S).

    torch's fused attention never holds the scores of all windows. On a CPU it has no gradient for the bias and falls
    back to something slower than the spelled-out version, so `GroupedAttention` takes its place in training.
    """
    if q.device.type == "cpu" and torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v, bias)):
        with torch.autocast("cpu", enabled=False):  # it would take the softmax back to float32
            return GroupedAttention.apply(q, k, v, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


class GroupedAttention(torch.autograd.Function):
    """The spelled-out version over groups of windows that stay in cache, in the precision that it is given.

    Kept for the backward pass are the weights P of the attention. With g the gradient of the result,
    ∂v = Pᵀ·g, ∂scores = P ⊙ (g·vᵀ − row sums of P ⊙ g·vᵀ), ∂q = ∂scores·k/√d, ∂k = ∂scoresᵀ·q/√d, and the gradient of
    the bias is the sum of ∂scores over the windows, made in float32.
    """

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        (windows, heads, queries, d), keys = q.shape, k.shape[2]
        size = max(1, GROUP // (heads * queries * keys * q.element_size()))  # windows in a group
        q, k, v = (x.reshape(windows * heads, -1, d) for x in (q * d**-0.5, k, v))
        weights, out = [], torch.empty_like(q)
        for group in _groups(windows, size, heads):
            scores = torch.bmm(q[group], k[group].transpose(1, 2)).view(-1, heads, queries, keys).add_(bias)
            weights.append(scores.softmax(dim=-1).flatten(0, 1))  # (B'·h, T, S)
            torch.bmm(weights[-1], v[group], out=out[group])
        ctx.save_for_backward(q, k, v, *weights)
        ctx.sizes, ctx.bias_type = (windows, heads, size), bias.dtype
        return out.view(windows, heads, queries, d)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, *weights = ctx.saved_tensors
        windows, heads, size = ctx.sizes
        g = gradient.reshape(q.shape)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        dbias = torch.zeros(heads, q.shape[1], k.shape[1]) if ctx.needs_input_grad[3] else None
        for group, p in zip(_groups(windows, size, heads), weights, strict=True):
            torch.bmm(p.transpose(1, 2), g[group], out=dv[group])
            dweights = torch.bmm(g[group], v[group].transpose(1, 2))
            dscores = torch.ops.aten._softmax_backward_data(dweights, p, -1, p.dtype)  # (B'·h, T, S)
            torch.bmm(dscores, k[group], out=dq[group])
            torch.bmm(dscores.transpose(1, 2), q[group], out=dk[group])
            if dbias is not None:
                dbias += dscores.unflatten(0, (-1, heads)).sum(dim=0, dtype=torch.float32)
        dq, dk, dv = (x.view(windows, heads, -1, x.shape[-1]) for x in (dq.mul_(q.shape[-1] ** -0.5), dk, dv))
        return dq, dk, dv, None if dbias is None else dbias[None].to(ctx.bias_type)


def _groups(windows: int, size: int, heads: int) -> list[slice]:
    """Where each group of `size` windows lies among windows·heads matrices."""
    return [slice(start * heads, min(start + size, windows) * heads) for start in range(0, windows, size)]
