"""Notebook 07: integrated gradients, and local attribution maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from hatlib.course.exercises.probes import close, expect, recognise
from hatlib.course.exercises.registry import exercise


def integrated_gradients(
    gradient: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    end: np.ndarray,
    steps: int = 50,
) -> np.ndarray:
    """What each of n numbers contributed on the straight way from start (n,) to end (n,): (n,).

    By the midpoint rule.
    """
    middles = (np.arange(steps) + 0.5) / steps
    slopes = [gradient(start + t * (end - start)) for t in middles]
    return np.mean(slopes, axis=0) * (end - start)


def _twisted(x: np.ndarray) -> np.ndarray:
    """The gradient of x₀³ + 3·x₁ + x₀·x₁²: not linear, so that it matters where it is taken."""
    return np.array([3 * x[0] ** 2 + x[1] ** 2, 3 + 2 * x[0] * x[1]])


@exercise(
    "07.1",
    "Integrated gradients",
    difficulty=2,
    minutes=10,
    solution=integrated_gradients,
    cases=lambda draw: {
        "7 steps": (_twisted, draw.array(2), draw.array(2, low=-3), 7),
        "3 numbers": (np.sin, draw.array(3), draw.array(3, high=4), 5),
        "a single step": (_twisted, draw.array(2), draw.array(2, high=2), 1),
    },
)
def _integrated_gradients(attempt: Callable[..., np.ndarray]) -> None:
    start, end = np.array([1.0, -1.0]), np.array([3.0, 1.0])
    steps = 4
    got = attempt(_twisted, start.copy(), end.copy(), steps)
    want = integrated_gradients(_twisted, start, end, steps)
    ends = [
        np.mean([_twisted(start + (k + a) / steps * (end - start)) for k in range(steps)], axis=0)
        * (end - start)
        for a in (0, 1)
    ]
    expect(
        np.shape(got) == (2,),
        f"one number for each of the two inputs was expected, not shape {np.shape(got)}",
    )
    expect(
        not close(got, want / (end - start)),
        "that is the mean gradient; multiply it by how far each number moved",
    )
    expect(
        not close(got, want * steps),
        "you summed the gradients; each step is only 1/steps of the path",
    )
    expect(
        not close(got, ends[1]),
        "you took the gradients at the end of each step; the midpoint rule takes them halfway",
    )
    expect(
        not close(got, ends[0]),
        "you took the gradients at the start of each step; the midpoint rule takes them halfway",
    )
    expect(
        not close(got, integrated_gradients(_twisted, np.zeros(2), end, steps)),
        "the path starts at start, not at 0",
    )
    expect(not close(got, -np.asarray(want)), "the sign is wrong: the path leads from start to end")
    expect(
        not close(got, _twisted(end) * (end - start)),
        "that is the gradient at the end only, not along the path",
    )
    slopes = [_twisted(start + t * (end - start)) for t in (np.arange(steps) + 0.5) / steps]
    both_ends = [_twisted(start + t * (end - start)) for t in np.linspace(0, 1, steps)]
    recognise(
        got,
        {
            "each step is 1/steps of the path, which leads from start to end": np.sum(
                slopes, axis=0
            ),
            (
                "np.linspace(0, 1, steps) includes both ends of the "
                "path; the midpoints are (k + ½)/steps"
            ): np.mean(both_ends, axis=0) * (end - start),
            (
                "each number has a mean gradient of its own: take the "
                "mean over the steps only, axis=0"
            ): np.mean(slopes) * (end - start),
            "how far each number moved is end − start, not end": np.mean(slopes, axis=0) * end,
            "that is one step for the whole path; take `steps` of them": _twisted((start + end) / 2)
            * (end - start),
        },
    )
    expect(
        not close(got, integrated_gradients(_twisted, start, end)),
        "steps is not used: it is not always 50",
    )
    expect(
        close(got, want),
        f"from (1, −1) to (3, 1) in 4 steps it is {want.round(3)}, not {np.round(got, 3)}",
    )


def detail(sr: torch.Tensor, top: int, left: int, side: int) -> torch.Tensor:
    """Σ √(dx² + dy² + 1e-8) over the pixels of a window of sr (1, C, H, W) and all channels.

    dx and dy are the differences to the next pixel on the right and below, which may lie just
    outside the window. A tensor of one number, with a gradient.
    """
    part = sr[..., top : top + side + 1, left : left + side + 1]
    down = part[..., 1:, :-1] - part[..., :-1, :-1]
    right = part[..., :-1, 1:] - part[..., :-1, :-1]
    return (down**2 + right**2 + 1e-8).sqrt().sum()


@exercise(
    "07.2",
    "How much detail?",
    difficulty=3,
    minutes=15,
    solution=detail,
    cases=lambda draw: {
        "one channel": (draw.tensor(1, 1, 9, 12).sigmoid(), 2, 5, 3),
        "a window of one pixel": (draw.tensor(1, 3, 6, 5).sigmoid(), 0, 1, 1),
        "a window of 7": (draw.tensor(1, 2, 12, 10).sigmoid().double(), 3, 1, 7),
    },
    tolerance=1e-5,
)
def _detail(attempt: Callable[..., torch.Tensor]) -> None:
    sr = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    got, want = attempt(sr, 4, 9, 6), detail(sr, 4, 9, 6)
    expect(
        isinstance(got, torch.Tensor),
        f"a tensor was expected, so that it has a gradient, not {type(got).__name__}",
    )
    expect(got.ndim == 0, f"one number was expected, got shape {tuple(got.shape)}")
    expect(not close(got, want / (3 * 36), 1e-4), "that is the mean; the released code sums")
    expect(
        not close(got, detail(sr, 9, 4, 6), 1e-4), "rows and columns are swapped: top counts rows"
    )
    inner = sr[..., 4:10, 9:15]
    expect(
        not close(got, detail(inner, 0, 0, 6), 1e-4),
        "the last row and column of the window are missing: their next pixel lies just outside",
    )
    part = sr[..., 4:11, 9:16]
    steps = (part[..., 1:, :-1] - part[..., :-1, :-1]).abs() + (
        part[..., :-1, 1:] - part[..., :-1, :-1]
    ).abs()
    expect(
        not close(got, steps.sum(), 1e-3),
        "|dx| + |dy| depends on the direction of an edge; √(dx² + dy²) does not",
    )
    expect(not close(got, want / 3, 1e-4), "sum the three channels; you averaged them")
    down, right = part[..., 1:, :-1] - part[..., :-1, :-1], part[..., :-1, 1:] - part[..., :-1, :-1]
    recognise(
        got,
        {
            "the root is taken of each pixel's dx² + dy², before the sum": (down**2 + right**2)
            .sum()
            .sqrt(),
            "the root is missing": (down**2 + right**2).sum(),
            "only the vertical differences are there": down.abs().sum(),
            "only the horizontal differences are there": right.abs().sum(),
            "each channel counts by itself; you averaged them first": detail(
                sr.mean(dim=1, keepdim=True), 4, 9, 6
            ),
        },
        1e-3,
    )
    expect(close(got, want, 1e-3), f"for a random image it is {want:.3f}, not {float(got):.3f}")
    flat = torch.full((1, 3, 20, 24), 0.5, requires_grad=True)
    result = attempt(flat, 4, 9, 6)
    expect(
        result.requires_grad,
        "the result has lost its gradient: use no numpy, no detach and no item",
    )
    (slope,) = torch.autograd.grad(result, flat)
    expect(
        bool(torch.isfinite(slope).all()),
        "the gradient of a flat image is not a number: the slope of √ at 0 is infinite, so add "
        "1e-8, and crop first",
    )


def path_point(image: torch.Tensor, t: float, sigma: float = 1.2) -> torch.Tensor:
    """γ(t): image (1, C, H, W) blurred with a 9×9 Gaussian of width σ·(1 − t).

    γ(1) is the image itself. At its border it is mirrored without the edge pixel: mode="reflect".
    """
    width = sigma * (1 - t)
    if width == 0:
        return image
    line = torch.exp(-0.5 * (torch.arange(-4, 5, dtype=image.dtype) / width) ** 2)
    kernel = torch.outer(line, line) / line.sum() ** 2
    channels = image.shape[1]
    padded = F.pad(image, [4] * 4, mode="reflect")
    return F.conv2d(padded, kernel.expand(channels, 1, 9, 9), groups=channels)


@exercise(
    "07.3",
    "A point of the path",
    difficulty=3,
    minutes=15,
    solution=path_point,
    cases=lambda draw: {
        "one channel, t = 0.6": (draw.tensor(1, 1, 9, 12), 0.6),
        "four channels in float64, σ = 2": (draw.tensor(1, 4, 11, 9).double(), 0.1, 2.0),
        "t = 1": (draw.tensor(1, 3, 6, 7), 1.0),
        "t = 0": (draw.tensor(1, 2, 10, 8), 0.0, 0.7),
    },
    tolerance=1e-5,
)
def _path_point(attempt: Callable[..., torch.Tensor]) -> None:
    image = torch.rand(
        1, 3, 14, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    got, want = attempt(image.clone(), 0.25), path_point(image, 0.25)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        tuple(got.shape) == tuple(image.shape),
        f"the size changed from {tuple(image.shape)} to {tuple(got.shape)}: pad by 4 on each "
        "side first",
    )
    expect(
        not close(got, path_point(image, 0.75), 1e-4),
        "t runs the other way: t = 0 is the blurred image",
    )
    expect(not close(got, path_point(image, 0), 1e-4), "the blur does not depend on t")
    inside = (..., slice(4, -4), slice(4, -4))
    expect(
        not close(got[inside].mean(), want[inside].mean() * (2 * np.pi * 0.9**2), 0.05),
        "the kernel has to sum to 1, or the image gets brighter",
    )
    edges_only = close(got[inside], want[inside], 1e-5) and not close(got, want, 1e-4)
    expect(
        not edges_only,
        'right inside, but not at the border, which is mirrored without its edge: mode="reflect"',
    )
    recognise(
        got,
        {
            "a Gaussian is exp(−½·(x/width)²): the ½ is missing": path_point(
                image, 1 - 0.75 / 2**0.5
            ),
            "each channel is blurred on its own, not blurred together: groups=C": want.mean(
                dim=1, keepdim=True
            ).expand_as(want),
            "γ(t) is the image blurred less and less, not a blend with a blurred one": 0.75
            * path_point(image, 0)
            + 0.25 * image,
        },
        1e-5,
    )
    expect(
        close(got, want, 1e-5), "the size is right, but the values are not: is the width σ·(1 − t)?"
    )
    expect(
        close(attempt(image.clone(), 0.25, 0.8), path_point(image, 0.25, 0.8), 1e-5),
        "right for σ = 1.2 only",
    )
    expect(
        close(attempt(image.clone(), 1.0), image, 1e-6),
        "γ(1) has to be the image itself; a Gaussian of width 0 divides by 0",
    )


def attributed(slopes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Σ ∂D/∂γ(k/m) · (γ(k/m) − γ((k−1)/m)) over k = 1 … m.

    slopes: (m, …), ∂D/∂γ at γ(1/m) … γ(1).   points: (m + 1, …), γ(0) … γ(1).
    """
    return (slopes * (points[1:] - points[:-1])).sum(axis=0)


