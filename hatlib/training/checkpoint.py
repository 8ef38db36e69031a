"""What a training run leaves on disk: its checkpoint, and in the end the weights.

A checkpoint is one safetensors file. Its tensors are the weights, their average, the optimiser's
state and the states of torch's random generators; what is small is JSON in its header. A run that
is resumed from it ends with the same weights, bit for bit, as one that was never interrupted: on a
CPU always, on a GPU with `deterministic=True`, as its fastest ways add up in any order. The file is
written whole or not at all, so whatever ends a run (a dead kernel, a full disk, Ctrl-C twice)
leaves the last good one. Nothing is unpickled.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from hatlib.data.patches import PatchSampler
from hatlib.errors import HatlibError
from hatlib.system import torch_settings
from hatlib.training import recipes
from hatlib.training.recipes import Recipe
from hatlib.training.state import Run
from hatlib.validation import (
    LISTED,
    AnyNumber,
    Natural,
    NotNegative,
    StepNumber,
    checked,
    one_line,
    validated,
)
from hatlib.weights import files
from hatlib.weights.tensors import write_tensors

NAME = "run.safetensors"
FORMAT = 1  # raised when a file can no longer be read by an older hatlib; files of 0.1 have none
OPTIMISER_STATE = {"step", "exp_avg", "exp_avg_sq"}  # of Adam, for each parameter
_KEY = "hatlib-run"  # of the JSON text in the file's header


# --- a run: saved, found again, resumed -----------------------------------------------------------


def save(run: Run, path: Path) -> None:
    """Writes all that a run needs to be resumed, whole or not at all.

    Raises:
        HatlibError: the file cannot be written, as when the disk is full; the one before is left.
    """
    tensors = {
        **torch_settings.random_states(_device(run)),
        **flatten("model", run.model.state_dict()),
        **flatten("ema_model", run.ema_model.state_dict()),
        **flatten("optimiser", optimiser_tensors(run.optimiser)),
    }
    # numbers as Python has them: JSON keeps every digit, NaN and integers of 128 bits
    facts = {
        "format": FORMAT,
        "recipe": dataclasses.asdict(run.recipe),
        "images": _images(run.sampler),
        "sampler": run.sampler.rng.bit_generator.state,
        "step": run.step,
        "losses": run.losses,
        "skipped": run.skipped,
        "seconds": run.seconds,
        "waiting": run.waiting,
        "computed": run.computed,
        "curves": run.curves,
    }
    write(path, tensors, facts)


@validated
class Facts:
    """What a checkpoint says of its run, checked as it is read."""

    recipe: dict[str, Any]
    sampler: dict[str, Any]
    step: StepNumber
    losses: list[float]
    skipped: Natural
    seconds: NotNegative
    waiting: NotNegative
    curves: dict[str, list[Annotated[tuple[StepNumber, AnyNumber], LISTED]]]
    images: dict[str, int | str] | None
    computed: dict[str, Natural]
    format: Natural = 0

    def __post_init__(self) -> None:
        if self.format > FORMAT:
            raise HatlibError(
                f"a newer hatlib wrote it (format {self.format}; this one reads up to {FORMAT})"
            )
        if len(self.losses) != self.step:
            raise HatlibError(f"it has {len(self.losses)} losses at step {self.step}")
        if self.images is not None and {"count", "sha256"} - set(self.images):
            raise HatlibError("it does not say rightly which images it was trained on")
        try:
            np.random.default_rng().bit_generator.state = self.sampler
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError) as error:
            raise HatlibError(
                f"the state of its patch sampler is damaged: {one_line(error)}"
            ) from None
        recipes.from_json(self.recipe)


FIELDS = {field.name for field in dataclasses.fields(Facts)}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as `read` found it; `restore` resumes from it.

    Attributes:
        path: of the file.
        tensors: "model.…", "ema_model.…", "optimiser.…", "random", and from a GPU "random_cuda".
        facts: recipe, step, losses and the like.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuses another recipe than the checkpoint's.

        Only the number of steps may differ, and only as long as the steps that are done would have
        been the same: a "trapezoid" can be made longer before its cooldown begins.

        Raises:
            HatlibError: what differs, in one line.
        """
        old = recipes.from_json(self.facts["recipe"])
        if different := recipes.differences(old, dataclasses.replace(recipe, steps=old.steps)):
            raise HatlibError(
                f"{self.path} is of another recipe ({'; '.join(different)}); choose another folder"
            )
        # More steps move the cooldown. If it would have changed a step that is done, the weights
        # would not be those of a run that had this recipe from the start.
        done = range(self.facts["step"])
        if any(old.learning_rate_at(step) != recipe.learning_rate_at(step) for step in done):
            raise HatlibError(
                f"{self.path} is at step {len(done)} of {old.steps}, and with steps={recipe.steps} "
                "the learning rates until there would have been others; choose another folder"
            )

    def check_images(self, sampler: PatchSampler) -> None:
        """Refuses other training images than the checkpoint's, or the same in another order: the
        patches would be others.

        Raises:
            HatlibError: how many images there were and are.
        """
        before = self.facts["images"]
        now = _images(sampler)
        if before is None or before == now:  # None: a file of 0.1, which does not say
            return
        counts = (
            f"{before['count']} images before, {now['count']} now"
            if before["count"] != now["count"]
            else f"as many, {now['count']}, but other pixels or another order"
        )
        raise HatlibError(
            f"{self.path} was trained on other images ({counts}); choose another folder"
        )

    def restore(self, run: Run) -> None:
        """Puts a new run where the saved one was.

        Raises:
            HatlibError: as `check_recipe` and `check_images`.
        """
        self.check_recipe(run.recipe)
        self.check_images(run.sampler)
        try:
            self._check_tensors(run)
            self._restore(run)
        except (HatlibError, RuntimeError, TypeError, ValueError) as error:
            raise HatlibError(f"{self.path} is damaged: {one_line(error)}") from None

    def _check_tensors(self, run: Run) -> None:
        """Raises HatlibError where a tensor is missing, of another shape, or of no use: torch would
        take some of these, and fail at the next step."""
        random = torch.get_rng_state()
        expected = {
            **flatten("model", run.model.state_dict()),
            **flatten("ema_model", run.ema_model.state_dict()),
            "random": random,
        }
        state = part("optimiser", self.tensors)
        for index in {key.partition(".")[0] for key in state}:
            if not index.isdecimal() or int(index) >= len(run.parameters):
                raise HatlibError(f"it has an optimiser's state of a parameter {index}")
            parameter = run.parameters[int(index)]
            for name in OPTIMISER_STATE:
                shaped = torch.zeros(()) if name == "step" else parameter
                expected[f"optimiser.{index}.{name}"] = shaped
        for key, own in expected.items():
            there = self.tensors.get(key)
            if there is None:
                raise HatlibError(f"it lacks {key}")
            if there.shape != own.shape or there.dtype != own.dtype:
                raise HatlibError(
                    f"{key} is {tuple(there.shape)} of {there.dtype}, and should be "
                    f"{tuple(own.shape)} of {own.dtype}"
                )
            if not torch.isfinite(there).all():
                raise HatlibError(f"{key} has values that are not finite")
        if extra := set(self.tensors) - set(expected) - {"random_cuda"}:
            raise HatlibError(f"it has a tensor {min(extra)}, which belongs to nothing")

    def _restore(self, run: Run) -> None:
        run.model.load_state_dict(part("model", self.tensors))
        run.ema_model.load_state_dict(part("ema_model", self.tensors))
        restore_optimiser(run.optimiser, part("optimiser", self.tensors))
        # torch's random numbers are those of stochastic depth; the sampler's choose the patches
        torch_settings.restore_random_states(_device(run), self.tensors)
        run.sampler.rng.bit_generator.state = self.facts["sampler"]
        run.step = self.facts["step"]
        run.losses = list(self.facts["losses"])
        run.skipped = self.facts["skipped"]
        run.seconds = self.facts["seconds"]
        run.waiting = self.facts["waiting"]
        run.computed = dict(self.facts["computed"])
        if not run.computed and run.step:  # by a hatlib that did not record it
            run.computed = {"not recorded": run.step}
        run.curves = {
            name: [(step, value) for step, value in curve]
            for name, curve in self.facts["curves"].items()
        }


