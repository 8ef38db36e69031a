"""Notebook 10: when a number counts as reproduced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hatlib.course.exercises.probes import Draw, close, difference, expect, recognise
from hatlib.course.exercises.registry import exercise
from hatlib.imaging import metrics

Pair = tuple[np.ndarray, np.ndarray]  # SR and HR, uint8 (H, W, 3)
Way = Callable[[np.ndarray, np.ndarray], float]  # SR and HR → PSNR in dB


def protocol_of(pairs: Sequence[Pair], printed: Sequence[str], scale: int) -> str:
    """By which protocol a column of a table was measured, or "none" of the four.

    "papers" is Y of BT.601 (16–235), with `scale` pixels shaved off at each border. "rgb" has the
    three colours instead of Y, "full range" has Y in 0–255, "not shaved" has the border.

    Args:
        pairs: SR and HR of each image.
        printed: PSNR in dB of each image as text, such as "28.4". A measurement agrees with it if
            it is off by half a unit of the last digit at most.
    """
    ways: dict[str, Way] = {
        "papers": lambda sr, hr: metrics.psnr(sr, hr, shave=scale),
        "rgb": lambda sr, hr: metrics.psnr(sr, hr, shave=scale, channel="rgb"),
        # errors are 255/219 as large
        "full range": lambda sr, hr: metrics.psnr(sr, hr, shave=scale) - 20 * np.log10(255 / 219),
        "not shaved": lambda sr, hr: metrics.psnr(sr, hr),
    }
    halves = [0.5 * 10.0 ** -len(text.partition(".")[2]) for text in printed]
    for name, measure in ways.items():
        apart = [abs(measure(*pair) - float(x)) for pair, x in zip(pairs, printed, strict=True)]
        if all(a <= half + 1e-9 for a, half in zip(apart, halves, strict=True)):
            return name
    return "none"


def _table(draw: Draw, protocol: str, decimals: int, scale: int, gray: int = 0) -> tuple[Any, ...]:
    """Pairs and what a table prints of them; the first `gray` of them have no colour."""
    pairs = []
    for k in range(3):
        hr = draw.image(24, 20)
        noise = draw.rng.normal(0, 12 + 3 * k, hr.shape)
        noise[scale:-scale, scale:-scale] /= 2  # the border is worse
        sr = np.clip(hr + noise, 0, 255).astype(np.uint8)
        if k < gray:
            hr, sr = (image[..., :1].repeat(3, axis=2) for image in (hr, sr))
        pairs.append((sr, hr))
    ways: dict[str, tuple[int, str, float]] = {
        "papers": (scale, "y", 0),
        "rgb": (scale, "rgb", 0),
        "full range": (scale, "y", 20 * np.log10(255 / 219)),
        "not shaved": (0, "y", 0),
        "none": (1, "rgb", 0),
    }
    shave, channel, less = ways[protocol]
    values = [metrics.psnr(sr, hr, shave, channel) - less for sr, hr in pairs]
    return pairs, [f"{value:.{decimals}f}" for value in values], scale


def _off_by_one(draw: Draw) -> tuple[Any, ...]:
    """A table by the papers' protocol, its last number one unit of the last digit too high."""
    pairs, printed, scale = _table(draw, "papers", 2, 3)
    return pairs, [*printed[:-1], f"{float(printed[-1]) + 0.01:.2f}"], scale


def _half_and_more(draw: Draw) -> tuple[Any, ...]:
    """One picture, and a number that is off by a little more than half a unit: 28.46 as 29."""
    while True:
        hr = draw.image(16, 16)
        sr = np.clip(hr + draw.rng.normal(0, 10, hr.shape), 0, 255).astype(np.uint8)
        value = metrics.psnr(sr, hr, shave=2)
        if 0.45 < value % 1 < 0.49:
            return [(sr, hr)], [f"{np.ceil(value):.0f}"], 2


