"""Two ways to begin a training, at the size of the course: with more data of a plainer kind, and
at another scale.

    python -m experiments.pretraining --steps 840 [--seeds 0 1] [--stages t91 plain] [--sets set5]

Networks with the recipe of hat-nano-x4. The first question is that of HAT's ImageNet → DF2K (arXiv
2205.04437). Three quarters of the steps are on BSDS500 (JPEG files) and façades that hatlib draws,
then a quarter on the 91 uncompressed pictures of T91 with a small learning rate. This is compared
with all steps on T91, and with all steps on everything together.

The second question is that of the authors' ×4 recipes, which start from a network for ×2. Two
thirds of the steps are at ×2, then a third at ×4 with half the learning rate. This is compared with
all steps at ×4, and with that third alone, for those who have a network for ×2 already.

The table has one row per training (stage, seed, budget), with what its network reaches. Notebook 09
shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import command, tables
from hatlib import models
from hatlib.data import builtin, datasets
from hatlib.evaluation import protocol
from hatlib.system import devices
from hatlib.training import loop, recipes, state

if TYPE_CHECKING:
    import numpy as np

    from hatlib.models import Network

OUT = tables.RESULTS / "pretraining.csv"
PLAIN, BETTER = ("bsds500", "facades"), ("t91",)
FACADES = range(101, 125)  # seeds: none is a built-in picture, which the course tests on
SETS = {  # a data set, and every how manyth image of it
    "set5": ("set5", 1),
    "set14": ("set14", 1),
    "urban25": ("urban100", 4),
}


@dataclass(frozen=True)
class Stage:
    """A training: on what, for what share of the steps, and from where."""

    data: tuple[str, ...] = PLAIN + BETTER
    share: float = 1.0  # of the steps of an experiment
    scale: int = 4
    start: str | None = None  # the stage whose weights it begins with, as far as they fit
    rate: float = 1.0  # of the recipe's learning rate


STAGES = {
    "together": Stage(),
    "t91": Stage(BETTER),
    "plain": Stage(PLAIN, 3 / 4),
    "plain-t91": Stage(BETTER, 1 / 4, start="plain", rate=1 / 20),  # as HAT: 2e-4, then 1e-5
    "plain-t91-fast": Stage(BETTER, 1 / 4, start="plain", rate=1 / 4),
    "x2": Stage(share=2 / 3, scale=2),
    "x2-x4": Stage(share=1 / 3, start="x2", rate=1 / 2),
    "x4-third": Stage(share=1 / 3),
}


def recipe(name: str, seed: int, budget: int) -> recipes.Recipe:
    """The recipe of hat-nano for a stage; `budget` is the number of steps of a whole experiment."""
    stage = STAGES[name]
    steps = round(stage.share * budget)
    plan = recipes.recipe("hat-nano-x4")
    return replace(
        plan,
        data=stage.data,
        scale=stage.scale,
        steps=steps,
        warmup_steps=steps // 10,
        learning_rate=plan.learning_rate * stage.rate,
        seed=seed + 1000 * bool(stage.start),
    )


def total_steps(name: str, budget: int) -> int:
    """Steps of a stage and of those before it."""
    stage = STAGES[name]
    return round(stage.share * budget) + (total_steps(stage.start, budget) if stage.start else 0)


def images(plan: recipes.Recipe) -> Iterator[np.ndarray]:
    """The training images; "facades" is not a set of the catalogue, they are drawn here."""
    if "facades" in plan.data:
        yield from map(builtin.facade, FACADES)
    yield from recipes.training_images(
        replace(plan, data=tuple(name for name in plan.data if name != "facades"))
    )


def train(name: str, seed: int, budget: int, runs: Path) -> state.Run:
    """Trains a stage, after those before it that are not done yet."""
    stage, plan = STAGES[name], recipe(name, seed, budget)
    model: Network | None = None
    if stage.start:
        devices.seed_everything(seed)  # for what is not copied
        model = models.create(plan.model, plan.scale)
        models.copy_weights(train(stage.start, seed, budget, runs).ema_model, model)
    return loop.fit(
        plan, images(plan), model, folder=runs / f"pretraining-{name}-seed{seed}-{budget}"
    )


def measure(
    run: state.Run, name: str, seed: int, budget: int, sets: Sequence[str]
) -> dict[str, Any]:
    """A row of the table: what was done, and PSNR (dB) and SSIM on each set at the stage's
    scale."""
    stage, losses = STAGES[name], run.losses[-100:]
    row: dict[str, Any] = {
        "stage": name,
        "seed": seed,
        "budget": budget,
        "scale": stage.scale,
        "steps": total_steps(name, budget),
        "data": " ".join(stage.data),
        "start": stage.start or "",
        "learning_rate": run.recipe.learning_rate,
        "batch": run.recipe.batch_size,
        "device": devices.device().type,
        "seconds": round(run.seconds, 1),
        "loss": sum(losses) / len(losses),
    }
    for label in sets:
        data, every = SETS[label]
        scores = protocol.evaluate(run.ema_model, datasets.load(data, stage.scale)[::every])
        row |= {
            f"psnr_{label}": round(scores.psnr.mean(), 4),
            f"ssim_{label}": round(scores.ssim.mean(), 5),
        }
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.options(__doc__, OUT)
    command.add_runs(parser)
    parser.add_argument(
        "--steps", type=int, required=True, help="of each way to train, all its stages together"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    parser.add_argument(
        "--sets",
        nargs="+",
        default=list(SETS),
        choices=list(SETS),
        help="sets to measure on; urban25 is every fourth image of Urban100, from the first",
    )
    asked = parser.parse_args(arguments)
    # seeds in the outer loop: after one of them all ways can be compared
    for seed in asked.seeds:
        for name in asked.stages:
            table = tables.Table(asked.out)
            if table.has(stage=name, seed=seed, budget=asked.steps):
                print(f"{name}, seed {seed}, budget {asked.steps}: recorded before")
                continue
            run = train(name, seed, asked.steps, asked.runs)
            row = measure(run, name, seed, asked.steps, asked.sets)
            table.add([row])
            command.say(row)


if __name__ == "__main__":
    command.run(main)
