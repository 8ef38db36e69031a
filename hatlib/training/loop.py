"""The training loop, short enough to be read in a lesson.

It knows nothing of networks, files or plots: it takes batches from a sampler and calls callbacks
after each step. `accelerate` is underneath, so the same call runs on a CPU, on a GPU, and in
several processes that were started with `torchrun` or `accelerate launch`. Taught in notebooks 03
and 09.
"""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hatlib import models
from hatlib.data.patches import PatchSampler
from hatlib.errors import HatlibError
from hatlib.inference.precision import arithmetic, autocast
from hatlib.models import Network
from hatlib.models.layers import check_network
from hatlib.system import console, devices, locks, processes, torch_settings
from hatlib.training import checkpoint
from hatlib.training.callbacks import Callback, Checkpointing, Progress
from hatlib.training.recipes import LOSSES, Recipe
from hatlib.training.state import Run
from hatlib.validation import FileName, checked, choice

if TYPE_CHECKING:
    from accelerate import Accelerator

# Ctrl-C; what is sent before a process is killed; the terminal was closed (not on Windows)
STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")

WAIT_FOR_PROCESSES = 300  # seconds in which all of them have to come


class Stopped(KeyboardInterrupt):
    """A signal ended the run: `signal` says which. It was saved, where it had a folder."""

    def __init__(self, number: signal.Signals):
        super().__init__(f"stopped by {number.name}")
        self.signal = number


def fit(
    recipe: Recipe,
    images: Iterable[np.ndarray],
    model: Network | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    folder: str | Path | None = None,
    deterministic: bool = False,
    compiled: bool | str = False,
) -> Run:
    """Trains a network on random patches; the result is the `ema_model` of the run.

    Where other programs keep the CPU busy, set what `devices.prepare_cpu` names in the environment.

    Args:
        images: HR, uint8 (H, W, 3); LR is made of them here.
        model: the network to start from, which is copied; None: a new one, as the recipe says.
        callbacks: called with the run after each step, such as a `Validation`.
        progress: show a bar, or lines on stderr where there is no terminal.
        folder: where a checkpoint is kept; a run that is there already is resumed.
        deterministic: on a GPU too, the same bits each time on the same device and versions, slower
            there; torch raises RuntimeError where it has no such way. On a CPU the bits are the
            same in any case, as long as the number of threads is.
        compiled: through torch.compile: true, or its mode, such as "reduce-overhead", which records
            CUDA graphs. The first step then takes up to minutes, and needs a compiler. What it
            brings, `benchmarks/gpu.py` measures. Checkpoints are those of any run.
    Raises:
        HatlibError: a precision that the device does not have, images too small, gradients that
            stay infinite, a checkpoint of another run, a folder that another run writes to,
            processes that were announced and did not come, an unknown mode of torch.compile.
        Stopped: Ctrl-C, SIGTERM or SIGHUP came; the step and the checkpoint were finished first.
    """
    _check(recipe, images, model, callbacks)
    checked("folder", folder, FileName | None)
    if not isinstance(compiled, bool):
        choice("mode of torch.compile", compiled, COMPILE_MODES)
    accelerator = _accelerator()
    with _alone_in(folder, accelerator):
        run, checkpointing = _start(recipe, images, model, folder, accelerator)
        with warnings.catch_warnings():
            # torch is about to rename an argument that accelerate passes on
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            network = accelerator.prepare_model(run.model)  # itself, or what processes share
        if compiled:
            mode = None if compiled is True else str(compiled)
            network = torch.compile(network, mode=mode, dynamic=False)  # all patches have one size
        bar = Progress(run, progress and accelerator.is_main_process)
        attached: list[Callback] = [*callbacks, checkpointing, bar]  # what is measured is saved
        with (
            torch_settings.deterministic(deterministic),
            torch_settings.tf32(run.precision == "tf32"),  # also where gradients are computed
            contextlib.closing(bar),
            _stop_signals(run),
        ):
            while run.step < recipe.steps and not _stopping(run, accelerator):
                began = time.perf_counter()
                lr, hr = next(run.sampler)  # (N, 3, p, p) and (N, 3, s·p, s·p), in [0, 1]
                loaded = time.perf_counter()

                run.optimiser.zero_grad(set_to_none=True)
                with autocast(accelerator.device, run.precision):
                    loss = LOSSES[recipe.loss](network(lr).float(), hr)  # in float32 in any case
                accelerator.backward(loss)
                finite = run.update()
                run.record(loss.item(), finite, began, loaded)  # item() waits until a GPU is done
                for callback in attached:
                    callback(run)
            checkpointing.save(run)
        if run.stop_signal:
            raise Stopped(run.stop_signal)
        return run


# --- before the loop ------------------------------------------------------------------------------


