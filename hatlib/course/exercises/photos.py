"""Notebook 11: photos of one's own, what networks add to them, and what nobody can know."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hatlib.course.exercises.probes import close, expect
from hatlib.course.exercises.registry import exercise
from hatlib.imaging.degradation import blur, degrade, gaussian_kernel, jpeg
from hatlib.imaging.resize import imresize


def _smooth(seed: int, shape: tuple[int, ...] = (48, 64, 3)) -> np.ndarray:
    """A picture of soft random patches, uint8."""
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return degrade(noise, gaussian_kernel(1.5), 1)


def consistency(sr: np.ndarray, lr: np.ndarray, scale: int) -> float:
    """The residual of SR, downsampled by bicubic, against LR: root mean square in grey levels.

    sr: uint8 (s·h, s·w, 3).   lr: uint8 (h, w, 3).
    """
    again = imresize(sr, 1 / scale).astype(float)
    return float(np.sqrt(((again - lr) ** 2).mean()))


@exercise(
    "11.1",
    "A check without the original",
    difficulty=2,
    minutes=8,
    solution=consistency,
    cases=lambda draw: {
        "×2": (draw.image(16, 12), draw.image(8, 6), 2),
        "×3": (draw.image(24, 30), draw.image(8, 10), 3),
    },
)
def _consistency(attempt: Callable[..., float]) -> None:
    hr = _smooth(0)
    lr = imresize(_smooth(1), 1 / 4)
    again = imresize(hr, 1 / 4)
    got = attempt(hr.copy(), lr.copy(), 4)
    difference = again.astype(float) - lr
    expect(np.ndim(got) == 0, f"one number was expected, not an array of shape {np.shape(got)}")
    named = {
        (
            "uint8 minus uint8 has no negative numbers, 3 − 5 becomes 254: convert to float first"
        ): np.sqrt(((again - lr).astype(float) ** 2).mean()),
        "the square of uint8 does not go beyond 255: convert to float first": np.sqrt(
            ((again - lr) ** 2).mean()
        ),
        "that is the mean square; its root is in grey levels": (difference**2).mean(),
        "that is the mean of the absolute differences; square, mean, then root": np.abs(
            difference
        ).mean(),
        "positive and negative differences cancel in that mean": difference.mean(),
        "you upsampled LR and compared it with SR; downsample SR instead": np.sqrt(
            ((imresize(lr, 4).astype(float) - hr) ** 2).mean()
        ),
        "you kept every fourth pixel without a blur; bicubic is imresize(sr, 1/scale)": np.sqrt(
            ((hr[::4, ::4].astype(float) - lr) ** 2).mean()
        ),
        "that is a PSNR in dB; return the root mean square": 10
        * np.log10(255**2 / (difference**2).mean()),
        "you divided by 255; the result is in grey levels": np.sqrt((difference**2).mean()) / 255,
    }
    for mistake, wrong in named.items():
        expect(not close(got, wrong, 1e-6), mistake)
    expect(
        close(got, consistency(hr, lr, 4), 1e-6),
        f"expected {consistency(hr, lr, 4):.3f}, not {got:.3f}",
    )
    small = imresize(hr, 1 / 2)
    expect(close(attempt(hr.copy(), small.copy(), 2), 0.0), "right for ×4 only: use the scale")


def twin(
    shown: np.ndarray,
    hidden: np.ndarray,
    downsample: Callable[[np.ndarray], np.ndarray],
    back: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """A picture with the detail of `hidden` and the LR of `shown`.

    downsample: HR → LR.
    back: LR → an HR picture that holds only what LR sees, so that downsample(back(lr)) is lr.
    """
    return hidden + back(downsample(shown) - downsample(hidden))


@exercise(
    "11.2",
    "A picture that the check cannot fault",
    difficulty=3,
    minutes=12,
    solution=twin,
    cases=lambda draw: {
        "×2, one channel": (
            draw.array(6, 8),
            draw.array(6, 8),
            lambda x: x.reshape(3, 2, 4, 2).mean(axis=(1, 3)),
            lambda y: y.repeat(2, axis=0).repeat(2, axis=1),
        ),
        "every second pixel": (
            draw.array(4, 6, 3),
            draw.array(4, 6, 3),
            lambda x: x[::2, ::2],
            lambda y: y.repeat(2, axis=0).repeat(2, axis=1),
        ),
    },
)
def _twin(attempt: Callable[..., np.ndarray]) -> None:
    shown, hidden = (_smooth(seed, (24, 32, 3)) / 255 for seed in (0, 1))

    def downsample(x: np.ndarray) -> np.ndarray:
        return x.reshape(6, 4, 8, 4, 3).mean(axis=(1, 3))

    def back(y: np.ndarray) -> np.ndarray:
        return y.repeat(4, axis=0).repeat(4, axis=1)

    got = np.asarray(attempt(shown.copy(), hidden.copy(), downsample, back))
    want = twin(shown, hidden, downsample, back)
    expect(got.shape == shown.shape, f"an HR image was expected, {shown.shape}, not {got.shape}")
    named = {
        "the roles are swapped: that has the detail of `shown` and the LR of `hidden`": twin(
            hidden, shown, downsample, back
        ),
        (
            "the LR of `shown` was added on top of the LR of `hidden`, which has to be removed "
            "first"
        ): hidden + back(downsample(shown)),
        "the sign is wrong: the LR moves away from that of `shown`": hidden
        - back(downsample(shown) - downsample(hidden)),
        ("that is only what LR sees of `shown`; the detail of `hidden` is missing"): back(
            downsample(shown)
        ),
        "that is the detail of `hidden` alone; the LR of `shown` is missing": hidden
        - back(downsample(hidden)),
        ("the mean of both images has neither the LR of one nor the detail of the other"): (
            shown + hidden
        )
        / 2,
        "that is `hidden`, unchanged": hidden,
        "that is `shown`, unchanged": shown,
    }
    for mistake, wrong in named.items():
        expect(not close(got, wrong, 1e-9), mistake)
    error = np.abs(downsample(got) - downsample(shown)).max()
    expect(error < 1e-9, f"its LR differs from that of `shown` by up to {error:.3f}")
    expect(close(got, want, 1e-9), "its LR is right, but its detail is not that of `hidden`")


def photographed(
    hr: np.ndarray, sigma: float, noise: float, quality: int, rng: np.random.Generator
) -> np.ndarray:
    """What a phone makes of a scene: uint8 (H, W, 3) → uint8 (H/4, W/4, 3).

    A lens of Gaussian blur `sigma` (HR pixels), bicubic ×1/4, noise of `noise` grey levels on LR,
    then JPEG.
    """
    lr = degrade(blur(hr, sigma), scale=4, noise_sigma=noise, rng=rng)
    return jpeg(lr, quality)


@exercise(
    "11.3",
    "A phone in two lines",
    difficulty=2,
    minutes=10,
    solution=photographed,
    cases=lambda draw: {
        "a wider lens and less noise": (draw.image(48, 64), 3.5, 2.0, 80, draw.rng),
        "a narrow lens and much noise": (draw.image(32, 40), 0.8, 25.0, 15, draw.rng),
    },
)
def _photographed(attempt: Callable[..., np.ndarray]) -> None:
    hr, sigma, noise, quality = _smooth(2, (96, 128, 3)), 2.0, 9.0, 30

    def rng() -> np.random.Generator:
        return np.random.default_rng(5)

    got = np.asarray(attempt(hr.copy(), sigma, noise, quality, rng()))
    expect(got.shape == (24, 32, 3), f"LR of (24, 32, 3) was expected, not {got.shape}")
    expect(got.dtype == np.uint8, f"a file holds uint8, not {got.dtype}")
    small, sharp = degrade(blur(hr, sigma)), degrade(hr)
    named = {
        "the lens is missing: blur comes first": jpeg(
            degrade(hr, noise_sigma=noise, rng=rng()), quality
        ),
        "you blurred after the downsampling, where 2 pixels are four times as wide": jpeg(
            degrade(blur(sharp, sigma), scale=1, noise_sigma=noise, rng=rng()), quality
        ),
        "the noise is missing": jpeg(small, quality),
        "the JPEG is missing": degrade(small, scale=1, noise_sigma=noise, rng=rng()),
        "the noise came after the JPEG; the sensor comes before the file": degrade(
            jpeg(small, quality), scale=1, noise_sigma=noise, rng=rng()
        ),
        "you added the noise to HR, where the downsampling averages it out": jpeg(
            degrade(degrade(blur(hr, sigma), np.ones((1, 1)), 1, noise, rng())), quality
        ),
        "you compressed HR; the file holds LR": degrade(
            jpeg(blur(hr, sigma), quality), scale=4, noise_sigma=noise, rng=rng()
        ),
        ("draw the noise from the generator that is passed in, or no run can be repeated"): jpeg(
            degrade(small, np.ones((1, 1)), 1, noise, 0), quality
        ),
    }
    for mistake, wrong in named.items():
        expect(not np.array_equal(got, wrong), mistake)
    want, used = photographed(hr, sigma, noise, quality, rng()), rng()
    attempt(hr.copy(), sigma, noise, quality, used)
    expect(
        used.bit_generator.state != rng().bit_generator.state,
        "draw the noise from the generator that is passed in, rng=rng: it was not used",
    )
    expect(
        np.array_equal(got, want),
        f"it is {np.abs(got.astype(int) - want).mean():.1f} levels off on average: lens, "
        "downsampling, noise and JPEG in this order, each with its own strength",
    )


def self_ensemble(upscale: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """The mean of eight answers: the image flipped and transposed, each answer turned back.

    upscale: (h, w, 3) → float (s·h, s·w, 3).   image: (h, w, 3).
    """
    answers = []
    for flips in ((), (0,), (1,), (0, 1)):
        for transposed in (False, True):
            turned = np.flip(image, flips)
            answer = upscale(turned.swapaxes(0, 1) if transposed else turned)
            answers.append(np.flip(answer.swapaxes(0, 1) if transposed else answer, flips))
    return np.mean(answers, axis=0)


@exercise(
    "11.4",
    "Eight answers",
    difficulty=3,
    minutes=15,
    solution=self_ensemble,
    cases=lambda draw: {
        "a network of ×1": (
            lambda x: x * np.arange(x.shape[0])[:, None, None],
            draw.array(3, 5, 3),
        ),
        "a network of ×2": (
            lambda x: np.cumsum(x.repeat(2, axis=0).repeat(2, axis=1) ** 2, axis=1),
            draw.array(4, 3, 3),
        ),
    },
)
def _self_ensemble(attempt: Callable[..., np.ndarray]) -> None:
    image, weights = _smooth(3, (6, 9, 3)) / 255, np.random.default_rng(4).random((24, 36, 3))
    seen: list[bytes] = []

    def upscale(x: np.ndarray) -> np.ndarray:
        """Depends on the place, so that each of the eight answers is another one."""
        seen.append(np.ascontiguousarray(x).tobytes())
        large = x.repeat(4, axis=0).repeat(4, axis=1)
        return large * (weights if large.shape == weights.shape else weights.swapaxes(0, 1) ** 2)

    got = np.asarray(attempt(upscale, image.copy()))
    asked = len(set(seen))
    expect(
        got.shape == (24, 36, 3),
        f"the result has the shape of one answer, (24, 36, 3), not {got.shape}",
    )
    want = self_ensemble(upscale, image)
    expect(not close(got, 8 * want, 1e-9), "that is the sum; divide it by 8")
    expect(asked != 4, "only four different inputs: transposes (or quarter turns) make it eight")
    expect(
        asked == 8,
        f"the network ran {len(seen)} times on {asked} different inputs; there are eight flips "
        "and transposes",
    )
    answers = [
        undone
        for flips in ((), (0,), (1,), (0, 1))
        for turned in (np.flip(image, flips),)
        for undone in (
            np.flip(upscale(turned), flips),
            np.flip(upscale(turned.swapaxes(0, 1)).swapaxes(0, 1), flips),
        )
    ]
    expect(
        not close(got, np.median(answers, axis=0), 1e-9),
        "that is the median of the eight answers; take their mean",
    )
    expect(
        not close(got, _not_turned_back(upscale, image), 1e-9),
        "the answers were not flipped back before the mean",
    )
    expect(
        close(got, want, 1e-9),
        "some answers were undone in the wrong order: undo the last step first",
    )


def _not_turned_back(upscale: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Only transposed back, so that the shapes fit."""
    answers = []
    for flips in ((), (0,), (1,), (0, 1)):
        turned = np.flip(image, flips)
        answers += [upscale(turned), upscale(turned.swapaxes(0, 1)).swapaxes(0, 1)]
    return np.mean(answers, axis=0)


