"""Notebook 06: the parts of SwinIR, its receptive field, and whether its windows show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hatlib.course.exercises.parts import Part
from hatlib.course.exercises.probes import Draw, close, expect, recognise
from hatlib.course.exercises.registry import exercise
from hatlib.models.swinir import Blocks, ResidualGroup, SwinBlock

Layer = Callable[[torch.Tensor], torch.Tensor]


def swin_layer(
    x: torch.Tensor, norm1: Layer, attention: Layer, norm2: Layer, mlp: Layer
) -> torch.Tensor:
    """A Swin transformer layer (SwinIR §3.2): attention, then an MLP, each normed before and added.

    Args:
        x: (N, H, W, C); the four layers keep this shape.
    """
    x = x + attention(norm1(x))
    return x + mlp(norm2(x))


def _layers(draw: Draw, channels: int) -> list[Layer]:
    """Stand-ins for norm, attention, norm and MLP, all of them different."""
    mixed, hidden = draw.tensor(channels, channels) / 2, draw.tensor(channels, channels) / 2
    return [
        lambda x: 2 * x + 1,
        lambda x: (x.roll(1, dims=2) @ mixed).tanh(),
        lambda x: x - 3,
        lambda x: (x @ hidden).relu(),
    ]


def _swin_forward(
    function: Callable[..., torch.Tensor], layer: SwinBlock, x: torch.Tensor
) -> torch.Tensor:
    return function(x, layer.norm1, layer.attn, layer.norm2, layer.mlp)


@exercise(
    "06.1",
    "A Swin transformer layer",
    difficulty=1,
    minutes=8,
    solution=swin_layer,
    cases=lambda draw: {
        "two images of 4×6": (draw.tensor(2, 4, 6, 5), *_layers(draw, 5)),
        "one image of 3×2": (draw.tensor(1, 3, 2, 4), *_layers(draw, 4)),
    },
    tolerance=1e-5,
    part=Part(lambda layer: type(layer) is SwinBlock, {"forward": _swin_forward}),
)
def _swin_layer(attempt: Callable[..., torch.Tensor]) -> None:
    draw = Draw()
    x = draw.tensor(2, 4, 6, 5)
    layers = _layers(draw, 5)
    got, want = attempt(x.clone(), *layers), swin_layer(x, *layers)
    expect(
        got.shape == x.shape, f"the layer keeps the shape {tuple(x.shape)}, not {tuple(got.shape)}"
    )
    norm1, attention, norm2, mlp = layers
    first = x + attention(norm1(x))

    def second(y: torch.Tensor) -> torch.Tensor:
        return y + mlp(norm2(y))

    after = norm1(x + attention(x))
    recognise(
        got,
        {
            "norm1 is missing: the attention takes norm1(x)": second(x + attention(x)),
            "norm2 is missing: the MLP takes norm2's result": first + mlp(first),
            "the first residual connection is missing: add x to the attention's result": second(
                attention(norm1(x))
            ),
            "the second residual connection is missing: add the MLP's input": mlp(norm2(first)),
            "the residual connections are missing": mlp(norm2(attention(norm1(x)))),
            "the shortcut is x, not norm1(x)": second(norm1(x) + attention(norm1(x))),
            "the MLP's shortcut is the map before norm2": norm2(first) + mlp(norm2(first)),
            "the second residual connection starts after the attention, not at the layer's x": x
            + mlp(norm2(first)),
            "the MLP comes after the attention, not beside it": first + mlp(norm2(x)),
            "the norms come before attention and MLP, not after them": after + mlp(after) - 3,
            "the norm comes before the attention, inside the residual connection": second(after),
            "the norm comes before the MLP, not after it": first + norm2(mlp(first)),
            "the norm comes before the attention, not after it": second(x + norm1(attention(x))),
            "attention first, then the MLP": second(x) + attention(norm1(second(x))),
            "the MLP takes norm2's result, not norm1's": first + mlp(norm1(first)),
            "the attention takes norm1's result, not norm2's": second(x + attention(norm2(x))),
            "the MLP is missing": first,
            "the attention is missing": second(x),
        },
        1e-5,
    )
    expect(close(got, want, 1e-5), "the shape is right, but the values are not")


def rstb(x: torch.Tensor, layers: list[nn.Module], conv: nn.Module) -> torch.Tensor:
    """A residual Swin transformer block: F_out = conv(layers(F_in)) + F_in.

    Args:
        x: F_in, (N, H, W, C).
        layers: the STLs, each (N, H, W, C) → (N, H, W, C).
        conv: (N, C, H, W) → (N, C, H, W).
    Returns:
        (N, H, W, C).
    """
    deep = x
    for layer in layers:
        deep = layer(deep)
    deep = conv(deep.permute(0, 3, 1, 2))  # (N, C, H, W)
    return deep.permute(0, 2, 3, 1) + x


def _group_layers(draw: Draw, count: int, channels: int) -> tuple[list[Layer], Layer]:
    """Layers with residual sums of their own, and a convolution with channels first."""
    weights = [draw.tensor(channels, channels) / 2 for _ in range(count)]
    last = draw.layer(channels, channels, 3, 3)

    def layer(weight: torch.Tensor) -> Layer:
        return lambda x: x + (x @ weight).tanh()

    return [layer(weight) for weight in weights], lambda x: F.conv2d(x, *last, padding=1)


def is_rstb(layer: nn.Module) -> bool:
    """Whether a layer is SwinIR's group."""
    return isinstance(layer, ResidualGroup) and type(layer.residual_group) is Blocks


