"""Training: a loop short enough to be read in a lesson, and what can be attached to it.

The loop knows nothing of networks, files or plots: it takes batches from a sampler and tells listeners of each step.
`accelerate` is underneath, so the same call runs on a CPU, on a GPU, and in several processes that were started with
`torchrun` or `accelerate launch`; `Run` is what goes on disk, so that a run that was stopped goes on to the same
weights. Taught in notebooks 03 and 09.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from hatlib import checkpoints, datasets, models, recipes, runtime, snapshots
from hatlib.errors import HatlibError
from hatlib.evaluation import evaluate
from hatlib.models import Network
from hatlib.recipes import RECIPES, Recipe, recipe
from hatlib.sampling import PatchSampler

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hatlib.datasets import Pair

__all__ = ["RECIPES", "Listener", "Recipe", "Run", "Snapshots", "Validation", "export", "fit", "images",
           "recipe"]

LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss}
PATIENCE = 20  # steps in a row whose gradient may be infinite or NaN
SNAPSHOT = "run.safetensors"


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
        self.optimiser = torch.optim.Adam(self.parameters, lr=recipe.learning_rate, betas=recipe.betas, fused=True)
        self.sampler: PatchSampler | None = None
        self.step = self.skipped = 0
        self.losses: list[float] = []
        self.seconds = self.waiting = 0.0

    @torch.no_grad()
    def update(self) -> bool:
        """The optimiser's step and the average's; False, and neither, where the gradient is not finite."""
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
            raise HatlibError(f"the loss or its gradient was not finite for {PATIENCE} steps in a row, up to step "
                              f"{self.step}; try a smaller learning_rate, clip=1 or precision=fp32")

    # --- on disk -------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Writes all that is needed to go on, whole or not at all."""
        assert self.sampler is not None
        tensors = {"random": torch.get_rng_state(), **snapshots.flatten("network", self.network.state_dict()),
                   **snapshots.flatten("model", self.model.state_dict()),
                   **snapshots.flatten("optimiser", snapshots.optimiser_tensors(self.optimiser))}
        facts = {"recipe": dataclasses.asdict(self.recipe), "step": self.step, "skipped": self.skipped,
                 "losses": self.losses, "seconds": self.seconds, "waiting": self.waiting,
                 "sampler": self.sampler.rng.bit_generator.state}
        snapshots.write(path, tensors, facts)

    def restore(self, path: Path) -> None:
        """Goes back to where `save` was called.

        Raises:
            HatlibError: the file is another recipe's. Only the number of steps may differ, as long as the steps done
                would have been the same: a "trapezoid" can be made longer before its end begins.
        """
        assert self.sampler is not None
        tensors, facts = snapshots.read(path)
        old = Recipe(**facts["recipe"])
        asked = dataclasses.replace(self.recipe, steps=old.steps)
        if different := recipes.differences(old, asked):
            raise HatlibError(f"{path} is of another recipe ({'; '.join(different)}); choose another folder")
        if any(old.rate(step) != self.recipe.rate(step) for step in range(facts["step"])):
            raise HatlibError(f"{path} is at step {facts['step']} of {old.steps}, and with steps={self.recipe.steps} "
                              "the learning rates until there would have been others; choose another folder")
        self.network.load_state_dict(snapshots.part("network", tensors))
        self.model.load_state_dict(snapshots.part("model", tensors))
        snapshots.restore_optimiser(self.optimiser, snapshots.part("optimiser", tensors))
        torch.set_rng_state(tensors["random"])
        self.sampler.rng.bit_generator.state = facts["sampler"]
        self.step, self.skipped, self.losses = facts["step"], facts["skipped"], facts["losses"]
        self.seconds, self.waiting = facts["seconds"], facts["waiting"]


Listener = Callable[[Run], None]  # called after each step


def fit(recipe: Recipe, images: Iterable[np.ndarray], model: Network | None = None,
        listeners: Sequence[Listener] = (), progress: bool = True, folder: str | Path | None = None) -> Run:
    """Trains a network on random patches.

    Args:
        recipe: what to train, and how.
        images: HR images, uint8 (H, W, 3); their LR counterparts are made here.
        model: a network to start from, which stays as it is; by default a new one of the recipe's kind.
        listeners: each is called with the run after a step, such as a `Validation`.
        progress: a bar with the loss.
        folder: where a snapshot is kept. One that is there already is gone on from, and a run that is finished is
            read instead of done again: an interrupted cell needs no more than to be run once more.
    Returns:
        The run; `.model` is the trained network, in eval mode.
    Raises:
        HatlibError: an image smaller than a patch, gradients that stay infinite, a snapshot of another recipe.
    """
    accelerator = _accelerator()
    device, share = accelerator.device, (accelerator.process_index, accelerator.num_processes)
    runtime.seed_everything(recipe.seed)
    network = copy.deepcopy(model) if model else models.create(recipe.model, recipe.scale, **recipe.options)
    run = Run(recipe, network.to(device))
    run.sampler = PatchSampler(images, recipe.scale, recipe.patch, recipe.batch, recipe.seed, device, share)
    keeper = Snapshots(run, folder, accelerator.is_main_process) if folder else None
    parallel = accelerator.prepare_model(run.network)  # the network itself where there is one process
    attached: list[Listener] = [*listeners, *([keeper] if keeper else [])]
    with _bar(run, progress and accelerator.is_main_process) as bar, _stoppable() as stop:
        while run.step < recipe.steps:
            start = time.perf_counter()
            lr, hr = next(run.sampler)
            ready = time.perf_counter()
            run.optimiser.zero_grad(set_to_none=True)
            with _autocast(device, recipe.precision):
                loss = LOSSES[recipe.loss](parallel(lr).float(), hr)
            accelerator.backward(loss)
            finite = run.update()
            run.count(loss.item(), finite, time.perf_counter() - start, ready - start)
            bar(run)
            for listener in attached:
                listener(run)
            if stop.is_set():
                raise KeyboardInterrupt
    return run


