"""Wrong answers to the exercises of notebook 11, each with a part of its message."""

import numpy as np

from hatlib.course.exercises.photos import (
    best_on_both,
    consistency,
    photographed,
    self_ensemble,
    twin,
)
from hatlib.imaging.degradation import blur, degrade, jpeg
from hatlib.imaging.resize import imresize


def _wrapped(sr, lr, scale):
    return float(np.sqrt(((imresize(sr, 1 / scale) - lr).astype(float) ** 2).mean()))


def _squared_in_uint8(sr, lr, scale):
    return float(np.sqrt(((imresize(sr, 1 / scale) - lr) ** 2).mean()))


def _compared_at_hr(sr, lr, scale):
    return float(np.sqrt(((imresize(lr, scale).astype(float) - sr) ** 2).mean()))


def _every_fourth(sr, lr, scale):
    return float(np.sqrt(((sr[::scale, ::scale].astype(float) - lr) ** 2).mean()))


def _decibels(a, b, divisor=1.0, peak=255):
    return float(10 * np.log10(peak**2 / (((a - b) ** 2).mean() / divisor)))


def _answers(
    upscale,
    image,
    flips=((), (0,), (1,), (0, 1)),
    transposes=(False, True),
    back=True,
    swapped=False,
):
    for axes in flips:
        for transposed in transposes:
            turned = np.flip(image, axes)
            answer = upscale(turned.swapaxes(0, 1) if transposed else turned)
            if swapped and transposed:
                yield np.flip(answer, axes).swapaxes(0, 1)
            else:
                answer = answer.swapaxes(0, 1) if transposed else answer
                yield np.flip(answer, axes) if back else answer


def _without_rng(hr, sigma, noise, quality, rng):
    return jpeg(degrade(blur(hr, sigma), scale=4, noise_sigma=noise), quality)


def _median(upscale, image):
    return np.median(list(_answers(upscale, image)), axis=0)


WRONG = {
    "11.1": [
        (_wrapped, "uint8 minus uint8"),
        (_squared_in_uint8, "the square of uint8"),
        (lambda sr, lr, scale: consistency(sr, lr, scale) ** 2, "mean square; its root"),
        (
            lambda sr, lr, scale: float(np.abs(imresize(sr, 1 / scale).astype(float) - lr).mean()),
            "absolute",
        ),
        (
            lambda sr, lr, scale: float((imresize(sr, 1 / scale).astype(float) - lr).mean()),
            "cancel",
        ),
        (_compared_at_hr, "downsample SR instead"),
        (_every_fourth, "without a blur"),
        (
            lambda sr, lr, scale: (
                20 * np.log10(255 / consistency(sr, lr, scale)) if lr.shape != sr.shape else 0
            ),
            "PSNR",
        ),
        (lambda sr, lr, scale: consistency(sr, lr, scale) / 255, "divided by 255"),
        (lambda sr, lr, scale: imresize(sr, 1 / scale).astype(float) - lr, "one number"),
        (
            lambda sr, lr, scale: consistency(
                sr, lr if len(lr) * 4 == len(sr) else imresize(lr, 1 / 2), 4
            ),
            "×4 only",
        ),
    ],
    "11.2": [
        (lambda shown, hidden, downsample, back: twin(hidden, shown, downsample, back), "swapped"),
        (lambda shown, hidden, downsample, back: hidden + back(downsample(shown)), "on top of"),
        (
            lambda shown, hidden, downsample, back: (
                hidden - back(downsample(shown) - downsample(hidden))
            ),
            "sign",
        ),
        (
            lambda shown, hidden, downsample, back: back(downsample(shown)),
            "detail of `hidden` is missing",
        ),
        (
            lambda shown, hidden, downsample, back: hidden - back(downsample(hidden)),
            "LR of `shown` is missing",
        ),
        (lambda shown, hidden, downsample, back: (shown + hidden) / 2, "mean of both"),
        (lambda shown, hidden, downsample, back: downsample(shown), "an HR image was expected"),
        (lambda shown, hidden, downsample, back: shown + hidden, "differs from that of `shown`"),
        (
            lambda shown, hidden, downsample, back: (
                shown + 0.5 * (hidden - back(downsample(hidden)))
            ),
            "not that of `hidden`",
        ),
    ],
    "11.3": [
        (lambda hr, s, n, q, rng: photographed(hr, 0, n, q, rng), "lens is missing"),
        (
            lambda hr, s, n, q, rng: jpeg(
                degrade(blur(degrade(hr), s), scale=1, noise_sigma=n, rng=rng), q
            ),
            "after the",
        ),
        (lambda hr, s, n, q, rng: photographed(hr, s, 0, q, rng), "noise is missing"),
        (lambda hr, s, n, q, rng: degrade(blur(hr, s), noise_sigma=n, rng=rng), "JPEG is missing"),
        (
            lambda hr, s, n, q, rng: degrade(
                jpeg(degrade(blur(hr, s)), q), scale=1, noise_sigma=n, rng=rng
            ),
            "sensor",
        ),
        (
            lambda hr, s, n, q, rng: degrade(jpeg(blur(hr, s), q), noise_sigma=n, rng=rng),
            "you compressed HR",
        ),
        (
            lambda hr, s, n, q, rng: jpeg(
                degrade(degrade(blur(hr, s), scale=1, noise_sigma=n, rng=rng)), q
            ),
            "averages",
        ),
        (lambda hr, s, n, q, rng: photographed(hr, s, n, q, np.random.default_rng(0)), "passed in"),
        (lambda hr, s, n, q, rng: blur(hr, s), "LR of (24, 32, 3)"),
        (lambda hr, s, n, q, rng: photographed(hr, s, n, q, rng) / 255, "uint8"),
        (lambda hr, s, n, q, rng: photographed(hr, s / 2, n, q, rng), "off on average"),
        (_without_rng, "draw the noise from the generator"),
    ],
    "11.4": [
        (lambda upscale, x: sum(_answers(upscale, x)), "divide it by 8"),
        (
            lambda upscale, x: np.mean(list(_answers(upscale, x, transposes=(False,))), axis=0),
            "four different",
        ),
        (lambda upscale, x: np.mean([upscale(x) for _ in range(8)], axis=0), "different inputs"),
        (
            lambda upscale, x: np.mean(list(_answers(upscale, x, back=False)), axis=0),
            "not flipped back",
        ),
        (
            lambda upscale, x: np.mean(list(_answers(upscale, x, swapped=True)), axis=0),
            "wrong order",
        ),
        (lambda upscale, x: self_ensemble(upscale, x)[:6, :9], "shape of one answer"),
        (_median, "that is the median"),
        (lambda upscale, image: self_ensemble(upscale, image).tolist(), "an array of numpy"),
    ],
    "11.5": [
        (_decibels, "PSNR between the two"),
        (lambda a, b: _decibels(a, b, 2), "quarter of the square"),
        (lambda a, b: _decibels(a, b) / 2, "half the decibels"),
        (lambda a, b: _decibels(a, b, 4, 1), "the peak is 255"),
        (lambda a, b: best_on_both(a, b) * np.log(10), "natural logarithm"),
        (lambda a, b: best_on_both(a, b) / 2, "20 for a root"),
        (lambda a, b: best_on_both(a, b) + 3, "no image has"),
        (lambda a, b: best_on_both(a, b) - 3, "more than"),
        (lambda a, b: 20 * np.log10(255 / (np.abs(a - b) / 2 + 1e-9)), "one number"),
    ],
}
