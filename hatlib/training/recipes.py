"""Recipes: everything that a training run depends on besides the images, and the named ones.

Sources of the published recipes: SwinIR, arXiv 2108.10257, §4.1; HAT, arXiv 2205.04437, §4.1, and
the options files of its repository. Taught in notebooks 03 and 09.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hatlib import models
from hatlib.errors import HatlibError, unknown

LOSSES = ("mse", "l1")
SCHEDULES = ("cosine", "trapezoid", "halving")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how."""

    model: str = "srcnn"
    options: dict[str, Any] = field(
        default_factory=dict
    )  # of the network, such as kernels=(9, 1, 5)
    scale: int = 4
    data: tuple[str, ...] = (
        "bsds500",
        "t91",
    )  # names of sets or folders; neither of these holds a test image
    patch: int = 12  # side of the LR patches in pixels
    batch: int = 16  # patches a step, over all processes
    steps: int = 1000
    loss: str = "mse"  # "mse" favours a high PSNR (SRCNN); "l1" is what the networks after EDSR use
    learning_rate: float = 1e-3  # Adam
    betas: tuple[float, float] = (0.9, 0.99)  # HAT's; the longer memory of 0.999 suits longer runs
    schedule: str = (
        "cosine"  # "trapezoid": constant, then down to zero; "halving": at each of the milestones
    )
    warm_up: int = 50  # steps in which the learning rate rises
    cooldown: float = (
        0.2  # share of the steps at the end of "trapezoid" (Hägele et al., arXiv 2405.18392)
    )
    milestones: tuple[int, ...] = ()  # steps at which "halving" halves
    ema: float = 0.999  # decay of the average of the weights that is evaluated; less in the first steps; 0 for none
    clip: float | None = None  # largest norm of the gradient
    precision: str = "auto"  # "bf16" autocast where the hardware is fast at it, else "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("data", "betas", "milestones"):  # a list from a JSON file is as good
            value = getattr(self, name)
            object.__setattr__(
                self, name, (value,) if isinstance(value, str | int) else tuple(value)
            )
        for name, known in (("loss", LOSSES), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        if self.model not in models.names():
            raise unknown("model", self.model, models.names())
        for name in ("scale", "patch", "batch", "steps"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise HatlibError(f"{name} is {getattr(self, name)!r}; it is a whole number from 1")
        if not self.learning_rate > 0 or not (self.clip is None or self.clip > 0):
            raise HatlibError(
                f"learning_rate and clip have to be positive, got {self.learning_rate} and {self.clip}"
            )
        if not 0 <= self.ema < 1 or not 0 <= self.cooldown <= 1:
            raise HatlibError(
                f"ema is in [0, 1) and cooldown in [0, 1], got {self.ema} and {self.cooldown}"
            )
        window = {**models.options(self.model), **self.options}.get("window_size", 1)
        if self.patch % window:
            raise HatlibError(
                f"{self.model} has windows of {window}: a patch has to be a multiple of that, such as "
                f"{-(-self.patch // window) * window}, got {self.patch}"
            )

    def rate(self, step: int) -> float:
        """The learning rate of a step (the first is 0), as a share of `learning_rate`."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        if self.schedule == "halving":
            return 0.5 ** sum(milestone <= step for milestone in self.milestones)
        if self.schedule == "trapezoid":
            return min(1.0, (self.steps - step) / max(1.0, self.cooldown * self.steps))
        return 0.5 + 0.5 * math.cos(
            math.pi * (step - self.warm_up) / max(1, self.steps - self.warm_up)
        )

    def average(self, step: int) -> float:
        """The decay of the averaged weights after a step: small at first, so that a short run's
        average is no lag."""
        return min(self.ema, (1 + step) / (10 + step))


NANO = Recipe(
    patch=32,
    batch=8,
    steps=40_000,
    loss="l1",
    learning_rate=2e-3,
    schedule="trapezoid",
    warm_up=100,
    clip=1,
)
SRCNN = Recipe(
    model="srcnn",
    patch=24,
    batch=8,
    steps=40_000,
    learning_rate=1e-3,
    betas=(0.9, 0.999),
    schedule="trapezoid",
)

RECIPES: dict[str, Recipe] = {
    **{
        f"srcnn-x{scale}": dataclasses.replace(SRCNN, scale=scale, patch=96 // scale)
        for scale in (2, 3, 4)
    },
    # the course's networks: same data, same patches, same schedule, about as many multiply-adds
    **{
        f"{name}-x4": dataclasses.replace(NANO, model=name)
        for name in ("rcan-nano", "swinir-nano", "hat-nano")
    },
    # as published, for those who have the machines and DIV2K (or DF2K) in a folder: --set
    # data=FOLDER
    "swinir-light-x2": Recipe(
        model="swinir-light",
        scale=2,
        patch=64,
        batch=64,
        steps=500_000,
        loss="l1",
        learning_rate=2e-4,
        betas=(0.9, 0.99),
        schedule="halving",
        warm_up=0,
        milestones=(250_000, 400_000, 450_000, 475_000),
    ),
    "hat-x2": Recipe(
        model="hat",
        scale=2,
        patch=64,
        batch=32,
        steps=500_000,
        loss="l1",
        learning_rate=2e-4,
        betas=(0.9, 0.99),
        schedule="halving",
        warm_up=0,
        milestones=(250_000, 400_000, 450_000, 475_000),
    ),
}


def names() -> list[str]:
    """The names that `recipe` knows."""
    return list(RECIPES)


def recipe(name: str, **changes: Any) -> Recipe:
    """A named recipe, with changes: recipe("hat-nano-x4", steps=2000, batch=4).

    Raises:
        HatlibError: an unknown name or field, a value that can't work.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, names())
    fields = [f.name for f in dataclasses.fields(Recipe)]
    for key in changes:
        if key not in fields:
            raise unknown("setting", key, fields)
    return dataclasses.replace(RECIPES[name], **changes)


def settings(texts: Iterable[str]) -> dict[str, Any]:
    """Settings as they are typed, "steps=2000", by name. Values are Python's numbers, lists and
    None, or plain text.

    Raises:
        HatlibError: a text without "=".
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise HatlibError(f"a setting is NAME=VALUE, such as steps=2000, got '{text}'")
        try:
            found[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name.strip()] = tuple(value.split(",")) if "," in value else value
    return found


def differences(old: Recipe, new: Recipe) -> list[str]:
    """What differs between two recipes, in words; a list from a JSON file is as good as a tuple."""
    was, now = (json.loads(json.dumps(dataclasses.asdict(recipe))) for recipe in (old, new))
    return [f"{key} {was[key]!r}, now {now[key]!r}" for key in now if was[key] != now[key]]
