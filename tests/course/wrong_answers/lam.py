"""Wrong answers to the exercises of notebook 07, each with a part of its message."""

import numpy as np
import torch
import torch.nn.functional as F

from hatlib.course.exercises.lam import (
    attributed,
    detail,
    diffusion_index,
    integrated_gradients,
    path_point,
)


def _along(offset):
    def answer(gradient, start, end, steps=50):
        at = [start + (k + offset) / steps * (end - start) for k in range(steps)]
        return np.mean([gradient(x) for x in at], axis=0) * (end - start)

    return answer


def _of_slopes(together):
    """07.2 with something else made of the differences downwards and to the right."""

    def answer(sr, top, left, side):
        part = sr[..., top : top + side + 1, left : left + side + 1]
        return together(
            part[..., 1:, :-1] - part[..., :-1, :-1], part[..., :-1, 1:] - part[..., :-1, :-1]
        )

    return answer


def _blurred(image, t, mode="reflect", unit_sum=True, sigma=1.2):
    line = torch.exp(-0.5 * (torch.arange(-4, 5, dtype=image.dtype) / (sigma * (1 - t))) ** 2)
    kernel = torch.outer(line, line)
    kernel = kernel / kernel.sum() if unit_sum else kernel
    return F.conv2d(F.pad(image, [4] * 4, mode=mode), kernel.expand(3, 1, 9, 9), groups=3)


def _unsorted(values):
    x, n = values.ravel(), values.size
    return 100 * (1 - ((2 * np.arange(1, n + 1) - n - 1) * x).sum() / (n * x.sum()))


def _from_zero(values):
    x, n = np.sort(values.ravel()), values.size
    return 100 * (1 - ((2 * np.arange(n) - n - 1) * x).sum() / (n * x.sum()))


def _by_column(values):
    n = len(values)
    ranks = (2 * np.arange(1, n + 1) - n - 1)[:, None]
    return 100 * (1 - (ranks * np.sort(values, axis=0)).sum() / (n * values.sum()))


def _channels_mixed(image, t, sigma=1.2):
    """07.3 with a kernel that sums over the channels."""
    blurred = path_point(image, t, sigma)
    return blurred.mean(dim=1, keepdim=True).expand_as(image) + 0


def _detail_once(sr, top, left, side):
    """07.2 with numbers of its own in place of the window."""
    return detail(sr, 4, 9, 6)


