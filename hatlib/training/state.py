"""The state of a training run: model, averaged model, optimiser, patches, and what was measured."""

from __future__ import annotations

import copy
import math
import signal
import time

import numpy as np
import torch

from hatlib.data.patches import PatchSampler
from hatlib.errors import HatlibError
from hatlib.models import Network
from hatlib.system import machine
from hatlib.training.recipes import Recipe

MAX_NONFINITE_STEPS = 20  # in a row; then the run is over


class Run:
    """A training run.

    Attributes:
        recipe: what is trained, and how.
        model: the network in training.
        ema_model: the network to use: it holds the exponential moving average (EMA) of the weights,
            and is in eval mode.
        sampler: gives the next batch of patches.
        precision: what the model computes in while it is trained: "fp32", "tf32" or "bf16".
        step: the steps done.
        losses: one per step; NaN for a step that was skipped because its gradient was not finite.
        skipped: how many steps were skipped.
        seconds: what the steps took; callbacks are not counted.
        waiting: those of the seconds in which the next batch was cut.
        computed: on what and in which arithmetic, such as "cpu, 2 threads, bf16", and how many of
            the steps: a run may be resumed on another machine.
        curves: what callbacks measured, (step, value) by name; see `callbacks.Validation`.
        stop_signal: the signal that asked the run to stop after its step; None: it goes on.
    """

    def __init__(
        self, recipe: Recipe, model: Network, sampler: PatchSampler, precision: str = "fp32"
    ):
        self.recipe = recipe
        self.precision = precision
        self.model = model.train()
        self.ema_model = copy.deepcopy(model).eval()
        self.sampler = sampler

        # The same parameters twice, in one order; what is frozen is neither trained nor averaged.
        pairs = zip(self.model.parameters(), self.ema_model.parameters(), strict=True)
        trained = [(weight, mean) for weight, mean in pairs if weight.requires_grad]
        self.parameters: list[torch.Tensor] = [weight for weight, _ in trained]
        self.ema_parameters: list[torch.Tensor] = [mean for _, mean in trained]
        # statistics of batch norms, as DAT has them; tables are in no state_dict
        kept = self.model.state_dict().keys()
        named = zip(self.model.named_buffers(), self.ema_model.buffers(), strict=True)
        self.statistics = [(now, copied) for (name, now), copied in named if name in kept]
        # fused: the whole step in one pass over memory, rounded in an order of its own
        self.optimiser = torch.optim.Adam(
            self.parameters, lr=recipe.learning_rate, betas=recipe.betas, fused=True
        )

        self.step = 0
        self.losses: list[float] = []
        self.skipped = 0
        self.seconds = 0.0
        self.waiting = 0.0
        self.computed: dict[str, int] = {}
        self._here = f"{machine.hardware()}, {precision}"
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.stop_signal: signal.Signals | None = None

    @torch.no_grad()
    def update(self) -> bool:
        """Takes the optimiser's step and the average's.

        Returns:
            True; or False, with nothing changed, where the gradient is not finite. One such step
            would make every weight NaN.
        """
        limit = self.recipe.max_grad_norm or math.inf  # an infinite limit only measures the norm
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, limit)
        if not norm.isfinite():
            return False
        # the schedule is a function of the step, so a resumed run needs no scheduler's state
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate_at(self.step)
        self.optimiser.step()
        # mean ← decay · mean + (1 − decay) · weight, for all parameters at once
        decay = self.recipe.ema_decay_at(self.step)
        torch._foreach_lerp_(self.ema_parameters, self.parameters, 1 - decay)
        for now, copied in self.statistics:  # they are averages already
            copied.copy_(now)
        return True

    def record(self, loss: float, finite: bool, began: float, loaded: float) -> None:
        """Counts a step that has been done.

        Args:
            loss: of the step's batch.
            finite: what `update` returned.
            began, loaded: when the step began and when its batch was there (`time.perf_counter()`).
        Raises:
            HatlibError: the gradient has not been finite for too many steps in a row.
        """
        self.step += 1
        self.losses.append(loss if finite else math.nan)
        self.skipped += not finite
        self.seconds += time.perf_counter() - began
        self.waiting += loaded - began  # a GPU that waits for patches is wasted
        self.computed[self._here] = self.computed.get(self._here, 0) + 1
        # One step is bad luck (an overflow, a strange batch); many in a row will not get better.
        last = self.losses[-MAX_NONFINITE_STEPS:]
        if len(last) == MAX_NONFINITE_STEPS and np.isnan(last).all():
            raise HatlibError(
                f"the loss or its gradient was not finite for {MAX_NONFINITE_STEPS} steps in a "
                f"row, up to step {self.step}; try a smaller learning_rate, max_grad_norm=1 or "
                "precision=fp32"
            )