def images(recipe: Recipe) -> Iterator[np.ndarray]:
    """The images that a recipe is trained on, one by one; those are left out that are smaller than a patch.

    Raises:
        HatlibError: a set that is not to be had, or no image that is large enough.
    """
    side, count, large = recipe.patch * recipe.scale, 0, False
    for name in recipe.data:
        for image in datasets.stream(name):
            count += 1
            if min(image.shape[:2]) >= side:
                large = True
                yield image
    if not large:
        raise HatlibError(f"none of the {count} images has the {side}×{side} pixels that an LR patch of "
                          f"{recipe.patch} needs at ×{recipe.scale}")


def export(run: Run, path: Path) -> str:
    """Writes the trained network (the averaged weights) with a card of how it was trained; returns that in a line."""
    every = max(1, len(run.losses) // 50)
    curve = [float(np.nanmean(run.losses[start : start + every])) for start in range(0, len(run.losses), every)]
    card = {"recipe": dataclasses.asdict(run.recipe), "steps": run.step, "skipped": run.skipped,
            "minutes": round(run.seconds / 60, 1), "hardware": runtime.hardware(), "torch": torch.__version__,
            "losses": [float(f"{loss:.5g}") for loss in curve]}  # means over a fiftieth of the steps each
    checkpoints.save(run.model, path, run.recipe.model, card, **run.recipe.options)
    return (f"{path}: {run.step} steps in {run.seconds / 60:.1f} min, {run.waiting / run.seconds:.1%} of them outside "
            f"arithmetic, {run.skipped} steps left out, loss {curve[-1]:.5f}")


# --- what can be attached to the loop ---------------------------------------------------------------------------------


class Validation:
    """A listener that measures the PSNR on whole images every so many steps."""

    def __init__(self, pairs: Sequence[Pair], every: int):
        self.pairs, self.every = list(pairs), every
        self.steps: list[int] = []
        self.psnr: list[float] = []  # dB, mean over the pairs

    def __call__(self, run: Run) -> None:
        if run.step % self.every == 0:
            self.steps.append(run.step)
            self.psnr.append(float(evaluate(run.model, self.pairs)["psnr"].mean()))


class Snapshots:
    """A listener that keeps the run on disk: about once a minute, at its end, and when it is interrupted."""

    def __init__(self, run: Run, folder: str | Path, writes: bool = True, seconds: float = 60.0):
        self.path, self.writes, self.seconds = Path(folder) / SNAPSHOT, writes, seconds
        if self.path.is_file():
            run.restore(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.written = time.monotonic()

    def __call__(self, run: Run) -> None:
        due = time.monotonic() - self.written >= self.seconds
        if self.writes and (due or run.step == run.recipe.steps or _stopping.is_set()):
            run.save(self.path)
            self.written = time.monotonic()


# --- inside -----------------------------------------------------------------------------------------------------------

_stopping = threading.Event()


@contextlib.contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C lets the step end and a snapshot be written; a second one stops at once."""
    _stopping.clear()
    if threading.current_thread() is not threading.main_thread():
        yield _stopping  # signals reach the main thread only
        return
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: Any) -> None:
        _stopping.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield _stopping
    finally:
        signal.signal(signal.SIGINT, before)
        _stopping.clear()


@contextlib.contextmanager
def _bar(run: Run, shown: bool) -> Iterator[Callable[[Run], None]]:
    from tqdm.auto import tqdm

    with tqdm(total=run.recipe.steps, initial=run.step, disable=None if shown else True, leave=False) as bar:
        def advance(run: Run) -> None:
            bar.set_postfix(loss=f"{run.losses[-1]:.5f}", refresh=False)
            bar.update()

        yield advance


def _accelerator() -> Accelerator:
    """The device, and the other processes where there are some."""
    from accelerate import Accelerator

    return Accelerator(cpu=runtime.device().type == "cpu")


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """bfloat16 arithmetic where asked for, or where it is fast and the recipe leaves it open."""
    if precision == "bf16" or (precision == "auto" and runtime.fast_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
