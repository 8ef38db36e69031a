"""softmax(q·kᵀ/√d + bias)·v, fused: what `hatlib.models.window_attention.attention` computes.

On a GPU, and on a CPU in float32 without gradients, torch's fused attention is the fastest. On a
CPU it has no gradient for a bias, though, and its bfloat16 is slow: `chunked_attention` is for
these. On a GPU it takes heads of a multiple of 8 channels only. Taught in notebook 05.

Letters: B windows, h heads, T queries, S keys, d channels of a head, d′ ≥ d with padding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from hatlib.models.fast import gpu
from hatlib.models.fast.device import wants_large_steps

# Bytes of scores that are worked on at a time: about what stays in one core's cache.
CHUNK_BYTES = 4 << 20
# So many windows, at most, are added one by one.
FEW = 8
# A CPU's vector register holds 16 float32 values.
LANES = 16


def fused_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """q (B, h, T, d), k and v (B, h, S, d), bias (1, h, T, S) → (B, h, T, d)."""
    head_dim = q.shape[-1]
    if wants_large_steps(q):
        padding = gpu.padding(head_dim)
        if padding:
            q, k, v = (F.pad(x, (0, padding)) for x in (q, k, v))
        return gpu.attend(q, k, v, bias, head_dim)
    on_cpu = q.device.type == "cpu"
    if on_cpu and (q.dtype == torch.bfloat16 or needs_grad(q, k, v, bias)):
        return chunked_attention(q, k, v, bias)
    if on_cpu and head_dim < LANES:
        # The lightweight networks' heads of 10 channels fill no register: padded, a third faster.
        q, k, v = (pad_head_dim(x) for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=head_dim**-0.5)
        return out[..., :head_dim]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def needs_grad(*tensors: torch.Tensor) -> bool:
    """Whether autograd will ask for the gradient of one of them."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def pad_head_dim(heads: torch.Tensor) -> torch.Tensor:
    """(…, d) → (…, d′): zeros behind the channels of a head, up to a multiple of 16.

    Zeros change neither q·kᵀ nor, once they are cut off again, the weighted sum. A CPU's product of
    float32 matrices with 30 columns takes up to 1.7 times as long as one with 32. In bfloat16 that
    is not so, and the heads stay as they are.
    """
    padding = -heads.shape[-1] % LANES
    if padding == 0 or heads.dtype != torch.float32:
        return heads
    return F.pad(heads, (0, padding))


def chunked_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor,
    mask: torch.Tensor | None = None,
    head_dim: int | None = None,
) -> torch.Tensor:
    """Attention for a CPU, a few windows at a time, with a gradient of its own.

    Args:
        q, k, v: (B, h, T, d′), and (B, h, S, d′) twice; the windows of an image are neighbours.
        bias: (1, h, T, S).
        mask: (windows of an image, T, S), added to the scores of each image; a constant.
        head_dim: d, where `pad_head_dim` has made d′ of it.
    Returns:
        (B, h, T, d), in the precision of q.
    """
    head_dim = head_dim or q.shape[-1]
    # autocast would take the softmax back to float32
    with torch.autocast("cpu", enabled=False):
        out = ChunkedAttention.apply(q, k, v, bias, mask, head_dim)
    return out if head_dim == out.shape[-1] else out[..., :head_dim]


