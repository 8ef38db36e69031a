"""Plausible wrong answers to the exercises of notebook 07, each with a part of the message that names the mistake."""

import numpy as np
import torch
import torch.nn.functional as F

from hatlib.exercises.lam import attributed, detail, diffusion_index, integrated_gradients, path_point


def _along(offset):
    def answer(gradient, start, end, steps=50):
        at = [start + (k + offset) / steps * (end - start) for k in range(steps)]
        return np.mean([gradient(x) for x in at], axis=0) * (end - start)

    return answer


def _without_epsilon(sr, top, left, side):
    part = sr[..., top : top + side + 1, left : left + side + 1]
    down, right = part[..., 1:, :-1] - part[..., :-1, :-1], part[..., :-1, 1:] - part[..., :-1, :-1]
    return (down**2 + right**2).sqrt().sum()


def _city_block(sr, top, left, side):
    part = sr[..., top : top + side + 1, left : left + side + 1]
    down, right = part[..., 1:, :-1] - part[..., :-1, :-1], part[..., :-1, 1:] - part[..., :-1, :-1]
    return down.abs().sum() + right.abs().sum()


def _blurred(image, t, mode="reflect", unit_sum=True):
    line = torch.exp(-0.5 * (torch.arange(-4, 5, dtype=image.dtype) / (1.2 * (1 - t))) ** 2)
    kernel = torch.outer(line, line)
    kernel = kernel / kernel.sum() if unit_sum else kernel
    return F.conv2d(F.pad(image, [4] * 4, mode=mode), kernel.expand(3, 1, 9, 9), groups=3)


def _unsorted(values):
    x, n = values.ravel(), values.size
    return 100 * (1 - ((2 * np.arange(1, n + 1) - n - 1) * x).sum() / (n * x.sum()))


def _from_zero(values):
    x, n = np.sort(values.ravel()), values.size
    return 100 * (1 - ((2 * np.arange(n) - n - 1) * x).sum() / (n * x.sum()))


WRONG = {
    "07.1": [
        (_along(1), "at the end of each step"),
        (_along(0), "at the start of each step"),
        (lambda g, a, b, m=50: integrated_gradients(g, a, b, m) / (b - a), "How far did each number move"),
        (lambda g, a, b, m=50: integrated_gradients(g, a, b, m) * m, "were summed"),
        (lambda g, a, b, m=50: integrated_gradients(g, 0 * a, b, m), "not at 0"),
        (lambda g, a, b, m=50: g(b) * (b - a), "not along the way"),
        (lambda g, a, b, m=50: integrated_gradients(g, b, a, m), "the sign is wrong"),
    ],
    "07.2": [
        (_without_epsilon, "not a number"),
        (_city_block, "direction of an edge"),
        (lambda sr, y, x, n: detail(sr[..., y : y + n, x : x + n], 0, 0, n), "last row and column"),
        (lambda sr, y, x, n: detail(sr, x, y, n), "swapped"),
        (lambda sr, y, x, n: detail(sr, y, x, n) / (3 * n * n), "that is the mean"),
        (lambda sr, y, x, n: float(detail(sr, y, x, n)), "a tensor was expected"),
    ],
    "07.3": [
        (lambda image, t, sigma=1.2: path_point(image, 1 - t, sigma), "the other way"),
        (lambda image, t, sigma=1.2: _blurred(image, t, "constant"), "not at the border"),
        (lambda image, t, sigma=1.2: _blurred(image, t, "replicate"), "not at the border"),
        (lambda image, t, sigma=1.2: _blurred(image, t, unit_sum=False), "sum to 1"),
        (lambda image, t, sigma=1.2: _blurred(image, t)[..., 4:-4, 4:-4], "the size changed"),
        (lambda image, t, sigma=1.2: path_point(image, 0, sigma), "does not depend on t"),
        (_blurred, "divides by 0"),
    ],
    "07.4": [
        (lambda slopes, points: -attributed(slopes, points), "printed formula"),
        (lambda slopes, points: (slopes[:-1] * (points[1:-1] - points[2:])).sum(axis=0), "not to the next one"),
        (lambda slopes, points: (slopes * np.diff(points, axis=0)).mean(axis=0), "that is the mean"),
        (lambda slopes, points: (slopes * points[1:]).sum(axis=0), "where it is"),
        (lambda slopes, points: attributed(slopes, points).sum(), "a map of shape"),
    ],
    "07.5": [
        (_unsorted, "sorted first"),
        (_from_zero, "from 1 to n"),
        (lambda values: 100 - diffusion_index(values), "what is left of 100"),
        (lambda values: diffusion_index(values) / 100, "not to 1"),
        (lambda values: 200 - diffusion_index(values), "from small to large"),
    ],
}
