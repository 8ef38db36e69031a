"""Notebook 08: the blocks of HAT. The ten checks of a HAB are in `hab`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hatlib.course.exercises.hab import hab_checks, hab_findings
from hatlib.course.exercises.parts import Part
from hatlib.course.exercises.probes import Draw, close, expect, recognise
from hatlib.course.exercises.registry import exercise
from hatlib.models.hat import CAB, HAB, OCAB, HybridBlocks
from hatlib.models.layers import image_layout, token_layout
from hatlib.models.swinir import ResidualGroup
from hatlib.models.window_attention import (
    OverlappingAttention,
    attention,
    grid,
    overlapping_partition,
    overlapping_position_index,
    partition,
    reverse,
)

__all__ = ["hab_checks", "hab_findings"]


Layer = Callable[[torch.Tensor], torch.Tensor]


def channel_attention_block(
    x: torch.Tensor, first: Layer, second: Layer, attention: Layer
) -> torch.Tensor:
    """HAT's CAB (§3.2): two convolutions, GELU between them, channel attention after them.

    Args:
        x: (N, C, H, W).
        first, second: 3×3 convolutions, C → C/β and C/β → C.
        attention: RCAN's channel attention.
    Returns:
        (N, C, H, W).
    """
    return attention(second(F.gelu(first(x))))


def _cab_layers(draw: Draw, channels: int, between: int) -> list[Layer]:
    first, second = draw.layer(between, channels, 3, 3), draw.layer(channels, between, 3, 3)
    return [
        lambda x: F.conv2d(x, *first, padding=1),
        lambda x: F.conv2d(x, *second, padding=1),
        lambda x: x * (3 * x.mean(dim=(2, 3), keepdim=True)).sigmoid(),
    ]


def _cab_forward(
    function: Callable[..., torch.Tensor], layer: CAB, x: torch.Tensor
) -> torch.Tensor:
    first, _, second, attention = layer.cab
    return token_layout(function(image_layout(x), first, second, attention))


@exercise(
    "08.1",
    "The channel attention block",
    difficulty=1,
    minutes=6,
    solution=channel_attention_block,
    cases=lambda draw: {
        "8 channels, 2 between": (draw.tensor(2, 8, 5, 4), *_cab_layers(draw, 8, 2)),
        "6 channels, 6 between": (draw.tensor(1, 6, 3, 7), *_cab_layers(draw, 6, 6)),
    },
    tolerance=1e-5,
    part=Part(lambda layer: isinstance(layer, CAB), {"forward": _cab_forward}),
)
def _channel_attention_block(attempt: Callable[..., torch.Tensor]) -> None:
    draw = Draw()
    x = 2 * draw.tensor(2, 6, 5, 4)
    first, second, attention = layers = _cab_layers(draw, 6, 6)
    got, want = attempt(x.clone(), *layers), channel_attention_block(x, *layers)
    expect(
        got.shape == x.shape, f"the block keeps the shape {tuple(x.shape)}, not {tuple(got.shape)}"
    )
    between = first(x)
    recognise(
        got,
        {
            "the GELU between the convolutions is missing": attention(second(between)),
            "the channel attention is missing": second(F.gelu(between)),
            "HAT has a GELU between the convolutions, not RCAN's ReLU": attention(
                second(between.relu())
            ),
            "HAT's GELU is the exact one, without approximate": attention(
                second(F.gelu(between, approximate="tanh"))
            ),
            "the GELU stands between the convolutions, not before them": attention(
                second(first(F.gelu(x)))
            ),
            "the GELU stands between the convolutions, not after them": attention(
                F.gelu(second(between))
            ),
            "there is one GELU: none after the second convolution": attention(
                F.gelu(second(F.gelu(between)))
            ),
            "the residual sum belongs to the HAB: the CAB adds nothing": x + want,
            "the channel attention comes after the convolutions": second(
                F.gelu(first(attention(x)))
            ),
            "the channel attention comes after both convolutions": second(
                F.gelu(attention(between))
            ),
            "the two convolutions are swapped": attention(first(F.gelu(second(x)))),
            "the attention returns weighed maps already: do not multiply again": second(
                F.gelu(between)
            )
            * want,
            "the second convolution is missing": attention(F.gelu(between)),
            "the first convolution is missing": attention(second(F.gelu(x))),
            "no GELU after the attention": F.gelu(want),
        },
        1e-5,
    )
    expect(close(got, want, 1e-5), "the shape is right, but the values are not")


def hybrid_block(
    x: torch.Tensor,
    norm1: Layer,
    attention: Layer,
    cab: Layer,
    norm2: Layer,
    mlp: Layer,
    alpha: float,
    drop_path: Layer,
) -> torch.Tensor:
    """The HAB: which branch sees what, what α weighs, what stochastic depth may leave out."""
    normed = norm1(x)
    x = x + drop_path(attention(normed)) + alpha * cab(normed)
    return x + drop_path(mlp(norm2(x)))


def _hybrid_layers(draw: Draw, channels: int) -> list[Layer]:
    mixed, turned, hidden = (draw.tensor(channels, channels) / 2 for _ in range(3))
    return [
        lambda x: 2 * x + 1,
        lambda x: x @ mixed,
        lambda x: (x @ turned).tanh(),
        lambda x: x - 3,
        lambda x: (x @ hidden).relu(),
    ]


def _hybrid_forward(
    function: Callable[..., torch.Tensor], layer: HAB, x: torch.Tensor
) -> torch.Tensor:
    branches = (layer.norm1, layer.attn, layer.conv_block, layer.norm2, layer.mlp)
    return function(x, *branches, layer.conv_scale, layer.drop_path)


@exercise(
    "08.2",
    "The hybrid block in three lines",
    difficulty=2,
    minutes=10,
    solution=hybrid_block,
    cases=lambda draw: {
        "α = 0.01 and nothing dropped": (
            draw.tensor(2, 7, 5),
            *_hybrid_layers(draw, 5),
            0.01,
            lambda x: x,
        ),
        "α = 2 and everything dropped": (
            draw.tensor(3, 4),
            *_hybrid_layers(draw, 4),
            2.0,
            torch.zeros_like,
        ),
    },
    tolerance=1e-5,
    part=Part(lambda layer: isinstance(layer, HAB), {"forward": _hybrid_forward}),
)
def _hybrid_block(attempt: Callable[..., torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, a, b, c = (torch.randn(n, 6, generator=generator) for n in (4, 6, 6, 6))
    layers: list[Layer] = [
        lambda t: 2 * t + 1,
        lambda t: t @ a.T @ b,
        lambda t: torch.tanh(t @ c),
        lambda t: t - 3,
        lambda t: torch.relu(t @ b),
    ]

    def both(
        block: Callable[..., torch.Tensor], alpha: float = 0.5, keep: float = 0.25
    ) -> torch.Tensor:
        return block(x.clone(), *layers, alpha, lambda t: keep * t)

    got, want = both(attempt), both(hybrid_block)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(got.shape == x.shape, f"the result's shape is {tuple(x.shape)}, not {tuple(got.shape)}")
    norm1, attention, cab, norm2, mlp = layers

    def variant(first: torch.Tensor, keep: float = 0.25) -> torch.Tensor:
        return first + keep * mlp(norm2(first))

    n = norm1(x)
    attended = attention(n)
    convolved = cab(n)
    named = {
        "the CAB takes x itself; both branches take norm1(x)": variant(
            x + attended / 4 + cab(x) / 2
        ),
        "drop_path is on the CAB, too; HAT never drops the CAB": variant(
            x + (attended + convolved / 2) / 4
        ),
        "α scales the attention; it should scale the CAB": variant(x + attended / 8 + convolved),
        "α is missing: the CAB counts as much as the attention": variant(
            x + attended / 4 + convolved
        ),
        "the shortcut is x, not norm1(x)": variant(n + attended / 4 + convolved / 2),
        "the CAB comes after the attention; it should run beside it": variant(
            x + attended / 4 + cab(attended) / 2
        ),
        "the MLP may be dropped as well: it needs its drop_path": variant(
            x + attended / 4 + convolved / 2, 1.0
        ),
        "nothing is ever dropped: drop_path is not used": variant(
            x + attended + convolved / 2, 1.0
        ),
    }
    first = x + attended / 4 + convolved / 2  # after attention and CAB, as it should be
    named |= {
        "norm1 is missing: both branches take norm1(x)": variant(x + attention(x) / 4 + cab(x) / 2),
        "the CAB has no norm of its own: it takes norm1(x), as the attention does": variant(
            x + attended / 4 + cab(norm2(x)) / 2
        ),
        "the MLP takes norm2's result, not norm1's": first + mlp(norm1(first)) / 4,
        "norm2 is missing before the MLP": first + mlp(first) / 4,
        "the first residual connection is missing: add x to the two branches": variant(first - x),
        "the second residual connection is missing: add the MLP's input to its result": mlp(
            norm2(first)
        )
        / 4,
        "the second residual connection starts after attention and CAB, not at the block's x": x
        + mlp(norm2(first)) / 4,
        "the MLP comes after attention and CAB, not beside them": first + mlp(norm2(x)) / 4,
        "the attention has no factor; only the CAB has one, α": variant(
            x + attended / 8 + convolved / 2
        ),
    }
    named |= {
        "the attention takes norm1(x), as the CAB does; yours takes x": variant(
            x + attention(x) / 4 + convolved / 2
        ),
        "the norm comes before the MLP, not after it": first + norm2(mlp(first)) / 4,
        "norm2 comes before the MLP, inside the residual connection": norm2(first)
        + mlp(norm2(first)) / 4,
        "the CAB is missing": variant(x + attended / 4),
        "the attention is missing": variant(x + convolved / 2),
        "α weighs the CAB once, not squared": variant(x + attended / 4 + convolved / 4),
    }
    recognise(got, named, 1e-4)
    expect(close(got, want, 1e-4), "the shape is right, but the values are not")


def overlapping_windows(x: torch.Tensor, window: int, side: int) -> torch.Tensor:
    """(N, H, W, C) → (B, S, C): around each window of w×w the larger one of side×side.

    Outside the map are zeros; the windows of all images stand in a row, in reading order.
    """
    channels, margin = x.shape[-1], (side - window) // 2
    # (N, C·S, windows)
    columns = F.unfold(x.permute(0, 3, 1, 2), side, stride=window, padding=margin)
    return columns.unflatten(1, (channels, side * side)).permute(0, 3, 2, 1).flatten(0, 1)


def _cut_larger(
    function: Callable[..., torch.Tensor],
    layer: OverlappingAttention,
    x: torch.Tensor,
    window: int,
    side: int,
) -> torch.Tensor:
    return function(x, window, side)


def _overlapping_forward(
    function: Callable[..., torch.Tensor], layer: OverlappingAttention, x: torch.Tensor
) -> torch.Tensor:
    """`OverlappingAttention.reference`, with what a learner's function has replaced in it."""
    w = layer.window
    cut_larger = getattr(layer, "cut_larger", overlapping_partition)
    query, key, value = layer.qkv(x).chunk(3, dim=-1)
    (q,) = layer.split(partition(query, w, w))
    (k,), (v,) = (layer.split(cut_larger(part, w, layer.side)) for part in (key, value))
    windows = layer.proj(layer.merge(attention(q, k, v, layer.bias())))
    return reverse(windows, w, w, *x.shape[1:3])


