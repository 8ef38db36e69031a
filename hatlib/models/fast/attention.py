"""Attention with a bias, three times: as it is written, as torch fuses it, and with a gradient that
is fast on a CPU.

softmax(q·kᵀ/√d + bias)·v (Swin, arXiv 2103.14030, eq. 4), where the bias is learned. Taught in
notebook 05.

Letters: B windows, h heads, T queries, S keys, d channels of a head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

GROUP = 4 << 20  # bytes of scores that are worked on at a time: about what stays in a core's cache


def attention_spelled_out(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """q (B, h, T, d), k and v (B, h, S, d), bias (1 or B, h, T, S) → (B, h, T, d)."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + bias  # (B, h, T, S)
    return scores.softmax(dim=-1) @ v  # (B, h, T, d)


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """The same, by the fastest way at hand; the bias is (1, h, T, S).

    torch's fused attention never holds the scores of all windows. On a CPU it has no gradient for
    the bias, and in bfloat16 it is slower than `grouped_attention`.
    """
    if q.device.type == "cpu" and (q.dtype == torch.bfloat16 or wants_gradient(q, k, v, bias)):
        return grouped_attention(bias, None, q[None], k[None], v[None])
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def wants_gradient(*tensors: torch.Tensor) -> bool:
    """Whether there will be a gradient, on a CPU."""
    return (
        tensors[0].device.type == "cpu"
        and torch.is_grad_enabled()
        and any(x.requires_grad for x in tensors)
    )


def roomy(heads: torch.Tensor) -> torch.Tensor:
    """(…, d) → (…, d′): zeros behind the channels of each head, up to a multiple of 16, where that
    makes a CPU faster.

    Products of float32 matrices with 30 columns take up to 1.7 times as long as with 32; in
    bfloat16 they do not.
    """
    more = -heads.shape[-1] % 16
    return F.pad(heads, (0, more)) if more and heads.dtype == torch.float32 else heads


def grouped_attention(
    bias: torch.Tensor, mask: torch.Tensor | None, *stacks: torch.Tensor, d: int | None = None
) -> torch.Tensor:
    """The same for a CPU, with a gradient that is fast there, in the precision that it is given.

    Args:
        bias: (1, h, T, S).
        mask: what is added to the scores of each window of an image (windows of an image, T, S); a
            constant.
        stacks: q, k and v in this order, one after another in stacks: (3, B, h, T, d), or (1, B, h,
            T, d) and (2, B, h, S, d). The windows of an image follow one another.
        d: where they are `roomy`, the channels of a head that count.
    Returns:
        (B, h, T, d).
    """
    with torch.autocast("cpu", enabled=False):  # it would take the softmax back to float32
        out = GroupedAttention.apply(bias, mask, d or stacks[0].shape[-1], *stacks)
    return out if d in (None, out.shape[-1]) else out[..., :d]


class GroupedAttention(torch.autograd.Function):
    """The spelled-out version over groups of windows that stay in cache.

    Kept for the backward pass are the weights P of the attention. With g the gradient of the
    result, ∂v = Pᵀ·g, ∂scores = P ⊙ (g·vᵀ − row sums of P ⊙ g·vᵀ), ∂q = ∂scores·k/√d, ∂k =
    ∂scoresᵀ·q/√d, and the gradient of the bias is the sum of ∂scores over the windows.
    """

    @staticmethod
    def forward(
        ctx: Any, bias: torch.Tensor, mask: torch.Tensor | None, d: int, *stacks: torch.Tensor
    ) -> torch.Tensor:
        q, k, v = (x for stack in stacks for x in stack)
        (windows, heads, queries, room), keys = q.shape, k.shape[2]
        of_image = len(mask) if mask is not None else 1
        groups = _groups(windows, GROUP // (heads * queries * keys * q.element_size()), of_image)
        weights, out = (
            [],
            q.new_empty(windows, queries, heads, room).transpose(1, 2),
        )  # the heads merge without a copy
        for first, last in groups:
            scores = torch.bmm(
                _part(q, first, last) * d**-0.5, _part(k, first, last).transpose(1, 2)
            )
            scores.view(-1, heads, queries, keys).add_(bias)
            if mask is not None:
                here = mask[first % of_image : (last - 1) % of_image + 1]
                scores.view(-1, len(here), heads, queries, keys).add_(here[:, None])
            torch.softmax(scores, dim=-1, out=scores)  # (B'·h, T, S)
            if any(ctx.needs_input_grad):
                weights.append(scores)
            result = torch.bmm(scores, _part(v, first, last))
            out[first:last] = result.view(-1, heads, queries, room)
        ctx.save_for_backward(*stacks, *weights)
        ctx.stacks, ctx.groups, ctx.bias_type, ctx.d = len(stacks), groups, bias.dtype, d
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        stacks, weights = ctx.saved_tensors[: ctx.stacks], ctx.saved_tensors[ctx.stacks :]
        q, k, v = (x for stack in stacks for x in stack)
        heads = q.shape[1]
        results = [
            torch.empty_like(stack, memory_format=torch.contiguous_format) for stack in stacks
        ]
        dq, dk, dv = (x for result in results for x in result)
        dbias = torch.zeros(heads, q.shape[2], k.shape[2]) if ctx.needs_input_grad[0] else None
        for (first, last), p in zip(ctx.groups, weights, strict=True):
            g = _part(gradient, first, last)
            torch.bmm(p.transpose(1, 2), g, out=_part(dv, first, last))
            dscores = torch.bmm(
                g, _part(v, first, last).transpose(1, 2)
            )  # (B'·h, T, S), those of the weights at first
            torch.ops.aten._softmax_backward_data.out(dscores, p, -1, p.dtype, grad_input=dscores)
            torch.bmm(dscores, _part(k, first, last), out=_part(dq, first, last))
            torch.bmm(dscores.transpose(1, 2), _part(q, first, last), out=_part(dk, first, last))
            if dbias is not None:
                dbias += dscores.unflatten(0, (-1, heads)).sum(dim=0)
        for x in (dq, dk):
            x.mul_(ctx.d**-0.5)
        return None if dbias is None else dbias[None].to(ctx.bias_type), None, None, *results


def _part(x: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Some of the windows, as matrices: (B, h, T, d) → (B'·h, T, d); the same memory where that is
    contiguous."""
    return x[first:last].reshape(-1, *x.shape[2:])


def _groups(windows: int, size: int, of_image: int) -> list[tuple[int, int]]:
    """First and last (not included) of each group of at most `size` windows: whole images, or parts
    of one."""
    whole = max(size - size % of_image, of_image)
    parts = [range(start, min(start + whole, windows)) for start in range(0, windows, whole)]
    step = max(1, min(size, whole))
    return [
        (first, min(first + step, part.stop))
        for part in parts
        for first in range(part.start, part.stop, step)
    ]
