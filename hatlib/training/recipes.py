"""Recipes: everything that a training run depends on besides the images, and the named ones.

The recipes called "as published" follow SwinIR (arXiv 2108.10257, §4.1), HAT (arXiv 2205.04437,
§4.1) and the option files of their repositories. Taught in notebooks 03 and 09.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any

import torch
import torch.nn.functional as F

from hatlib import models
from hatlib.data import datasets
from hatlib.data.patches import DEGRADATIONS
from hatlib.errors import HatlibError, unknown
from hatlib.validation import (
    LISTED,
    SEVERAL,
    Count,
    Fraction,
    LearningRate,
    PatchSide,
    Positive,
    Scale,
    Seed,
    SetName,
    Share,
    StepNumber,
    Steps,
    checked,
    choice,
    shown,
    validated,
)

if TYPE_CHECKING:
    import numpy as np

LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
}
SCHEDULES = ("cosine", "trapezoid", "multistep")
PRECISIONS = ("auto", "fp32", "tf32", "bf16")

# What hatlib 0.1 called the fields: in its checkpoints, and in the memory of those who used it.
RENAMED = {
    "patch": "patch_size",
    "batch": "batch_size",
    "warm_up": "warmup_steps",
    "clip": "max_grad_norm",
    "ema": "ema_decay",
}


@validated
class Recipe:
    """What is trained, on what, and how.

    Raises:
        HatlibError: a value that cannot work, such as an LR patch that windows do not divide.
    """

    model: str = "srcnn"
    # passed to `create_model`, such as {"kernels": (9, 1, 5)}
    options: dict[str, Any] = field(default_factory=dict)
    scale: Scale = 4
    # names of data sets, or folders; neither of these two holds a test image
    data: Annotated[tuple[SetName, ...], SEVERAL] = ("bsds500", "t91")
    # of the LR images: "bicubic", or "real-world": random chains of blur, noise, JPEG and the like
    degradation: str = "bicubic"
    patch_size: PatchSide = 12  # side of an LR patch, pixels
    batch_size: Count = 16  # patches per step, over all processes
    steps: Steps = 1000
    loss: str = "mse"  # "mse" favours a high PSNR (SRCNN); "l1" is what networks since EDSR use
    learning_rate: LearningRate = 1e-3  # the highest; the optimiser is Adam
    # HAT's; the longer memory of 0.999 suits longer runs
    betas: Annotated[tuple[Fraction, Fraction], LISTED] = (0.9, 0.99)
    # "cosine": down to zero along half a wave. "trapezoid": constant, then straight down to zero
    # (Hägele et al., arXiv 2405.18392). "multistep": halved at each milestone.
    schedule: str = "cosine"
    warmup_steps: StepNumber = 50  # the learning rate rises from zero: Adam knows no gradients yet
    cooldown: Share = 0.2  # of "trapezoid": the share of the steps in which the rate falls
    # of "multistep": the steps at which the rate is halved
    milestones: Annotated[tuple[StepNumber, ...], SEVERAL] = ()
    # of the averaged weights, which are evaluated; 0 turns averaging off
    ema_decay: Fraction = 0.999
    # a smaller decay in the first steps, so that the average soon forgets the random initialisation
    ema_warmup: bool = True
    max_grad_norm: Positive | None = None  # longer gradients are scaled down to this; None: never
    # "fp32", "tf32" and "bf16" as in `hatlib.inference.precision`, which says what "auto" means
    precision: str = "auto"
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.schedule == "halving":
            raise HatlibError("unknown schedule 'halving'; did you mean 'multistep'?")
        for name, known in (
            ("degradation", DEGRADATIONS),
            ("loss", LOSSES),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
            ("model", models.names()),
        ):
            choice(name, getattr(self, name), known)
        if self.model in models.BASELINES:
            raise HatlibError(f"model is '{self.model}', which has no weights to train")
        models.configuration(self.model, self.options)
        self._check_windows()

    def _check_windows(self) -> None:
        # A window that reaches over the patch would see padding, which whole images hardly have.
        window = {**models.options(self.model), **self.options}.get("window_size", 1)
        if self.patch_size % window:
            above = -(-self.patch_size // window) * window
            raise HatlibError(
                f"{self.model} has windows of {window}: patch_size has to be a multiple of that, "
                f"such as {above}, got {self.patch_size}"
            )

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step; the first step is 0."""
        return self.learning_rate * self._schedule(step)

    def _schedule(self, step: int) -> float:
        """The learning rate of a step as a share of the highest."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.schedule == "multistep":
            return 0.5 ** sum(milestone <= step for milestone in self.milestones)
        if self.schedule == "trapezoid":
            return min(1.0, (self.steps - step) / max(1.0, self.cooldown * self.steps))
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return 0.5 + 0.5 * math.cos(math.pi * progress)

    def ema_decay_at(self, step: int) -> float:
        """The decay of the averaged weights after a step.

        With `ema_warmup` it rises from 0.1 after step 0 and reaches 0.999 at step 8,990. With a
        constant 0.999, a tenth of the random initialisation is still in the average after 2,300
        steps.
        """
        if not self.ema_warmup:
            return self.ema_decay
        return min(self.ema_decay, (1 + step) / (10 + step))


# The course's three networks: the same data, patches and schedule, and about as many multiply-adds,
# so that what differs in the end is the network.
NANO = Recipe(
    patch_size=32,  # four windows of 8 on a side
    batch_size=8,
    steps=40_000,
    loss="l1",  # as all three papers
    learning_rate=2e-3,
    schedule="trapezoid",
    warmup_steps=100,
    max_grad_norm=1,  # met in the first steps, and later by rare batches only
)
# The same for windows of 16, and for a network with windows of 8 and about as many multiply-adds.
# Larger patches, as such windows need, and fewer: about as many pixels a step as above.
LIGHT = dataclasses.replace(NANO, patch_size=48, batch_size=4, learning_rate=1e-3)
SRCNN = Recipe(
    model="srcnn",
    patch_size=24,
    batch_size=8,
    steps=40_000,
    learning_rate=1e-3,
    betas=(0.9, 0.999),
    schedule="trapezoid",
)
# As published: what the papers and their option files say. BasicSR's EMA has a constant decay,
# hence `ema_warmup=False`; ours would rise from 0.1 at the start to 0.999 at step 8,990. What still
# differs from a run of BasicSR: each position in each image is equally likely, where BasicSR draws
# an image first and then a position in it; a step whose gradient is not finite is skipped; and the
# random numbers are others. The papers' data, DIV2K or DF2K, has to be in a folder:
# `--set data=FOLDER`.
AS_PUBLISHED = Recipe(
    scale=2,
    patch_size=64,
    steps=500_000,
    loss="l1",
    learning_rate=2e-4,
    betas=(0.9, 0.99),
    schedule="multistep",
    warmup_steps=0,
    milestones=(250_000, 400_000, 450_000, 475_000),
    ema_warmup=False,
)

RECIPES: dict[str, Recipe] = {
    **{
        # HR patches of 96×96 at each scale
        f"srcnn-x{scale}": dataclasses.replace(SRCNN, scale=scale, patch_size=96 // scale)
        for scale in (2, 3, 4)
    },
    **{
        f"{name}-x4": dataclasses.replace(NANO, model=name)
        for name in ("rcan-nano", "swinir-nano", "hat-nano")
    },
    # for photos as cameras and web sites leave them
    "hat-nano-real-x4": dataclasses.replace(NANO, model="hat-nano", degradation="real-world"),
    # swinir-light-x4 is the name of its authors' weights
    "swinir-light-course-x4": dataclasses.replace(LIGHT, model="swinir-light"),
    "hat-light-x4": dataclasses.replace(LIGHT, model="hat-light"),
    "swinir-light-x2": dataclasses.replace(AS_PUBLISHED, model="swinir-light", batch_size=64),
    "hat-x2": dataclasses.replace(AS_PUBLISHED, model="hat", batch_size=32),
}


def names() -> list[str]:
    """The names that `recipe` knows."""
    return list(RECIPES)


def recipe(name: str, **changes: Any) -> Recipe:
    """A named recipe, with changes: recipe("hat-nano-x4", steps=2000, batch_size=4).

    Raises:
        HatlibError: an unknown name or field, or a value that cannot work.
    """
    choice("recipe", name, RECIPES)
    fields = [f.name for f in dataclasses.fields(Recipe)]
    for key in changes:
        if key in RENAMED:
            raise HatlibError(f"unknown setting '{key}'; did you mean '{RENAMED[key]}'?")
        if key not in fields:
            raise unknown("setting", key, fields)
    return dataclasses.replace(RECIPES[name], **changes)


def settings(texts: Iterable[str]) -> dict[str, Any]:
    """Settings as they are typed, such as "steps=2000", by name.

    Values are Python's numbers, lists, True, False and None; anything else is text, and a comma in
    it separates several.

    Raises:
        HatlibError: a text without "=".
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise HatlibError(f"a setting is NAME=VALUE, such as steps=2000, got {shown(text)}")
        values[name.strip()] = _typed(value)
    return values