def _is_overlapping(layer: nn.Module) -> bool:
    return isinstance(layer, OverlappingAttention)


@exercise(
    "08.3",
    "Windows that overlap",
    difficulty=3,
    minutes=20,
    solution=overlapping_windows,
    cases=lambda draw: {
        "windows of 2 in larger ones of 6": (draw.tensor(1, 4, 6, 3), 2, 6),
        "windows of 3 in larger ones of 5": (draw.tensor(3, 9, 3, 2), 3, 5),
        "larger windows that are not larger": (draw.tensor(2, 4, 4, 3), 2, 2),
    },
    part=Part(_is_overlapping, {"forward": _overlapping_forward, "cut_larger": _cut_larger}),
)
def _overlapping_windows(attempt: Callable[..., torch.Tensor]) -> None:
    x = torch.randn(2, 8, 12, 5, generator=torch.Generator().manual_seed(0))
    got, want = attempt(x.clone(), 4, 6), overlapping_partition(x, 4, 6)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        got.shape != (2, 5 * 36, 6),
        "that is how F.unfold leaves it, (N, C·S, windows): split C·S, move the axes, and put "
        "the windows of all images along one axis",
    )
    expect(
        got.dim() == 3,
        "the result is (B, S, C), the windows of all images along one axis, not "
        f"{tuple(got.shape)}",
    )
    expect(got.shape[1:] != (16, 5), "the windows have w×w tokens; the larger ones have side×side")
    expect(
        got.numel() < 2 * want.numel(),
        "too many windows: they start every w tokens, not at every token",
    )
    expect(
        got.shape[0] >= len(want),
        f"only {len(got)} windows of {len(want)}: without zeros around the map the last "
        "ones do not fit",
    )
    expect(
        got.shape == want.shape,
        f"the result's shape is {tuple(want.shape)}, not {tuple(got.shape)}",
    )
    expect(
        not close(got, want.transpose(1, 2).reshape(want.shape)),
        "F.unfold puts channels before positions: permute (C, S) to (S, C); a reshape is not "
        "enough",
    )
    mirrored = F.pad(x.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="reflect").permute(0, 2, 3, 1)
    inside = mirrored.unfold(1, 6, 4).unfold(2, 6, 4).permute(0, 1, 2, 4, 5, 3).reshape(want.shape)
    expect(not close(got, inside), "the map is mirrored at its border; HAT has zeros there")

    def padded(before: int, after: int) -> torch.Tensor:
        larger = F.pad(x, (0, 0, before, after, before, after)).unfold(1, 6, 4).unfold(2, 6, 4)
        return larger.permute(0, 1, 2, 4, 5, 3).reshape(want.shape)

    off_centre = (overlapping_partition(x.roll((-1, -1), (1, 2)), 4, 6), padded(0, 2), padded(2, 2))
    expect(
        not any(close(got, windows) for windows in off_centre),
        "the larger window reaches beyond by the same amount on all sides of the smaller one: "
        "(side − w) / 2",
    )
    whole = want.unflatten(0, (2, 6))
    turned = (
        overlapping_partition(x.transpose(1, 2), 4, 6)
        .unflatten(0, (2, 3, 2))
        .transpose(1, 2)
        .flatten(0, 2)
    )
    recognise(
        got,
        {
            (
                "image and window are swapped: first all windows of "
                "one image, then those of the next"
            ): whole.transpose(0, 1).flatten(0, 1),
            (
                "F.unfold puts channels before positions: split C·S as (C, S), not as (S, C)"
            ): want.transpose(1, 2).reshape(12, 36, 5),
            "within each window rows and columns are swapped": turned,
            "rows and columns of the map are swapped": overlapping_partition(
                x.transpose(1, 2), 4, 6
            ),
        },
    )
    expect(close(got, want), "the shape is right, but tokens or windows are in another order")