def _device(run: Run) -> torch.device:
    return next(run.model.parameters()).device


def _images(sampler: PatchSampler) -> dict[str, Any]:
    """What tells one set of training images from another."""
    return {"count": len(sampler.sides), "sha256": sampler.sha256}


def export(run: Run, path: Path) -> str:
    """Writes the averaged weights with a card of how they were trained.

    Returns:
        One line for people: steps, minutes, loss.
    """
    # the loss as means over a fiftieth of the steps each
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
        "hardware": _computed(run.computed),
        "torch": torch.__version__,
        "losses": [float(f"{loss:.5g}") for loss in curve],
    }
    files.save(run.ema_model, path, run.recipe.model, card, **run.recipe.options)
    return (
        f"{path}: {run.step} steps in {run.seconds / 60:.1f} min, "
        f"{run.waiting / max(run.seconds, 1e-9):.1%} of them waiting for patches, "
        f"{run.skipped} steps skipped, loss {curve[-1]:.5f}"
    )


def _computed(steps_of: dict[str, int]) -> str:
    """On what a run was computed, in words; where that changed, how many steps on each."""
    if len(steps_of) == 1:
        return next(iter(steps_of))
    return " and ".join(f"{where} ({steps:,} steps)" for where, steps in steps_of.items())


# --- the file -------------------------------------------------------------------------------------


