"""Wrong answers to the exercises of notebook 06, each with a part of its message."""

import numpy as np

from hatlib.course.exercises.swinir import (
    border_ratio,
    energy_within,
    rstb,
    stl_parameters,
    swin_layer,
    tail_multiply_adds,
)


def _less(change):
    """The right count, less what `change` says of the number of channels."""
    return lambda c, h, w, ratio=2.0, tables=True: (
        stl_parameters(c, h, w, ratio, tables) - change(c)
    )


def _pairs(c, h, w, ratio=2.0, tables=True):
    return stl_parameters(c, h, w, ratio, False) + tables * w**4 * h


def _one_table(c, h, w, ratio=2.0, tables=True):
    return stl_parameters(c, h, w, ratio, False) + tables * (2 * w - 1) ** 2


def _one_row_a_pixel(c, h, w, ratio=2.0, tables=True):
    return stl_parameters(c, h, w, ratio, False) + tables * w**2 * h


def _through(x, layers):
    for layer in layers:
        x = layer(x)
    return x


def _convolved(x, conv):
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _with_sums(x, layers, conv):
    deep = x
    for layer in layers:
        deep = deep + layer(deep)
    return _convolved(deep, conv) + x


def _reshaped(x, layers, conv):
    n, h, w, c = x.shape
    return conv(_through(x, layers).reshape(n, c, h, w)).reshape(n, h, w, c) + x


def _tail(second, last, first=1):
    def count(kind, channels, height, width):
        if kind == "pixelshuffledirect":
            return tail_multiply_adds(kind, channels, height, width)
        return (
            9 * height * width * (first * channels * 64 + 64 * 256 * (1 + second) + 64 * 3 * last)
        )

    return count


def _within(energy, more=1):
    def share(gradient, row, column, radius):
        found = energy(gradient)
        rows = slice(max(row - radius, 0), row + radius + more)
        return float(
            found[rows, max(column - radius, 0) : column + radius + more].sum() / found.sum()
        )

    return share


def _no_clip(gradient, row, column, radius):
    energy = (gradient**2).sum(axis=0)
    return float(
        energy[row - radius : row + radius + 1, column - radius : column + radius + 1].sum()
        / energy.sum()
    )


def _disc(gradient, row, column, radius):
    y, x = np.mgrid[: gradient.shape[1], : gradient.shape[2]]
    energy = (gradient**2).sum(axis=0)
    return float(energy[(y - row) ** 2 + (x - column) ** 2 <= radius**2].sum() / energy.sum())


def _steps(first=np.abs, then=lambda x: x, border=7, inside=True):
    def ratio(features, window, shift):
        steps = then(first(np.diff(features, axis=1)).mean(axis=(0, 2)))
        across = (np.arange(len(steps)) - shift) % window == border
        return steps[across].mean() / (steps[~across] if inside else steps).mean()

    return ratio


def _by(compare, square=False):
    """06.5 with another comparison of the steps across borders and inside."""

    def ratio(features, window, shift):
        steps = np.diff(features, axis=1)
        steps = (steps**2 if square else np.abs(steps)).mean(axis=(0, 2))
        across = (np.arange(len(steps)) + 1 - shift) % window == 0
        return compare(steps[across], steps[~across])

    return ratio


def _from_window_on(features, window, shift):
    steps = np.abs(np.diff(features, axis=1)).mean(axis=(0, 2))
    across = np.arange(window - 1 + shift, len(steps), window)
    return steps[across].mean() / np.delete(steps, across).mean()


def _first(x, norm1, attention):
    return x + attention(norm1(x))


def _swin_post_norm(x, norm1, attention, norm2, mlp):
    x = norm1(x + attention(x))
    return norm2(x + mlp(x))


def _swin_in_place(x, norm1, attention, norm2, mlp):
    x += attention(norm1(x))
    return x + mlp(norm2(x))