def overlapping_block(
    x: torch.Tensor,
    norm1: Layer,
    qkv: Layer,
    cut: Layer,
    cut_larger: Layer,
    attend: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    join: Layer,
    norm2: Layer,
    mlp: Layer,
) -> torch.Tensor:
    """HAT's overlapping cross-attention block (§3.2): (N, H, W, C) → the same shape.

    Args:
        qkv: a linear layer with a bias, C → 3·C: query, key and value, one after the other.
        cut: a map → its windows (B, T, C).
        cut_larger: a map → the larger windows (B, S, C) around them, zeros outside the map.
        attend: queries (B, T, C), keys and values (B, S, C) → (B, T, C): heads, bias, projection.
        join: windows (B, T, C) → the map.
    """
    query, key, value = qkv(norm1(x)).chunk(3, dim=-1)  # each (N, H, W, C)
    x = x + join(attend(cut(query), cut_larger(key), cut_larger(value)))
    return x + mlp(norm2(x))


def _overlapping_layers(draw: Draw, channels: int, window: int, size: tuple[int, int]) -> list[Any]:
    weight, bias = draw.layer(3 * channels, channels)
    norm1, _, _, norm2, mlp = _hybrid_layers(draw, channels)

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return (q @ k.transpose(1, 2) / 4).softmax(dim=-1) @ v

    return [
        norm1,
        lambda x: F.linear(x, weight, bias),
        lambda x: partition(x.contiguous(), window, window),
        lambda x: overlapping_partition(x, window, window + 2),
        attend,
        lambda x: reverse(x.contiguous(), window, window, *size),
        norm2,
        mlp,
    ]