def write(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """Writes tensors, and facts that JSON can hold.

    Raises:
        HatlibError: the file cannot be written, as when the disk is full; the one before is left.
    """
    write_tensors(path, tensors, {_KEY: json.dumps(facts)})


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint of this version or of hatlib 0.1.

    Raises:
        HatlibError: no such file, or not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        # Files of 0.1 know neither images nor curves nor what computed them, and have other names
        # for the two models.
        unknown: dict[str, Any] = {"images": None, "curves": {}, "computed": {}}
        facts = {**unknown, **checked("its header", facts, dict[str, Any])}
        Facts(**{name: value for name, value in facts.items() if name in FIELDS})
    except KeyError:
        raise HatlibError(f"{path} is not a checkpoint of a training run") from None
    except (SafetensorError, ValueError, OSError, struct.error, RecursionError) as error:
        raise HatlibError(
            f"{path} is not a checkpoint of a training run: {one_line(error)}"
        ) from None
    if any(key.startswith("network.") for key in tensors):
        tensors = {_key_of_today(key): value for key, value in tensors.items()}
    return Checkpoint(path, tensors, facts)


def _key_of_today(key: str) -> str:
    """The name of a tensor of 0.1, whose "network" is today's "model" and whose "model" is today's
    "ema_model"."""
    prefix, dot, rest = key.partition(".")
    return {"network": "model", "model": "ema_model"}.get(prefix, prefix) + dot + rest


def flatten(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Puts a prefix before each name."""
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def part(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names have the prefix, without it."""
    return {
        key.removeprefix(f"{prefix}."): value
        for key, value in tensors.items()
        if key.startswith(f"{prefix}.")
    }


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimiser's state, by number of the parameter and name: "0.exp_avg", …"""
    state = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Gives an optimiser the state that `optimiser_tensors` took."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        # A copy: torch would keep the tensor, and with it the file, which the next checkpoint
        # replaces and the disk then has to hold as well.
        state.setdefault(int(index), {})[name] = value.clone()
    # learning rate and betas are the recipe's; only what was learned comes from the file
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