@exercise(
    "10.1",
    "Which protocol was it?",
    difficulty=3,
    minutes=20,
    solution=protocol_of,
    cases=lambda draw: {
        "a table by the papers' protocol": _table(draw, "papers", 2, 4),
        "a table of RGB": _table(draw, "rgb", 2, 4),
        "a table of RGB whose first picture is gray": _table(draw, "rgb", 3, 2, gray=1),
        "a table of Y in the full range": _table(draw, "full range", 3, 4, gray=1),
        "a table with the border": _table(draw, "not shaved", 2, 3),
        "a table with one decimal": _table(draw, "papers", 1, 2),
        "a table without decimals": _table(draw, "papers", 0, 2),
        "a table with a wrong last digit": _off_by_one(draw),
        "a number that was rounded up from below a half": _half_and_more(draw),
        "a table of none of them": _table(draw, "none", 4, 4),
    },
)
def _protocol_of(attempt: Callable[..., str]) -> None:
    names = ("papers", "rgb", "full range", "not shaved", "none")

    def says(protocol: str, decimals: int = 2, scale: int = 4, gray: int = 0) -> str:
        got = attempt(*_table(Draw(1), protocol, decimals, scale, gray))
        expect(got in names, f"one of {', '.join(names)} was expected, not {got!r}")
        return got

    got = says("papers")
    expect(
        got != "none", "a printed number is rounded: half a unit of its last digit is no difference"
    )
    expect(got == "papers", f"the table by the papers' protocol is called {got!r}")
    expect(
        says("rgb") != "papers" or says("not shaved") != "papers",
        "everything is called 'papers': measure in each way, and compare with what is printed",
    )
    expect(
        says("full range") != "none",
        "Y in 0–255 has errors 255/219 as large: 1.32 dB less, not more",
    )
    expect(
        says("rgb", gray=1) != "full range" and says("full range", gray=1) != "rgb",
        "on a gray picture RGB and full-range Y are the same: all pictures have to agree",
    )
    expect(
        says("papers", 0) == "papers" and says("papers", 1) == "papers",
        "the number of decimals counts: 28 stands for 27.5 to 28.5, 28.4 for 28.35 to 28.45",
    )
    expect(
        says("none", 4) == "none",
        "that table is by none of the four: with four decimals 0.001 dB is a difference",
    )
    expect(says("papers", scale=2) == "papers", "right at ×4 only: shave `scale` pixels")


def sharp_but_wrong(strip: Mapping[str, np.ndarray]) -> list[str]:
    """Pictures of a strip that look sharper than bicubic and are farther from HR: their names.

    Sharpness is the mean of |difference| to the next pixel below, plus the same to the right. How
    far a picture is from HR is its mean squared error.

    Args:
        strip: name → gray picture, float (H, W), "HR" and "bicubic" among them.
    Returns:
        Names in the order of the strip; never "HR" and "bicubic".
    """

    def sharpness(picture: np.ndarray) -> float:
        return sum(float(np.abs(np.diff(picture, axis=axis)).mean()) for axis in (0, 1))

    def error(picture: np.ndarray) -> float:
        return float(((picture - strip["HR"]) ** 2).mean())

    plain = strip["bicubic"]
    return [
        name
        for name, picture in strip.items()
        if sharpness(picture) > sharpness(plain) and error(picture) > error(plain)
    ]


def _strip(draw: Draw, height: int, width: int) -> tuple[dict[str, np.ndarray]]:
    """A strip with every kind of picture: blurred, better, sharp and wrong, moved, inverted."""
    hr = draw.array(height, width, low=60, high=190)
    ends = np.roll(hr, (1, 1), (0, 1))
    bicubic = 0.6 * hr + 0.4 * hr.mean()
    tall = bicubic + 18 * np.sign(np.arange(height) % 2 - 0.5)[:, None]
    wide = bicubic + 18 * np.sign(np.arange(width) % 2 - 0.5)[None, :]
    return (
        {
            "moved": ends,
            "HR": hr,
            "blurred": 0.3 * hr + 0.7 * hr.mean(),
            "stripes": tall + 25,
            "better": 0.8 * hr + 0.2 * hr.mean(),
            "bicubic": bicubic,
            "columns": wide + 25,
            "brighter": bicubic + 40,
            "sharper": 1.2 * hr - 0.2 * hr.mean(),
        },
    )


