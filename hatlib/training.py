"""Training: a recipe, and a loop short enough to be read in a lesson.

The loop knows nothing of networks, files or plots: it takes batches from a sampler and reports each step to whoever
listens. Taught in notebook 03.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from hatlib import models, runtime
from hatlib.datasets import PatchSampler
from hatlib.errors import HatlibError, unknown
from hatlib.evaluation import evaluate
from hatlib.models import Network

if TYPE_CHECKING:
    from hatlib.datasets import Pair

LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss}


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run depends on, besides the images."""

    model: str = "srcnn"
    options: dict[str, Any] = field(default_factory=dict)  # of the network, such as kernels=(9, 1, 5)
    scale: int = 4
    patch: int = 12  # side of the LR patches in pixels
    batch: int = 16
    steps: int = 1000
    loss: str = "mse"  # "mse" favours a high PSNR (SRCNN); "l1" is what the networks after EDSR use
    learning_rate: float = 1e-3  # Adam; rises over the first `warm_up` steps, then falls to zero along a cosine
    warm_up: int = 50
    precision: str = "auto"  # "bf16" autocast where the hardware is fast at it, else "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise unknown("loss", self.loss, LOSSES)
        if min(self.patch, self.batch, self.steps) < 1 or self.learning_rate <= 0:
            raise HatlibError(f"patch, batch, steps and learning_rate have to be positive: {self}")

    def rate(self, step: int) -> float:
        """The learning rate of a step, as a share of `learning_rate`."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        return 0.5 + 0.5 * math.cos(math.pi * (step - self.warm_up) / max(1, self.steps - self.warm_up))


@dataclass
class Run:
    """What a training run leaves: the network, and what was measured on the way."""

    recipe: Recipe
    model: Network
    losses: list[float]  # one a step
    seconds: float  # of the steps; what listeners take is not counted


Listener = Callable[[int, Network], None]  # called after each step with the number of steps done


def fit(recipe: Recipe, images: Sequence[np.ndarray], model: Network | None = None,
        listeners: Sequence[Listener] = (), progress: bool = True) -> Run:
    """Trains a network on random patches.

    Args:
        recipe: what to train, and how.
        images: HR images, uint8 (H, W, 3); their LR counterparts are made here.
        model: a network to go on with; by default a new one of the recipe's kind.
        listeners: each is called as listener(step, model) after a step, such as a `Validation`.
        progress: a bar with the loss.
    Returns:
        The run, its network in eval mode.
    Raises:
        HatlibError: an image smaller than a patch, a loss that stopped being finite.
    """
    from tqdm.auto import tqdm

    device = runtime.device()
    runtime.seed_everything(recipe.seed)
    model = (model or models.create(recipe.model, recipe.scale, **recipe.options)).to(device).train()
    sampler = PatchSampler(images, recipe.scale, recipe.patch, recipe.batch, seed=recipe.seed, device=device)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, recipe.rate)
    losses: list[float] = []
    seconds = 0.0
    for step in (bar := tqdm(range(1, recipe.steps + 1), disable=None if progress else True, leave=False)):
        start = time.perf_counter()
        lr, hr = next(sampler)
        with _autocast(device, recipe.precision):
            loss = LOSSES[recipe.loss](model(lr).float(), hr)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        seconds += time.perf_counter() - start
        if not math.isfinite(losses[-1]):
            raise HatlibError(f"the loss is {losses[-1]} at step {step}; a smaller learning_rate may help")
        bar.set_postfix(loss=f"{losses[-1]:.5f}", refresh=False)
        for listener in listeners:
            listener(step, model)
    return Run(recipe, model.eval(), losses, seconds)


class Validation:
    """A listener that measures the PSNR on whole images every so many steps."""

    def __init__(self, pairs: Sequence[Pair], every: int):
        self.pairs, self.every = list(pairs), every
        self.steps: list[int] = []
        self.psnr: list[float] = []  # dB, mean over the pairs

    def __call__(self, step: int, model: Network) -> None:
        if step % self.every:
            return
        training = model.training
        self.steps.append(step)
        self.psnr.append(float(evaluate(model.eval(), self.pairs)["psnr"].mean()))
        model.train(training)


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """bfloat16 arithmetic where asked for, or where it is fast and the recipe leaves it open."""
    if precision not in ("auto", "fp32", "bf16"):
        raise unknown("precision", precision, ["auto", "fp32", "bf16"])
    if precision == "bf16" or (precision == "auto" and runtime.fast_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
