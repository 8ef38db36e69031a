"""Wrong answers to the exercises of notebook 10, each with a part of its message."""

import numpy as np

from hatlib.course.exercises.reproduction import (
    agrees,
    left_to_measure,
    mean_gain,
    middle,
    paired_interval,
)


def _rows(text):
    return [line.split(",") for line in text.splitlines()[1:]]


def _percentiles(low, high):
    def answer(a, b, draws=2000):
        chosen = np.random.default_rng(1).integers(0, len(a), (draws, len(a)))
        return (np.mean(a - b), *np.percentile((a - b)[chosen].mean(axis=1), [low, high]))

    return answer


def _separately(a, b, draws=2000):
    rng = np.random.default_rng(1)
    means = [rng.choice(a, len(a)).mean() - rng.choice(b, len(b)).mean() for _ in range(draws)]
    return (np.mean(a - b), *np.percentile(means, [2.5, 97.5]))


def _without_replacement(a, b, draws=2000):
    rng = np.random.default_rng(1)
    means = [rng.permutation(a - b).mean() for _ in range(draws)]
    return (np.mean(a - b), *np.percentile(means, [2.5, 97.5]))


def _standard_error(a, b, draws=2000):
    error = np.std(a - b) / len(a) ** 0.5
    return np.mean(a - b), np.mean(a - b) - error, np.mean(a - b) + error


WRONG = {
    "10.1": [
        (lambda measured, printed: measured == float(printed), "no difference"),
        (lambda measured, printed: str(measured).startswith(printed), "rounded, not truncated"),
        (
            lambda measured, printed: abs(measured - float(printed)) <= 0.01,
            "half a unit of the last digit",
        ),
        (
            lambda measured, printed: (
                abs(measured - float(printed)) <= 10 ** -len(printed.partition(".")[2])
            ),
            "half a unit of the last digit",
        ),
        (
            lambda measured, printed: abs(measured - float(printed)) <= 0.005,
            "there 0.002 is a difference",
        ),
        (
            lambda measured, printed: (
                abs(measured - float(printed)) <= min(0.005, 0.5 * 10 ** -len(printed[3:]))
            ),
            "27.1 has one decimal",
        ),
        (
            lambda measured, printed: agrees(measured, printed) and "." in printed,
            "27 has no decimals",
        ),
        (lambda measured, printed: agrees(abs(measured), printed.lstrip("-")), "have a sign"),
        (lambda measured, printed: None, "nothing"),
    ],
    "10.2": [
        (lambda text, names, conditions: names[1:], "all images are left"),
        (
            lambda text, names, conditions: (
                [n for n in names if n not in left_to_measure(text, names, conditions)] or names
            ),
            "return the others",
        ),
        (
            lambda text, names, conditions: (
                sorted(left_to_measure(text, names, conditions), reverse=True)
                if text.count("\n") > 1
                else names
            ),
            "order of `names`",
        ),
        (
            lambda text, names, conditions: [
                n for n in names if n not in {row[0] for row in _rows(text)}
            ],
            "other conditions",
        ),
        (
            lambda text, names, conditions: (
                names[len([r for r in _rows(text) if r[-1] == conditions]) :]
                if "b7" not in text
                else left_to_measure(text, names, conditions)
            ),
            "in any order",
        ),
        (
            lambda text, names, conditions: [
                n
                for n in names
                if n not in {row[0] for row in _rows(text) if len(row) < 3 or row[2] == conditions}
            ],
            "last line is incomplete",
        ),
        (
            lambda text, names, conditions: [
                n
                for n in names
                if n
                not in {
                    row[0] for row in _rows(text) if len(row) == 3 and conditions.startswith(row[2])
                }
            ],
            "whole texts",
        ),
        (lambda text, names, conditions: None, "nothing"),
    ],
    "10.3": [
        (
            lambda network, bicubic: (
                np.mean(list(network.values())) - np.mean(list(bicubic.values()))
            ),
            "its own images",
        ),
        (
            lambda network, bicubic: np.mean(
                [a - b for a, b in zip(network.values(), bicubic.values(), strict=False)]
            ),
            "pair them by name",
        ),
        (
            lambda network, bicubic: np.mean(
                [value - bicubic.get(name, 0) for name, value in network.items()]
            ),
            "counts as 0 dB",
        ),
        (lambda network, bicubic: mean_gain(bicubic, network), "the sign"),
        (
            lambda network, bicubic: sum(network[n] - bicubic[n] for n in network if n in bicubic),
            "not their mean",
        ),
        (
            lambda network, bicubic: (
                sum(network[n] - bicubic[n] for n in network if n in bicubic) / len(network)
            ),
            "divide by the number",
        ),
        (
            lambda network, bicubic: np.mean([network[name] - bicubic[name] for name in network]),
            "KeyError",
        ),
        (lambda network, bicubic: None, "nothing"),
    ],
    "10.4": [
        (lambda a, b, draws=2000: paired_interval(b, a, draws), "the sign"),
        (lambda a, b, draws=2000: (np.mean(a), *paired_interval(a, b, draws)[1:]), "0.05 dB, not"),
        (
            lambda a, b, draws=2000: (paired_interval(a, b)[0], *paired_interval(a, b)[:0:-1]),
            "low comes before high",
        ),
        (_without_replacement, "with replacement"),
        (_separately, "draw the images once for both"),
        (
            lambda a, b, draws=2000: (np.mean(a - b), *np.percentile(a - b, [2.5, 97.5])),
            "single images",
        ),
        (_percentiles(5, 95), "percentiles 5 and 95"),
        (_standard_error, "one standard error"),
        (lambda a, b, draws=2000: np.mean(a - b), "three numbers"),
    ],
    "10.5": [
        (lambda height, width, side, scale: middle(width, height, side, scale), "top comes first"),
        (lambda height, width, side, scale: (height // 2, width // 2), "that is the middle"),
        (
            lambda height, width, side, scale: tuple(
                v // scale for v in middle(height, width, side, scale)
            ),
            "LR pixels",
        ),
        (
            lambda height, width, side, scale: ((height - side) // 2, (width - side) // 2),
            "inside LR pixel 29",
        ),
        (
            lambda height, width, side, scale: tuple(
                -(-(v - side) // 2 // scale) * scale for v in (height, width)
            ),
            "moved right",
        ),
        (lambda height, width, side, scale: middle(height, width, side, 4), "right for ×4 only"),
        (lambda height, width, side, scale: height - side, "two numbers"),
    ],
}