def _overlapping_block_forward(
    function: Callable[..., torch.Tensor], layer: OCAB, x: torch.Tensor
) -> torch.Tensor:
    inner = layer.attn
    w, size = inner.window, x.shape[1:3]

    def larger(x: torch.Tensor) -> torch.Tensor:
        cut = getattr(inner, "cut_larger", overlapping_partition)
        return cut(x, w, inner.side)

    def attend(*cut: torch.Tensor) -> torch.Tensor:
        (q,), (k,), (v,) = (inner.split(windows) for windows in cut)
        return inner.proj(inner.merge(attention(q, k, v, inner.bias())))

    def join(windows: torch.Tensor) -> torch.Tensor:
        return reverse(windows, w, w, *size)

    def cut(x: torch.Tensor) -> torch.Tensor:
        return partition(x, w, w)

    layers = (layer.norm1, inner.qkv, cut, larger, attend, join, layer.norm2, layer.mlp)
    return function(x, *layers)


@exercise(
    "08.4",
    "The overlapping block",
    difficulty=3,
    minutes=15,
    solution=overlapping_block,
    cases=lambda draw: {
        "windows of 2": (draw.tensor(2, 4, 6, 4), *_overlapping_layers(draw, 4, 2, (4, 6))),
        "one image, windows of 3": (
            draw.tensor(1, 6, 3, 5),
            *_overlapping_layers(draw, 5, 3, (6, 3)),
        ),
    },
    tolerance=1e-5,
    part=Part(lambda layer: isinstance(layer, OCAB), {"forward": _overlapping_block_forward}),
)
def _overlapping_block(attempt: Callable[..., torch.Tensor]) -> None:
    draw = Draw()
    x = draw.tensor(2, 4, 6, 4)
    layers = _overlapping_layers(draw, 4, 2, (4, 6))
    norm1, qkv, cut, cut_larger, attend, join, norm2, mlp = layers
    got, want = attempt(x.clone(), *layers), overlapping_block(x, *layers)
    expect(
        got.shape == x.shape, f"the block keeps the shape {tuple(x.shape)}, not {tuple(got.shape)}"
    )

    def second(first: torch.Tensor) -> torch.Tensor:
        return first + mlp(norm2(first))

    def attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return join(attend(cut(q), cut_larger(k), cut_larger(v)))

    parts = query, key, value = qkv(norm1(x)).chunk(3, dim=-1)
    bare = qkv(x).chunk(3, dim=-1)
    _, padded_key, padded_value = qkv(cut_larger(norm1(x))).chunk(3, dim=-1)
    first = x + attended(*parts)
    recognise(
        got,
        {
            "cut after the projection: outside the map are zeros, not the bias that the linear "
            "layer makes of zeros": second(x + join(attend(cut(query), padded_key, padded_value))),
            "keys and values come from the larger windows": second(
                x + join(attend(cut(query), cut(key), cut(value)))
            ),
            "norm1 is missing: it comes before the projection": second(x + attended(*bare)),
            "norm2 is missing: the MLP takes norm2's result": first + mlp(first),
            "the first residual connection is missing": second(first - x),
            "the second residual connection is missing: add the MLP's input": mlp(norm2(first)),
            "the shortcut is x, not norm1(x)": second(norm1(x) + attended(*parts)),
            "the second residual connection starts after the attention, not at x": x
            + mlp(norm2(first)),
            "the MLP comes after the attention, not beside it": first + mlp(norm2(x)),
            "the MLP takes norm2's result, not norm1's": first + mlp(norm1(first)),
            "query, key and value come in this order: keys and values are swapped": second(
                x + attended(query, value, key)
            ),
            "query, key and value come in this order: queries and keys are swapped": second(
                x + attended(key, query, value)
            ),
            "query, key and value come in this order: queries and values are swapped": second(
                x + attended(value, key, query)
            ),
            "the values come from the larger windows' value, not from their key": second(
                x + attended(query, key, key)
            ),
            "the MLP is missing": first,
            "the attention is missing": second(x),
            "the norm comes before the MLP, not after it": first + norm2(mlp(first)),
        },
        1e-4,
    )
    expect(close(got, want, 1e-4), "the shape is right, but the values are not")


