"""Notebook 02: PSNR and SSIM, and the choices inside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hatlib.course.exercises.probes import Draw, close, described, expect
from hatlib.course.exercises.registry import exercise
from hatlib.imaging import convert, metrics


def psnr_of_integers(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of two uint8 or two uint16 images of one shape; infinite when they are equal."""
    peak = float(np.iinfo(a.dtype).max)  # 255 or 65535
    mse = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(peak**2 / mse)) if mse > 0 else float("inf")


@exercise(
    "02.1",
    "PSNR for any bit depth",
    difficulty=1,
    minutes=8,
    solution=psnr_of_integers,
    cases=lambda draw: {
        "another pair of uint8": (draw.image(5, 7), draw.image(5, 7)),
        "one channel with 16 bits": tuple(draw.rng.integers(0, 65536, (2, 6, 4), dtype=np.uint16)),
        "images that differ by one level in one pixel": (
            np.zeros((4, 5), np.uint8),
            np.eye(4, 5, dtype=np.uint8) // np.arange(1, 6, dtype=np.uint8),
        ),
        "equal images": (draw.image(3, 3) // 255, np.zeros((3, 3, 3), np.uint8)),
    },
)
def _psnr_of_integers(attempt: Callable[..., float]) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(20, 200, (8, 9, 3), dtype=np.uint8) for _ in range(2))
    want = psnr_of_integers(a, b)
    with np.errstate(all="ignore"):
        got = attempt(a, b)
        equal = attempt(a, a)
        wide = attempt(a.astype(np.uint16) * 257, b.astype(np.uint16) * 257)
    mse = np.mean((a.astype(float) - b) ** 2)
    wrapped = 10 * np.log10(255**2 / np.mean((a - b).astype(float) ** 2))
    squared = 10 * np.log10(255**2 / np.mean((a - b) ** 2))
    expect(
        not close(got, wrapped, 1e-3) and not close(got, squared, 1e-3),
        "uint8 differences wrapped around: 10 − 20 became 246; convert to float first",
    )
    expect(
        not close(got, 10 * np.log10(float(a.max()) ** 2 / mse), 1e-3),
        "the peak is the largest value that the type can hold, not the largest in this image",
    )
    expect(not close(got, 10 * np.log10(255 / mse), 1e-3), "the peak is squared, like the error")
    expect(
        not close(got, 2 * want, 1e-3),
        "20·log₁₀ belongs to the root of the mean squared error; here it is 10",
    )
    expect(
        not close(got, want * np.log(10), 1e-3),
        "a decibel is ten times the logarithm to base 10, not to base e",
    )
    per_pixel = 10 * np.log10(255**2 / np.mean(((a.astype(float) - b) ** 2).sum(axis=2)))
    expect(not close(got, per_pixel, 1e-3), "the mean runs over the channels too; you summed them")
    expect(close(got, want), f"expected {want:.4f} dB for a pair of uint8 images, not {got}")
    expect(equal == float("inf"), f"equal images have an infinite PSNR, not {equal}")
    expect(
        not close(wide, want - 20 * np.log10(257), 1e-3), "with 16 bits the peak is 65535, not 255"
    )
    expect(
        close(wide, want),
        f"the same pair with 16 bits has the same PSNR, {want:.4f} dB, not {wide}",
    )


def studio_luma(image: np.ndarray) -> np.ndarray:
    """BT.601 luma of a uint8 (H, W, 3) RGB image: float64 (H, W), not rounded.

    From 16 (black) to 235 (white).
    """
    weights = np.array([65.481, 128.553, 24.966])
    return image.astype(np.float64) / 255 @ weights + 16