def _rstb_forward(
    function: Callable[..., torch.Tensor], layer: ResidualGroup, x: torch.Tensor
) -> torch.Tensor:
    return function(x, list(layer.residual_group.blocks), layer.conv)


@exercise(
    "06.2",
    "A residual Swin transformer block",
    difficulty=2,
    minutes=10,
    solution=rstb,
    cases=lambda draw: {
        "five layers": (draw.tensor(2, 3, 4, 6), *_group_layers(draw, 5, 6)),
        "a single layer": (draw.tensor(1, 5, 5, 5), *_group_layers(draw, 1, 5)),
    },
    tolerance=1e-5,
    part=Part(is_rstb, {"forward": _rstb_forward}),
)
def _rstb(attempt: Callable[..., torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(
        2, 6, 4, 4, generator=generator
    )  # H = 6 and W = C = 4: no size gives a mistake away
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(2)]
        conv = nn.Conv2d(4, 4, 3, padding=1)
    with torch.no_grad():
        got, want, given = attempt(x.clone(), list(layers), conv), rstb(x, layers, conv), x
        deep = layers[1](layers[0](x))
        convolved = conv(deep.permute(0, 3, 1, 2))
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        got.shape != convolved.shape, "the result is still (N, C, H, W); tokens are (N, H, W, C)"
    )
    expect(
        got.shape == want.shape,
        f"the result's shape is {tuple(want.shape)}, not {tuple(got.shape)}",
    )
    expect(not close(got, want - given, 1e-5), "the residual connection is missing: add F_in")
    with torch.no_grad():
        inner = conv((deep + x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        early = convolved.permute(0, 2, 3, 1) + deep
        one, none, backwards = (rstb(x, some, conv) for some in (layers[:1], [], layers[::-1]))
        side_by_side = (
            conv((layers[0](x) + layers[1](x)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + x
        )
        turned = conv(deep.transpose(1, 3)).transpose(1, 3) + x
        summed = x + layers[0](x)
        summed = conv((summed + layers[1](summed)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + x
    expect(not close(got, inner, 1e-5), "you added F_in before the convolution; add it after")
    expect(not close(got, early, 1e-5), "add the block's input, not the output of its layers")
    expect(not close(got, one, 1e-5), "only one of the layers was used")
    expect(not close(got, deep + x, 1e-5), "the convolution is missing")
    recognise(
        got,
        {
            "the layers are not used": none,
            "apply the layers in the order of the list": backwards,
            (
                "each layer takes the output of the one before; here all of them took F_in"
            ): side_by_side,
            (
                "you transposed the image for the convolution: "
                "permute(0, 3, 1, 2) keeps rows and columns"
            ): turned,
            "the layers have residual connections of their own; add F_in once, at the end": summed,
        },
        1e-5,
    )
    expect(
        close(got, want, 1e-5),
        "the shape is right, but the values are not: is it permute (which moves axes) and not "
        "reshape?",
    )


def tail_multiply_adds(kind: str, channels: int, height: int, width: int) -> int:
    """Multiply-adds of SwinIR's reconstruction at ×4, (C, height, width) to RGB, without biases.

    Args:
        kind: "pixelshuffle" (3×3 convolutions C → 64, 64 → 256, shuffle ×2, 64 → 256, shuffle ×2,
            64 → 3) or "pixelshuffledirect" (one, C → 48, shuffle ×4).
    """
    pixels = height * width
    if kind == "pixelshuffledirect":
        return 9 * channels * 48 * pixels
    return 9 * pixels * (channels * 64 + 64 * 256 + 4 * 64 * 256 + 16 * 64 * 3)


@exercise(
    "06.3",
    "What the tail costs",
    difficulty=2,
    minutes=10,
    solution=tail_multiply_adds,
    cases=lambda draw: {
        "the long tail, 180 channels, 8×8": ("pixelshuffle", 180, 8, 8),
        "the long tail, 48 channels, 5×7": ("pixelshuffle", 48, 5, 7),
        "the short tail, 180 channels, 8×3": ("pixelshuffledirect", 180, 8, 3),
    },
)
def _tail_multiply_adds(attempt: Callable[..., int]) -> None:
    direct = attempt("pixelshuffledirect", 60, 10, 12)
    want = tail_multiply_adds("pixelshuffledirect", 60, 10, 12)
    expect(
        direct != 16 * want,
        "the convolution of pixelshuffledirect works before the shuffle, on LR pixels",
    )
    expect(
        direct * 9 != want and direct * 3 != want,
        "a 3×3 filter has 9 weights for each input channel",
    )
    expect(direct != 2 * want, "a multiplication and its addition count as one")
    expect(
        direct != want // 120, "that is the cost of one pixel; the map has height × width of them"
    )
    expect(
        direct != want // 16,
        "the convolution returns 48 numbers per pixel, 3 for each of the 4×4 pixels that it "
        "becomes",
    )
    expect(direct != want + 48 * 120, "biases are not counted")
    expect(
        direct == want,
        f"pixelshuffledirect, 60 channels, 10×12: {want:,} multiply-adds, not {direct:,}",
    )
    got, want = attempt("pixelshuffle", 60, 10, 12), tail_multiply_adds("pixelshuffle", 60, 10, 12)
    lr_only = 9 * 120 * (60 * 64 + 64 * 256 + 64 * 256 + 64 * 3)
    expect(got != lr_only, "all at LR size: after each shuffle there are four times as many pixels")
    last = 9 * 120 * 64 * 3
    expect(
        got != want - 12 * last,
        "the last convolution works on 16 times as many pixels, not on 4 times",
    )
    expect(got != want - 16 * last, "the last convolution, 64 → 3, is missing")
    expect(
        got != want - 9 * 120 * 64 * 256 * 3,
        "the second 64 → 256 works on four times as many pixels",
    )
    expect(got != want - 9 * 120 * 60 * 64, "the first convolution, C → 64, is missing")
    after = 9 * 120 * (60 * 64 + 64 * 256 * 4 + 64 * 256 * 16 + 64 * 3 * 16)
    expect(
        got != after,
        "each 64 → 256 works before its shuffle, where the map is still the smaller one",
    )
    expect(
        got != 9 * 120 * (60 * 64 + 64 * 256 + 64 * 256 * 2 + 64 * 3 * 4),
        "a shuffle ×2 turns one pixel into four, not two: twice as many each way",
    )
    expect(
        got != 9 * 120 * (60 * 64 + 64 * 256 + 256 * 256 * 4 + 256 * 3 * 16),
        "a shuffle ×2 turns four channels into one: 256 become 64",
    )
    expect(got == want, f"pixelshuffle, 60 channels, 10×12: {want:,} multiply-adds, not {got:,}")
    expect(
        attempt("pixelshuffle", 180, 8, 8) == tail_multiply_adds("pixelshuffle", 180, 8, 8),
        "right for 60 channels and 10×12 only",
    )


def stl_parameters(
    channels: int, heads: int, window: int, mlp_ratio: float = 2.0, tables: bool = True
) -> int:
    """Parameters of one Swin transformer layer, biases included.

    Args:
        channels: C.
        heads: h of the attention.
        window: w, the side of a window.
        mlp_ratio: hidden channels of the MLP / C.
        tables: whether the relative position bias counts; SwinIR's paper leaves it out.
    """
    norms = 2 * 2 * channels  # a scale and an offset for each channel, twice
    attention = (channels + 1) * (3 * channels + channels)  # q, k, v; then the projection
    hidden = round(mlp_ratio * channels)
    mlp = (channels + 1) * hidden + (hidden + 1) * channels
    table = (2 * window - 1) ** 2 * heads
    return norms + attention + mlp + (table if tables else 0)


@exercise(
    "06.4",
    "Count a layer both ways",
    difficulty=2,
    minutes=10,
    solution=stl_parameters,
    cases=lambda draw: {
        "180 channels, 6 heads, windows of 8": (180, 6, 8, 2.0, True),
        "48 channels, 3 heads, windows of 4, mlp_ratio 4": (48, 3, 4, 4.0, True),
        "the same without tables": (48, 3, 4, 4.0, False),
        "mlp_ratio 1.3, rounded": (33, 3, 6, 1.3, True),
    },
)
def _stl_parameters(attempt: Callable[..., int]) -> None:
    c, h, w = 60, 6, 8  # SwinIR-S
    got, want, table = attempt(c, h, w, 2.0, False), stl_parameters(c, h, w, 2.0, False), 225 * h
    expect(got != want + table, "with tables=False the relative position bias has to stay out")
    expect(
        got != want - (3 * c + c + 2 * c + c),
        "the linear layers have biases: one number for each output",
    )
    expect(
        got != want - 4 * c,
        "the two LayerNorms are missing: each has a scale and an offset for each channel",
    )
    expect(
        got != want - 2 * c,
        "a LayerNorm has a scale and an offset for each channel, not one of them",
    )
    expect(got != want - (c + 1) * c, "the projection after the attention is missing")
    expect(got != want - 2 * (c + 1) * c, "q, k and v are three linear maps, not one")
    expect(
        got != want - 3 * c,
        "some biases are missing, 3·C of them: those of q, k and v, or those of the MLP",
    )
    expect(
        got != stl_parameters(c, h, w, 4.0, False),
        "the MLP is mlp_ratio times as wide as C; here that is 2, not 4",
    )
    expect(got == want, f"60 channels, tables left out: {want:,} parameters, not {got:,}")
    whole = attempt(c, h, w, 2.0, True)
    expect(
        whole != want + w**4 * h,
        "the table has one row for each offset, (2w−1)², not one for each pair of pixels",
    )
    expect(whole != want + 225, "each head has a table of its own")
    expect(whole != want, "with tables=True the relative position bias has to be counted")
    expect(
        whole not in (want + w**2 * h, want + (2 * w) ** 2 * h, want + (2 * w + 1) ** 2 * h),
        "two pixels of a window are −(w−1) … w−1 apart in each direction: that makes (2w−1)² rows",
    )
    expect(
        whole == want + table,
        f"60 channels, 6 heads, windows of 8: {want + table:,} parameters, not {whole:,}",
    )
    expect(
        attempt(48, 3, 4, 4.0, True) == stl_parameters(48, 3, 4, 4.0, True),
        "right for this layer only; channels, heads, window and mlp_ratio all have to count",
    )


def energy_within(gradient: np.ndarray, row: int, column: int, radius: int) -> float:
    """The share of a gradient's energy in the square of 2·radius + 1 pixels around a pixel.

    Args:
        gradient: of one output pixel with respect to the LR image, (3, h, w). Its energy at a pixel
            is the sum of the squares of its three numbers.
        row, column: the pixel; the square is cut where the image ends.
    Returns:
        Between 0 and 1.
    """
    energy = (gradient**2).sum(axis=0)  # (h, w)
    rows = slice(max(row - radius, 0), row + radius + 1)
    columns = slice(max(column - radius, 0), column + radius + 1)
    return float(energy[rows, columns].sum() / energy.sum())


@exercise(
    "06.5",
    "How much of the gradient is near?",
    difficulty=2,
    minutes=12,
    solution=energy_within,
    cases=lambda draw: {
        "the upper left corner": (draw.rng.standard_normal((3, 9, 7)), 0, 0, 3),
        "the lower right corner": (draw.rng.standard_normal((3, 9, 7)), 8, 6, 2),
        "a radius of 0": (draw.rng.standard_normal((3, 8, 5)), 4, 1, 0),
    },
)
def _energy_within(attempt: Callable[..., float]) -> None:
    gradient = np.random.default_rng(0).normal(size=(3, 13, 12))
    got, want = attempt(gradient.copy(), 6, 5, 2), energy_within(gradient, 6, 5, 2)

    def of(weights: np.ndarray, radius: slice) -> float:
        return float(
            weights[4 + radius.start : 9 + radius.stop, 3 + radius.start : 8 + radius.stop].sum()
            / weights.sum()
        )

    energy = (gradient**2).sum(axis=0)
    whole = slice(0, 0)
    expect(
        not close(got, of(np.abs(gradient).sum(axis=0), whole)),
        "energy is the square, not the absolute value",
    )
    expect(
        not close(got, of(gradient.sum(axis=0) ** 2, whole)),
        "square first, then add the colours: else they cancel",
    )
    expect(
        not close(got, of(energy, slice(0, -1))),
        "a slice ends before its last number: radius 2 is 5 pixels, not 4",
    )
    expect(
        not close(got, want * energy.sum()),
        "return the share: divide by the energy of the whole gradient",
    )
    y, x = np.mgrid[:13, :12]
    expect(
        not close(got, (energy * ((y - 6) ** 2 + (x - 5) ** 2 <= 4)).sum() / energy.sum()),
        "that is a disc; use the square of 2·radius + 1 pixels",
    )
    recognise(
        got,
        {
            "that is the share outside the square": 1 - want,
            "divide by the sum over the whole image, not by its mean": want * gradient.size,
            "a share lies between 0 and 1; that is a percentage": 100 * want,
            "row and column are swapped": energy_within(gradient, 5, 6, 2),
            "energy is the sum of the squares, not its root": of(energy**0.5, whole),
            "the pixel is the middle of the square, not its corner": float(
                energy[6:11, 5:10].sum() / energy.sum()
            ),
        },
    )
    expect(close(got, want), f"expected {want:.4f} around (6, 5) at radius 2, not {got}")
    edge = attempt(gradient.copy(), 0, 1, 3)
    expect(
        edge is not None and not np.isnan(edge) and edge != 0,
        "near the image's edge the slice starts at a negative number, which numpy counts from "
        "the end",
    )
    expect(
        close(edge, energy_within(gradient, 0, 1, 3)),
        "right inside the image, but not near its edge",
    )


def border_ratio(features: np.ndarray, window: int, shift: int) -> float:
    """How much larger steps across window borders are than steps inside windows; 1: not at all.

    Args:
        features: (H, W, C). A step is the absolute difference between a pixel and its right
            neighbour.
        window: w.
        shift: how far the windows are moved to the right; their borders lie before columns shift,
            shift + w, …
    Returns:
        Mean of the steps across borders / mean of the other steps.
    """
    # (W − 1,): step j is from column j to column j + 1
    steps = np.abs(np.diff(features, axis=1)).mean(axis=(0, 2))
    across = (np.arange(len(steps)) + 1 - shift) % window == 0
    return float(steps[across].mean() / steps[~across].mean())


@exercise(
    "06.6",
    "Do the windows show?",
    difficulty=3,
    minutes=15,
    solution=border_ratio,
    cases=lambda draw: {
        "windows of 4, shifted by 1": (draw.rng.standard_normal((5, 17, 2)), 4, 1),
        "windows of 5": (draw.rng.standard_normal((3, 20, 1)), 5, 0),
        "a shift of half a window": (draw.rng.standard_normal((6, 16, 4)), 8, 4),
    },
)
def _border_ratio(attempt: Callable[..., float]) -> None:
    features = np.random.default_rng(0).normal(size=(9, 24, 3))
    want = border_ratio(features, 8, 0)
    got = attempt(features.copy(), 8, 0)
    steps = np.abs(np.diff(features, axis=1)).mean(axis=(0, 2))
    at = np.arange(23) % 8
    expect(
        not close(got, steps[at == 0].mean() / steps[at != 0].mean()),
        "off by one: the border of windows of 8 lies between columns 7 and 8, so the step is "
        "number 7",
    )
    expect(not close(got, 1 / want), "upside down: borders above, the rest below")
    expect(
        not close(got, steps[at == 7].mean() / steps.mean()),
        "compare with the steps inside, not with all steps",
    )
    signed = np.diff(features, axis=1).mean(axis=(0, 2))
    mistakes = [
        values[at == 7].mean() / values[at != 7].mean() for values in (signed, np.abs(signed))
    ]
    expect(
        not any(close(got, mistake) for mistake in mistakes),
        "differences with signs cancel in the mean: take the absolute value first",
    )
    expect(
        not close(got, border_ratio(features.transpose(1, 0, 2), 8, 0)),
        "those are steps from row to row; take those from column to column",
    )
    squares = (np.diff(features, axis=1) ** 2).mean(axis=(0, 2))
    recognise(
        got,
        {
            (
                "compare means: there are far fewer borders than other steps, so sums say nothing"
            ): steps[at == 7].sum() / steps[at != 7].sum(),
            "how many times as large: divide, don't subtract": steps[at == 7].mean()
            - steps[at != 7].mean(),
            "a step is the absolute difference, not its square": squares[at == 7].mean()
            / squares[at != 7].mean(),
        },
    )
    expect(close(got, want), f"expected {want:.4f} without a shift, not {got}")
    moved = attempt(features.copy(), 8, 3)
    expect(not close(moved, want), "the shift was not used")
    late = np.isin(np.arange(23), (10, 18))
    expect(
        not close(moved, steps[late].mean() / steps[~late].mean()),
        "windows moved by 3 have a border before column 3, too; it is missing",
    )
    expect(
        not close(moved, border_ratio(features, 8, -3)),
        "the shift goes the other way: borders before 3, 11, 19",
    )
    expect(
        close(moved, border_ratio(features, 8, 3)),
        "right without a shift, but not with a shift of 3",
    )
