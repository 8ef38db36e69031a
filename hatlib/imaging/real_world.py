"""What happens to real photos: blur, resizing, noise, sharpening and JPEG in random order."""

from __future__ import annotations

from typing import Any

import numpy as np

from hatlib.errors import HatlibError, unknown
from hatlib.imaging.convert import check_image
from hatlib.imaging.degradation import (
    RESIZE_METHODS,
    Rng,
    blur,
    check_scale,
    float_planes,
    generator,
    jpeg,
    resize,
    sensor_noise,
    sharpen,
)

Step = tuple[str, dict[str, Any]]  # a name in STEPS and its parameters


STEPS = {"blur": blur, "resize": resize, "noise": sensor_noise, "sharpen": sharpen, "jpeg": jpeg}


def plan(shape: tuple[int, ...], scale: int = 4, rng: Rng = None, rounds: int = 2) -> list[Step]:
    """Draws the steps for an image of that shape: in each round blur, resize, noise, JPEG and, half
    the time, sharpening, in random order. The resize of the last round ends at ceil(H/s)×ceil(W/s),
    the others on the way there.
    """
    rng = generator(rng)
    goal = (-(-shape[0] // scale), -(-shape[1] // scale))
    per_round = scale ** (1 / rounds)
    steps: list[Step] = []
    for k in range(1, rounds + 1):
        shrunk = per_round**k / rng.uniform(0.8, 1.25)
        size = (
            goal
            if k == rounds
            else (max(1, round(shape[0] / shrunk)), max(1, round(shape[1] / shrunk)))
        )
        sigmas = rng.uniform(0.2, 0.6 * per_round, size=2).round(2)
        todo: list[Step] = [
            (
                "blur",
                {
                    "sigma": float(sigmas[0]),
                    "sigma_y": float(sigmas[1]),
                    "angle": int(rng.integers(180)),
                },
            ),
            ("resize", {"size": size, "method": str(rng.choice(RESIZE_METHODS[:3]))}),
            (
                "noise",
                {
                    "gain": round(rng.uniform(0.02, 0.4), 2),
                    "read": round(rng.uniform(0, 4), 1),
                    "rng": int(rng.integers(2**31)),
                },
            ),
            ("jpeg", {"quality": int(rng.integers(40, 96))}),
        ]
        if rng.random() < 0.5:
            todo.append(("sharpen", {"amount": round(rng.uniform(0.3, 1.2), 2), "sigma": 1.0}))
        steps += [todo[i] for i in rng.permutation(len(todo))]
    return steps


def apply_step(image: np.ndarray, step: Step) -> np.ndarray:
    """One step of a plan; the noise carries its own seed, so the same step gives the same
    picture."""
    name, parameters = step
    if name not in STEPS:
        raise unknown("step", name, STEPS)
    result: np.ndarray = STEPS[name](image, **parameters)  # type: ignore[operator]
    return result


def real_world(
    image: np.ndarray, scale: int = 4, rng: Rng = None, rounds: int = 2
) -> tuple[np.ndarray, list[Step]]:
    """A random chain of blur, resize, sensor noise, JPEG and sharpening, in random order and
    `rounds` times over.

    The idea of the random order is BSRGAN's (arXiv 2103.14006), that of a second round
    Real-ESRGAN's (arXiv 2107.10833); the ranges are ours and milder than theirs.

    Args:
        image: HR, numpy (H, W, 3) or (H, W); uint8, or float in [0, 1].
        rng: a numpy generator or a seed: the same seed gives the same LR.
        rounds: how often the picture is processed, from 1 up.
    Returns:
        LR of ceil(H/s)×ceil(W/s) pixels, and the steps in the order in which they were applied;
        running them again with `apply_step` gives the same LR.
    """
    check_image(image)
    check_scale(scale)
    float_planes(image, scale)
    if rounds < 1:
        raise HatlibError(f"the chain has at least 1 round, got {rounds}")
    steps = plan(image.shape, scale, rng, rounds)
    for step in steps:
        image = apply_step(image, step)
    return image, steps