@exercise(
    "10.2",
    "Read the strip",
    difficulty=2,
    minutes=12,
    solution=sharp_but_wrong,
    cases=lambda draw: {
        "a strip of 16×12": _strip(draw, 16, 12),
        "a strip of 9×20": _strip(draw, 9, 20),
    },
)
def _sharp_but_wrong(attempt: Callable[..., list[str]]) -> None:
    (strip,) = _strip(Draw(2), 14, 14)
    got, want = list(attempt(dict(strip))), sharp_but_wrong(strip)
    expect("HR" not in got, "HR is what the others are measured against: its error is 0")
    expect("bicubic" not in got, "bicubic is not sharper than itself: take >, not ≥")
    expect(
        not {"better", "sharper"} & set(got),
        "'better' is sharper than bicubic and nearer to HR: it is not wrong",
    )
    expect(
        "brighter" not in got,
        "'brighter' is bicubic plus 40 levels: farther from HR, but no sharper",
    )
    expect("blurred" not in got, "'blurred' is farther from HR, but softer than bicubic")
    expect(
        "stripes" in got and "columns" in got,
        "sharpness counts both directions: 'stripes' changes from row to row, 'columns' from "
        "column to column",
    )
    expect("moved" in got, "'moved' is as sharp as HR, and nothing of it is in its place")
    expect(sorted(got) != sorted(want) or got == want, "keep the order of the strip")
    expect(got == want, f"for this strip it is {want}, not {got}")


