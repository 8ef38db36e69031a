"""Wrong answers to the exercises of notebook 02, each with a part of its message."""

import numpy as np
from skimage.metrics import structural_similarity

from hatlib.course.exercises.metrics import (
    find_shift,
    psnr_of_integers,
    ssim_uniform,
    studio_luma,
    two_winners,
)
from hatlib.imaging import metrics
from hatlib.imaging.convert import luma


def _mse(a, b):
    return np.mean((a.astype(float) - b) ** 2)


def _wrapped(a, b):
    return 10 * np.log10(np.iinfo(a.dtype).max ** 2 / np.mean((a - b).astype(float) ** 2))


def _wrapped_twice(a, b):
    return 10 * np.log10(np.iinfo(a.dtype).max ** 2 / np.mean((a - b) ** 2))


def _guarded(score):
    """The answer `score`, which does see to equal images."""
    return lambda a, b: float("inf") if np.array_equal(a, b) else score(a, b)


def _constants(k1, k2):
    return lambda x, y, size=7: structural_similarity(
        x, y, win_size=size, data_range=255, K1=k1, K2=k2
    )


def _padded(x, y, size=7):
    return structural_similarity(x, y, win_size=size, data_range=255, full=True)[1].mean()


def _one_window(x, y, size=7):
    return structural_similarity(x, y, win_size=15, data_range=255)


def _whole_image(x, y, size=7):
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    (vx, cov), (_, vy) = np.cov(x.ravel(), y.ravel())
    mx, my = x.mean(), y.mean()
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def _search(shifts):
    """find_shift over the given shifts only, with pictures that go round at the edges."""

    def answer(a, b, reach=3):
        return max(shifts(reach), key=lambda s: -np.mean((np.roll(a, s, axis=(0, 1)) - b) ** 2))

    return answer