class ChunkedAttention(torch.autograd.Function):
    """Attention over chunks of windows whose scores stay in cache.

    The backward pass needs the weights P of the attention, which are kept. With g the gradient of
    the result, ∂v = Pᵀ·g, ∂scores = P ⊙ (g·vᵀ − row sums of P ⊙ g·vᵀ), ∂q = ∂scores·k/√d,
    ∂k = ∂scoresᵀ·q/√d, and the gradient of the bias is the sum of ∂scores over the windows.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        bias: torch.Tensor,
        mask: torch.Tensor | None,
        head_dim: int,
    ) -> torch.Tensor:
        windows, heads, queries, padded_dim = q.shape
        keys = k.shape[2]
        window_bytes = heads * queries * keys * q.element_size()
        windows_of_image = 1 if mask is None else len(mask)
        chunks = chunk_spans(windows, CHUNK_BYTES // window_bytes, windows_of_image)
        # (B, h, T, d′) with the strides of (B, T, h, d′): the heads merge without a copy
        out = q.new_empty(windows, queries, heads, padded_dim).transpose(1, 2)
        weights = []
        for first, last in chunks:
            scaled = matrices(q, first, last) * head_dim**-0.5
            scores = torch.bmm(scaled, matrices(k, first, last).transpose(1, 2))  # (B′·h, T, S)
            scores.view(-1, heads, queries, keys).add_(bias)
            if mask is not None:
                # a chunk is a part of one image, or some whole images
                part = mask[first % windows_of_image : (last - 1) % windows_of_image + 1]
                scores.view(-1, len(part), heads, queries, keys).add_(part[:, None])
            torch.softmax(scores, dim=-1, out=scores)
            if any(ctx.needs_input_grad):
                weights.append(scores)
            chunk = torch.bmm(scores, matrices(v, first, last))  # (B′·h, T, d′)
            out[first:last] = chunk.view(-1, heads, queries, padded_dim)
        ctx.save_for_backward(q, k, v, *weights)
        ctx.chunks = chunks
        ctx.bias_dtype = bias.dtype
        ctx.head_dim = head_dim
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, *weights = ctx.saved_tensors
        heads, queries, keys = q.shape[1], q.shape[2], k.shape[2]
        dq, dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
        dbias = None
        if ctx.needs_input_grad[3]:
            # thousands of windows are summed: never in less than float32
            precision = torch.promote_types(q.dtype, torch.float32)
            dbias = torch.zeros(heads, queries, keys, dtype=precision, device=q.device)
        for (first, last), p in zip(ctx.chunks, weights, strict=True):
            g = matrices(gradient, first, last)
            torch.bmm(p.transpose(1, 2), g, out=matrices(dv, first, last))
            # the gradient of the weights first, that of the scores in its place
            dscores = torch.bmm(g, matrices(v, first, last).transpose(1, 2))  # (B′·h, T, S)
            torch.ops.aten._softmax_backward_data.out(dscores, p, -1, p.dtype, grad_input=dscores)
            torch.bmm(dscores, matrices(k, first, last), out=matrices(dq, first, last))
            torch.bmm(
                dscores.transpose(1, 2), matrices(q, first, last), out=matrices(dk, first, last)
            )
            if dbias is not None:
                per_window = dscores.unflatten(0, (-1, heads))  # (B′, h, T, S)
                # of few large windows, torch's sum takes up to ten times as long as adding them
                few = len(per_window) <= FEW
                for part in per_window if few else [per_window.sum(dim=0)]:
                    dbias += part
        for x in (dq, dk):
            x.mul_(ctx.head_dim**-0.5)
        dbias = None if dbias is None else dbias[None].to(ctx.bias_dtype)
        return dq, dk, dv, dbias, None, None


def matrices(x: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Some of the windows as a batch of matrices: (B, h, T, d) → (B′·h, T, d).

    A view of a contiguous x, so that a product can be written into it.
    """
    return x[first:last].reshape(-1, *x.shape[2:])


def chunk_spans(windows: int, size: int, windows_of_image: int) -> list[tuple[int, int]]:
    """First and last (exclusive) window of each chunk of at most `size`, and at least one.

    A chunk holds whole images, or a part of one: a mask repeats from image to image.
    """
    whole_images = max(size - size % windows_of_image, windows_of_image)
    chunk = max(1, min(size, whole_images))
    spans = []
    for start in range(0, windows, whole_images):
        stop = min(start + whole_images, windows)
        spans += [(first, min(first + chunk, stop)) for first in range(start, stop, chunk)]
    return spans