def compared(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[float, int, int]:
    """Two networks on the same images: the mean of first − second in dB, and who is ahead.

    Only images that both were measured on count. Where the two are less than 0.005 dB apart, which
    a table of two decimals does not show, neither is ahead.

    Args:
        first, second: name of the image → PSNR in dB.
    Returns:
        Mean difference, images in which the first is ahead, images in which the second is.
    """
    differences = [first[name] - second[name] for name in first if name in second]
    ahead = sum(difference >= 0.005 for difference in differences)
    behind = sum(difference <= -0.005 for difference in differences)
    return float(np.mean(differences)), ahead, behind


def _measured(draw: Draw, images: int, missing: int) -> tuple[dict[str, float], dict[str, float]]:
    """PSNRs of two networks, each with some images that the other lacks, in other orders."""
    names = [f"img_{k:03}" for k in range(images)]
    hard = draw.array(images, low=20, high=35)
    gaps = draw.array(images, low=-0.3, high=0.5)
    first = {name: float(value) for name, value in zip(names, hard, strict=True)}
    second = {name: first[name] - float(gap) for name, gap in zip(names, gaps, strict=True)}
    for k, gap in ((-1, -0.001), (-2, 0.004), (-3, 0.01), (-4, -0.012)):
        second[names[k]] = first[names[k]] - gap
    for k in range(missing):
        del first[names[k]], second[names[k + missing]]
    return first, dict(reversed(second.items()))


@exercise(
    "10.3",
    "A paired comparison",
    difficulty=2,
    minutes=12,
    solution=compared,
    cases=lambda draw: {
        "twelve images": _measured(draw, 12, 2),
        "the same five images": _measured(draw, 5, 0),
        "a second network that is always ahead": ({"a": 30.0, "b": 31.0}, {"b": 31.5, "a": 30.25}),
    },
    tolerance=1e-9,
    returns="three numbers, (mean difference, first ahead, second ahead),",
)
def _compared(attempt: Callable[..., tuple[float, int, int]]) -> None:
    first = {"façade": 25.0, "cat": 33.0, "coffee": 30.0, "tissue": 28.002, "moon": 41.0}
    second = {
        "coffee": 29.0,
        "façade": 22.0,
        "tissue": 28.0,
        "brick": 18.0,
        "moon": 41.4,
        "rocket": 35.0,
    }
    mean, ahead, behind = attempt(dict(first), dict(second))
    right = (3 + 1 + 0.002 - 0.4) / 4
    by_place = np.mean([a - b for a, b in zip(first.values(), second.values(), strict=False)])
    recognise(
        mean,
        {
            "each mean is over its own images: cat has only the first, brick only the second": (
                np.mean(list(first.values())) - np.mean(list(second.values()))
            ),
            "you paired the values by position; pair them by name": by_place,
            "an image without the second's value counts as 0 dB; leave it out": np.mean(
                [value - second.get(name, 0) for name, value in first.items()]
            ),
            "the sign: first minus second": -right,
            "that is the sum of the differences, not their mean": 4 * right,
            "divide by the number of images that both have": 4 * right / 5,
            "the mean takes the differences with their signs": (3 + 1 + 0.002 + 0.4) / 4,
            "images that are nearly equal count in the mean, too": (3 + 1 - 0.4) / 3,
            "that is the median of the differences, not their mean": np.median([3, 1, 0.002, -0.4]),
        },
        1e-9,
    )
    expect(close(mean, right, 1e-9), f"the mean difference is {right:.4f} dB, not {mean:.4f}")
    expect((ahead, behind) != (1, 2), "the two counts are swapped: first the first's")
    expect((ahead, behind) != (3, 1), "tissue is 0.002 dB apart: below 0.005 dB neither is ahead")
    expect((ahead, behind) != (2, 2), "an image that is not won is not yet lost: tissue is even")
    expect(
        (ahead, behind) == (2, 1),
        f"the first is ahead in façade and coffee, the second in moon: 2 and 1, not {ahead} and "
        f"{behind}",
    )


def paired_interval(a: np.ndarray, b: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    """The mean of a − b and its 95 % confidence interval (mean, low, high).

    The interval comes from drawing the images again with replacement.

    a, b: PSNR in dB of two networks on the same n images, float64 (n,).
    """
    difference = a - b
    chosen = np.random.default_rng(0).integers(0, len(a), (draws, len(a)))
    low, high = np.percentile(difference[chosen].mean(axis=1), [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)


def _same_interval(got: Any, want: Any, tolerance: float) -> str:
    """Two bootstraps of other random numbers: the means are equal, the ends nearly."""
    words = difference(got[0], want[0], tolerance)
    apart = max(abs(a - b) for a, b in zip(got, want, strict=True))
    return words or ("" if apart < 0.15 * (want[2] - want[1]) else f"{want} is right, not {got}")


@exercise(
    "10.4",
    "A confidence interval for a difference",
    difficulty=3,
    minutes=20,
    solution=paired_interval,
    cases=lambda draw: {
        "30 images": (draw.array(30, low=25, high=26), draw.array(30, low=25, high=26), 4000),
        "a network that is always behind": (draw.array(9), draw.array(9) + 2, 4000),
    },
    compare=_same_interval,
    returns="three numbers, (mean, low, high),",
)
def _paired_interval(attempt: Callable[..., tuple[float, float, float]]) -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(25, 4, 60)  # what all networks have in common: some images are harder
    gap = rng.normal(0, 1, 60)
    gap = 0.05 + 0.1 * (gap - gap.mean()) / gap.std()
    a, b = hard + gap, hard
    got = attempt(a.copy(), b.copy(), 4000)
    mean, low, high = got
    expect(not close(mean, -0.05, 1e-3), "the sign: the difference is a − b")
    expect(close(mean, 0.05, 1e-3), f"the mean difference of this pair is 0.05 dB, not {mean:.3f}")
    width, right = high - low, 2 * 1.96 * 0.1 / 60**0.5
    half = abs(abs(high) - right / 2) < 0.2 * right and abs(abs(low) - abs(high)) < 0.2 * right
    expect(not half, "low and high are the ends of the interval, not half of its width")
    expect(low <= high, "low comes before high")
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
    few = np.array([0.3, -0.1, 0.2, 0.0, 2.0])
    five = paired_interval(few, np.zeros(5), 20000)
    got = attempt(few.copy(), np.zeros(5), 20000)
    without = paired_interval(few[:-1], np.zeros(4), 20000)
    expect(
        abs(got[2] - without[2]) > 0.1,
        "the last image is never drawn: rng.integers(0, n) ends before n already",
    )
    turned = attempt(few[::-1].copy(), np.zeros(5), 20000)
    expect(abs(turned[2] - without[2]) > 0.1, "the first image is never drawn: start at 0")
    expect(
        abs((got[2] - got[1]) / (five[2] - five[1]) - 1) < 0.06,
        "as many images are drawn as there are: n of n, not n − 1 or any other number",
    )
    once = attempt(few.copy(), np.zeros(5), 1)
    expect(once[1] == once[2], "right for one number of draws only: `draws` is an argument")


def middle(height: int, width: int, side: int, scale: int) -> tuple[int, int]:
    """Top row and left column of the middle side×side pixels of an HR image.

    Moved up and left to whole LR pixels.
    """
    return (height - side) // 2 // scale * scale, (width - side) // 2 // scale * scale


@exercise(
    "10.5",
    "The middle, in both images",
    difficulty=1,
    minutes=6,
    solution=middle,
    cases=lambda draw: {
        "101×90, a side of 30, ×3": (101, 90, 30, 3),
        "97×64, a side of 64, ×2": (97, 64, 64, 2),
        "×1": (50, 41, 10, 1),
    },
    returns="two numbers, (top, left),",
)
def _middle(attempt: Callable[..., tuple[int, int]]) -> None:
    got = attempt(200, 300, 64, 4)
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