def _typed(text: str) -> Any:
    """The value of a setting."""
    if text.strip().lower() in ("nan", "inf", "-inf"):
        return float(text)  # numbers that Python has no literal for
    try:
        return ast.literal_eval(text)
    # the last three: brackets without end, and a list as a key
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return tuple(text.split(",")) if "," in text else text


def from_json(facts: Mapping[str, Any]) -> Recipe:
    """The recipe that a file holds, in the names of today or in those of hatlib 0.1.

    Raises:
        HatlibError: a field that is unknown, as in a file of a newer version, or a wrong value.
    """
    facts = checked("recipe", facts, dict[str, Any])
    fields = {RENAMED.get(name, name): value for name, value in facts.items()}
    if fields.get("schedule") == "halving":
        fields["schedule"] = "multistep"
    return Recipe(**fields)


def differences(old: Recipe, new: Recipe) -> list[str]:
    """What differs between two recipes, in words."""
    # through JSON, where a tuple and a list of the same values are equal
    before, now = (json.loads(json.dumps(dataclasses.asdict(recipe))) for recipe in (old, new))
    return [f"{key} {before[key]!r}, now {now[key]!r}" for key in now if before[key] != now[key]]


def training_images(recipe: Recipe) -> Iterator[np.ndarray]:
    """The images that a recipe is trained on, one by one, without those that are smaller than a
    patch.

    Yields:
        HR images, uint8 (H, W, 3).
    Raises:
        HatlibError: a data set that is unavailable, or no image that is large enough.
    """
    side = recipe.patch_size * recipe.scale
    total = used = 0
    for name in recipe.data:
        for image in datasets.stream(name):
            total += 1
            if min(image.shape[:2]) >= side:
                used += 1
                yield image
    if not used:
        raise HatlibError(
            f"none of the {total} images has the {side}×{side} pixels that an LR patch of "
            f"{recipe.patch_size} needs at ×{recipe.scale}"
        )
