"""Wrong answers to the exercises of notebook 08, each with a part of its message."""

import torch
import torch.nn.functional as F

from hatlib.course.exercises.hat import (
    attention_cost,
    cab_parameters,
    oca_index,
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


WRONG = {
    "08.1": [
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
    "08.4": [
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
    ],
    "08.5": [
        (lambda c, w, g: 4 * c**2 + 2 * w**2 * c, "larger window"),
        (lambda c, w, g: 4 * c**2 + 2 * int((1 + g) * w**2) * c, "(1 + γ)²"),
        (lambda c, w, g: 4 * c**2 + int((1 + g) * w) ** 2 * c, "counts twice"),
        (lambda c, w, g: 2 * int((1 + g) * w) ** 2 * c, "linear maps are missing"),
        (lambda c, w, g: 3 * c**2 + 2 * int((1 + g) * w) ** 2 * c, "projection"),
        (lambda c, w, g: attention_cost(180, 16, 0.5), "HAT's sizes only"),
        (lambda c, w, g: w**2 * attention_cost(c, w, g), "a whole window"),
        (lambda c, w, g: attention_cost(c, w, 2 * g), "lie beyond on each"),
        (lambda c, w, g: 4 * c**2 + 2 * int((1 + g) * w) * c, "keys, not"),
        (lambda c, w, g: 4 * c**2 + 2 * int(g * w) ** 2 * c, "not only of its margin"),
        (
            lambda c, w, g: 4 * c**2 + (w**2 + int((1 + g) * w) ** 2) * c,
            "all keys that have a score",
        ),
        (lambda c, w, g: 4 * c + 2 * int((1 + g) * w) ** 2 * c, "not C"),
        (
            lambda c, w, g: 2 * c**2 * (1 + (1 + g) ** 2) + 2 * int((1 + g) * w) ** 2 * c,
            "projected once",
        ),
    ],
}
