"""Measures the course's own weights and writes their model cards: hatlib/weights/trained/README.md.

    python -m experiments.cards [NAME…] [--sets set5 set14 urban100]
    python -m experiments.cards --recorded      # the page only, from what is recorded

Each network of `hatlib.weights.files.trained()`, or each one named, is measured as `hatlib
evaluate` does it; what is recorded of other networks and other sets stays. The values go into
trained.csv, which tests and notebooks compare with, and into the cards, with what the weights'
files say of their training. The curves of the losses are drawn from these files too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments import command, tables
from hatlib import HatlibError, models, plotting
from hatlib.data import datasets
from hatlib.evaluation import protocol
from hatlib.evaluation.model_table import configuration
from hatlib.models import complexity
from hatlib.system import atomic
from hatlib.training import recipes
from hatlib.validation import choice
from hatlib.weights import files

OUT = tables.RESULTS / "trained.csv"
PAGE = files.TRAINED / "README.md"
CURVES = files.TRAINED / "curves.png"
SETS = ("set5", "set14", "urban100")
SETTINGS = (  # of a recipe, those that a card names
    "degradation",
    "loss",
    "patch_size",
    "batch_size",
    "learning_rate",
    "schedule",
    "cooldown",
    "ema_decay",
    "max_grad_norm",
    "seed",
)
INTRODUCTION = """# The course's own weights

Trained with `hatlib train NAME` (a run that was interrupted and resumed is the same run) and
measured with `hatlib evaluate --model NAME --data SET`. They are part of the package and need no
download: `hatlib.load_model("hat-nano-x4")`. `python -m experiments.cards` writes this page.

The training images are BSDS500's train and test folders, without the photo that Set5 shows too
(Berkeley; research and education), and T91 (Yang et al. 2010; no stated terms). The weights are for
teaching and research, as those sets are.
"""


def measure(name: str, sets: Sequence[str]) -> list[dict[str, Any]]:
    """One row per set: PSNR (dB) and SSIM as `hatlib evaluate` prints them."""
    model = files.load(name)
    rows = []
    for data in sets:
        scores = protocol.evaluate(model, datasets.load(data, model.scale))
        row = {
            "name": name,
            "data": data,
            "images": len(scores),
            "psnr": round(scores.psnr.mean(), 4),
            "ssim": round(scores.ssim.mean(), 5),
        }
        rows.append(row)
        command.say(row)
    return rows


def card(name: str, rows: pd.DataFrame) -> str:
    """The card of one file, in Markdown."""
    facts = files.card(name)
    training = facts["training"]
    recipe = recipes.from_json(training["recipe"])
    model = models.create(facts["model"], facts["scale"], **facts["options"])
    work = complexity.multiply_adds(model) / 1e9
    values = "\n".join(
        f"| {row.data} | {row.images} | {row.psnr:.2f} | {row.ssim:.4f} |"
        for row in rows.itertuples()
    )
    clean = (
        "\nThe table is for clean LR, by bicubic downsampling, on which it was not trained. "
        "`python -m experiments.real_photos` measures it on degraded pictures.\n"
        if recipe.degradation == "real-world"
        else ""
    )
    settings = ", ".join(f"{key} {getattr(recipe, key)}" for key in SETTINGS)
    size = (
        f"{configuration(facts['model'])}; {complexity.parameters(model):,} parameters; "
        f"{work:.2f} G multiply-adds for an LR image of 64×64."
    )
    how = (
        f"{training['steps']:,} steps of {recipe.batch_size} patches in "
        f"{training['minutes'] / 60:.1f} hours on {training['hardware']} (shared with other work), "
        f"torch {training['torch']}, {training['skipped']} steps skipped. "
        f"Recipe: {settings}; data {', '.join(recipe.data)}."
    )
    return f"""## {name}

{size}

| data | images | PSNR dB | SSIM |
| --- | --- | --- | --- |
{values}
{clean}
{how}

{outlook(training["losses"], recipe.cooldown)}
"""


def outlook(losses: Sequence[float], cooldown: float) -> str:
    """Whether a longer run would have gained: what the loss did while the learning rate was
    constant.

    Args:
        losses: over the whole run, means over equal numbers of steps.
        cooldown: the share of the run at its end in which the learning rate fell.
    """
    constant = np.array(losses[: int(len(losses) * (1 - cooldown))])
    quarter = max(2, len(constant) // 4)
    before = constant[-2 * quarter : -quarter]
    after = constant[-quarter:]
    change = after.mean() - before.mean()
    # the standard error of a difference of two means
    noise = float(np.hypot(before.std(ddof=1), after.std(ddof=1)) / quarter**0.5)
    verdict = (
        "It was still falling, and more steps would help."
        if -change > 2 * noise
        else "That is not more than its noise: only a much longer run would show more."
    )
    return (
        f"The mean loss was {before.mean():.5f} in the third quarter of the constant phase and "
        f"{after.mean():.5f} in the fourth, a difference of {change:+.5f} ± {noise:.5f}. {verdict} "
        f"At the end, after the learning rate had fallen, it was {np.mean(losses[-5:]):.5f}."
    )


def figure(names: Sequence[str]) -> Any:
    """The loss of each network against the steps, each divided by its value at the end."""
    curves = {}
    for name in names:
        training = files.card(name)["training"]
        losses = np.array(training["losses"])
        curves[name] = (
            np.linspace(0, training["steps"], len(losses)).tolist(),
            (losses / losses[-5:].mean()).tolist(),
        )
    return plotting.curves(curves, "steps", "loss / its value at the end")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.options(__doc__, OUT)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; by default all")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument(
        "--recorded", action="store_true", help="measure nothing: write the page from the table"
    )
    asked = parser.parse_args(arguments)
    names = files.trained()
    if asked.recorded and asked.names:
        raise HatlibError("--recorded measures nothing and writes the whole page; name no network")
    if asked.recorded:
        table = tables.read(asked.out)
    else:
        for name in asked.names:
            choice("trained weights", name, names)
        for data in asked.sets:
            choice("set", data, SETS)
        recorded: Any = tables.read(asked.out)
        rows = {
            (row["name"], row["data"]): row
            for row in recorded.to_dict("records")
            if row["name"] in names
        }
        for name in asked.names or names:
            rows.update({(name, row["data"]): row for row in measure(name, asked.sets)})
        order = [(name, data) for name in names for data in SETS]
        table = pd.DataFrame([rows[key] for key in order if key in rows])
        tables.write(asked.out, table)
        with atomic.atomic_path(CURVES) as path:
            figure(names).savefig(path, dpi=100, metadata={"Software": None})
    cards = "\n".join(card(name, table[table["name"] == name]) for name in names)
    atomic.write_text(PAGE, f"{INTRODUCTION}\n![The losses]({CURVES.name})\n\n{cards}")
    print(f"{'from recorded values, ' if asked.recorded else ''}wrote {PAGE.name}")


if __name__ == "__main__":
    command.run(main)
