"""Confidence intervals, on samples whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments import bootstrap


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(2, 1, 400)
    mean, low, high = bootstrap.mean(values)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - 1.96 * 0.05, mean + 1.96 * 0.05), abs=0.01)


def test_a_value_of_little_weight_counts_little():
    values = np.array([1.0, 1.0, 2.0, 2.0, 9.0])
    mean, low, high = bootstrap.mean(values, np.array([1.0, 1.0, 1.0, 1.0, 0.001]))
    assert mean == pytest.approx(1.5, abs=0.01)
    assert (low, high) == pytest.approx((1, 2), abs=0.1)


def test_a_single_value_has_no_interval():
    mean, low, high = bootstrap.mean(np.array([3.0]))
    assert mean == 3 and np.isnan(low) and np.isnan(high)


def test_a_difference_draws_both_samples():
    rng = np.random.default_rng(0)
    first, second = rng.normal(3, 1, 400), rng.normal(1, 2, 400)
    value, low, high = bootstrap.difference(first, second)
    error = np.sqrt(first.var() / 400 + second.var() / 400)  # of the difference of two means
    assert value == pytest.approx(first.mean() - second.mean())
    assert (low, high) == pytest.approx((value - 1.96 * error, value + 1.96 * error), abs=0.02)


def test_samples_of_pairs_stay_pairs():
    """Drawn apart, x and y would have no correlation."""
    x = np.random.default_rng(0).normal(size=50)
    value, low, _ = bootstrap.bootstrap(lambda i: np.corrcoef(x[i], 2 * x[i])[0, 1], len(x))
    assert value == pytest.approx(1) and low == pytest.approx(1)


def test_it_is_scipys_bootstrap():
    values = np.random.default_rng(1).normal(size=30)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert bootstrap.mean(values)[1:] == pytest.approx((theirs.low, theirs.high), abs=1e-12)