def _check(recipe: object, images: object, model: object, callbacks: object) -> None:
    """Raises HatlibError for arguments of a wrong kind, or a model that does not fit the recipe."""
    if not isinstance(recipe, Recipe):
        raise HatlibError(f"recipe is {type(recipe).__name__}; hatlib.Recipe makes one")
    if not isinstance(images, Iterable):
        raise HatlibError(f"images are {type(images).__name__}; they are arrays, one by one")
    if not isinstance(callbacks, Iterable) or not all(callable(each) for each in callbacks):
        raise HatlibError("callbacks are functions of the run, in a list")
    if model is None:
        return
    check_network(model)
    assert isinstance(model, Network)
    if model.scale != recipe.scale:
        raise HatlibError(f"the model upscales ×{model.scale}, and the recipe ×{recipe.scale}")
    if not any(weight.requires_grad for weight in model.parameters()):
        raise HatlibError("the model has no weights to train")


def _accelerator() -> Accelerator:
    """The device, and the other processes where there are some."""
    # here, as importing it takes a second
    from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs

    processes.check_launcher(os.environ)
    devices.prepare_cpu()
    device = devices.device()
    if device.index is not None:  # the second GPU: accelerate would take the first
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    limit = InitProcessGroupKwargs(timeout=timedelta(seconds=WAIT_FOR_PROCESSES))
    # Tables of positions are alike everywhere, and of batch norms' statistics the first process's
    # are kept: nothing that has to be sent before each step.
    shared = DistributedDataParallelKwargs(broadcast_buffers=False)
    try:
        return Accelerator(cpu=device.type == "cpu", kwargs_handlers=[limit, shared])
    except (RuntimeError, ValueError) as error:  # torch.distributed's and accelerate's
        reason = " ".join(str(error).split())[:200]
        raise HatlibError(f"the processes of this run do not find each other: {reason}") from None


def _alone_in(
    folder: str | Path | None, accelerator: Accelerator
) -> contextlib.AbstractContextManager[None]:
    """Inside, no other run writes to the folder. Of several processes the first sees to it."""
    if not folder or not accelerator.is_main_process:
        return contextlib.nullcontext()
    console.make_folder(Path(folder))
    return locks.alone_in(Path(folder), "train")


def _start(
    recipe: Recipe,
    images: Iterable[np.ndarray],
    model: Network | None,
    folder: str | Path | None,
    accelerator: Accelerator,
) -> tuple[Run, Checkpointing]:
    """A run, new or resumed, and what keeps it on disk."""
    path = Path(folder) / checkpoint.NAME if folder else None
    # What can be refused is refused now: decoding the images takes a minute.
    saved = None
    if path and path.is_file():
        saved = checkpoint.read(path)
        saved.check_recipe(recipe)

    # The seed comes before the network, whose initialisation is random; the sampler has its own.
    devices.seed_everything(recipe.seed)
    if model is None:
        model = models.create(recipe.model, recipe.scale, **recipe.options)
    else:
        model = copy.deepcopy(model)
    precision = arithmetic(model, recipe.precision, accelerator.device, training=True)
    sampler = PatchSampler(
        images,
        recipe.scale,
        recipe.patch_size,
        recipe.batch_size,
        recipe.seed,
        accelerator.device,
        (accelerator.process_index, accelerator.num_processes),
        degradation=recipe.degradation,
    )
    run = Run(recipe, model.to(accelerator.device), sampler, precision)
    if saved:
        saved.restore(run)
    # several processes have the same state; one writes it
    return run, Checkpointing(run, path if accelerator.is_main_process else None)


# --- inside the loop ------------------------------------------------------------------------------


@contextlib.contextmanager
def _stop_signals(run: Run) -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP let the step end; a second Ctrl-C stops at once.

    SIGTERM is what `docker stop` and cluster schedulers send before they kill; SIGHUP comes when
    the terminal is closed. A signal that is ignored stays ignored (SIGHUP under nohup), and the
    handlers of before are put back at the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    handled = [number for number in STOP_SIGNALS if _can_be_handled(number, handlers[number])]

    def stop(number: int, frame: Any) -> None:
        run.stop_signal = signal.Signals(number)
        # The second Ctrl-C comes from somebody who does not want to wait. The other signals may be
        # repeated without a reason: a terminal that is closed sends SIGHUP twice.
        if signal.SIGINT in handled:
            signal.signal(signal.SIGINT, handlers[signal.SIGINT])

    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, handlers[number])


def _can_be_handled(number: signal.Signals, handler: Any) -> bool:
    """Whether a signal may be taken over. Python cannot put back a handler of C code (None)."""
    return handler is not None and (number == signal.SIGINT or handler != signal.SIG_IGN)


def _stopping(run: Run, accelerator: Accelerator) -> bool:
    """Whether the run was asked to stop. Several processes stop after the same step: one that went
    on alone would wait for the others for ever."""
    number = int(run.stop_signal or 0)
    if accelerator.num_processes > 1:
        # signals are small positive numbers, so the largest is one that any process received
        number = int(accelerator.gather(torch.tensor([number], device=accelerator.device)).max())
        if number:  # a signal that came to this process meanwhile is heard after the next step
            run.stop_signal = signal.Signals(number)
    return number > 0