WRONG = {
    "07.1": [
        (_along(1), "at the end of each step"),
        (_along(0), "at the start of each step"),
        (
            lambda g, a, b, m=50: integrated_gradients(g, a, b, m) / (b - a),
            "how far each number moved",
        ),
        (lambda g, a, b, m=50: integrated_gradients(g, a, b, m) * m, "you summed the gradients"),
        (lambda g, a, b, m=50: integrated_gradients(g, 0 * a, b, m), "not at 0"),
        (lambda g, a, b, m=50: g(b) * (b - a), "not along the path"),
        (lambda g, a, b, m=50: integrated_gradients(g, b, a, m), "the sign is wrong"),
        (
            lambda g, a, b, m=50: sum(g(a + (k + 0.5) / m * (b - a)) for k in range(m)),
            "1/steps of the path",
        ),
        (
            lambda g, a, b, m=50: (
                np.mean([g(a + t * (b - a)) for t in np.linspace(0, 1, m)], axis=0) * (b - a)
            ),
            "both ends of the path",
        ),
        (
            lambda g, a, b, m=50: np.mean(integrated_gradients(g, a, b, m) / (b - a)) * (b - a),
            "axis=0",
        ),
        (
            lambda g, a, b, m=50: integrated_gradients(g, a, b, m) / (b - a) * b,
            "end − start, not end",
        ),
        (lambda g, a, b, m=50: integrated_gradients(g, a, b, 1), "one step for the whole path"),
        (lambda g, a, b, m=50: integrated_gradients(g, a, b), "not always 50"),
    ],
    "07.2": [
        (_of_slopes(lambda down, right: (down**2 + right**2).sqrt().sum()), "not a number"),
        (
            _of_slopes(lambda down, right: down.abs().sum() + right.abs().sum()),
            "direction of an edge",
        ),
        (lambda sr, y, x, n: detail(sr[..., y : y + n, x : x + n], 0, 0, n), "last row and column"),
        (lambda sr, y, x, n: detail(sr, x, y, n), "swapped"),
        (lambda sr, y, x, n: detail(sr, y, x, n) / (3 * n * n), "that is the mean"),
        (lambda sr, y, x, n: float(detail(sr, y, x, n)), "a tensor was expected"),
        (lambda sr, y, x, n: detail(sr.detach(), y, x, n), "lost its gradient"),
        (
            lambda sr, y, x, n: detail(sr.mean(dim=1, keepdim=True), y, x, n),
            "you averaged them first",
        ),
        (
            _of_slopes(lambda down, right: (down**2 + right**2 + 1e-8).sum().sqrt()),
            "before the sum",
        ),
        (_of_slopes(lambda down, right: (down**2 + right**2).sum()), "the root is missing"),
        (_of_slopes(lambda down, right: down.abs().sum()), "only the vertical differences"),
        (_of_slopes(lambda down, right: right.abs().sum()), "only the horizontal differences"),
        (lambda sr, y, x, n: detail(sr, y, x, n).reshape(1, 1), "one number"),
        (lambda sr, y, x, n: (detail(sr, y, x, n),), "is there a comma"),
    ],
    "07.3": [
        (lambda image, t, sigma=1.2: path_point(image, 1 - t, sigma), "the other way"),
        (lambda image, t, sigma=1.2: _blurred(image, t, "constant"), "not at the border"),
        (lambda image, t, sigma=1.2: _blurred(image, t, "replicate"), "not at the border"),
        (lambda image, t, sigma=1.2: _blurred(image, t, unit_sum=False), "sum to 1"),
        (lambda image, t, sigma=1.2: _blurred(image, t)[..., 4:-4, 4:-4], "the size changed"),
        (lambda image, t, sigma=1.2: path_point(image, 0, sigma), "does not depend on t"),
        (lambda image, t, sigma=1.2: _blurred(image, t, sigma=sigma), "divides by 0"),
        (lambda image, t, sigma=1.2: path_point(image, t), "σ = 1.2 only"),
        (lambda image, t, sigma=1.2: path_point(image, t, sigma / 2**0.5), "the ½ is missing"),
        (
            lambda image, t, sigma=1.2: (1 - t) * path_point(image, 0, sigma) + t * image,
            "not a blend",
        ),
        (_channels_mixed, "not blurred together"),
        (lambda image, t, sigma=1.2: path_point(image.double(), t, sigma), "its type is"),
        (lambda image, t, sigma=1.2: path_point(image, t, sigma).numpy(), "a tensor was expected"),
    ],
    "07.4": [
        (lambda slopes, points: -attributed(slopes, points), "printed formula"),
        (
            lambda slopes, points: (slopes[:-1] * (points[1:-1] - points[2:])).sum(axis=0),
            "not to the next one",
        ),
        (
            lambda slopes, points: (slopes * np.diff(points, axis=0)).mean(axis=0),
            "that is the mean",
        ),
        (lambda slopes, points: (slopes * points[1:]).sum(axis=0), "where it is"),
        (lambda slopes, points: attributed(slopes, points).sum(), "an array of numpy"),
        (lambda slopes, points: slopes * np.diff(points, axis=0), "now add them up"),
        (lambda slopes, points: attributed(slopes[:-1], points[:-1]), "the last term"),
        (
            lambda slopes, points: (slopes * np.abs(np.diff(points, axis=0))).sum(axis=0),
            "keep the signs of the moves",
        ),
        (lambda slopes, points: np.abs(attributed(slopes, points)), "taken later"),
        (
            lambda slopes, points: (slopes * (points[1:] - points[0])).sum(axis=0),
            "whole path so far",
        ),
        (lambda slopes, points: slopes.mean(axis=0) * (points[-1] - points[0]), "straight line"),
        (lambda slopes, points: attributed(slopes, points).tolist(), "an array of numpy"),
    ],
    "07.5": [
        (_unsorted, "sort the values first"),
        (_from_zero, "from 1 to n"),
        (lambda values: 100 - diffusion_index(values), "subtract it from 100"),
        (lambda values: diffusion_index(values) / 100, "not to 1"),
        (lambda values: 200 - diffusion_index(values), "from small to large"),
        (lambda values: 1 - diffusion_index(values) / 100, "that is the Gini index"),
        (lambda values: 100 - values.size * (100 - diffusion_index(values)), "by n times the sum"),
        (lambda values: 2 * diffusion_index(values) - 100, "twice"),
        (_by_column, "ravel first"),
        (lambda values: diffusion_index(values) - 100 / values.size, "the 1 is missing"),
        (lambda values: np.array([diffusion_index(values)]), "one number"),
    ],
}
