"""Measures the course's own weights and writes their model cards: hatlib/weights/trained/README.md.

    python -m experiments.cards [--sets set5 set14 urban100]

Each network of `checkpoints.trained()` is measured as `hatlib evaluate` does it; the values go into
hatlib/evaluation/results/trained.csv, which tests and notebooks compare with, and into the cards,
with what the files say of their training.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import hatlib  # before torch: settles how waiting threads wait  # isort: skip
import numpy as np
import pandas as pd

from hatlib import models, plotting
from hatlib.data import datasets
from hatlib.evaluation import protocol
from hatlib.evaluation.model_table import configuration
from hatlib.models import complexity
from hatlib.system import atomic
from hatlib.weights import files

PACKAGE = Path(hatlib.__file__).parent
SETS = ("set5", "set14", "urban100")
INTRODUCTION = """# The course's own weights

Trained with `hatlib train NAME` (a run that was stopped and went on is the same run), measured with
`hatlib evaluate --model NAME --data SET`. `python -m experiments.cards` writes this page. They load without a network:
`hatlib.weights.files.load("hat-nano-x4")`.

The training images are BSDS500's train and test folders, without the photo that Set5 shows too (Berkeley; research and
education), and T91 (Yang et al. 2010; no stated terms). The weights are for teaching and research as those sets are.
"""


def measure(name: str, sets: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row a set: PSNR (dB) and SSIM as `hatlib evaluate` prints them."""
    model, rows = files.load(name), []
    for data in sets:
        table = protocol.evaluate(model, datasets.load(data, model.scale))
        rows.append(
            {
                "name": name,
                "data": data,
                "images": len(table),
                "psnr": round(table.psnr.mean(), 4),
                "ssim": round(table.ssim.mean(), 5),
            }
        )
        print(rows[-1], flush=True)
    return rows


def card(name: str, rows: pd.DataFrame) -> str:
    """The card of one file, in Markdown."""
    facts = files.card(name)
    training, model = (
        facts["training"],
        models.create(facts["model"], facts["scale"], **facts["options"]),
    )
    recipe = training["recipe"]
    shape = f"{configuration(facts['model'])}; {complexity.parameters(model):,} parameters"
    work = f"{complexity.multiply_adds(model) / 1e9:.2f} G multiply-adds for an LR image of 64×64"
    values = "\n".join(
        f"| {r.data} | {r.images} | {r.psnr:.2f} | {r.ssim:.4f} |" for r in rows.itertuples()
    )
    settings = ", ".join(
        f"{key} {recipe[key]}"
        for key in (
            "loss",
            "patch",
            "batch",
            "learning_rate",
            "schedule",
            "cooldown",
            "ema",
            "clip",
            "seed",
        )
    )
    return (
        f"## {name}\n\n{shape}; {work}.\n\n"
        f"| data | images | PSNR dB | SSIM |\n| --- | --- | --- | --- |\n{values}\n\n"
        f"{training['steps']:,} steps of {recipe['batch']} patches in {training['minutes'] / 60:.1f} hours on "
        f"{training['hardware']} (shared with other work), torch {training['torch']}, {training['skipped']} steps "
        f"left out. Recipe: {settings}; data {', '.join(recipe['data'])}.\n\n{outlook(training)}\n"
    )


def outlook(training: dict[str, Any]) -> str:
    """Whether a longer run would have gained: what the loss did in the phase of constant learning
    rate."""
    losses, recipe = np.array(training["losses"]), training["recipe"]
    constant = losses[: int(len(losses) * (1 - recipe["cooldown"]))]
    quarter = max(2, len(constant) // 4)
    before, after = constant[-2 * quarter : -quarter], constant[-quarter:]
    fell = before.mean() - after.mean()
    noise = float(np.hypot(before.std(ddof=1), after.std(ddof=1)) / quarter**0.5)
    state = (
        "it was still falling, and more steps would help"
        if fell > 2 * noise
        else "what it still fell by is not more than its noise, and only a much longer run would show more"
    )
    return (
        f"Mean loss {before.mean():.5f} in the third quarter of the constant phase and {after.mean():.5f} in the "
        f"fourth, a difference of {-fell:+.5f} ± {noise:.5f}: {state}. At the end, after the learning rate had "
        f"gone down, it was {losses[-5:].mean():.5f}."
    )


def figure(names: list[str]) -> Any:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    asked = parser.parse_args()
    names = files.trained()
    table = pd.DataFrame([row for name in names for row in measure(name, tuple(asked.sets))])
    atomic.write_text(
        PACKAGE / "evaluation" / "results" / "trained.csv",
        table.to_csv(index=False, lineterminator="\n"),
    )
    with atomic.atomic_path(PACKAGE / "weights" / "trained" / "curves.png") as path:
        figure(names).savefig(path, dpi=100, metadata={"Software": None})
    cards = "\n".join(card(name, table[table["name"] == name]) for name in names)
    atomic.write_text(
        PACKAGE / "weights" / "trained" / "README.md",
        f"{INTRODUCTION}\n![losses](curves.png)\n\n{cards}",
    )


if __name__ == "__main__":
    main()
