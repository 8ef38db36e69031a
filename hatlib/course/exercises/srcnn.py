"""Notebook 03: the parts of SRCNN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from hatlib.course.exercises.parts import Part
from hatlib.course.exercises.probes import Draw, close, expect, recognise
from hatlib.course.exercises.registry import exercise
from hatlib.models.srcnn import SRCNN


def count_weights(kernels: Sequence[int], features: Sequence[int]) -> int:
    """Weights of SRCNN f1-f2-f3 with n1, n2 features on one channel, biases not counted."""
    f1, f2, f3 = kernels
    n1, n2 = features
    return f1 * f1 * n1 + n1 * f2 * f2 * n2 + n2 * f3 * f3


@exercise(
    "03.1",
    "Count the weights",
    difficulty=1,
    minutes=5,
    solution=count_weights,
    cases=lambda draw: {
        "9-3-5 with 64 and 32 features": ((9, 3, 5), (64, 32)),
        "5-1-3 with 10 and 7 features": ((5, 1, 3), (10, 7)),
        "3-5-7 with 6 and 20 features": ((3, 5, 7), (6, 20)),
    },
)
def _count_weights(attempt: Callable[..., int]) -> None:
    got = attempt((9, 5, 5), (64, 32))
    expect(got != 57184 + 64 + 32 + 1, "you counted the biases; the paper counts weights only")
    expect(got != 64 * 9 + 64 * 32 * 5 + 32 * 5, "a filter is f×f, not f")
    expect(got != 81 * 64 + 25 * 32 + 25, "a filter of the second layer covers all n1 feature maps")
    expect(got != 3 * 81 * 64 + 51200 + 800, "the network takes one channel, the luma, not three")
    expect(got == 57184, f"9-5-5 with 64 and 32 features has 57,184 weights, not {got}")
    expect(attempt((9, 1, 5), (64, 32)) == 8032, "right for 9-5-5 only; 9-1-5 has 8,032")
    expect(
        attempt((9, 5, 5), (48, 24)) != 57184,
        "right for 64 and 32 features only: n1 and n2 are arguments",
    )


def receptive_field(kernels: Sequence[int]) -> int:
    """Side of the square of input pixels on which a pixel of stacked convolutions depends."""
    return 1 + sum(kernel - 1 for kernel in kernels)


@exercise(
    "03.2",
    "The receptive field",
    difficulty=1,
    minutes=5,
    solution=receptive_field,
    cases=lambda draw: {
        "5-9-3": ((5, 9, 3),),
        "a kernel of even size, 4-3": ((4, 3),),
        "a single layer": ((7,),),
        "ten layers of 3": ((3,) * 10,),
    },
)
def _receptive_field(attempt: Callable[..., int]) -> None:
    got = attempt((5, 9, 3))
    expect(
        got not in (7, 8),
        "k // 2 is how far a kernel reaches on one side; a layer adds k − 1, both sides of it",
    )
    got = attempt((9, 5, 5))
    expect(got != 19, "a second layer adds f − 1, not f: its first tap is the pixel itself")
    expect(got != 16, "the middle pixel itself is missing")
    expect(got != 9, "later layers widen the receptive field of the first one")
    expect(got != 8, "that is the distance to one side; give the side of the whole square")
    expect(got == 17, f"the receptive field of 9-5-5 is 17×17 pixels, not {got}×{got}")
    expect(
        attempt((3,) * 10) == 21, "right for three layers; it has to work for any number of them"
    )


def convolve_valid(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What nn.Conv2d computes without padding: (H, W) and (f, f) → (H − f + 1, W − f + 1)."""
    f = len(kernel)
    windows = np.lib.stride_tricks.sliding_window_view(image, (f, f))  # (…, …, f, f)
    return (windows * kernel).sum(axis=(2, 3))


