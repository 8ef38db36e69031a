"""HAT's ablation at nano size: what the CAB beside the attention and the OCAB after each group are
worth.

    python -m experiments.ablation --steps 20000 [--seeds 0 1] [--variants neither ocab cab both] [--sets set5 urban100]

Four networks with the recipe of hat-nano-x4: hat-nano, hat-nano without one of the two, and without
both, which is SwinIR. A seed gives all four the same patches in the same order, so that variants
are compared seed by seed. One row a finished run goes into hatlib/evaluation/results/ablation.csv;
runs that are in it already (variant, seed, steps) are not done again, and one that was interrupted
goes on from its last snapshot, so the command can be stopped and started at any time. Notebook 08
shows the table next to the paper's (arXiv 2205.04437, §4.2).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hatlib  # before torch: settles how waiting threads wait
from hatlib.data import datasets
from hatlib.evaluation import protocol
from hatlib.models import complexity
from hatlib.system import atomic, devices, paths
from hatlib.training import loop, recipes

if TYPE_CHECKING:
    import pandas as pd

OUT = Path(hatlib.__file__).parent / "evaluation" / "results" / "ablation.csv"
VARIANTS: dict[str, dict[str, bool]] = {  # in the order of the paper's figure
    "neither": {"cab": False, "ocab": False},
    "ocab": {"cab": False},
    "cab": {"ocab": False},
    "both": {},
}
SETS = ("set5", "set14", "bsd100", "urban100")


def recipe(
    variant: str, seed: int, steps: int, data: Sequence[str] | None = None
) -> recipes.Recipe:
    """The recipe of hat-nano, for one of the variants."""
    changes = {"data": tuple(data)} if data else {}
    return recipes.recipe(
        "hat-nano-x4", options=dict(VARIANTS[variant]), steps=steps, seed=seed, **changes
    )


def measure(
    plan: recipes.Recipe, variant: str, sets: Sequence[str], folder: Path
) -> dict[str, Any]:
    """Trains one network; a row of the table: what was run, its size, and PSNR (dB) and SSIM on
    each set."""
    run = loop.fit(plan, loop.images(plan), folder=folder)
    row: dict[str, Any] = {
        "variant": variant,
        "seed": plan.seed,
        "steps": plan.steps,
        "patch": plan.patch,
        "batch": plan.batch,
        "parameters": complexity.parameters(run.model),
        "multiply_adds": complexity.multiply_adds(run.model),
        "device": devices.device().type,
        "seconds": round(run.seconds, 1),
        "loss": sum(run.losses[-100:]) / len(run.losses[-100:]),
    }
    for name in sets:
        table = protocol.evaluate(run.model, datasets.load(name, plan.scale))
        row |= {
            f"psnr_{name}": round(table.psnr.mean(), 4),
            f"ssim_{name}": round(table.ssim.mean(), 5),
        }
    return row


def recorded(out: Path) -> pd.DataFrame:
    """The rows so far; an empty table with the columns that say what was run, where there is no
    file."""
    import pandas as pd

    return pd.read_csv(out) if out.is_file() else pd.DataFrame(columns=["variant", "seed", "steps"])


def finished(table: pd.DataFrame, plan: recipes.Recipe, variant: str) -> bool:
    """Whether a run is in the table."""
    same = (
        (table["variant"] == variant)
        & (table["seed"] == plan.seed)
        & (table["steps"] == plan.steps)
    )
    return bool(same.any())


def main(arguments: Sequence[str] | None = None) -> None:
    import pandas as pd

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--train", nargs="+", help="data sets to train on; by default the recipe's")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="data sets to measure on")
    parser.add_argument("--out", type=Path, default=OUT, help="the table")
    parser.add_argument(
        "--runs", type=Path, help="where snapshots are kept; by default beside the data"
    )
    asked = parser.parse_args(arguments)
    runs = asked.runs or paths.data_folder() / "runs"
    for seed in asked.seeds:  # outside: after one seed all variants can be compared
        for variant in asked.variants:
            plan = recipe(variant, seed, asked.steps, asked.train)
            if finished(recorded(asked.out), plan, variant):
                print(f"{variant}, seed {seed}, {plan.steps} steps: recorded before")
                continue
            folder = runs / f"ablation-{variant}-seed{seed}-{plan.steps}"
            row = pd.DataFrame([measure(plan, variant, asked.sets, folder)])
            table = recorded(asked.out)  # read again: another process may have added its rows
            table = row if table.empty else pd.concat([table, row])
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(asked.out, table.to_csv(index=False, lineterminator="\n"))
            print(row.to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
