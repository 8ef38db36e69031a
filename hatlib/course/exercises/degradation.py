"""Notebook 01: kernels, phases, noise, and images that share one LR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hatlib.course.exercises.probes import close, expect, unlike
from hatlib.course.exercises.registry import exercise
from hatlib.imaging.degradation import degrade, gaussian_kernel, jpeg
from hatlib.imaging.resize import imresize


def rotated_gaussian(along: float, across: float, angle: float, size: int) -> np.ndarray:
    """An elongated Gaussian kernel of odd `size`: (size, size), peak in the middle, sum 1.

    Standard deviations in pixels: `along` the direction `angle`, and `across` it. The angle is
    in degrees, counter-clockwise from the horizontal as you see it: row 0 is at the top.
    """
    offset = np.arange(size) - size // 2
    x, y = offset[None, :], -offset[:, None]
    turn = np.radians(angle)
    u = x * np.cos(turn) + y * np.sin(turn)
    v = y * np.cos(turn) - x * np.sin(turn)
    kernel = np.exp(-(u**2) / (2 * along**2) - v**2 / (2 * across**2))
    return kernel / kernel.sum()


@exercise(
    "01.1",
    "A rotated Gaussian",
    difficulty=2,
    minutes=12,
    solution=rotated_gaussian,
    cases=lambda draw: {
        "the angle 135° and 11 taps": (2.5, 0.8, 135, 11),
        "the angle 90°": (1.5, 1.0, 90, 5),
        "a negative angle": (3.0, 1.1, -20, 7),
    },
)
def _rotated_gaussian(attempt: Callable[..., np.ndarray]) -> None:
    got, want = np.asarray(attempt(2.0, 1.2, 30, 9)), rotated_gaussian(2.0, 1.2, 30, 9)
    expect(got.shape == (9, 9), f"a kernel of size 9 has the shape (9, 9), not {got.shape}")
    peak = tuple(map(int, np.unravel_index(int(got.argmax()), got.shape)))
    expect(peak == (4, 4), f"the peak is at {peak}; the middle of 9×9 taps is (4, 4)")
    expect(
        not close(got, want / want.max()), "the largest tap is 1; the sum of all taps has to be 1"
    )
    expect(
        abs(got.sum() - 1) < 1e-6,
        f"the taps sum to {got.sum():.4f}; divide by the sum, or the image gets brighter or darker",
    )
    expect(
        not close(got, rotated_gaussian(2.0, 1.2, -30, 9)),
        "it is rotated the wrong way: row numbers grow downwards, angles turn counter-clockwise",
    )
    expect(
        not close(got, rotated_gaussian(2.0, 1.2, 120, 9)),
        "the two standard deviations are swapped",
    )
    expect(
        not close(got, rotated_gaussian(2.0, 1.2, float(np.degrees(30)), 9)),
        "the angle is in degrees; np.cos and np.sin want radians",
    )
    expect(not close(got, rotated_gaussian(2.0, 1.2, 0, 9)), "the angle does nothing")
    expect(
        not close(got, rotated_gaussian(2.0 / 2**0.5, 1.2 / 2**0.5, 30, 9)),
        "too narrow: the 2 of exp(−u²/(2σ²)) is missing",
    )
    expect(
        not close(got, rotated_gaussian(2.0**0.5, 1.2**0.5, 30, 9)),
        "too narrow: σ is a standard deviation and stands squared, 2σ²",
    )
    expect(
        close(got, want),
        "the peak and the sum are right, but the other taps are not this Gaussian's",
    )


def matrix(taps: np.ndarray, n: int, scale: int, phase: int) -> np.ndarray:
    """The matrix A of (x ⊗ k)↓s for a line of n pixels: (n/s, n), so that LR = A·x.

    `taps` are the K numbers of k. Row i weighs pixel p + K//2 − m with tap m; p = s·i + phase.
    Pixels outside the line are mirrored back into it, the edge pixel repeated: −1 is pixel 0,
    −2 is pixel 1, n is pixel n − 1.
    """
    rows = np.zeros((n // scale, n))
    for i in range(n // scale):
        for m, tap in enumerate(taps):
            pixel = scale * i + phase + len(taps) // 2 - m
            if pixel < 0:
                pixel = -1 - pixel
            if pixel >= n:
                pixel = 2 * n - 1 - pixel
            rows[i, pixel] += tap  # a pixel near the edge may get two taps
    return rows


@exercise(
    "01.2",
    "The degradation as a matrix",
    difficulty=3,
    minutes=20,
    solution=matrix,
    cases=lambda draw: {
        "random taps at ×3": (draw.array(5), 21, 3, 2),
        "an even number of taps": (draw.array(6), 16, 4, 1),
        "a single tap": (draw.array(1), 6, 2, 1),
        "scale 1": (draw.array(3), 5, 1, 0),
    },
)
def _matrix(attempt: Callable[..., np.ndarray]) -> None:
    taps = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.03, 0.01])
    got, want = np.asarray(attempt(taps.copy(), 24, 3, 1)), matrix(taps, 24, 3, 1)
    expect(got.shape != (24, 24), "you kept all pixels; A has one row per LR pixel")
    expect(
        got.shape == (8, 24), f"for 24 pixels and scale 3, A has the shape (8, 24), not {got.shape}"
    )
    inside = slice(2, -2)  # rows that see no border
    expect(
        not close(got[inside], matrix(taps[::-1], 24, 3, 1)[inside]),
        "that is a correlation: in a convolution tap m weighs the pixel −m away, not +m",
    )
    for phase in (0, 2):
        expect(
            not close(got[inside], matrix(taps, 24, 3, phase)[inside]),
            f"that is phase {phase}, not phase 1",
        )
    expect(
        close(got[inside], want[inside]),
        "the shape is right, but the rows are not: row i has its taps around pixel s·i + phase",
    )
    expect(
        not close(got[0].sum(), 0.96),
        "the taps outside the line are lost: rows at the border have to sum to 1 too; mirror "
        "these pixels into the line",
    )
    expect(
        close(got[0].sum(), 1),
        "rows at the border have to sum to 1 too: a mirrored pixel may have a tap already, "
        "so add to it (rows[i, pixel] += tap)",
    )
    expect(
        close(got, want),
        "right inside, wrong at the border: −1 is pixel 0, −2 is pixel 1, n is pixel n − 1",
    )
    even = np.array([0.4, 0.3, 0.2, 0.1])
    expect(
        close(attempt(even.copy(), 16, 2, 0), matrix(even, 16, 2, 0)),
        "right for 7 taps, wrong for 4: the tap that weighs pixel p itself is number K//2, here 2",
    )
    # a separable kernel on a picture is A from the left and Aᵀ from the right
    image = np.random.default_rng(0).random((24, 24))
    rows = np.asarray(attempt(taps.copy(), 24, 4, 3))
    expect(
        close(rows @ image @ rows.T, degrade(image, np.outer(taps, taps), 4, phase=3)),
        "right for scale 3 and phase 1, wrong for scale 4 and phase 3",
    )


def position(j: int, scale: int) -> float:
    """Where on the HR grid bicubic's LR pixel j has its centre; HR pixel i has its centre at i."""
    return (j + 0.5) * scale - 0.5


