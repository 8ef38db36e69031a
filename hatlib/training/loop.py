"""Training: a loop short enough to be read in a lesson, and what can be attached to it.

The loop knows nothing of networks, files or plots: it takes batches from a sampler and tells
listeners of each step. `accelerate` is underneath, so the same call runs on a CPU, on a GPU, and in
several processes that were started with `torchrun` or `accelerate launch`; `Run` is what goes on
disk, so that a run that was stopped goes on to the same weights. Taught in notebooks 03 and 09.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from hatlib import models
from hatlib.data import datasets
from hatlib.data.patches import PatchSampler
from hatlib.errors import HatlibError
from hatlib.models import Network
from hatlib.system import devices, machine
from hatlib.training.callbacks import Listener, Snapshots, _stopping
from hatlib.training.recipes import Recipe
from hatlib.training.state import Run
from hatlib.weights import files

if TYPE_CHECKING:
    from accelerate import Accelerator


LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss}


def fit(
    recipe: Recipe,
    images: Iterable[np.ndarray],
    model: Network | None = None,
    listeners: Sequence[Listener] = (),
    progress: bool = True,
    folder: str | Path | None = None,
) -> Run:
    """Trains a network on random patches.

    Args:
        recipe: what to train, and how.
        images: HR images, uint8 (H, W, 3); their LR counterparts are made here.
        model: a network to start from, which stays as it is; by default a new one of the recipe's
            kind.
        listeners: each is called with the run after a step, such as a `Validation`.
        progress: a bar with the loss.
        folder: where a snapshot is kept. One that is there already is gone on from, and a run that
            is finished is read instead of done again: an interrupted cell needs no more than to be
            run once more.
    Returns:
        The run; `.model` is the trained network, in eval mode.
    Raises:
        HatlibError: an image smaller than a patch, gradients that stay infinite, a snapshot of
            another recipe.
    """
    accelerator = _accelerator()
    device, share = accelerator.device, (accelerator.process_index, accelerator.num_processes)
    devices.seed_everything(recipe.seed)
    network = (
        copy.deepcopy(model)
        if model
        else models.create(recipe.model, recipe.scale, **recipe.options)
    )
    run = Run(recipe, network.to(device))
    run.sampler = PatchSampler(
        images, recipe.scale, recipe.patch, recipe.batch, recipe.seed, device, share
    )
    keeper = Snapshots(run, folder, accelerator.is_main_process) if folder else None
    parallel = accelerator.prepare_model(
        run.network
    )  # the network itself where there is one process
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
    """The images that a recipe is trained on, one by one; those are left out that are smaller than
    a patch.

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
        raise HatlibError(
            f"none of the {count} images has the {side}×{side} pixels that an LR patch of "
            f"{recipe.patch} needs at ×{recipe.scale}"
        )


def export(run: Run, path: Path) -> str:
    """Writes the trained network (the averaged weights) with a card of how it was trained; returns
    that in a line."""
    every = max(1, len(run.losses) // 50)
    curve = [
        float(np.nanmean(run.losses[start : start + every]))
        for start in range(0, len(run.losses), every)
    ]
    card = {
        "recipe": dataclasses.asdict(run.recipe),
        "steps": run.step,
        "skipped": run.skipped,
        "minutes": round(run.seconds / 60, 1),
        "hardware": machine.hardware(),
        "torch": torch.__version__,
        "losses": [float(f"{loss:.5g}") for loss in curve],
    }  # means over a fiftieth of the steps each
    files.save(run.model, path, run.recipe.model, card, **run.recipe.options)
    return (
        f"{path}: {run.step} steps in {run.seconds / 60:.1f} min, {run.waiting / run.seconds:.1%} of them outside "
        f"arithmetic, {run.skipped} steps left out, loss {curve[-1]:.5f}"
    )


# --- what can be attached to the loop -------------------------------------------------------------


# --- inside ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C lets the step end and a snapshot be written; a second one stops at
    once."""
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

    with tqdm(
        total=run.recipe.steps, initial=run.step, disable=None if shown else True, leave=False
    ) as bar:

        def advance(run: Run) -> None:
            bar.set_postfix(loss=f"{run.losses[-1]:.5f}", refresh=False)
            bar.update()

        yield advance


def _accelerator() -> Accelerator:
    """The device, and the other processes where there are some."""
    from accelerate import Accelerator

    return Accelerator(cpu=devices.device().type == "cpu")


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """bfloat16 arithmetic where asked for, or where it is fast and the recipe leaves it open."""
    if precision == "bf16" or (precision == "auto" and devices.fast_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
