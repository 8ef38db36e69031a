"""Confidence intervals by bootstrap: what a mean or a correlation would be on other pictures.

The pictures (or windows, or faces) of a table are one sample of those that might have been taken.
Drawing as many again from them, with replacement, and computing the statistic of each draw shows
how far it varies; the middle 95 % of the draws are its confidence interval (Efron, 1979,
percentile method). The random numbers have a fixed seed, so a table gives the same interval each
time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

DRAWS = 2000
ENDS = (2.5, 97.5)  # percentiles


class Interval(NamedTuple):
    """A statistic and the ends of its 95 % confidence interval; NaN where there is none."""

    value: float
    low: float
    high: float


def bootstrap(statistic: Callable[..., float], *sizes: int) -> Interval:
    """A statistic of one or more samples, with its confidence interval.

    Args:
        statistic: takes one int array of indices per sample, gives a number.
        sizes: how many elements each sample has.
    """
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, size, (DRAWS, size)) for size in sizes]
    values = [statistic(*indices) for indices in zip(*draws, strict=True)]
    low, high = np.percentile(values, ENDS)
    return Interval(float(statistic(*map(np.arange, sizes))), float(low), float(high))


def mean(values: np.ndarray, weights: np.ndarray | None = None) -> Interval:
    """The mean of values, with its confidence interval; of a single value there is none.

    Args:
        values: (n,).
        weights: (n,), how much each value counts; by default all the same.
    """
    weights = np.ones(len(values)) if weights is None else weights
    if len(values) < 2:
        return Interval(float(values.mean()), float("nan"), float("nan"))

    def weighted(indices: np.ndarray) -> float:
        return float((values[indices] * weights[indices]).sum() / weights[indices].sum())

    return bootstrap(weighted, len(values))


def difference(first: np.ndarray, second: np.ndarray) -> Interval:
    """The mean of one sample minus the mean of another, with its confidence interval.

    Args:
        first, second: (n,) and (m,); both are drawn again, each by itself.
    """
    return bootstrap(
        lambda i, j: float(first[i].mean() - second[j].mean()), len(first), len(second)
    )