WRONG = {
    "06.4": [
        (
            lambda c, h, w, ratio=2.0, tables=True: stl_parameters(c, h, w, ratio, True),
            "has to stay out",
        ),
        (_less(lambda c: 7 * c), "linear layers have biases"),
        (_less(lambda c: 4 * c), "two LayerNorms are missing"),
        (_less(lambda c: 2 * c), "not one of them"),
        (_less(lambda c: (c + 1) * c), "projection"),
        (_pairs, "each pair of pixels"),
        (_one_table, "each head"),
        (_less(lambda c: 2 * (c + 1) * c), "three linear maps"),
        (_less(lambda c: 3 * c), "some biases"),
        (
            lambda c, h, w, ratio=2.0, tables=True: stl_parameters(c, h, w, 4.0, tables),
            "here that is 2",
        ),
        (
            lambda c, h, w, ratio=2.0, tables=True: stl_parameters(c, h, w, ratio, False),
            "has to be counted",
        ),
        (_one_row_a_pixel, "(2w−1)² rows"),
        (
            lambda c, h, w, ratio=2.0, tables=True: stl_parameters(60, 6, 8, 2.0, tables),
            "this layer only",
        ),
    ],
    "06.2": [
        (
            lambda x, layers, conv: _convolved(_through(x, layers), conv),
            "residual connection is missing: add F_in",
        ),
        (
            lambda x, layers, conv: _convolved(_through(x, layers) + x, conv),
            "before the convolution",
        ),
        (
            lambda x, layers, conv: _convolved(_through(x, layers), conv) + _through(x, layers),
            "the block's input",
        ),
        (lambda x, layers, conv: rstb(x, layers[:1], conv), "only one of the layers"),
        (lambda x, layers, conv: _through(x, layers) + x, "convolution is missing"),
        (lambda x, layers, conv: rstb(x, layers, conv).permute(0, 3, 1, 2), "still (N, C, H, W)"),
        (_reshaped, "not reshape"),
        (lambda x, layers, conv: 1.0, "a tensor was expected"),
        (lambda x, layers, conv: rstb(x, [], conv), "layers are not used"),
        (lambda x, layers, conv: rstb(x, layers[::-1], conv), "in the order of the list"),
        (
            lambda x, layers, conv: _convolved(sum(layer(x) for layer in layers), conv) + x,
            "took F_in",
        ),
        (
            lambda x, layers, conv: conv(_through(x, layers).transpose(1, 3)).transpose(1, 3) + x,
            "you transposed the image",
        ),
        (_with_sums, "once, at the end"),
    ],
    "06.3": [
        (lambda kind, c, h, w: tail_multiply_adds(kind, c, 4 * h, 4 * w), "before the shuffle"),
        (lambda kind, c, h, w: tail_multiply_adds(kind, c, h, w) // 9, "9 weights"),
        (lambda kind, c, h, w: 2 * tail_multiply_adds(kind, c, h, w), "count as one"),
        (_tail(1, 1), "all at LR size"),
        (_tail(4, 4), "16 times"),
        (_tail(4, 0), "is missing"),
        (_tail(1, 16), "second 64 → 256"),
        (lambda kind, c, h, w: tail_multiply_adds(kind, c, 1, 1), "cost of one pixel"),
        (lambda kind, c, h, w: tail_multiply_adds(kind, c, h, w) // 16, "48 numbers"),
        (lambda kind, c, h, w: tail_multiply_adds(kind, c, h, w) + 48 * h * w, "biases"),
        (_tail(4, 16, first=0), "the first convolution"),
        (_tail(19, 16), "before its shuffle"),
        (_tail(2, 4), "not two"),
        (_tail(16, 64), "256 become 64"),
    ],
    "06.5": [
        (_within(lambda g: np.abs(g).sum(axis=0)), "absolute value"),
        (_within(lambda g: g.sum(axis=0) ** 2), "cancel"),
        (_within(lambda g: (g**2).sum(axis=0), more=0), "ends before"),
        (
            lambda g, row, column, radius: energy_within(g, row, column, radius) * (g**2).sum(),
            "share",
        ),
        (_disc, "disc"),
        (lambda g, row, column, radius: 1 - energy_within(g, row, column, radius), "outside"),
        (
            lambda g, row, column, radius: energy_within(g, row, column, radius) * g.size,
            "not by its mean",
        ),
        (lambda g, row, column, radius: 100 * energy_within(g, row, column, radius), "percentage"),
        (lambda g, row, column, radius: energy_within(g, column, row, radius), "swapped"),
        (
            lambda g, row, column, radius: energy_within(g, row + radius, column + radius, radius),
            "not its corner",
        ),
        (_within(lambda g: np.sqrt((g**2).sum(axis=0))), "not its root"),
        (_no_clip, "negative number"),
    ],
    "06.6": [
        (_steps(border=0), "off by one"),
        (lambda f, window, shift: 1 / border_ratio(f, window, shift), "upside down"),
        (_steps(inside=False), "not with all steps"),
        (_steps(first=lambda x: x), "cancel"),
        (_steps(first=lambda x: x, then=np.abs), "signs cancel"),
        (
            lambda f, window, shift: border_ratio(f.transpose(1, 0, 2), window, shift),
            "from row to row",
        ),
        (lambda f, window, shift: border_ratio(f, window, 0), "shift was not used"),
        (lambda f, window, shift: border_ratio(f, window, -shift), "the other way"),
        (_from_window_on, "is missing"),
        (_by(lambda across, inside: across.sum() / inside.sum()), "compare means"),
        (_by(lambda across, inside: across.mean() - inside.mean()), "divide"),
        (_by(lambda across, inside: across.mean() / inside.mean(), square=True), "not its square"),
    ],
    "06.1": [
        (lambda x, n1, a, n2, m: (y := x + a(x)) + m(n2(y)), "norm1 is missing"),
        (lambda x, n1, a, n2, m: (y := _first(x, n1, a)) + m(y), "norm2 is missing"),
        (lambda x, n1, a, n2, m: (y := a(n1(x))) + m(n2(y)), "first residual connection"),
        (lambda x, n1, a, n2, m: m(n2(_first(x, n1, a))), "second residual connection is missing"),
        (lambda x, n1, a, n2, m: m(n2(a(n1(x)))), "residual connections are missing"),
        (lambda x, n1, a, n2, m: (y := n1(x) + a(n1(x))) + m(n2(y)), "not norm1(x)"),
        (lambda x, n1, a, n2, m: (y := n2(_first(x, n1, a))) + m(y), "before norm2"),
        (lambda x, n1, a, n2, m: x + m(n2(_first(x, n1, a))), "not at the layer's x"),
        (lambda x, n1, a, n2, m: _first(x, n1, a) + m(n2(x)), "not beside it"),
        (_swin_post_norm, "not after them"),
        (lambda x, n1, a, n2, m: (y := n1(x + a(x))) + m(n2(y)), "inside the residual"),
        (lambda x, n1, a, n2, m: (y := _first(x, n1, a)) + n2(m(y)), "before the MLP, not after"),
        (lambda x, n1, a, n2, m: (y := x + n1(a(x))) + m(n2(y)), "before the attention, not after"),
        (lambda x, n1, a, n2, m: _first(x + m(n2(x)), n1, a), "attention first, then the MLP"),
        (lambda x, n1, a, n2, m: (y := _first(x, n1, a)) + m(n1(y)), "not norm1's"),
        (lambda x, n1, a, n2, m: (y := _first(x, n2, a)) + m(n2(y)), "not norm2's"),
        (lambda x, n1, a, n2, m: _first(x, n1, a), "the MLP is missing"),
        (lambda x, n1, a, n2, m: x + m(n2(x)), "the attention is missing"),
        (lambda x, n1, a, n2, m: swin_layer(x, n1, a, n2, m)[0], "keeps the shape"),
        (_swin_in_place, "changed its argument x in place"),
    ],
}
