"""Wrong answers to the exercises of notebook 10, each with a part of its message."""

import numpy as np

from hatlib.course.exercises.reproduction import (
    compared,
    middle,
    paired_interval,
    protocol_of,
    sharp_but_wrong,
)
from hatlib.imaging import metrics


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


def _decimals(text):
    return len(text.partition(".")[2])


def _protocols(
    agree=lambda got, text: abs(got - float(text)) <= 0.5 * 10.0 ** -_decimals(text) + 1e-9,
    full=-1.3219,
    together=all,
    shaved=None,
):
    """10.1 with another rule for agreement, or with other ways to measure."""

    def answer(pairs, printed, scale):
        shave = scale if shaved is None else shaved
        ways = {
            "papers": lambda sr, hr: metrics.psnr(sr, hr, shave),
            "rgb": lambda sr, hr: metrics.psnr(sr, hr, shave, "rgb"),
            "full range": lambda sr, hr: metrics.psnr(sr, hr, shave) + full,
            "not shaved": metrics.psnr,
        }
        for name, way in ways.items():
            fits = (agree(way(*pair), text) for pair, text in zip(pairs, printed, strict=True))
            if together(fits):
                return name
        return "none"

    return answer


def _nearest(pairs, printed, scale):
    """The way with the smallest difference, however large it is."""
    ways = {
        "papers": lambda sr, hr: metrics.psnr(sr, hr, scale),
        "rgb": lambda sr, hr: metrics.psnr(sr, hr, scale, "rgb"),
        "full range": lambda sr, hr: metrics.psnr(sr, hr, scale) - 1.3219,
        "not shaved": metrics.psnr,
    }
    apart = {
        name: sum(abs(way(*pair) - float(x)) for pair, x in zip(pairs, printed, strict=True))
        for name, way in ways.items()
    }
    return min(apart, key=apart.get)


def _differences(a, b):
    return [a[name] - b[name] for name in a if name in b]


def _counted(a, b, mean=np.mean, ahead=0.005, behind=0.005):
    """10.2 with another mean, or another rule for who is ahead."""
    gaps = _differences(a, b)
    return float(mean(gaps)), sum(x >= ahead for x in gaps), sum(x <= -behind for x in gaps)


def _sharp(strip, steps=(0, 1), sharper=True, wrong=True):
    """10.3 with one direction only, or one condition only."""

    def sharpness(x):
        return sum(np.abs(np.diff(x, axis=axis)).mean() for axis in steps)

    def error(x):
        return ((x - strip["HR"]) ** 2).mean()

    plain = strip["bicubic"]
    return [
        name
        for name, x in strip.items()
        if (not sharper or sharpness(x) > sharpness(plain))
        and (not wrong or error(x) > error(plain))
    ]


def _drawing(count, last=0):
    """10.4 that draws n + count images, or none of the last ones."""

    def answer(a, b, draws=2000):
        rng = np.random.default_rng(1)
        chosen = rng.integers(0, len(a) - last, (draws, len(a) + count))
        low, high = np.percentile((a - b)[chosen].mean(axis=1), [2.5, 97.5])
        return float(np.mean(a - b)), float(low), float(high)

    return answer


def _half_widths(a, b, draws=2000):
    mean, low, high = paired_interval(a, b, draws)
    return mean, mean - low, high - mean


WRONG = {
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
        (_drawing(-1), "n of n"),
        (_drawing(0, last=1), "the last image is never drawn"),
        (_half_widths, "not half of its width"),
        (lambda a, b, draws=2000: paired_interval(a, b, 20000), "`draws` is an argument"),
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
    "10.1": [
        (lambda pairs, printed, scale: "papers", "everything is called 'papers'"),
        (_protocols(agree=lambda got, text: got == float(text)), "rounded: half a unit"),
        (_protocols(agree=lambda got, text: abs(got - float(text)) <= 0.05), "number of decimals"),
        (_protocols(agree=lambda got, text: abs(got - float(text)) <= 0.005), "number of decimals"),
        (_protocols(full=1.3219), "dB less, not more"),
        (_protocols(together=any), "all pictures have to agree"),
        (_nearest, "none of the four"),
        (_protocols(shaved=4), "×4 only"),
        (lambda *a: _protocols()(*a).upper(), "one of papers"),
        (lambda *a: protocol_of(*a) == "papers", "text was expected, not True"),
        (_protocols(agree=lambda got, text: f"{got:.6f}".startswith(text)), "rounded: half a unit"),
    ],
    "10.3": [
        (
            lambda a, b: (
                np.mean(list(a.values())) - np.mean(list(b.values())),
                *compared(a, b)[1:],
            ),
            "over its own images",
        ),
        (
            lambda a, b: (
                np.mean([x - y for x, y in zip(a.values(), b.values(), strict=False)]),
                *compared(a, b)[1:],
            ),
            "pair them by name",
        ),
        (
            lambda a, b: (
                np.mean([x - b.get(name, 0) for name, x in a.items()]),
                *compared(a, b)[1:],
            ),
            "counts as 0 dB",
        ),
        (lambda a, b: compared(b, a), "first minus second"),
        (lambda a, b: _counted(a, b, mean=sum), "not their mean"),
        (lambda a, b: _counted(a, b, mean=lambda x: sum(x) / len(a)), "that both have"),
        (lambda a, b: _counted(a, b, mean=np.median), "the median"),
        (lambda a, b: _counted(a, b, mean=lambda x: np.mean(np.abs(x))), "with their signs"),
        (
            lambda a, b: _counted(a, b, mean=lambda x: np.mean([y for y in x if abs(y) >= 0.005])),
            "count in the mean",
        ),
        (lambda a, b: _counted(a, b, ahead=1e-9), "neither is ahead"),
        (lambda a, b: _counted(a, b, behind=-0.005), "tissue is even"),
        (lambda a, b: (compared(a, b)[0], *compared(a, b)[:0:-1]), "the two counts are swapped"),
        (lambda a, b: compared(a, b)[0], "three numbers"),
        (lambda a, b: (np.mean([a[name] - b[name] for name in a]), 2, 1), "KeyError"),
    ],
    "10.2": [
        (lambda strip: _sharp(strip, wrong=False), "HR is what the others"),
        (lambda strip: _sharp(strip, sharper=False), "no sharper"),
        (lambda strip: _sharp(strip, steps=(0,)), "both directions"),
        (lambda strip: _sharp(strip, steps=(1,)), "both directions"),
        (lambda strip: sharp_but_wrong(strip)[::-1], "the order of the strip"),
        (lambda strip: [*sharp_but_wrong(strip), "bicubic"], "than itself"),
        (lambda strip: [*sharp_but_wrong(strip), "sharper"], "not wrong"),
        (lambda strip: [*sharp_but_wrong(strip), "blurred"], "softer than bicubic"),
        (lambda strip: [x for x in sharp_but_wrong(strip) if x != "moved"], "in its place"),
        (lambda strip: set(sharp_but_wrong(strip)), "a list was expected"),
        (lambda strip: sharp_but_wrong(strip)[0], "a list was expected, not text"),
    ],
}
