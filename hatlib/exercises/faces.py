"""Notebook 10, the part on buildings and faces: the interval of a paired difference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hatlib.exercises import close, exercise, expect


def paired_interval(after: np.ndarray, before: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    """The mean of after − before over n pictures, in dB, and the ends of its 95 % bootstrap interval.

    after, before: (n,), PSNR of the same pictures in the same order.   draws: how often n pictures are drawn again.
    """
    difference = after - before
    rng = np.random.default_rng(0)
    drawn = rng.choice(difference, size=(draws, len(difference)))  # with replacement
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)


@exercise("10.5", "An interval for a paired difference", difficulty=2, minutes=15, solution=paired_interval)
def _paired_interval(attempt: Callable[..., tuple[float, float, float]]) -> None:
    rng = np.random.default_rng(1)
    before = rng.uniform(22, 36, 12)  # pictures differ by far more than what is measured
    after = before + rng.permutation(np.quantile(rng.exponential(0.2, 4000) - 0.05, (np.arange(12) + 0.5) / 12))
    got, want = attempt(after.copy(), before.copy(), 20_000), paired_interval(after, before, 20_000)
    expect(got is not None, "the function returned nothing")
    expect(np.shape(got) == (3,), f"three numbers were expected, mean, low and high, not shape {np.shape(got)}")
    mean, low, high = (float(value) for value in got)
    expect(close(mean, want[0], 1e-3) or not close(-mean, want[0], 1e-3), "the sign is wrong: it is after − before")
    expect(not close(mean, after.mean(), 1e-3), "that is the mean of after; the question is by how much it changed")
    expect(close(mean, want[0], 1e-6), f"the mean of the differences is {want[0]:.4f} dB here, not {mean:.4f}: first "
                                       "mean, then low, then high")
    width, right = high - low, want[2] - want[1]
    ordinary = float(np.subtract(*np.percentile(after - before, [97.5, 2.5])))
    expect(width > 0.02 * right, "the interval has no width: are pictures drawn with replacement?")
    expect(width < 5 * right, "pictures differ by many dB, and that is in the interval: draw pairs, not after and "
                              "before by themselves")
    expect(not _near(width, ordinary), "that is where 95 % of the pictures lie; where do 95 % of the means lie?")
    expect(not _near(width, right * 1.645 / 1.96), "that is an interval of 90 %: 2.5 % are to be left out on each side")
    expect(not _near(width, right * 12**0.5), "each draw has one picture; it has as many as there are")
    expect(_near(width, right), f"the interval should be {right:.3f} dB wide here, not {width:.3f}")
    lopsided = (high - mean) / (mean - low)
    expect(abs(lopsided - 1) > 0.05, "mean ± 1.96 standard errors is the same to both sides; the draws are not, here")
    expect(_near(low, want[1], right) and _near(high, want[2], right), "the width is right, but not where it lies")


def _near(value: float, target: float, unit: float | None = None) -> bool:
    """Whether two numbers differ by less than 5 % of the unit; random draws leave about 1 %."""
    return abs(value - target) < 0.05 * abs(unit or target)