@exercise(
    "01.3",
    "The half pixel",
    difficulty=2,
    minutes=8,
    solution=position,
    cases=lambda draw: {"j = 5 at ×3": (5, 3), "j = 2 at ×8": (2, 8), "×1": (4, 1)},
)
def _position(attempt: Callable[..., float]) -> None:
    got = {(j, s): attempt(j, s) for j in (0, 1, 7) for s in (2, 3, 4)}

    def says(formula: Callable[[int, int], float]) -> bool:
        return all(abs(value - formula(*key)) < 1e-9 for key, value in got.items())

    expect(
        not says(lambda j, s: j * s),
        "j·s is the block's first pixel; LR pixel 0 covers HR pixels 0 … s−1",
    )
    expect(
        not says(lambda j, s: j * s + (s - 1) // 2),
        "right for s = 3, but with an even s a block's centre lies between two pixels: at 1.5 "
        "for j = 0, s = 4",
    )
    expect(
        not says(lambda j, s: j * s + s // 2),
        "right for s = 3, but with an even s a block's centre lies between two pixels: at 1.5 "
        "for j = 0, s = 4",
    )
    expect(
        not says(lambda j, s: (j + 0.5) * s),
        "half a pixel too far: HR pixel 0 has its centre at 0 and its left edge at −0.5",
    )
    expect(
        not says(lambda j, s: (j + 0.5) / s - 0.5),
        "that is the inverse, from the HR grid to the LR grid",
    )
    # a ramp shows it: the value of its LR pixel is the position
    ramp = np.tile(np.arange(64.0), (64, 1))
    expect(
        abs(got[7, 4] - imresize(ramp, 1 / 4)[8, 7]) < 1e-9,
        f"LR pixel 7 at scale 4 lies at 29.5, not {got[7, 4]}",
    )
    expect(says(position), "right for some pixels and scales only")


def add_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """A uint8 image plus white Gaussian noise of `sigma` grey levels, rounded and clipped: uint8.

    Every pixel and channel gets a draw of its own.
    """
    noisy = image + sigma * rng.standard_normal(image.shape)
    return np.clip(np.floor(noisy + 0.5), 0, 255).astype(np.uint8)


@exercise(
    "01.4",
    "Noise in the right units",
    difficulty=2,
    minutes=10,
    solution=add_noise,
    cases=lambda draw: {
        "a small image": (draw.image(5, 3), 3.0, draw.rng),
        "one channel": (draw.image(8, 6)[..., 0], 20.0, draw.rng),
    },
    compare=unlike,
)
def _add_noise(attempt: Callable[..., np.ndarray]) -> None:
    flat = np.full((256, 256, 3), 120, np.uint8)
    got = np.asarray(attempt(flat.copy(), 9.0, np.random.default_rng(0)))
    expect(
        got.shape == flat.shape and got.dtype == np.uint8,
        f"uint8 of the same shape (256, 256, 3) was expected, got {got.dtype} {got.shape}",
    )
    deviation, mean = float(got.std()), float(got.mean())
    expect(
        deviation > 0.5,
        "almost nothing changed: sigma is in grey levels of 0–255, not a fraction of 1",
    )
    expect(
        deviation < 110,
        "almost every pixel is black or white: sigma is in grey levels already; do not multiply "
        "it by 255",
    )
    expect(
        abs(deviation - 81) > 12 and abs(deviation - 64) > 6,
        "sigma was squared: it is the standard deviation",
    )
    expect(
        abs(deviation - 3) > 0.2, "the noise has the variance 9; sigma is the standard deviation"
    )
    expect(
        not np.array_equal(got[..., 0], got[..., 1]),
        "all channels got the same noise; draw for every channel",
    )
    expect(
        abs(deviation - 9) < 0.2, f"the standard deviation is {deviation:.2f} grey levels, not 9"
    )
    expect(
        abs(mean - 119.5) > 0.15,
        "half a level too dark on average: the conversion to uint8 truncates; round first",
    )
    expect(abs(mean - 120) < 0.15, f"the mean moved from 120 to {mean:.2f}")
    kurtosis = float(((got - mean) ** 4).mean() / deviation**4)
    expect(abs(kurtosis - 3) < 0.15, "the noise has the right sigma but is not Gaussian")
    flat = flat[:9, :7]
    again, same, other = (
        attempt(flat.copy(), 9.0, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    expect(
        np.array_equal(again, same),
        "two calls with generators of one seed give two images: draw from the generator that is "
        "passed in",
    )
    expect(
        not np.array_equal(again, other),
        "the noise is the same whatever the generator: draw from the one that is passed in",
    )
    black = np.asarray(attempt(np.zeros((64, 64, 3), np.uint8), 9.0, np.random.default_rng(1)))
    expect(
        black.max() < 128,
        "black pixels became white: values below 0 wrapped around; clip before the conversion",
    )
    white = attempt(np.full((64, 64, 3), 255, np.uint8), 9.0, np.random.default_rng(1))
    expect(
        white.min() > 128,
        "white pixels became black: values above 255 wrapped around; clip before the conversion",
    )
    expect(
        black.min() == 0 and white.max() == 255,
        f"levels go from 0 to 255, both included; yours from {black.min()} to {white.max()}",
    )


def same_lr(image: np.ndarray, detail: np.ndarray, scale: int) -> np.ndarray:
    """`image` plus as much of `detail` as LR cannot see; floats (H, W).

    LR is the mean of each block of scale × scale pixels.
    """
    height, width = image.shape
    blocks = detail.reshape(height // scale, scale, width // scale, scale)
    means = blocks.mean(axis=(1, 3)).repeat(scale, axis=0).repeat(scale, axis=1)
    return image + detail - means


@exercise(
    "01.5",
    "Two images, one LR",
    difficulty=2,
    minutes=12,
    solution=same_lr,
    cases=lambda draw: {
        "×2": (draw.array(6, 8), draw.array(6, 8), 2),
        "×3": (draw.array(9, 3), 5 * draw.array(9, 3), 3),
    },
)
def _same_lr(attempt: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    image, detail = rng.random((24, 16)), rng.random((24, 16))

    def lr(x: np.ndarray) -> np.ndarray:
        return x.reshape(6, 4, 4, 4).mean(axis=(1, 3))

    got = np.asarray(attempt(image.copy(), detail.copy(), 4))
    expect(got.shape == (24, 16), f"the result has the image's shape, (24, 16), not {got.shape}")
    want = same_lr(image, detail, 4)
    expect(not close(got, image), "that is the image itself; nothing of the detail was added")
    expect(
        not close(got, want - image),
        "that is the part of the detail that LR cannot see; add it to the image",
    )
    expect(
        not close(got, want - image + lr(image).repeat(4, 0).repeat(4, 1)),
        "the image's own detail is gone: keep the image, and subtract the block means from the "
        "detail",
    )
    expect(
        not close(got, image + detail - detail.mean()),
        "you subtracted one mean for the whole image; subtract each block's own",
    )
    expect(not close(got, image + detail), "you added all of the detail; subtract its block means")
    seen = np.abs(lr(got) - lr(image)).max()
    expect(seen < 1e-6, f"LR changed by up to {seen:.3f}; the mean of each 4×4 block has to stay")
    expect(
        close(got, want),
        "LR is the same, but not all of the invisible part of the detail was added",
    )


def two_orders(hr: np.ndarray, scale: int, quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Two uint8 LR of one HR: JPEG, then bicubic downsampling; and downsampling, then JPEG."""
    first = degrade(jpeg(hr, quality), scale=scale)
    second = jpeg(degrade(hr, scale=scale), quality)
    return first, second


@exercise(
    "01.6",
    "The order matters",
    difficulty=1,
    minutes=6,
    solution=two_orders,
    cases=lambda draw: {
        "×2 with quality 60": (draw.image(24, 32), 2, 60),
        "×3 with quality 95": (draw.image(48, 24), 3, 95),
    },
    returns="two images, first and second,",
)
def _two_orders(attempt: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8)
    hr = degrade(noise, gaussian_kernel(1.5), 1)
    answer = attempt(hr.copy(), 4, 20)
    expect(isinstance(answer, tuple) and len(answer) == 2, "return two images: first, second")
    first, second = (np.asarray(x) for x in answer)
    expect(
        first.shape == second.shape == (24, 16, 3),
        f"both are LR, 96×64 at scale 4 becomes (24, 16, 3); got {first.shape} and {second.shape}",
    )
    a, b = two_orders(hr, 4, 20)
    expect(
        not (close(first, b) and close(second, a)),
        "the two are swapped: the one with JPEG first comes first",
    )
    expect(
        not np.array_equal(first, second),
        "both are the same image: change the order, not only the names",
    )
    plain = degrade(hr, scale=4)
    expect(
        not close(first, plain) and not close(second, plain), "one of them never went through JPEG"
    )
    expect(
        not (close(first, jpeg(a, 20)) or close(second, degrade(jpeg(hr, 20), scale=4))),
        "one of them went through JPEG twice, or at the wrong size",
    )
    expect(
        close(first, a),
        "the first one is wrong: JPEG with the given quality on HR, then degrade(…, scale=scale)",
    )
    expect(
        close(second, b),
        "the second one is wrong: degrade(…, scale=scale) first, then JPEG with the given quality",
    )