def _ssim_of_absolute(x, y, size=7):
    u, v = (np.lib.stride_tricks.sliding_window_view(image, (size, size)) for image in (x, y))
    mean_u, mean_v = u.mean(axis=(2, 3)), v.mean(axis=(2, 3))
    n = size * size
    covariance = np.abs(((u * v).mean(axis=(2, 3)) - mean_u * mean_v) * n / (n - 1))
    variances = u.var(axis=(2, 3), ddof=1) + v.var(axis=(2, 3), ddof=1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_u * mean_v + c1) / (mean_u**2 + mean_v**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


def _best_by(score):
    """find_shift by another score of the part that both show."""

    def answer(a, b, reach=3):
        height, width = a.shape
        errors = {}
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                above, below = max(0, down), max(0, -down)
                before, after = max(0, right), max(0, -right)
                part_a = a[below : height - above, after : width - before]
                part_b = b[above : height - below, before : width - after]
                errors[down, right] = score(part_a - part_b)
        return min(errors, key=errors.get)

    return answer


def _all_better(mses):
    return [mse / 2 for mse in mses]


def _one_moved(mses):
    other = list(mses)
    other[int(np.argmax(mses))] *= 2
    return other


WRONG = {
    "02.1": [
        (_wrapped, "wrapped around"),
        (_wrapped_twice, "wrapped around"),
        (lambda a, b: 10 * np.log10(float(a.max()) ** 2 / _mse(a, b)), "largest in this image"),
        (lambda a, b: 10 * np.log10(np.iinfo(a.dtype).max / _mse(a, b)), "the peak is squared"),
        (lambda a, b: 2 * psnr_of_integers(a, b), "20·log₁₀"),
        (lambda a, b: 10 * np.log(np.iinfo(a.dtype).max ** 2 / _mse(a, b)), "not to base e"),
        (lambda a, b: psnr_of_integers(a, b) - 10 * np.log10(3), "you summed them"),
        (lambda a, b: 10 * np.log10(255**2 / (_mse(a, b) + 1e-10)), "infinite"),
        (_guarded(lambda a, b: 10 * np.log10(255**2 / _mse(a, b))), "65535"),
        (lambda a, b: -psnr_of_integers(a, b), "expected 10.88"),
        (lambda a, b: None, "returned nothing"),
        (lambda a, b: (psnr_of_integers(a, b),), "is there a comma"),
        (lambda a, b: str(psnr_of_integers(a, b)), "one number was expected, not text"),
    ],
    "02.2": [
        (lambda image: luma(image, full_range=True), "full range"),
        (lambda image: image.mean(axis=2), "green weighs most"),
        (lambda image: image / 255 @ [24.966, 128.553, 65.481] + 16, "blue, green, red"),
        (lambda image: image / 255 @ [65.481, 128.553, 24.966], "it should be 16"),
        (lambda image: image / 255 @ (219 * np.array([0.2126, 0.7152, 0.0722])) + 16, "BT.709"),
        (lambda image: image @ np.array([65.481, 128.553, 24.966]) + 16, "from 0 to 1"),
        (lambda image: np.round(studio_luma(image)), "unrounded"),
        (lambda image: studio_luma(image).astype(np.uint8), "unrounded"),
        (lambda image: image, "(5, 6)"),
    ],
    "02.3": [
        (lambda full: full - 20 * np.log10(255 / 219), "the sign is wrong"),
        (lambda full: full + 10 * np.log10(255 / 219), "its square"),
        (lambda full: full + 20 * np.log10(255 / 235), "219 levels"),
        (lambda full: full + 20 * np.log10(256 / 220), "are counts"),
        (lambda full: full, "costs nothing"),
        (lambda full: full + 16, "costs nothing"),
        (lambda full: full * (1 + 20 * np.log10(255 / 219) / 30), "for every pair"),
        (lambda full: full * 255 / 219, "is worth"),
    ],
    "02.4": [
        (lambda mses: list(mses), "unchanged"),
        (_all_better, "mean MSE is not lower"),
        (_one_moved, "mean PSNR is not higher"),
        (lambda mses: [mse * 2 for mse in mses], "not higher"),
        (
            lambda mses: [
                mse**2 / other for mse, other in zip(mses, two_winners(mses), strict=True)
            ],
            "the two are swapped",
        ),
        (lambda mses: [5.0, 5.0, 900.0], "have 2 MSEs, not 3"),
        (lambda mses: [0.0, *two_winners(mses)[1:]], "above 0"),
        (lambda mses: 3.0, "an MSE for each image"),
        (lambda mses: [100.0 / mse for mse in mses], "mean MSE is not lower"),
        (lambda mses: "20, 30", "an MSE for each image"),
        (lambda mses: (two_winners(mses),), "an MSE for each image"),
    ],
    "02.5": [
        (
            lambda x, y, size=7: structural_similarity(
                x, y, win_size=size, data_range=255, use_sample_covariance=False
            ),
            "n − 1",
        ),
        (_padded, "only those inside"),
        (_one_window, "as large as the image"),
        (_whole_image, "as large as the image"),
        (lambda x, y, size=7: metrics.ssim(x / 255, y / 255), "Gaussian"),
        (_constants(0, 0), "C₂ are missing"),
        (_constants(0.01 / 255, 0.03 / 255), "C₂ are missing"),
        (_constants((0.01 / 255) ** 0.5, (0.03 / 255) ** 0.5), "are squares"),
        (lambda x, y, size=7: ssim_uniform(x, y, 7), "7×7 only"),
        (lambda x, y, size=7: ssim_uniform(x, x, size), "scikit-image's default gives"),
        (lambda x, y, size=7: metrics.ssim_map(x / 255, y / 255), "one number"),
        (_ssim_of_absolute, "not right for windows of 5×5"),
        (
            lambda x, y, size=7: structural_similarity(x, y, win_size=size, data_range=255),
            "that is scikit-image's",
        ),
    ],
    "02.6": [
        (lambda a, b, reach=3: tuple(-v for v in find_shift(a, b, reach)), "signs are reversed"),
        (lambda a, b, reach=3: find_shift(b, a, reach), "signs are reversed"),
        (lambda a, b, reach=3: find_shift(a, b, reach)[::-1], "down comes first, then right"),
        (lambda a, b, reach=3: find_shift(b, a, reach)[::-1], "and the signs"),
        (_search(lambda r: [(i, j) for i in range(-r, r) for j in range(-r, r)]), "reach + 1"),
        (_search(lambda r: [(0, j) for j in range(-r, r + 1)]), "not by (0"),
        (lambda a, b, reach=3: (1, -2), "not moved"),
        (_best_by(lambda error: (error**2).sum()), "a noisy pair"),
        (_best_by(lambda error: abs(error.mean())), "not right for a noisy pair"),
        (_search(lambda r: [(i, j) for i in range(-r, r + 1) for j in range(-r, r + 1)]), "a ramp"),
        (lambda a, b, reach=3: find_shift(a, b, 3), "moved by (4, −5)"),
        (lambda a, b, reach=3: 1, "two numbers"),
    ],
}