@exercise(
    "02.2",
    "The Y of the tables",
    difficulty=1,
    minutes=6,
    solution=studio_luma,
    cases=lambda draw: {
        "a 7×4 image": (draw.image(7, 4),),
        "black": (np.zeros((2, 3, 3), np.uint8),),
        "white": (np.full((3, 2, 3), 255, np.uint8),),
    },
    tolerance=1e-5,
)
def _studio_luma(attempt: Callable[..., np.ndarray]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    got, want = np.asarray(attempt(image.copy()), dtype=np.float64), convert.luma(image)
    expect(got.shape == (5, 6), f"a (5, 6, 3) image has a luma of (5, 6), not {got.shape}")
    expect(
        not close(got, convert.luma(image, full_range=True), 0.6),
        "that is the full range, 0 to 255; the tables use 16 to 235",
    )
    expect(
        not close(got, image.mean(axis=2), 0.6),
        "the mean of R, G and B is not luma: green weighs most, blue least",
    )
    expect(
        not close(got, convert.luma(image[..., ::-1].copy()), 0.6),
        "your weights are in the order blue, green, red",
    )
    expect(not close(got, want - 16, 0.6), "black is 0, it should be 16")
    bt709 = image / 255 @ (219 * np.array([0.2126, 0.7152, 0.0722])) + 16
    expect(
        not close(got, bt709, 0.6),
        "those are the weights of BT.709 (HD video); the tables use BT.601",
    )
    expect(
        float(np.abs(got).max()) < 1000,
        "the values are far too large: the weights are for R, G, B from 0 to 1",
    )
    expect(
        close(got, want, 1e-2) or not close(got, want, 1),
        "the weights are right; leave the result unrounded",
    )
    expect(close(got, want, 1e-2), "the values are not 16 + 65.481 R + 128.553 G + 24.966 B")


def studio_from_full(psnr_full: float) -> float:
    """PSNR in dB on Y from 16 to 235, of a result that has `psnr_full` dB on Y from 0 to 255.

    The peak is 255 for both.
    """
    return psnr_full + 20 * np.log10(255 / (235 - 16))


@exercise(
    "02.3",
    "Two papers, two ranges",
    difficulty=2,
    minutes=6,
    solution=studio_from_full,
    cases=lambda draw: {"25.5 dB": (25.5,), "41 dB": (41.0,)},
)
def _studio_from_full(attempt: Callable[..., float]) -> None:
    got = attempt(30.0)
    gain = got - 30.0
    cost = 20 * np.log10(255 / 219)
    expect(
        not close(gain, -cost, 0.02),
        "the sign is wrong: in the narrower range the same error is a smaller number",
    )
    expect(
        not close(gain, cost / 2, 1e-3),
        "the error shrinks to 219/255, its square to (219/255)²: 20·log₁₀",
    )
    expect(
        not close(gain, 20 * np.log10(255 / 235), 1e-3),
        "from 16 to 235 there are 219 levels, not 235",
    )
    expect(
        not close(gain, 20 * np.log10(256 / 220), 1e-5),
        "the ranges are 255 and 219 wide; 256 and 220 are counts",
    )
    expect(
        not close(gain, 16, 1e-3) and not close(gain, 0, 1e-9),
        "an offset of 16 moves both images and costs nothing",
    )
    expect(
        close(gain, cost, 1e-4),
        f"a factor of 219/255 on every error is worth {cost:.4f} dB, not {gain:.4f} dB",
    )
    expect(
        close(attempt(20.0), 20 + cost, 1e-4),
        "the difference is the same number of dB for every pair",
    )


def two_winners(mses: Sequence[float]) -> list[float]:
    """MSEs of a second network on the same images, by which the two averages disagree.

    The second one is better than the first by the mean of the PSNRs, and worse by the PSNR of the
    mean MSE.

    Args:
        mses: of the first network, one for each image; at least two, above 0.
    """
    other = list(mses)
    best, worst = int(np.argmin(mses)), int(np.argmax(mses))
    if best == worst:  # all are equal
        worst = best + 1
    other[worst] *= 2  # costs 3 dB in one image, and much MSE
    other[best] /= 4  # gains 6 dB in another, and little MSE
    return other


@exercise("02.4", "Two averages, two winners", difficulty=3, minutes=12, solution=two_winners)
def _two_winners(attempt: Callable[..., list[float]]) -> None:
    rng = np.random.default_rng(0)
    sets = [
        [10.0, 40.0, 400.0],
        [90.0, 20.0],
        [50.0, 50.0],
        list(rng.uniform(5, 500, 8)),
        list(rng.uniform(99, 101, 40)),
    ]
    for mses in sets:
        got = attempt(list(mses))
        expect(
            np.ndim(got) == 1 and not isinstance(got, str),
            f"an MSE for each image was expected, in a list, not {described(got)}",
        )
        expect(len(got) == len(mses), f"{len(mses)} images have {len(mses)} MSEs, not {len(got)}")
        other = np.asarray(got, dtype=np.float64)
        expect(bool((other > 0).all()), "an MSE is above 0; at 0 the PSNR is infinite")
        first, second = np.asarray(mses), other
        psnrs = [float((10 * np.log10(255**2 / x)).mean()) for x in (first, second)]
        pooled = [float(10 * np.log10(255**2 / x.mean())) for x in (first, second)]
        gain, loss = psnrs[1] - psnrs[0], pooled[0] - pooled[1]
        expect(not np.allclose(first, second), "those are the first network's MSEs, unchanged")
        expect(
            not (gain < 0 and loss < 0),
            "the two are swapped: the second network has to win by the mean of the PSNRs, and to "
            "lose by the PSNR of the mean MSE",
        )
        words = f"for the MSEs {', '.join(f'{mse:.0f}' for mse in mses[:3])}"
        expect(
            gain > 1e-9,
            f"{words}{' …' if len(mses) > 3 else ''} the second network's mean PSNR is not higher: "
            f"{gain:+.3f} dB; the logarithm counts ratios, so halve an MSE somewhere",
        )
        expect(
            loss > 1e-9,
            f"{words}{' …' if len(mses) > 3 else ''} the PSNR of its mean MSE is not lower: "
            f"{-loss:+.3f} dB; the mean MSE follows the largest ones",
        )


def ssim_uniform(x: np.ndarray, y: np.ndarray, size: int = 7) -> float:
    """Mean SSIM of two gray images over all size×size windows inside.

    Equal weights, sample (co)variances. x, y: float64 (H, W) from 0 to 255.
    """
    u, v = (np.lib.stride_tricks.sliding_window_view(image, (size, size)) for image in (x, y))
    mean_u, mean_v = u.mean(axis=(2, 3)), v.mean(axis=(2, 3))  # (H − size + 1, W − size + 1)
    pixels = size * size
    covariance = ((u * v).mean(axis=(2, 3)) - mean_u * mean_v) * pixels / (pixels - 1)
    variances = u.var(axis=(2, 3), ddof=1) + v.var(axis=(2, 3), ddof=1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_u * mean_v + c1) / (mean_u**2 + mean_v**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


@exercise(
    "02.5",
    "The other SSIM",
    difficulty=3,
    minutes=20,
    solution=ssim_uniform,
    cases=lambda draw: {
        "windows of 5×5": (draw.array(17, 16, high=255), draw.array(17, 16, high=255), 5),
        "a negative, where the covariance is below 0": (
            draw.array(10, 11, high=255),
            255 - Draw().array(10, 11, high=255),
            7,
        ),
        "nearly black pictures, where C₁ and C₂ count": (
            draw.array(9, 8, high=3),
            draw.array(9, 8, high=3),
            3,
        ),
        "windows of 9×9": (draw.array(9, 13, high=255), draw.array(9, 13, high=255), 9),
    },
    forbids={
        "structural_similarity": "right, but that is scikit-image's: write it yourself",
        "ssim": "right, but with a finished SSIM: write it yourself",
    },
)
def _ssim_uniform(attempt: Callable[..., float]) -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(2)
    x = rng.uniform(0, 255, (16, 15))
    y = np.clip(0.6 * x + rng.uniform(0, 90, x.shape), 0, 255)
    want = structural_similarity(x, y, data_range=255)
    got = attempt(x.copy(), y.copy())
    expect(
        np.ndim(got) == 0,
        f"one number was expected, the mean of the map, not an array of shape {np.shape(got)}",
    )
    expect(
        not close(got, structural_similarity(x, y, data_range=255, use_sample_covariance=False)),
        "the (co)variances divide by n; scikit-image's default divides by n − 1",
    )
    _, padded = structural_similarity(x, y, data_range=255, full=True)
    expect(
        not close(got, padded.mean(), 1e-4),
        "you counted windows that reach beyond the image; only those inside count",
    )
    expect(
        not close(got, structural_similarity(x, y, win_size=15, data_range=255))
        and not close(got, _whole(x, y)),
        "that is one window as large as the image; SSIM is the mean over many small ones",
    )
    expect(not close(got, metrics.ssim(x / 255, y / 255)), "the window is still the 11×11 Gaussian")
    expect(
        not close(got, structural_similarity(x, y, data_range=255, K1=0, K2=0), 1e-4),
        "the constants C₁ and C₂ are missing or far too small: they are (0.01·255)² and "
        "(0.03·255)²",
    )
    unsquared = structural_similarity(
        x, y, data_range=255, K1=np.sqrt(0.01 / 255), K2=np.sqrt(0.03 / 255)
    )
    expect(not close(got, unsquared), "C₁ and C₂ are squares: (0.01·255)² and (0.03·255)²")
    expect(close(got, want), f"scikit-image's default gives {want:.6f}, not {got:.6f}")
    expect(
        close(attempt(x, y, 3), structural_similarity(x, y, win_size=3, data_range=255)),
        "right for windows of 7×7 only; `size` can be any odd number",
    )


def _whole(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of the two images as one window."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    covariance = np.cov(x.ravel(), y.ravel(), ddof=1)
    luminance = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
    return float(
        luminance * (2 * covariance[0, 1] + c2) / (covariance[0, 0] + covariance[1, 1] + c2)
    )


def find_shift(a: np.ndarray, b: np.ndarray, reach: int = 3) -> tuple[int, int]:
    """By how many pixels `b` is `a` moved: (down, right), each at most `reach` either way.

    The shift with the highest PSNR, where only the pixels that both images show are compared.
    a, b: float64 (H, W) from 0 to 255.
    """
    height, width = a.shape
    errors = {}
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            # pixel (y, x) of a is pixel (y + down, x + right) of b
            above, below = max(0, down), max(0, -down)
            before, after = max(0, right), max(0, -right)
            part_a = a[below : height - above, after : width - before]
            part_b = b[above : height - below, before : width - after]
            errors[down, right] = np.mean((part_a - part_b) ** 2)
    return min(errors, key=lambda shift: errors[shift])  # the lowest MSE is the highest PSNR


def _shifts(draw: Draw) -> Mapping[str, tuple[Any, ...]]:
    """Noisy pairs: the smaller the part that both show, the smaller a sum of its
    errors."""
    scene = 120 + 11 * draw.rng.standard_normal((60, 60))

    def pair(down: int, right: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        a = scene[10 : 10 + height, 10 : 10 + width]
        b = scene[10 - down : 10 - down + height, 10 - right : 10 - right + width]
        first, second = (x + 16 * draw.rng.standard_normal(x.shape) for x in (a, b))
        return first, second

    a, b = pair(0, 3, 20, 18)
    ramp = 5.0 * np.arange(18)
    return {
        "a noisy pair": (*pair(1, 0, 30, 18), 5),
        "a pair moved by (4, −5)": (*pair(4, -5, 30, 34), 5),
        "a noisy pair that was not moved": (*pair(0, 0, 16, 14), 3),
        "a pair with a ramp of brightness": (a + ramp, b + ramp - 15, 3),
        "a pair that was moved further than the reach": (*pair(2, 2, 16, 14), 1),
        "a pair within a reach of 1": (*pair(-1, 1, 20, 30), 1),
    }


@exercise(
    "02.6",
    "Find the shift",
    difficulty=3,
    minutes=15,
    solution=find_shift,
    cases=_shifts,
    returns="two numbers, (down, right),",
)
def _find_shift(attempt: Callable[..., tuple[int, int]]) -> None:
    scene = np.random.default_rng(3).uniform(0, 255, (30, 34))

    def moved(down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
        return scene[6:24, 6:28].copy(), scene[6 - down : 24 - down, 6 - right : 28 - right].copy()

    def answer(down: int, right: int) -> tuple[int, ...]:
        got = attempt(*moved(down, right))
        expect(len(got) == 2, f"two numbers were expected, (down, right), not {got}")
        return tuple(int(v) for v in got)

    got = answer(1, -2)
    expect(got != (-1, 2), "the signs are reversed: that is the shift from b to a")
    expect(got != (-2, 1), "down comes first, then right")
    expect(got != (2, -1), "down comes first, then right; and the signs are reversed")
    expect(got == (1, -2), f"the image was moved by (1, -2), not by {got}")
    expect(answer(0, 0) == (0, 0), "an image that was not moved has the shift (0, 0)")
    expect(
        answer(3, 3) == (3, 3) and answer(-3, -3) == (-3, -3),
        "search shifts of exactly `reach` too, in both directions: range(-reach, reach + 1)",
    )
