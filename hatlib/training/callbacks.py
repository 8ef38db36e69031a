"""What can be attached to the training loop: validation, checkpoints."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hatlib.evaluation.protocol import evaluate
from hatlib.training.state import Run

if TYPE_CHECKING:
    from hatlib.data.datasets import Pair


SNAPSHOT = "run.safetensors"


Listener = Callable[[Run], None]  # called after each step


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
    """A listener that keeps the run on disk: about once a minute, at its end, and when it is
    interrupted."""

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


_stopping = threading.Event()