def oca_index(window: int, side: int) -> torch.Tensor:
    """Rows of the released bias table for w×w queries and side×side keys: int64 (T, S).

    None of them is negative.
    """
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    key_y, key_x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    start, row = window - side + 1, window + side - 1
    down = key_y.flatten()[None, :] - y.flatten()[:, None] + start
    right = key_x.flatten()[None, :] - x.flatten()[:, None] + start
    return (down * row + right) % row**2


def _bias(function: Callable[..., torch.Tensor], layer: OverlappingAttention) -> torch.Tensor:
    """`BiasedAttention.bias` with the learner's index in it."""
    table = layer.relative_position_bias_table
    rows = table[function(layer.window, layer.side).to(table.device)]  # (T, S, h)
    return rows.permute(2, 0, 1)[None].contiguous()  # (1, h, T, S)


@exercise(
    "08.5",
    "An index without negative numbers",
    difficulty=3,
    minutes=20,
    solution=oca_index,
    cases=lambda draw: {"16 and 24": (16, 24), "3 and 5": (3, 5), "8 and 8": (8, 8)},
    part=Part(_is_overlapping, {"forward": _overlapping_forward, "bias": _bias}),
)
def _oca_index(attempt: Callable[..., torch.Tensor]) -> None:
    got, want = attempt(4, 6), overlapping_position_index(4, 6)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(tuple(got.shape) != (36, 16), "rows are queries and columns are keys: (T, S)")
    expect(
        tuple(got.shape) == (16, 36),
        f"the index is (T, S) = (16, 36) for w = 4 and a side of 6, not {tuple(got.shape)}",
    )
    expect(not got.is_floating_point(), "an index holds whole numbers")
    expect(
        int(got.min()) >= 0 or not close(got % 81, want),
        "the rows are right, but some are negative; take them modulo the table's length",
    )
    difference = (got - want) % 81
    expect(
        not bool((difference == difference[0, 0]).all() and difference[0, 0] != 0),
        f"every row is {int(difference[0, 0])} too large: the released weights' table does not "
        "start at 0",
    )
    expect(
        not close(
            got,
            overlapping_position_index(4, 6)
            .view(4, 4, 6, 6)
            .transpose(0, 1)
            .transpose(2, 3)
            .reshape(16, 36),
        ),
        "down and right are swapped",
    )
    y, x = grid(4, "cpu")
    key_y, key_x = grid(6, "cpu")
    down, right = (
        keys[None, :] - queries[:, None] - 1 for keys, queries in ((key_y, y), (key_x, x))
    )
    raw = down * 9 + right  # as in the released code, with negative numbers
    flipped = want.flip(0).flip(1)
    query_minus_key = (-(down * 9 + right)) % 81
    expect(
        not close(got, flipped) and not close(got, query_minus_key),
        "the sign is wrong: an offset is key minus query",
    )
    recognise(
        got,
        {
            "take the modulo of the whole index, not of down and right by themselves": down % 9 * 9
            + right % 9,
            ("−1 is the last row, not row 1: take the modulo, not the absolute value"): raw.abs(),
            "a negative index counts from the end; it is not the first row": raw.clamp(min=0),
            "a row of offsets has w + side − 1 = 9 of them, not 2·side − 1 = 11": (
                down * 11 + right
            )
            % 121,
            "a row of offsets has w + side − 1 = 9 of them, not 2·w − 1 = 7": (down * 7 + right)
            % 81,
            "a row of offsets has w + side − 1 = 9 of them, not 2·w − 1 = 7, and the table 9·9": (
                down * 7 + right
            )
            % 49,
        },
    )
    expect(close(got, want), "the shape is right, but the values are not")
    expect(close(attempt(16, 24), overlapping_position_index(16, 24)), "right for 4 and 6 only")