@exercise(
    "07.4",
    "The survey's formula, repaired",
    difficulty=2,
    minutes=10,
    solution=attributed,
    cases=lambda draw: {
        "maps of three channels": (
            draw.rng.standard_normal((4, 3, 2, 5)),
            draw.rng.standard_normal((5, 3, 2, 5)),
        ),
        "a single step": (draw.array(1, 4, low=-1), draw.array(2, 4)),
    },
)
def _attributed(attempt: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    slopes, points = rng.random((5, 3, 4)), rng.random((6, 3, 4))
    want = attributed(slopes, points)
    got = attempt(slopes.copy(), points.copy())
    expect(np.shape(got) != (5, 3, 4), "those are the m products; now add them up")
    expect(np.shape(got) == (3, 4), f"a map of shape (3, 4) was expected, not {np.shape(got)}")
    expect(
        not close(got, -want), "the sign is that of the printed formula: this sum is D(I′) − D(I)"
    )
    ahead = (slopes[:-1] * (points[1:-1] - points[2:])).sum(axis=0)
    expect(
        not close(got, ahead) and not close(got, -ahead),
        "each slope belongs to the step that ends at its point, not to the next one; nothing is "
        "left over",
    )
    expect(not close(got, want / 5), "that is the mean; the steps already add up to the whole path")
    expect(
        not close(got, (slopes * points[1:]).sum(axis=0)),
        "multiply by how far γ moved, not by where it is",
    )
    moves = np.diff(points, axis=0)
    recognise(
        got,
        {
            "the last term is missing: the sum goes to k = m": (slopes * moves)[:-1].sum(axis=0),
            "keep the signs of the moves in the sum": (slopes * np.abs(moves)).sum(axis=0),
            "the sum has signs; the absolute value is taken later, for the map": np.abs(want),
            (
                "multiply each slope by its own move, γ(k/m) − γ((k−1)/m), not by the whole "
                "path so far"
            ): (slopes * (points[1:] - points[0])).sum(axis=0),
            (
                "that is the straight line from the first point to the "
                "last: each slope belongs to its own move"
            ): slopes.mean(axis=0) * (points[-1] - points[0]),
        },
    )
    expect(close(got, want), "the shape is right, but the values are not")


def diffusion_index(values: np.ndarray) -> float:
    """DI = 100·(1 − G) with G = Σ (2i − n − 1)·xᵢ / (n·Σ xᵢ), i = 1 … n, x from small to large."""
    x = np.sort(values.ravel())
    n = len(x)
    rank = np.arange(1, n + 1)
    return float(100 * (1 - ((2 * rank - n - 1) * x).sum() / (n * x.sum())))


@exercise(
    "07.5",
    "The diffusion index",
    difficulty=2,
    minutes=10,
    solution=diffusion_index,
    cases=lambda draw: {
        "8×5 random numbers": (draw.array(8, 5),),
        "a line with zeros": (np.maximum(draw.array(30, low=-1), 0),),
        "one hot pixel": (np.eye(1, 12).reshape(3, 4),),
    },
)
def _diffusion_index(attempt: Callable[..., float]) -> None:
    values = np.array([[0.1, 0.7, 0.2], [0.4, 1.0, 0.0]])
    got, want = attempt(values.copy()), diffusion_index(values)
    x = np.sort(values.ravel())
    rank = np.arange(1, 7)
    unsorted = 100 * (1 - ((2 * rank - 7) * values.ravel()).sum() / (6 * x.sum()))
    from_zero = 100 * (1 - ((2 * (rank - 1) - 7) * x).sum() / (6 * x.sum()))
    expect(np.size(got) == 1, f"one number was expected, not shape {np.shape(got)}")
    expect(not close(got, unsorted, 1e-4), "sort the values first")
    expect(not close(got, 200 - want, 1e-4), "sort them from small to large")
    expect(
        not close(got, 100 - want, 1e-4), "that is 100 times the Gini index; subtract it from 100"
    )
    expect(not close(got, want / 100, 1e-6), "DI goes from 0 to 100, not to 1")
    expect(not close(got, from_zero, 1e-4), "i counts from 1 to n")
    gini = 1 - want / 100
    by_column = ((2 * np.arange(1, 3) - 3)[:, None] * np.sort(values, axis=0)).sum() / (2 * x.sum())
    recognise(
        got,
        {
            "that is the Gini index; DI = 100·(1 − G)": gini,
            "G is divided by n times the sum, not by the sum alone": 100 * (1 - 6 * gini),
            "G is twice what it should be": 100 * (1 - 2 * gini),
            "sort all values of the map together: ravel first": 100 * (1 - by_column),
            "2i − n − 1: the 1 is missing": 100 * (1 - ((2 * rank - 6) * x).sum() / (6 * x.sum())),
        },
        1e-4,
    )
    expect(close(got, want, 1e-4), f"of six numbers 0 … 1 it is {want:.2f}, not {float(got):.2f}")
    expect(close(attempt(np.full((4, 4), 0.3)), 100, 1e-4), "a constant map has DI 100")
