"""Notebook 10: when a number counts as reproduced."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hatlib.course.exercises.probes import close, expect
from hatlib.course.exercises.registry import exercise


def agrees(measured: float, printed: str) -> bool:
    """Whether a measurement is what somebody printed, such as "28.37".

    It may be off by half a unit of the last digit at most.
    """
    decimals = len(printed.partition(".")[2])
    return abs(measured - float(printed)) <= 0.5 * 10**-decimals + 1e-9


@exercise("10.1", "Is that the same number?", difficulty=2, minutes=8, solution=agrees)
def _agrees(attempt: Callable[..., bool]) -> None:
    def says(measured: float, printed: str) -> bool:
        got = attempt(measured, printed)
        expect(got is not None, "the function returned nothing")
        return bool(got)

    expect(
        says(23.1412, "23.14"),
        "23.1412 is printed as 23.14: what rounding removed is no difference",
    )
    expect(says(28.3658, "28.37"), "28.3658 is printed as 28.37: digits are rounded, not truncated")
    expect(
        not says(28.3642, "28.37"),
        "28.3642 is printed as 28.36; half a unit of the last digit is 0.005",
    )
    expect(not says(0.8465, "0.8447"), "0.8447 has four decimals: there 0.002 is a difference")
    expect(says(27.07, "27.1"), "27.1 has one decimal: it stands for anything from 27.05 to 27.15")
    expect(says(27.3, "27"), "27 has no decimals: it stands for anything from 26.5 to 27.5")
    expect(not says(0.378, "-0.38") and says(-0.378, "-0.38"), "differences have a sign")


def left_to_measure(text: str, names: list[str], conditions: str) -> list[str]:
    """The images, in the order of `names`, that lack a row in a table's text.

    The table has the columns image,psnr,conditions; the first line is the header. A row counts if
    its line is whole (ends in a newline) and its conditions are these.
    """
    lines = text[: text.rfind("\n") + 1].splitlines()[1:]
    rows = [line.split(",") for line in lines]
    done = {image for image, _, measured_under in rows if measured_under == conditions}
    return [name for name in names if name not in done]


@exercise("10.2", "Where it stopped", difficulty=2, minutes=12, solution=left_to_measure)
def _left_to_measure(attempt: Callable[..., list[str]]) -> None:
    names = ["cat", "coffee", "rocket", "tissue", "hubble"]
    header = "image,psnr,conditions\n"
    got = attempt(header, list(names), "a1")
    expect(got is not None, "the function returned nothing")
    expect(
        list(got) == names, f"of a table with only a header, all images are left, not {list(got)}"
    )
    got = list(attempt(header + "cat,30.91,a1\ncoffee,31.20,a1\n", list(names), "a1"))
    expect(got != ["cat", "coffee"], "those are measured already; return the others")
    expect(
        sorted(got) == sorted(names[2:]),
        f"cat and coffee are measured; left are {names[2:]}, not {got}",
    )
    expect(got == names[2:], "the images keep the order of `names`")
    got = list(attempt(header + "cat,30.91,b7\ncoffee,31.20,a1\n", list(names), "a1"))
    expect(
        "cat" in got,
        "the cat was measured under other conditions (b7, not a1): with other weights, perhaps",
    )
    got = list(attempt(header + "rocket,34.10,a1\ncoffee,31.20,a1\n", list(names), "a1"))
    expect(
        got == ["cat", "tissue", "hubble"], "rows may be in any order: counting them is not enough"
    )
    got = list(attempt(header + "cat,30.91,a1\ncoffee,31.2", list(names), "a1"))
    expect(
        "coffee" in got, "the last line is incomplete, as after a power cut: measure coffee again"
    )
    expect(got == names[1:], f"left are {names[1:]}, not {got}")
    got = list(attempt(header + "cat,30.91,a1\ncoffee,31.20,a1", list(names), "a12"))
    expect(got == names, "compare the conditions as whole texts, too")


def mean_gain(network: dict[str, float], bicubic: dict[str, float]) -> float:
    """Mean gain in dB of a network over bicubic, on the images that both were measured on.

    network, bicubic: name of the image → PSNR in dB.
    """
    both = network.keys() & bicubic.keys()
    return float(np.mean([network[name] - bicubic[name] for name in both]))


@exercise("10.3", "The same images", difficulty=1, minutes=8, solution=mean_gain)
def _mean_gain(attempt: Callable[..., float]) -> None:
    network = {"façade": 25.0, "cat": 33.0, "coffee": 30.0}
    bicubic = {"coffee": 29.0, "façade": 22.0, "brick": 18.0, "rocket": 35.0}
    got = attempt(dict(network), dict(bicubic))
    expect(got is not None, "the function returned nothing")
    expect(
        not close(got, np.mean(list(network.values())) - np.mean(list(bicubic.values()))),
        "each mean is over its own images: cat has only the network's, brick only bicubic's",
    )
    expect(
        not close(
            got, np.mean([a - b for a, b in zip(network.values(), bicubic.values(), strict=False)])
        ),
        "you paired the values by position; pair them by name",
    )
    expect(
        not close(got, np.mean([value - bicubic.get(name, 0) for name, value in network.items()])),
        "an image that bicubic was not measured on counts as 0 dB; leave it out",
    )
    expect(not close(got, -2), "the sign: a gain is the network's PSNR minus bicubic's")
    expect(not close(got, 4), "that is the sum of the gains, not their mean")
    expect(
        not close(got, 4 / 3) and not close(got, 1), "divide by the number of images that both have"
    )
    expect(close(got, 2), f"façade +3 dB and coffee +1 dB are +2 dB on average, not {got}")


def paired_interval(a: np.ndarray, b: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    """The mean of a − b and its 95 % confidence interval (mean, low, high).

    The interval comes from drawing the images again with replacement.

    a, b: PSNR in dB of two networks on the same n images, float64 (n,).
    """
    difference = a - b
    chosen = np.random.default_rng(0).integers(0, len(a), (draws, len(a)))
    low, high = np.percentile(difference[chosen].mean(axis=1), [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)


@exercise(
    "10.4",
    "A confidence interval for a difference",
    difficulty=3,
    minutes=20,
    solution=paired_interval,
)
def _paired_interval(attempt: Callable[..., tuple[float, float, float]]) -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(25, 4, 60)  # what all networks have in common: some images are harder
    gap = rng.normal(0, 1, 60)
    gap = 0.05 + 0.1 * (gap - gap.mean()) / gap.std()
    a, b = hard + gap, hard
    got = attempt(a.copy(), b.copy(), 4000)
    expect(
        got is not None and np.size(got) == 3,
        f"three numbers were expected, mean, low and high, not {got}",
    )
    mean, low, high = (float(value) for value in got)
    expect(not close(mean, -0.05, 1e-3), "the sign: the difference is a − b")
    expect(close(mean, 0.05, 1e-3), f"the mean difference of this pair is 0.05 dB, not {mean:.3f}")
    expect(low <= high, "low comes before high")
    width, right = high - low, 2 * 1.96 * 0.1 / 60**0.5
    expect(
        width > 0.01 * right, "the interval has no width: were the images drawn with replacement?"
    )
    unpaired = 2 * 1.96 * 4 * (2 / 60) ** 0.5
    expect(
        abs(width / unpaired - 1) > 0.3,
        "you drew a and b separately: draw the images once for both of them",
    )
    expect(
        abs(width / (right * 60**0.5) - 1) > 0.3,
        "that is the spread of single images; the interval is that of their mean",
    )
    expect(
        abs(width / (right / 1.96 * 1.645) - 1) > 0.08,
        "those are the percentiles 5 and 95, which hold 90 %",
    )
    expect(
        abs(width / (right / 1.96) - 1) > 0.1,
        "that is one standard error on each side; 95 % are about two",
    )
    expect(
        abs(width / right - 1) < 0.08 and abs((low + high) / 2 - 0.05) < 0.3 * right,
        f"the interval should be about 0.05 ± {right / 2:.3f}, not {low:.3f} … {high:.3f}",
    )


def middle(height: int, width: int, side: int, scale: int) -> tuple[int, int]:
    """Top row and left column of the middle side×side pixels of an HR image.

    Moved up and left to whole LR pixels.
    """
    return (height - side) // 2 // scale * scale, (width - side) // 2 // scale * scale


@exercise("10.5", "The middle, in both images", difficulty=1, minutes=6, solution=middle)
def _middle(attempt: Callable[..., tuple[int, int]]) -> None:
    got = attempt(200, 300, 64, 4)
    expect(
        got is not None and np.size(got) == 2, f"two numbers were expected, (top, left), not {got}"
    )
    top, left = (int(value) for value in got)
    expect((top, left) != (116, 68), "top comes first, which belongs to the height; then left")
    expect(
        (top, left) not in ((100, 150), (25, 37)),
        "that is the middle; the crop starts half a side before it",
    )
    expect((top, left) != (17, 29), "those are LR pixels; return HR pixels")
    expect(
        (top, left) != (68, 118),
        "column 118 lies inside LR pixel 29: move left to where it begins, 116",
    )
    expect((top, left) != (68, 120), "moved right; move left, to the beginning of the LR pixel")
    expect(
        (top, left) == (68, 116),
        f"for 200×300, a side of 64 and ×4 it is (68, 116), not {(top, left)}",
    )
    expect(tuple(attempt(101, 90, 30, 3)) == (33, 30), "right for ×4 only")