@exercise(
    "03.3",
    "A convolution by hand",
    difficulty=2,
    minutes=10,
    solution=convolve_valid,
    cases=lambda draw: {
        "a kernel of 5×5": (draw.array(8, 6), draw.array(5, 5)),
        "a kernel of 1×1": (draw.array(3, 4), draw.array(1, 1)),
        "a kernel of 2×2 with negative taps": (draw.array(4, 7), draw.array(2, 2, low=-1)),
        "a kernel as large as the image": (draw.array(4, 4), draw.array(4, 4)),
    },
    forbids=dict.fromkeys(
        ("conv2d", "from_numpy", "as_tensor", "correlate2d", "convolve2d", "correlate", "convolve"),
        "right, but with a finished convolution: use sums of products",
    ),
)
def _convolve_valid(attempt: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    image, kernel = rng.random((6, 7)), rng.random((3, 3))
    got = attempt(image.copy(), kernel.copy())
    got = np.asarray(got)
    expect(
        got.shape != image.shape,
        "you padded the image; without padding each side loses f − 1 pixels",
    )
    expect(got.shape == (4, 5), f"a (6, 7) image and a (3, 3) kernel give (4, 5), not {got.shape}")
    other = np.ones((4, 4))
    expect(
        np.shape(attempt(image.copy(), other)) != (4, 5),
        "right for kernels of 3×3 only: f is the kernel's side",
    )
    flipped = convolve_valid(image, kernel[::-1, ::-1])
    expect(
        not close(got, flipped),
        "the kernel was flipped; that is the convolution of mathematics; Conv2d does not flip",
    )
    expect(
        not close(got, convolve_valid(image, kernel.T)),
        "rows and columns of the kernel are swapped",
    )
    expect(close(got, convolve_valid(image, kernel)), "the sizes are right, but the sums are not")


Layer = tuple[torch.Tensor, torch.Tensor]  # weight (out, in, f, f), bias (out,)


def srcnn_forward(luma: torch.Tensor, layers: Sequence[Layer]) -> torch.Tensor:
    """SRCNN without padding: luma (N, 1, H, W) → (N, 1, H − …, W − …).

    layers: three pairs of weight and bias.
    """
    (w1, b1), (w2, b2), (w3, b3) = layers
    x = F.relu(F.conv2d(luma, w1, b1))
    x = F.relu(F.conv2d(x, w2, b2))
    return F.conv2d(x, w3, b3)


def _layers(draw: Draw, kernels: Sequence[int], features: Sequence[int]) -> list[Layer]:
    sizes = zip((*features, 1), (1, *features), kernels, strict=True)
    return [draw.layer(outputs, inputs, side, side) for outputs, inputs, side in sizes]


def _enhance(forward: Callable[..., Any], network: SRCNN, luma: torch.Tensor) -> torch.Tensor:
    """The learner's layers in the place of `SRCNN.enhance`, which pads for them."""
    layers = [(c.weight, c.bias) for c in (network.conv1, network.conv2, network.conv3)]
    return forward(F.pad(luma, [network.margin] * 4, mode="replicate"), layers)


@exercise(
    "03.4",
    "The forward pass",
    difficulty=2,
    minutes=10,
    solution=srcnn_forward,
    cases=lambda draw: {
        "9-1-5": (draw.tensor(1, 1, 20, 17), _layers(draw, (9, 1, 5), (8, 6))),
        "3-3-1 and two images": (draw.tensor(2, 1, 9, 12), _layers(draw, (3, 3, 1), (2, 5))),
    },
    tolerance=1e-5,
    part=Part(lambda layer: isinstance(layer, SRCNN), {"enhance": _enhance}),
)
def _srcnn_forward(attempt: Callable[..., torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 1, 5, 5), (4, 6, 3, 3), (1, 4, 3, 3)]
    layers = [
        (torch.randn(s, generator=generator) / 3, torch.randn(s[0], generator=generator) / 3)
        for s in shapes
    ]
    luma = torch.randn(2, 1, 16, 15, generator=generator)
    got, want = attempt(luma, layers), srcnn_forward(luma, layers)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        got.shape[-2:] != luma.shape[-2:],
        "you padded the layers; without padding the image loses pixels at its border",
    )
    expect(
        got.shape == want.shape,
        f"the result's shape is {tuple(want.shape)}, not {tuple(got.shape)}",
    )
    expect(
        not close(got, want.relu()),
        "there is no ReLU after the last layer: it would clip the image at 0",
    )
    linear = luma
    for weight, bias in layers:
        linear = F.conv2d(linear, weight, bias)
    expect(
        not close(got, linear, 1e-5),
        "the ReLUs are missing: three layers without them are one linear filter",
    )
    no_bias = [(weight, torch.zeros_like(bias)) for weight, bias in layers]
    expect(not close(got, srcnn_forward(luma, no_bias), 1e-5), "the biases are missing")
    (w1, b1), (w2, b2), (w3, b3) = layers
    first = F.conv2d(luma, w1, b1)
    recognise(
        got,
        {
            "there is no ReLU before the first layer: it takes the image as it is": srcnn_forward(
                luma.relu(), layers
            ),
            "the first ReLU is missing": F.conv2d(F.conv2d(first, w2, b2).relu(), w3, b3),
            "the second ReLU is missing": F.conv2d(F.conv2d(first.relu(), w2, b2), w3, b3),
            "a ReLU keeps what is above 0; yours keeps what is below": F.conv2d(
                -F.relu(-F.conv2d(-F.relu(-first), w2, b2)), w3, b3
            ),
            "SRCNN has ReLUs, not sigmoids": F.conv2d(
                F.conv2d(first.sigmoid(), w2, b2).sigmoid(), w3, b3
            ),
            "SRCNN has ReLUs; it is older than GELU": F.conv2d(
                F.gelu(F.conv2d(F.gelu(first), w2, b2)), w3, b3
            ),
        },
        1e-5,
    )
    expect(close(got, want, 1e-5), "the shape is right, but the values are not")


def loss_to_psnr(mse: float) -> float:
    """PSNR in dB of studio-range luma, from the training loss: MSE of full-range luma in [0, 1].

    Studio luma is 219/255 of the full-range one plus 16, and the peak stays 255.
    """
    return float(10 * np.log10(1 / (mse * (219 / 255) ** 2)))


@exercise(
    "03.5",
    "From the loss to decibels",
    difficulty=2,
    minutes=10,
    solution=loss_to_psnr,
    cases=lambda draw: {"a loss of 0.0004": (0.0004,), "a loss of 0.02": (0.02,)},
)
def _loss_to_psnr(attempt: Callable[..., float]) -> None:
    got, want = attempt(0.001), loss_to_psnr(0.001)
    expect(
        not close(got, 2 * want, 1e-3),
        "20·log₁₀ belongs to the root of the mean squared error; here it is 10",
    )
    expect(
        not close(got, 30.0, 1e-3),
        "that is the PSNR of the full-range luma: 1.32 dB below the protocol's",
    )
    expect(
        not close(got, 30 - 1.3219, 1e-3),
        "the correction has the wrong sign: errors of studio luma are smaller",
    )
    expect(not close(got, -want, 1e-3), "the sign is wrong: a small error gives a high PSNR")
    expect(close(got, want, 1e-3), f"a loss of 0.001 is {want:.2f} dB, not {got:.2f} dB")
    expect(close(attempt(0.01), want - 10, 1e-3), "ten times the error costs 10 dB")
