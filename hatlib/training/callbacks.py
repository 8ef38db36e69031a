"""What can be attached to the training loop: progress, validation, checkpoints.

A callback is a function that is called with the run after each step. What it measures it may put
into `run.curves`, which checkpoints keep.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from hatlib.evaluation.protocol import evaluate
from hatlib.training import checkpoint
from hatlib.training.state import Run

if TYPE_CHECKING:
    from hatlib.data.datasets import Pair

Callback = Callable[[Run], None]


class Validation:
    """Measures the PSNR of the averaged model on whole images, every so many steps.

    Args:
        pairs: LR and HR images, none of which is trained on.
        every: steps from one measurement to the next.
        name: of the curve in `run.curves`; two validations of one run need two names.

    Attributes:
        steps: at which it was measured; in a resumed run those before the interruption too.
        psnr: dB, the mean over the pairs, one per entry of `steps`.
    """

    def __init__(self, pairs: Sequence[Pair], every: int, name: str = "PSNR"):
        self.pairs = list(pairs)
        self.every = every
        self.name = name
        self.steps: list[int] = []
        self.psnr: list[float] = []

    def __call__(self, run: Run) -> None:
        if run.step % self.every:
            return
        psnr = float(evaluate(run.ema_model, self.pairs)["psnr"].mean())
        # The curve belongs to the run: a resumed run brings what was measured before.
        curve = run.curves.setdefault(self.name, [])
        curve.append((run.step, psnr))
        self.steps = [step for step, _ in curve]
        self.psnr = [value for _, value in curve]


class Checkpointing:
    """Keeps a run on disk, about once a minute.

    Args:
        run: the run, as it is on disk if it was resumed.
        path: the checkpoint; None: nothing is written.
        seconds: from one checkpoint to the next.
    """

    def __init__(self, run: Run, path: Path | None, seconds: float = 60.0):
        self.path = path
        self.seconds = seconds
        self.step = run.step
        self.last = time.monotonic()

    def __call__(self, run: Run) -> None:
        if time.monotonic() - self.last >= self.seconds:
            self.save(run)

    def save(self, run: Run) -> None:
        """Writes the checkpoint now, unless the one on disk is of this step."""
        if self.path and run.step != self.step:
            # somebody may have removed the folder, and the run is not lost with it
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.save(run, self.path)
        self.step = run.step
        self.last = time.monotonic()


class Progress:
    """Shows how far a run is: by a bar on a terminal and in a notebook, elsewhere (a log file, a
    job on a cluster) by a line now and then, and one whenever something was measured.

    Args:
        run: the run, for what it has done before.
        shown: False: nothing is shown.
        seconds: from one line to the next.
    """

    def __init__(self, run: Run, shown: bool = True, seconds: float = 30.0):
        from tqdm.auto import tqdm

        # disable=None: tqdm sees for itself whether there is something to draw a bar on
        self.bar = tqdm(
            total=run.recipe.steps, initial=run.step, disable=None if shown else True, leave=False
        )
        self.shown = shown
        self.seconds = seconds
        self.last = time.monotonic()
        self.step = run.step
        self.measured = _count(run)

    def __call__(self, run: Run) -> None:
        # A terminal that was closed (SIGHUP) takes no more text, and the run has to end well.
        with contextlib.suppress(OSError):
            if self.shown and self.bar.disable:
                self._log(run)
            else:
                facts = {"loss": f"{run.losses[-1]:.5f}", **_latest(run)}
                self.bar.set_postfix(facts, refresh=False)
                self.bar.update()

    def close(self) -> None:
        """Removes the bar."""
        with contextlib.suppress(OSError):
            self.bar.close()

    def _log(self, run: Run) -> None:
        now = time.monotonic()
        if now - self.last < self.seconds and _count(run) == self.measured:
            return
        # over all steps since the last line: the loss of a single batch jumps about
        steps = run.step - self.step
        speed = steps / max(now - self.last, 1e-6)  # a coarse clock may not have moved
        finite = [loss for loss in run.losses[-steps:] if not math.isnan(loss)]
        facts = [
            f"step {run.step:,} of {run.recipe.steps:,}: loss {fmean(finite or [math.nan]):.5f}",
            *(f"{name} {value}" for name, value in _latest(run).items()),
            f"{speed:.2f} steps/s",
            f"{(run.recipe.steps - run.step) / speed / 3600:.1f} h left",
        ]
        print(", ".join(facts), file=sys.stderr, flush=True)
        self.last = now
        self.step = run.step
        self.measured = _count(run)


def _count(run: Run) -> int:
    """How many values were measured."""
    return sum(len(curve) for curve in run.curves.values())


def _latest(run: Run) -> dict[str, str]:
    """The last value of each curve, as text."""
    return {name: f"{curve[-1][1]:.4g}" for name, curve in run.curves.items() if curve}
