"""Plausible wrong answers to the exercises of notebook 01, each with a part of the message that names the mistake."""

import numpy as np
from scipy.ndimage import convolve, correlate

from hatlib.degradation import degrade, jpeg
from hatlib.exercises.degradation import add_noise, gaussian, position, same_lr, two_orders


def _unscaled(sigma, size):
    offset = np.arange(size) - size // 2
    return np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * sigma**2))


def _not_squared(sigma, size):
    offset = np.arange(size) - size // 2
    kernel = np.exp(-np.hypot(offset[:, None], offset) / (2 * sigma**2))
    return kernel / kernel.sum()


def _from_the_corner(sigma, size):
    kernel = np.exp(-(np.arange(size)[:, None] ** 2 + np.arange(size) ** 2) / (2 * sigma**2))
    return kernel / kernel.sum()


def _block_means(x, scale):
    return x.reshape(x.shape[0] // scale, scale, x.shape[1] // scale, scale).mean(axis=(1, 3))


def _large(x, scale):
    return x.repeat(scale, 0).repeat(scale, 1)


def _uniform(image, sigma, rng):
    noisy = image + rng.uniform(-1, 1, image.shape) * sigma * 3**0.5
    return np.clip(np.floor(noisy + 0.5), 0, 255).astype(np.uint8)


def _one_draw_for_all_channels(image, sigma, rng):
    noise = sigma * rng.standard_normal(image.shape[:2])[..., None]
    return np.clip(np.floor(image + noise + 0.5), 0, 255).astype(np.uint8)


def _wrapping(image, sigma, rng):
    return np.floor(image + sigma * rng.standard_normal(image.shape) + 0.5).astype(np.int64).astype(np.uint8)


def _cut_off(image, sigma, rng):
    return np.clip(image + sigma * rng.standard_normal(image.shape), 0, 255).astype(np.uint8)


WRONG = {
    "01.1": [
        (_unscaled, "sum of all taps that has to be 1"),
        (lambda sigma, size: gaussian(sigma, size) * 1.1, "sum to 1.1"),
        (lambda sigma, size: gaussian(sigma / 2**0.5, size), "the 2 of"),
        (lambda sigma, size: gaussian(sigma**0.5, size), "stands squared"),
        (_not_squared, "r is not squared"),
        (_from_the_corner, "the peak is at (0, 0)"),
        (lambda sigma, size: gaussian(sigma, size)[size // 2], "has the shape (9, 9)"),
        (lambda sigma, size: gaussian(1.0, size), "not those of a Gaussian of that σ"),
    ],
    "01.2": [
        (lambda x, k, s, p: correlate(x, k, mode="reflect")[p::s, p::s], "correlation"),
        (lambda x, k, s, p: convolve(x, k, mode="reflect")[::s, ::s], "that is phase 0"),
        (lambda x, k, s, p: convolve(x, k, mode="reflect")[s - 1 :: s, s - 1 :: s], "that is phase 2"),
        (lambda x, k, s, p: convolve(x, k, mode="constant")[p::s, p::s], "wrong at the border"),
        (lambda x, k, s, p: convolve(x, k, mode="mirror")[p::s, p::s], "wrong at the border"),
        (lambda x, k, s, p: convolve(x, k, mode="reflect"), "still as large"),
        (lambda x, k, s, p: convolve(x[p::s, p::s], k, mode="reflect"), "made small first"),
        (lambda x, k, s, p: x[p::s, p::s], "nothing was blurred"),
        (lambda x, k, s, p: convolve(x, k.T, mode="reflect")[p::s, p::s], "swapped"),
        (lambda x, k, s, p: convolve(x, k, mode="reflect")[2:-2, 2:-2][p::s, p::s], "pad before the blur"),
        (lambda x, k, s, p: convolve(x, k, mode="reflect")[1::3, 1::3], "right for scale 3 and phase 1"),
    ],
    "01.3": [
        (lambda j, s: j * s, "block's first pixel"),
        (lambda j, s: j * s + (s - 1) // 2, "between two pixels"),
        (lambda j, s: j * s + s // 2, "between two pixels"),
        (lambda j, s: (j + 0.5) * s, "half a pixel too far"),
        (lambda j, s: (j + 0.5) / s - 0.5, "the way back"),
        (lambda j, s: j * s + 1, "lies at 29.5, not 29"),
        (lambda j, s: position(j, 4), "not for all"),
        (lambda j, s: None, "returned nothing"),
    ],
    "01.4": [
        (lambda x, sigma, rng: add_noise(x, sigma / 255, rng), "not a fraction of 1"),
        (lambda x, sigma, rng: add_noise(x, sigma * 255, rng), "not to be times 255"),
        (lambda x, sigma, rng: add_noise(x, sigma**2, rng), "squared"),
        (lambda x, sigma, rng: add_noise(x, sigma**0.5, rng), "has the variance 9"),
        (lambda x, sigma, rng: x + sigma * rng.standard_normal(x.shape), "uint8 of the same shape"),
        (_one_draw_for_all_channels, "every channel"),
        (_cut_off, "round first"),
        (_wrapping, "wrapped around"),
        (_uniform, "not Gaussian"),
        (lambda x, sigma, rng: add_noise(x, 12, rng), "9 was asked for"),
    ],
    "01.5": [
        (lambda x, d, s: x + d, "block means have to be taken off"),
        (lambda x, d, s: x + d - d.mean(), "one mean for the whole picture"),
        (lambda x, d, s: d - _large(_block_means(d, s), s), "add it to the image"),
        (lambda x, d, s: d - _large(_block_means(d, s), s) + _large(_block_means(x, s), s), "own detail is gone"),
        (lambda x, d, s: x, "nothing of the detail"),
        (lambda x, d, s: x + d - _large(d[::s, ::s], s), "LR changed by up to"),
        (lambda x, d, s: (x + same_lr(x, d, s)) / 2, "not all of the invisible part"),
        (lambda x, d, s: _block_means(x + d, s), "as large as the image"),
    ],
    "01.6": [
        (lambda hr, s, q: two_orders(hr, s, q)[::-1], "swapped"),
        (lambda hr, s, q: (two_orders(hr, s, q)[0],) * 2, "both are the same"),
        (lambda hr, s, q: (jpeg(hr, q), jpeg(degrade(hr, scale=s), q)), "both are LR"),
        (lambda hr, s, q: (degrade(hr, scale=s), two_orders(hr, s, q)[1]), "has seen no JPEG"),
        (lambda hr, s, q: (jpeg(two_orders(hr, s, q)[0], q), two_orders(hr, s, q)[1]), "JPEG twice"),
        (lambda hr, s, q: two_orders(hr, s, 75), "the first one is wrong"),
        (lambda hr, s, q: (two_orders(hr, s, q)[0], jpeg(degrade(hr, scale=s), 75)), "the second one is wrong"),
        (lambda hr, s, q: two_orders(hr, s, q)[0], "two pictures"),
    ],
}
