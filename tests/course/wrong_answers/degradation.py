"""Wrong answers to the exercises of notebook 01, each with a part of its message."""

import numpy as np

from hatlib.course.exercises.degradation import (
    add_noise,
    matrix,
    position,
    rotated_gaussian,
    same_lr,
    two_orders,
)
from hatlib.imaging.degradation import degrade, jpeg


def _from_the_corner(along, across, angle, size):
    return np.roll(
        rotated_gaussian(along, across, angle, size), (-(size // 2), -(size // 2)), axis=(0, 1)
    )


def _peak_of_one(along, across, angle, size):
    kernel = rotated_gaussian(along, across, angle, size)
    return kernel / kernel.max()


def _matrix(taps, n, scale, phase, border, add=True, middle=None):
    """The matrix with another border, with taps written over each other, or with another middle."""
    options = {"constant_values": n} if border == "constant" else {}
    pixels = np.pad(np.arange(n), 2 * len(taps), mode=border, **options)
    rows = np.zeros((n // scale, n + 1))  # the last column takes what falls outside
    for i in range(n // scale):
        for m, tap in enumerate(taps):
            shift = (len(taps) // 2 if middle is None else middle) - m
            pixel = pixels[2 * len(taps) + scale * i + phase + shift]
            rows[i, pixel] = tap + (rows[i, pixel] if add else 0)
    return rows[:, :n]


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
    return (
        np.floor(image + sigma * rng.standard_normal(image.shape) + 0.5)
        .astype(np.int64)
        .astype(np.uint8)
    )


def _cut_off(image, sigma, rng):
    return np.clip(image + sigma * rng.standard_normal(image.shape), 0, 255).astype(np.uint8)


def _own_generator(image, sigma, rng):
    return add_noise(image, sigma, np.random.default_rng())


def _own_seed(image, sigma, rng):
    return add_noise(image, sigma, np.random.default_rng(0))


def _noise_in_place(image, sigma, rng):
    image[:] = add_noise(image, sigma, rng)
    return image


WRONG = {
    "01.1": [
        (_peak_of_one, "the sum of all taps has to be 1"),
        (lambda a, b, angle, size: rotated_gaussian(a, b, angle, size) * 1.1, "sum to 1.1"),
        (lambda a, b, angle, size: rotated_gaussian(a, b, -angle, size), "rotated the wrong way"),
        (lambda a, b, angle, size: rotated_gaussian(b, a, angle, size), "swapped"),
        (lambda a, b, angle, size: rotated_gaussian(a, b, np.degrees(angle), size), "radians"),
        (lambda a, b, angle, size: rotated_gaussian(a, b, 0, size), "the angle does nothing"),
        (
            lambda a, b, angle, size: rotated_gaussian(a / 2**0.5, b / 2**0.5, angle, size),
            "the 2 of",
        ),
        (lambda a, b, angle, size: rotated_gaussian(a**0.5, b**0.5, angle, size), "stands squared"),
        (
            lambda a, b, angle, size: rotated_gaussian(a, b, angle, size)[size // 2],
            "has the shape (9, 9)",
        ),
        (lambda a, b, angle, size: rotated_gaussian(a, a, angle, size), "this Gaussian's"),
        (_from_the_corner, "the peak is at (0, 0)"),
        (lambda a, b, angle, size: rotated_gaussian(a, b, 30, size), "the angle 135°"),
        (lambda a, b, angle, size: rotated_gaussian(a, b, angle, 9), "11 taps"),
    ],
    "01.2": [
        (lambda k, n, s, p: matrix(k[::-1], n, s, p), "correlation"),
        (lambda k, n, s, p: matrix(k, n, s, 0), "that is phase 0"),
        (lambda k, n, s, p: matrix(k, n, s, s - 1), "that is phase 2"),
        (lambda k, n, s, p: matrix(k, n, 1, 0), "you kept all pixels"),
        (lambda k, n, s, p: matrix(k, n, s, p).T, "not (24, 8)"),
        (lambda k, n, s, p: _matrix(k, n, s, p, "constant"), "taps outside the line are lost"),
        (lambda k, n, s, p: _matrix(k, n, s, p, "reflect"), "right inside, wrong at the border"),
        (lambda k, n, s, p: _matrix(k, n, s, p, "edge"), "right inside, wrong at the border"),
        (
            lambda k, n, s, p: _matrix(k, n, s, p, "symmetric", add=False),
            "a mirrored pixel may have a tap already",
        ),
        (
            lambda k, n, s, p: _matrix(k, n, s, p, "symmetric", middle=(len(k) - 1) // 2),
            "wrong for 4",
        ),
        (lambda k, n, s, p: np.roll(matrix(k, n, s, p), s, axis=1), "around pixel s·i + phase"),
        (lambda k, n, s, p: matrix(k, n, s, min(p, 1)), "wrong for scale 4 and phase 3"),
    ],
    "01.3": [
        (lambda j, s: j * s, "block's first pixel"),
        (lambda j, s: j * s + (s - 1) // 2, "between two pixels"),
        (lambda j, s: j * s + s // 2, "between two pixels"),
        (lambda j, s: (j + 0.5) * s, "half a pixel too far"),
        (lambda j, s: (j + 0.5) / s - 0.5, "that is the inverse"),
        (lambda j, s: j * s + 1, "lies at 29.5, not 29"),
        (lambda j, s: position(j, 4), "some pixels and scales only"),
        (lambda j, s: None, "returned nothing"),
    ],
    "01.4": [
        (lambda x, sigma, rng: add_noise(x, sigma / 255, rng), "not a fraction of 1"),
        (lambda x, sigma, rng: add_noise(x, sigma * 255, rng), "do not multiply it by 255"),
        (lambda x, sigma, rng: add_noise(x, sigma**2, rng), "squared"),
        (lambda x, sigma, rng: add_noise(x, sigma**0.5, rng), "has the variance 9"),
        (lambda x, sigma, rng: x + sigma * rng.standard_normal(x.shape), "uint8 of the same shape"),
        (_one_draw_for_all_channels, "every channel"),
        (_cut_off, "round first"),
        (_wrapping, "wrapped around"),
        (_uniform, "not Gaussian"),
        (lambda x, sigma, rng: add_noise(x, 12, rng), "grey levels, not 9"),
        (_own_generator, "draw from the generator that is passed in"),
        (_own_seed, "whatever the generator"),
        (_noise_in_place, "changed its argument image in place"),
        (lambda x, sigma, rng: add_noise(x, 9.0, rng) if x.ndim == 3 else x[:2], "one channel"),
    ],
    "01.5": [
        (lambda x, d, s: x + d, "subtract its block means"),
        (lambda x, d, s: x + d - d.mean(), "you subtracted one mean"),
        (lambda x, d, s: d - _large(_block_means(d, s), s), "add it to the image"),
        (
            lambda x, d, s: d - _large(_block_means(d, s), s) + _large(_block_means(x, s), s),
            "own detail is gone",
        ),
        (lambda x, d, s: x, "nothing of the detail"),
        (lambda x, d, s: x + d - _large(d[::s, ::s], s), "LR changed by up to"),
        (lambda x, d, s: (x + same_lr(x, d, s)) / 2, "not all of the invisible part"),
        (lambda x, d, s: _block_means(x + d, s), "has the image's shape"),
        (lambda x, d, s: same_lr(x, d, 4), "×2"),
    ],
    "01.6": [
        (lambda hr, s, q: two_orders(hr, s, q)[::-1], "swapped"),
        (lambda hr, s, q: (two_orders(hr, s, q)[0],) * 2, "both are the same"),
        (lambda hr, s, q: (jpeg(hr, q), jpeg(degrade(hr, scale=s), q)), "both are LR"),
        (
            lambda hr, s, q: (degrade(hr, scale=s), two_orders(hr, s, q)[1]),
            "never went through JPEG",
        ),
        (
            lambda hr, s, q: (jpeg(two_orders(hr, s, q)[0], q), two_orders(hr, s, q)[1]),
            "JPEG twice",
        ),
        (lambda hr, s, q: two_orders(hr, s, 75), "the first one is wrong"),
        (
            lambda hr, s, q: (two_orders(hr, s, q)[0], jpeg(degrade(hr, scale=s), 75)),
            "the second one is wrong",
        ),
        (lambda hr, s, q: two_orders(hr, s, q)[0], "two images"),
    ],
}
