"""A small training run that ends within a second, and what compares two of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hatlib import Recipe, fit
from hatlib.data import builtin
from hatlib.training.callbacks import Callback
from hatlib.training.state import Run

IMAGES = [
    builtin.builtin_image("coffee")[:200, :200],
    builtin.builtin_image("facade-1")[:200, :200],
]
RECIPE = Recipe(
    options={"kernels": (5, 1, 3), "features": (8, 8)},
    patch_size=8,
    batch_size=4,
    steps=60,
    precision="fp32",
)


def train(folder: Path | None = None, callbacks: Sequence[Callback] = (), **changes: Any) -> Run:
    """Trains by `RECIPE`, with changes, to the same bits each time, on a GPU too."""
    recipe = dataclasses.replace(RECIPE, **changes)
    return fit(
        recipe, IMAGES, callbacks=callbacks, progress=False, folder=folder, deterministic=True
    )


def same(first: Run, second: Run) -> bool:
    """Whether two runs have the same weights, averages and losses, bit for bit."""
    if first.losses != second.losses:
        return False
    for name in ("model", "ema_model"):
        weights, others = (getattr(run, name).state_dict() for run in (first, second))
        if not all(torch.equal(weights[key], others[key]) for key in weights):
            return False
    return True
