"""Wrong answers to the exercises of notebook 08, each with a part of its message."""

import torch
import torch.nn.functional as F

from hatlib.course.exercises.hat import (
    cab_parameters,
    channel_attention_block,
    hybrid_block,
    hybrid_group,
    oca_index,
    overlapping_block,
    overlapping_windows,
)
from hatlib.models.window_attention import partition


def _cut_mirrored(x, window, side):
    margin = (side - window) // 2
    x = F.pad(x.permute(0, 3, 1, 2), (margin,) * 4, mode="reflect")
    columns = F.unfold(x, side, stride=window)
    return columns.unflatten(1, (x.shape[1], side * side)).permute(0, 3, 2, 1).flatten(0, 1)


def _only_reshaped(x, window, side):
    columns = F.unfold(x.permute(0, 3, 1, 2), side, stride=window, padding=(side - window) // 2)
    return columns.transpose(1, 2).reshape(-1, side * side, x.shape[-1])


def _every_token(x, window, side):
    columns = F.unfold(x.permute(0, 3, 1, 2), side, stride=1, padding=(side - window) // 2)
    return columns.unflatten(1, (x.shape[-1], side * side)).permute(0, 3, 2, 1).flatten(0, 1)


def _to_one_side(x, window, side):
    x = F.pad(x, (0, 0, 0, side - window, 0, side - window))
    x = x.unfold(1, side, window).unfold(2, side, window)
    return x.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side, x.shape[3])


def _no_zeros(x, window, side):
    columns = F.unfold(x.permute(0, 3, 1, 2), side, stride=window)
    return columns.unflatten(1, (x.shape[-1], side * side)).permute(0, 3, 2, 1).flatten(0, 1)


def _unfolded(x, window, side, padding=None):
    return F.unfold(
        x.permute(0, 3, 1, 2), side, stride=window, padding=padding or (side - window) // 2
    )


def _windows_of_images(x, window, side):
    """(N, windows, S, C)."""
    return overlapping_windows(x, window, side).unflatten(0, (len(x), -1))


def _offsets(window, side):
    """Each pair's offsets, down and right, as the released code counts them, and their number."""
    y, x = (
        place.flatten()[:, None]
        for place in torch.meshgrid(2 * [torch.arange(window)], indexing="ij")
    )
    key_y, key_x = (
        place.flatten() for place in torch.meshgrid(2 * [torch.arange(side)], indexing="ij")
    )
    start = window - side + 1
    return key_y - y + start, key_x - x + start, window + side - 1


def _index(join):
    return lambda window, side: join(*_offsets(window, side))


def _negative(window, side):
    index, rows = oca_index(window, side), (window + side - 1) ** 2
    return index.where(index < rows // 2, index - rows)


def _from_zero(window, side):
    first, row = (
        window - 1 - (window - side + 1),
        window + side - 1,
    )  # what the offsets lack to start at 0
    return (oca_index(window, side) + first * row + first) % row**2


def _square(window, side, row):
    down, right, _ = _offsets(window, side)
    return (down * row + right) % row**2


def _attention_between(channels, compress_ratio, squeeze_factor):
    between, squeezed = channels // compress_ratio, 2
    convolutions = (9 * channels + 1) * between + (9 * between + 1) * channels
    return convolutions + (between + 1) * squeezed + (squeezed + 1) * between


def _swapped(window, side):
    return (
        oca_index(window, side)
        .view(window, window, side, side)
        .permute(1, 0, 3, 2)
        .reshape(window**2, side**2)
    )


def _hybrid_post_norm(x, n1, a, c, n2, m, alpha, d):
    x = x + d(a(n1(x))) + alpha * c(n1(x))
    return x + d(n2(m(x)))


def _key_minus_query(window, side):
    down, right, row = _offsets(window, side)
    return (-(down * row + right)) % row**2


def _joined(x, parts, layers):
    """08.5 after the projection: the attention's result, as a map."""
    _, _, cut, larger, attend, join, _, _ = layers
    query, key, value = parts
    return join(attend(cut(query), larger(key), larger(value)))


def _padded_first(x, *layers):
    norm1, qkv, cut, larger, attend, join, norm2, mlp = layers
    query = qkv(norm1(x)).chunk(3, dim=-1)[0]
    _, key, value = qkv(larger(norm1(x))).chunk(3, dim=-1)
    x = x + join(attend(cut(query), key, value))
    return x + mlp(norm2(x))


def _ocab(first, second):
    """08.5 with other sums: first(x, joined, layers), second(x, first sum, layers)."""

    def answer(x, *layers):
        parts = layers[1](layers[0](x)).chunk(3, dim=-1)
        y = first(x, _joined(x, parts, layers), layers)
        return second(x, y, layers)

    return answer


def _ocab_of(order):
    """08.5 with query, key and value in another order."""

    def answer(x, *layers):
        parts = layers[1](layers[0](x)).chunk(3, dim=-1)
        y = x + _joined(x, [parts[k] for k in order], layers)
        return y + layers[7](layers[6](y))

    return answer


def _ocab_same_windows(x, *layers):
    return overlapping_block(x, *layers[:3], layers[2], *layers[4:])


def _ocab_without_norm1(x, *layers):
    return overlapping_block(x, lambda y: y, *layers[1:])


def _sum_first(x, joined, layers):
    return x + joined


def _mlp_last(x, y, layers):
    return y + layers[7](layers[6](y))


def _deep(x, blocks):
    for block in blocks:
        x = block(x)
    return x


def _as_image(convolution, tokens):
    return convolution(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _overlapping_after_each(x, blocks, o, c):
    deep = x
    for block in blocks:
        deep = o(block(deep))
    return x + _as_image(c, deep)


def _sums_in_between(x, blocks, o, c):
    deep = x
    for block in blocks:
        deep = deep + block(deep)
    return x + _as_image(c, o(deep))


WRONG = {
    "08.7": [
        (lambda c, b, s: 18 * c * (c // b) + 2 * c * (c // s), "biases"),
        (
            lambda c, b, s: (9 * c + 1) * (c // b) + (9 * (c // b) + 1) * c,
            "channel attention is missing",
        ),
        (lambda c, b, s: cab_parameters(c, b, s) - 16 * c * (c // b), "nine weights"),
        (lambda c, b, s: cab_parameters(c, 1, s), "β is not used"),
        (lambda c, b, s: cab_parameters(c, b, s) - c + c // b, "one bias for each"),
        (lambda c, b, s: 196_986, "HAT-S"),
        (lambda c, b, s: cab_parameters(c, b, s) - c - c // s, "have biases, too"),
        (lambda c, b, s: cab_parameters(c, b, s) - (c // s + 1) * c, "back to C"),
        (lambda c, b, s: cab_parameters(c, b, b), "its own factor"),
        (lambda c, b, s: cab_parameters(c, b, 16), "its own factor"),
        (
            lambda c, b, s: cab_parameters(c, b, s) - (9 * (c // b) + 1) * (c - c // b),
            "maps C/β channels back to C",
        ),
        (_attention_between, "on C channels"),
    ],
    "08.2": [
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(a(n1(x))) + α * c(x)) + d(m(n2(y))),
            "both branches",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(a(n1(x)) + α * c(n1(x)))) + d(m(n2(y))),
            "never drops the CAB",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + α * d(a(n1(x))) + c(n1(x))) + d(m(n2(y))),
            "should scale the CAB",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(a(n1(x))) + c(n1(x))) + d(m(n2(y))),
            "α is missing",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (
                (y := n1(x) + d(a(n1(x))) + α * c(n1(x))) + d(m(n2(y)))
            ),
            "not norm1(x)",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(z := a(n1(x))) + α * c(z)) + d(m(n2(y))),
            "beside it",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(a(n1(x))) + α * c(n1(x))) + m(n2(y)),
            "MLP may be dropped",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + a(n1(x)) + α * c(n1(x))) + m(n2(y)),
            "drop_path is not used",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(a(x)) + α * c(x)) + d(m(n2(y))),
            "norm1 is missing",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(a(n1(x))) + α * c(n2(x))) + d(m(n2(y))),
            "no norm of its own",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(a(n1(x))) + α * c(n1(x))) + d(m(n1(y))),
            "norm2's result, not norm1's",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(a(n1(x))) + α * c(n1(x))) + d(m(y)),
            "norm2 is missing",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := d(a(n1(x))) + α * c(n1(x))) + d(m(n2(y))),
            "first residual connection",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: d(m(n2(x + d(a(n1(x))) + α * c(n1(x))))),
            "second residual connection is missing",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: x + d(m(n2(x + d(a(n1(x))) + α * c(n1(x))))),
            "not at the block's x",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: x + d(a(n1(x))) + α * c(n1(x)) + d(m(n2(x))),
            "not beside them",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (
                (y := x + (1 - α) * d(a(n1(x))) + α * c(n1(x))) + d(m(n2(y)))
            ),
            "attention has no factor",
        ),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := x + d(a(x)) + α * c(n1(x))) + d(m(n2(y))),
            "yours takes x",
        ),
        (_hybrid_post_norm, "not after it"),
        (
            lambda x, n1, a, c, n2, m, α, d: (y := n2(x + d(a(n1(x))) + α * c(n1(x)))) + d(m(y)),
            "inside the residual",
        ),
        (lambda x, n1, a, c, n2, m, α, d: hybrid_block(x, n1, a, c, n2, m, 0.5, d), "α = 0.01"),
    ],
    "08.3": [
        (lambda x, window, side: partition(x, window, window), "side×side"),
        (_every_token, "every w tokens"),
        (_no_zeros, "zeros around the map"),
        (_only_reshaped, "channels before positions"),
        (_cut_mirrored, "mirrored"),
        (_to_one_side, "all sides"),
        (lambda x, window, side: overlapping_windows(x, window, side).flip(1), "another order"),
        (_unfolded, "how F.unfold leaves it"),
        (_windows_of_images, "along one axis, not"),
        (
            lambda x, window, side: (
                _windows_of_images(x, window, side).transpose(0, 1).flatten(0, 1)
            ),
            "image and window",
        ),
        (
            lambda x, window, side: overlapping_windows(x.transpose(1, 2), window, side),
            "of the map are swapped",
        ),
        (
            lambda x, window, side: (
                overlapping_windows(x, window, side)
                .unflatten(1, (side, side))
                .transpose(1, 2)
                .flatten(1, 2)
            ),
            "within each window",
        ),
        (
            lambda x, window, side: (
                _unfolded(x, window, side, side - window)
                .unflatten(1, (x.shape[-1], -1))
                .permute(0, 3, 2, 1)
                .flatten(0, 1)
            ),
            "on all sides",
        ),
    ],
    "08.5": [
        (_negative, "some are negative"),
        (_from_zero, "too large"),
        (_swapped, "swapped"),
        (lambda window, side: oca_index(window, side).T, "(T, S)"),
        (lambda window, side: oca_index(window, side).flip(0).flip(1), "key minus query"),
        (lambda window, side: oca_index(4, 6), "4 and 6 only"),
        (_index(lambda down, right, row: down % row * row + right % row), "by themselves"),
        (_index(lambda down, right, row: (down * row + right).abs()), "the absolute value"),
        (_index(lambda down, right, row: (down * row + right).clamp(min=0)), "not the first row"),
        (lambda window, side: _square(window, side, 2 * side - 1), "2·side − 1"),
        (_index(lambda down, right, row: (down * 7 + right) % row**2), "2·w − 1"),
        (_key_minus_query, "key minus query"),
        (lambda window, side: _square(window, side, 2 * window - 1), "2·w − 1"),
        (lambda window, side: oca_index(window, side).float(), "whole numbers"),
    ],
    "08.1": [
        (lambda x, f, s, a: a(s(f(x))), "the GELU between the convolutions is missing"),
        (lambda x, f, s, a: s(F.gelu(f(x))), "channel attention is missing"),
        (lambda x, f, s, a: a(s(f(x).relu())), "RCAN's ReLU"),
        (lambda x, f, s, a: a(s(F.gelu(f(x), approximate="tanh"))), "the exact one"),
        (lambda x, f, s, a: a(s(f(F.gelu(x)))), "not before them"),
        (lambda x, f, s, a: a(F.gelu(s(f(x)))), "not after them"),
        (lambda x, f, s, a: a(F.gelu(s(F.gelu(f(x))))), "there is one GELU"),
        (lambda x, f, s, a: x + channel_attention_block(x, f, s, a), "the CAB adds nothing"),
        (lambda x, f, s, a: s(F.gelu(a(f(x)))), "after both convolutions"),
        (lambda x, f, s, a: F.gelu(channel_attention_block(x, f, s, a)), "after the attention"),
        (lambda x, f, s, a: (y := s(F.gelu(f(x)))) * a(y), "do not multiply again"),
        (lambda x, f, s, a: a(s(f(x).sigmoid())), "the values are not"),
        (lambda x, f, s, a: channel_attention_block(x, f, s, a)[0], "keeps the shape"),
        (lambda x, f, s, a: a(F.gelu(s(x))), "the values are not"),
        (lambda x, f, s, a: channel_attention_block(x, f, s, a).double(), "its type is"),
    ],
    "08.4": [
        (_padded_first, "cut after the projection"),
        (_ocab_same_windows, "from the larger windows"),
        (_ocab_without_norm1, "norm1 is missing"),
        (_ocab(_sum_first, lambda x, y, layers: y + layers[7](y)), "norm2 is missing"),
        (_ocab(lambda x, joined, layers: joined, _mlp_last), "the first residual connection"),
        (
            _ocab(_sum_first, lambda x, y, layers: layers[7](layers[6](y))),
            "the second residual connection is missing",
        ),
        (_ocab(lambda x, joined, layers: layers[0](x) + joined, _mlp_last), "not norm1(x)"),
        (_ocab(_sum_first, lambda x, y, layers: x + layers[7](layers[6](y))), "not at x"),
        (_ocab(_sum_first, lambda x, y, layers: y + layers[7](layers[6](x))), "not beside it"),
        (_ocab(_sum_first, lambda x, y, layers: y + layers[7](layers[0](y))), "not norm1's"),
        (_ocab_of((0, 2, 1)), "keys and values are swapped"),
        (_ocab_of((1, 0, 2)), "queries and keys are swapped"),
        (_ocab_of((2, 1, 0)), "queries and values are swapped"),
        (_ocab_of((0, 1, 1)), "not from their key"),
        (_ocab(_sum_first, lambda x, y, layers: y), "the MLP is missing"),
        (_ocab(lambda x, joined, layers: x, _mlp_last), "the attention is missing"),
        (_ocab(_sum_first, lambda x, y, layers: y + layers[6](layers[7](y))), "not after it"),
        (lambda x, *layers: overlapping_block(x, *layers)[0], "keeps the shape"),
    ],
    "08.6": [
        (lambda x, b, o, c: _as_image(c, o(_deep(x, b))), "residual connection is missing"),
        (lambda x, b, o, c: x + _as_image(c, _deep(x, b)), "overlapping block is missing"),
        (lambda x, b, o, c: x + o(_deep(x, b)), "convolution is missing"),
        (lambda x, b, o, c: x + _as_image(c, _deep(o(x), b)), "not before them"),
        (_overlapping_after_each, "once at the end"),
        (lambda x, b, o, c: _as_image(c, o(_deep(x, b)) + x), "not before it"),
        (lambda x, b, o, c: (y := o(_deep(x, b))) + _as_image(c, y), "not the blocks' output"),
        (
            lambda x, b, o, c: (y := _deep(x, b)) + _as_image(c, o(y)),
            "not that of the overlapping block",
        ),
        (lambda x, b, o, c: x + _as_image(c, o(b[0](x))), "only the first block"),
        (lambda x, b, o, c: x + _as_image(c, o(b[-1](x))), "only the last block"),
        (lambda x, b, o, c: x + _as_image(c, o(x)), "not used"),
        (lambda x, b, o, c: hybrid_group(x, b[::-1], o, c), "in their order"),
        (lambda x, b, o, c: x + _as_image(c, o(sum(y(x) for y in b))), "all of them took x"),
        (
            lambda x, b, o, c: x + c(o(_deep(x, b)).transpose(1, 3)).transpose(1, 3),
            "you transposed the map",
        ),
        (_sums_in_between, "residual connections of their own"),
        (lambda x, b, o, c: x + o(_as_image(c, _deep(x, b))), "before the convolution"),
        (lambda x, b, o, c: hybrid_group(x, b, o, c).permute(0, 3, 1, 2), "still (N, C, H, W)"),
        (lambda x, b, o, c: hybrid_group(x, b[:2], o, c), "four blocks"),
    ],
}