def best_on_both(a: np.ndarray, b: np.ndarray) -> float:
    """The PSNR in dB, peak 255, that one picture can have on two originals: none has more on both.

    a, b: float arrays of one shape, in grey levels of 0–255.
    """
    distance = np.sqrt(((a - b) ** 2).mean())
    return float(20 * np.log10(255 / (distance / 2)))


@exercise(
    "11.5",
    "Two truths, one answer",
    difficulty=3,
    minutes=12,
    solution=best_on_both,
    cases=lambda draw: {
        "two random pictures": (draw.array(6, 7, high=255), draw.array(6, 7, high=255)),
        "nearly equal pictures": (draw.array(4, 4), draw.array(4, 4) + 0.5),
    },
)
def _best_on_both(attempt: Callable[..., float]) -> None:
    a, b = (_smooth(seed).astype(float) for seed in (0, 1))
    got = attempt(a.copy(), b.copy())
    square = float(((a - b) ** 2).mean())

    def decibels(mse: float, peak: float = 255) -> float:
        return float(10 * np.log10(peak**2 / mse))

    expect(np.ndim(got) == 0, f"one number was expected, not an array of shape {np.shape(got)}")
    named = {
        (
            "that is the PSNR between the two; an image halfway is better on the worse of them"
        ): decibels(square),
        "you halved the squared distance; half the distance has a quarter of the square": decibels(
            square / 2
        ),
        "half the decibels is not half the distance": decibels(square) / 2,
        "the peak is 255": decibels(square / 4, 1.0),
        "that is the natural logarithm": float(20 * np.log(255 / (np.sqrt(square) / 2))),
        "the factor is 20 for a root mean square, 10 for a mean square": decibels(square / 4) / 2,
    }
    for mistake, wrong in named.items():
        expect(not close(got, wrong, 1e-6), mistake)
    best = best_on_both(a, b)
    expect(
        got <= best + 1e-6, f"no image has {got:.2f} dB on both; the one halfway has {best:.2f} dB"
    )
    expect(
        close(got, best, 1e-6), f"the image halfway has {best:.2f} dB on both, more than {got:.2f}"
    )