def hybrid_group(
    x: torch.Tensor, blocks: Sequence[Layer], overlapping: Layer, convolution: Layer
) -> torch.Tensor:
    """HAT's residual hybrid attention group (RHAG, §3.2): (N, H, W, C) → the same shape.

    Args:
        blocks: HABs, one after another: (N, H, W, C) → the same shape.
        overlapping: the OCAB after them: the same.
        convolution: 3×3, (N, C, H, W) → the same shape; the residual sum goes around all.
    """
    deep = x
    for block in blocks:
        deep = block(deep)
    deep = overlapping(deep).permute(0, 3, 1, 2)  # (N, C, H, W)
    return x + convolution(deep).permute(0, 2, 3, 1)


def _group_layers(draw: Draw, count: int, channels: int) -> tuple[list[Layer], Layer, Layer]:
    weights = [draw.tensor(channels, channels) / 2 for _ in range(count + 1)]
    last = draw.layer(channels, channels, 3, 3)

    def layer(weight: torch.Tensor) -> Layer:
        return lambda x: x + (x @ weight).tanh()

    *blocks, overlapping = [layer(weight) for weight in weights]
    return blocks, overlapping, lambda x: F.conv2d(x, *last, padding=1)


def is_rhag(layer: nn.Module) -> bool:
    """Whether a layer is HAT's group."""
    return isinstance(layer, ResidualGroup) and isinstance(layer.residual_group, HybridBlocks)


