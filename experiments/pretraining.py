"""Two ways to begin a training, at the size of the course: from more data of a plainer kind, and
from another scale.

    python -m experiments.pretraining --steps 840 [--seeds 0 1] [--stages t91 plain plain-t91] [--sets set5 urban25]

Networks with the recipe of hat-nano-x4. The first question is that of HAT's ImageNet → DF2K (arXiv
2205.04437):
three quarters of the steps on BSDS500 (JPEG files) and façades that hatlib draws, then a quarter on
the 91 uncompressed pictures of T91 with a small learning rate, against all of the steps on T91 and
all of them on everything together. The second is that of the published ×4 recipes, which go on from
a network for ×2: two thirds of the steps at ×2, then a third at ×4 with half the learning rate,
against all of the steps at ×4; and against that third alone, for those who have a network for ×2
already.

Each stage is one training, and a row in hatlib/evaluation/results/pretraining.csv with what its
network reaches. Rows that are in it already (stage, seed, budget) are not done again, and a run
that was interrupted goes on from its last snapshot, so the command can be stopped and started at
any time. Notebook 09 shows the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hatlib  # before torch: settles how waiting threads wait
from hatlib import models
from hatlib.data import builtin, datasets
from hatlib.evaluation import protocol
from hatlib.system import atomic, devices, paths
from hatlib.training import loop, recipes, state

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from hatlib.models import Network

OUT = Path(hatlib.__file__).parent / "evaluation" / "results" / "pretraining.csv"
PLAIN, BETTER = ("bsds500", "facades"), ("t91",)
FACADES = range(
    101, 125
)  # their seeds: none is among the built-in pictures, which the course tests on
SETS = {
    "set5": ("set5", 1),
    "set14": ("set14", 1),
    "urban25": ("urban100", 4),
}  # a set, and every how manyth image


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
        warm_up=steps // 10,
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
    yield from loop.images(
        replace(plan, data=tuple(name for name in plan.data if name != "facades"))
    )


def train(name: str, seed: int, budget: int, runs: Path) -> state.Run:
    """A stage after those before it, as far as they are not done yet."""
    stage, plan = STAGES[name], recipe(name, seed, budget)
    model: Network | None = None
    if stage.start:
        devices.seed_everything(seed)  # for what is not copied
        model = models.create(plan.model, plan.scale)
        models.copy_weights(train(stage.start, seed, budget, runs).model, model)
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
        "batch": run.recipe.batch,
        "device": devices.device().type,
        "seconds": round(run.seconds, 1),
        "loss": sum(losses) / len(losses),
    }
    for label in sets:
        data, every = SETS[label]
        table = protocol.evaluate(run.model, datasets.load(data, stage.scale)[::every])
        row |= {
            f"psnr_{label}": round(table.psnr.mean(), 4),
            f"ssim_{label}": round(table.ssim.mean(), 5),
        }
    return row


def recorded(out: Path) -> pd.DataFrame:
    """The rows so far; an empty table with the columns that say what was run, where there is no
    file."""
    import pandas as pd

    return pd.read_csv(out) if out.is_file() else pd.DataFrame(columns=["stage", "seed", "budget"])


def finished(table: pd.DataFrame, name: str, seed: int, budget: int) -> bool:
    """Whether a stage is in the table."""
    return bool(
        ((table["stage"] == name) & (table["seed"] == seed) & (table["budget"] == budget)).any()
    )


def main(arguments: Sequence[str] | None = None) -> None:
    import pandas as pd

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
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
    parser.add_argument("--out", type=Path, default=OUT, help="the table")
    parser.add_argument(
        "--runs", type=Path, help="where snapshots are kept; by default beside the data"
    )
    asked = parser.parse_args(arguments)
    runs = asked.runs or paths.data_folder() / "runs"
    for seed in asked.seeds:  # outside: after one seed all ways can be compared
        for name in asked.stages:
            if finished(recorded(asked.out), name, seed, asked.steps):
                print(f"{name}, seed {seed}, budget {asked.steps}: recorded before")
                continue
            run = train(name, seed, asked.steps, runs)
            row = pd.DataFrame([measure(run, name, seed, asked.steps, asked.sets)])
            table = recorded(asked.out)  # read again: another process may have added its rows
            table = row if table.empty else pd.concat([table, row])
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(asked.out, table.to_csv(index=False, lineterminator="\n"))
            print(row.to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
