"""Plausible wrong answers to exercise 10.5, each with a part of the message that names the mistake."""

import numpy as np

from hatlib.exercises.faces import paired_interval


def _of(statistic, ends=(2.5, 97.5)):
    """An answer whose draws come from `statistic`, which takes (after, before, draws, random generator)."""
    def answer(after, before, draws=2000):
        low, high = np.percentile(statistic(after, before, draws, np.random.default_rng(3)), ends)
        return (after - before).mean(), low, high

    return answer


def _paired(after, before, draws, rng):
    return rng.choice(after - before, size=(draws, len(after))).mean(axis=1)


def _apart(after, before, draws, rng):
    means = [rng.choice(values, size=(draws, len(values))).mean(axis=1) for values in (after, before)]
    return means[0] - means[1]


def _no_replacement(after, before, draws, rng):
    return [rng.permutation(after - before).mean() for _ in range(draws)]


def _standard_error(after, before, draws=2000):
    difference = after - before
    error = difference.std(ddof=0) / len(difference) ** 0.5
    return difference.mean(), difference.mean() - 1.96 * error, difference.mean() + 1.96 * error


WRONG = {
    "10.5": [
        (_of(_apart), "draw pairs"),
        (_of(_paired, (5, 95)), "an interval of 90 %"),
        (_of(_no_replacement), "has no width"),
        (_of(lambda after, before, draws, rng: after - before), "where do 95 % of the means lie"),
        (_standard_error, "standard errors"),
        (lambda after, before, draws=2000: paired_interval(before, after, draws), "the sign is wrong"),
        (lambda after, before, draws=2000: paired_interval(after, 0 * before, draws), "mean of after"),
        (lambda after, before, draws=2000: paired_interval(after, before, draws)[1:], "three numbers"),
        (lambda after, before, draws=2000: np.sort(paired_interval(after, before, draws)), "first mean, then low"),
    ],
}