def _group_forward(
    function: Callable[..., torch.Tensor], layer: ResidualGroup, x: torch.Tensor
) -> torch.Tensor:
    group = layer.residual_group
    return function(x, list(group.blocks), group.overlap_attn, layer.conv)


@exercise(
    "08.6",
    "The group of HAT",
    difficulty=2,
    minutes=10,
    solution=hybrid_group,
    cases=lambda draw: {
        "four blocks": (draw.tensor(2, 5, 3, 4), *_group_layers(draw, 4, 4)),
        "a single block": (draw.tensor(1, 4, 4, 4), *_group_layers(draw, 1, 4)),
    },
    tolerance=1e-5,
    part=Part(is_rhag, {"forward": _group_forward}),
)
def _hybrid_group(attempt: Callable[..., torch.Tensor]) -> None:
    draw = Draw()
    x = draw.tensor(2, 6, 4, 4)  # W = C, so that no size gives a mistake away
    blocks, overlapping, convolution = _group_layers(draw, 2, 4)
    got = attempt(x.clone(), list(blocks), overlapping, convolution)
    want = hybrid_group(x, blocks, overlapping, convolution)
    expect(got.shape != (2, 4, 6, 4), "the result is still (N, C, H, W); tokens are (N, H, W, C)")
    expect(
        got.shape == x.shape, f"the group keeps the shape {tuple(x.shape)}, not {tuple(got.shape)}"
    )
    first, second = blocks
    hybrid = second(first(x))
    deep = overlapping(hybrid)

    def convolved(tokens: torch.Tensor) -> torch.Tensor:
        return convolution(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    summed = x + first(x)
    summed = summed + second(summed)
    recognise(
        got,
        {
            "the residual connection is missing: add x": want - x,
            "the overlapping block is missing": x + convolved(hybrid),
            "the convolution is missing": x + deep,
            "the overlapping block comes after the hybrid ones, not before them": x
            + convolved(second(first(overlapping(x)))),
            "the overlapping block stands once at the end, not after each block": x
            + convolved(overlapping(second(overlapping(first(x))))),
            "add x after the convolution, not before it": convolved(deep + x),
            "add the group's input, not the blocks' output": deep + convolved(deep),
            "add the group's input, not that of the overlapping block": hybrid + convolved(deep),
            "only the first block is used": x + convolved(overlapping(first(x))),
            "only the last block is used": x + convolved(overlapping(second(x))),
            "the blocks are not used": x + convolved(overlapping(x)),
            "apply the blocks in their order": x + convolved(overlapping(first(second(x)))),
            "each block takes the output of the one before; here all of them took x": x
            + convolved(overlapping(first(x) + second(x))),
            "you transposed the map for the convolution: permute(0, 3, 1, 2) keeps rows and "
            "columns": x + convolution(deep.transpose(1, 3)).transpose(1, 3),
            "the blocks have residual connections of their own; add x once, at the end": x
            + convolved(overlapping(summed)),
            "the overlapping block comes before the convolution, not after it": x
            + overlapping(convolved(hybrid)),
        },
        1e-5,
    )
    expect(
        close(got, want, 1e-5),
        "the shape is right, but the values are not: is it permute, which moves axes, and not "
        "reshape?",
    )


def cab_parameters(channels: int, compress_ratio: int, squeeze_factor: int) -> int:
    """Weights and biases of a CAB: two 3×3 convolutions, then the two 1×1 of its attention."""
    between, squeezed = channels // compress_ratio, channels // squeeze_factor
    convolutions = (9 * channels + 1) * between + (9 * between + 1) * channels
    attention = (channels + 1) * squeezed + (squeezed + 1) * channels
    return convolutions + attention


@exercise(
    "08.7",
    "What a CAB weighs",
    difficulty=2,
    minutes=10,
    solution=cab_parameters,
    cases=lambda draw: {
        "C = 144, β = 24, squeeze 24": (144, 24, 24),
        "C = 48, β = 3, squeeze 12": (48, 3, 12),
        "C = 50, β = 4, squeeze 7": (50, 4, 7),
    },
)
def _cab_parameters(attempt: Callable[..., int]) -> None:
    got, want = attempt(180, 3, 30), sum(p.numel() for p in CAB(180, 3, 30).parameters())
    convolutions = (9 * 180 + 1) * 60 + (9 * 60 + 1) * 180
    attention = (180 + 1) * 6 + (6 + 1) * 180
    expect(got != 18 * 180 * 60 + 2 * 180 * 6, "the biases are missing")
    expect(
        got != (9 * 180 + 1) * 60 + (9 * 60 + 1) * 180,
        "the channel attention is missing: two 1×1 convolutions after the two of 3×3",
    )
    expect(
        got != (180 + 1) * 60 + (60 + 1) * 180 + attention,
        "the two outer convolutions are 3×3: nine weights per pair of channels",
    )
    expect(
        got != 2 * (9 * 180 + 1) * 180 + attention,
        "β is not used: between the convolutions there are C/β channels",
    )
    expect(
        got != (9 * 180 + 1) * 60 + 9 * 60 * 180 + 60 + attention,
        "the second convolution has one bias for each of its C outputs",
    )
    expect(
        got != convolutions + 2 * 180 * 6,
        "the two 1×1 convolutions of the channel attention have biases, too",
    )
    expect(
        got != convolutions + (180 + 1) * 6,
        "the channel attention has two 1×1 convolutions: down to C/squeeze, and back to C",
    )
    expect(
        got not in (cab_parameters(180, 3, 3), cab_parameters(180, 3, 16)),
        "the channel attention squeezes by its own factor, here 30: from 180 to 6",
    )
    expect(
        got != (9 * 180 + 1) * 60 + (9 * 60 + 1) * 60 + attention,
        "the second convolution maps C/β channels back to C",
    )
    expect(
        got != convolutions + (60 + 1) * 2 + (2 + 1) * 60,
        "the channel attention comes after the convolutions: on C channels",
    )
    expect(
        got == want, f"for C = 180, β = 3 and a squeeze factor of 30 it is {want:,}, not {got:,}"
    )
    expect(attempt(144, 24, 24) == 17_580, "right for HAT only; HAT-S (144, 24, 24) has 17,580")
