"""A training run: network, average, optimiser, sampler and what was measured on the way."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path

import numpy as np
import torch

from hatlib.data.patches import PatchSampler
from hatlib.errors import HatlibError
from hatlib.models import Network
from hatlib.training import checkpoint, recipes
from hatlib.training.recipes import Recipe

PATIENCE = 20  # steps in a row whose gradient may be infinite or NaN


class Run:
    """A training run: what a snapshot holds, and what was measured on the way.

    Attributes:
        recipe: what is trained, and how.
        network: the network in training.
        model: what to use: the average of its weights (EMA), in eval mode.
        step: steps done.
        losses: one a step; NaN for a step that was left out because its gradient was not finite.
        skipped: how many were left out.
        seconds: of the steps; what listeners take is not counted.
        waiting: those of them that were spent outside forward, backward and optimiser step.
    """

    def __init__(self, recipe: Recipe, network: Network):
        self.recipe, self.network = recipe, network.train()
        self.model = copy.deepcopy(network).eval()
        both = zip(self.network.parameters(), self.model.parameters(), strict=True)
        trained = [(parameter, average) for parameter, average in both if parameter.requires_grad]
        self.parameters: list[torch.Tensor] = [parameter for parameter, _ in trained]
        self.averages: list[torch.Tensor] = [average for _, average in trained]
        self.optimiser = torch.optim.Adam(
            self.parameters, lr=recipe.learning_rate, betas=recipe.betas, fused=True
        )
        self.sampler: PatchSampler | None = None
        self.step = self.skipped = 0
        self.losses: list[float] = []
        self.seconds = self.waiting = 0.0

    @torch.no_grad()
    def update(self) -> bool:
        """The optimiser's step and the average's; False, and neither, where the gradient is not
        finite."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip or math.inf)
        if finite := bool(norm.isfinite()):
            for group in self.optimiser.param_groups:
                group["lr"] = self.recipe.learning_rate * self.recipe.rate(self.step)
            self.optimiser.step()
            torch._foreach_lerp_(self.averages, self.parameters, 1 - self.recipe.average(self.step))
        return finite

    def count(self, loss: float, finite: bool, seconds: float, waiting: float) -> None:
        """Notes a step.

        Raises:
            HatlibError: the gradient has not been finite for too many steps in a row.
        """
        self.step += 1
        self.losses.append(loss if finite else math.nan)
        self.seconds += seconds
        self.waiting += waiting
        self.skipped += not finite
        if not finite and len(self.losses) >= PATIENCE and np.isnan(self.losses[-PATIENCE:]).all():
            raise HatlibError(
                f"the loss or its gradient was not finite for {PATIENCE} steps in a row, up to step "
                f"{self.step}; try a smaller learning_rate, clip=1 or precision=fp32"
            )

    # --- on disk ----------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Writes all that is needed to go on, whole or not at all."""
        assert self.sampler is not None
        tensors = {
            "random": torch.get_rng_state(),
            **checkpoint.flatten("network", self.network.state_dict()),
            **checkpoint.flatten("model", self.model.state_dict()),
            **checkpoint.flatten("optimiser", checkpoint.optimiser_tensors(self.optimiser)),
        }
        facts = {
            "recipe": dataclasses.asdict(self.recipe),
            "step": self.step,
            "skipped": self.skipped,
            "losses": self.losses,
            "seconds": self.seconds,
            "waiting": self.waiting,
            "sampler": self.sampler.rng.bit_generator.state,
        }
        checkpoint.write(path, tensors, facts)

    def restore(self, path: Path) -> None:
        """Goes back to where `save` was called.

        Raises:
            HatlibError: the file is another recipe's. Only the number of steps may differ, as long
                as the steps done would have been the same: a "trapezoid" can be made longer before
                its end begins.
        """
        assert self.sampler is not None
        tensors, facts = checkpoint.read(path)
        old = Recipe(**facts["recipe"])
        asked = dataclasses.replace(self.recipe, steps=old.steps)
        if different := recipes.differences(old, asked):
            raise HatlibError(
                f"{path} is of another recipe ({'; '.join(different)}); choose another folder"
            )
        if any(old.rate(step) != self.recipe.rate(step) for step in range(facts["step"])):
            raise HatlibError(
                f"{path} is at step {facts['step']} of {old.steps}, and with steps={self.recipe.steps} "
                "the learning rates until there would have been others; choose another folder"
            )
        self.network.load_state_dict(checkpoint.part("network", tensors))
        self.model.load_state_dict(checkpoint.part("model", tensors))
        checkpoint.restore_optimiser(self.optimiser, checkpoint.part("optimiser", tensors))
        torch.set_rng_state(tensors["random"])
        self.sampler.rng.bit_generator.state = facts["sampler"]
        self.step, self.skipped, self.losses = facts["step"], facts["skipped"], facts["losses"]
        self.seconds, self.waiting = facts["seconds"], facts["waiting"]
