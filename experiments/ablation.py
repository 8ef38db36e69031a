"""HAT's ablation at nano size: what the CAB beside the attention and the OCAB after each group are
worth.

    python -m experiments.ablation --steps 600 [--seeds 0 1] [--variants neither both] [--sets set5]

Four networks with the recipe of hat-nano-x4: hat-nano, hat-nano without one of the two, and without
both, which is SwinIR. A seed gives all four the same patches in the same order, so that variants
are compared seed by seed. The table has one row per run (variant, seed, steps). Notebook 08 shows
it next to the paper's (arXiv 2205.04437, §4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import command, tables
from hatlib.data import datasets
from hatlib.evaluation import protocol
from hatlib.models import complexity
from hatlib.system import devices
from hatlib.training import loop, recipes

OUT = tables.RESULTS / "ablation.csv"
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
    run = loop.fit(plan, recipes.training_images(plan), folder=folder)
    row: dict[str, Any] = {
        "variant": variant,
        "seed": plan.seed,
        "steps": plan.steps,
        "patch": plan.patch_size,
        "batch": plan.batch_size,
        "parameters": complexity.parameters(run.ema_model),
        "multiply_adds": complexity.multiply_adds(run.ema_model),
        "device": devices.device().type,
        "seconds": round(run.seconds, 1),
        "loss": sum(run.losses[-100:]) / len(run.losses[-100:]),
    }
    for name in sets:
        scores = protocol.evaluate(run.ema_model, datasets.load(name, plan.scale))
        row |= {
            f"psnr_{name}": round(scores.psnr.mean(), 4),
            f"ssim_{name}": round(scores.ssim.mean(), 5),
        }
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.options(__doc__, OUT)
    command.add_runs(parser)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--train", nargs="+", help="data sets to train on; by default the recipe's")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="data sets to measure on")
    asked = parser.parse_args(arguments)
    # seeds in the outer loop: after one of them all variants can be compared
    for seed in asked.seeds:
        for variant in asked.variants:
            plan = recipe(variant, seed, asked.steps, asked.train)
            table = tables.Table(asked.out)
            if table.has(variant=variant, seed=seed, steps=plan.steps):
                print(f"{variant}, seed {seed}, {plan.steps} steps: recorded before")
                continue
            folder = asked.runs / f"ablation-{variant}-seed{seed}-{plan.steps}"
            row = measure(plan, variant, asked.sets, folder)
            table.add([row])
            command.say(row)


if __name__ == "__main__":
    command.run(main)
