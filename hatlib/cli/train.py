"""hatlib train: a recipe by name, a run in a folder."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from hatlib.errors import HatlibError
from hatlib.system import console


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe by name, such as hat-nano-x4.")
    ],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE…]", help="More settings.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE…",
            help="Change the recipe: --set steps=2000 batch_size=8 data=FOLDER.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the run is kept.", show_default="runs/RECIPE"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run that is in the folder.")
    ] = False,
    validate: Annotated[
        str | None,
        typer.Option(metavar="NAME|FOLDER", help="Measure on these images twenty times."),
    ] = None,
) -> None:
    """Train a network; --resume resumes a run that was interrupted.

    Ctrl-C, SIGTERM and SIGHUP let the step end and write a checkpoint; the exit code is then 130,
    143 or 129.
    """
    from hatlib.data import datasets
    from hatlib.training import callbacks, checkpoint, loop, recipes

    chosen = recipes.recipe(recipe, **recipes.settings([*(set_ or []), *(more or [])]))
    folder = out or Path("runs") / recipe
    weights = folder / f"{recipe}.safetensors"
    is_there = (folder / checkpoint.NAME).is_file()
    if is_there and not resume:
        raise HatlibError(
            f"{folder} holds a run already: --resume resumes it, --out starts another elsewhere"
        )
    if weights.exists() and not is_there:
        raise HatlibError(f"{weights} would be replaced: --out keeps the run elsewhere")
    attached: list[callbacks.Callback] = []
    curve = f"PSNR on {validate}"
    if validate:
        pairs = datasets.load(validate, chosen.scale)
        attached = [callbacks.Validation(pairs, max(1, chosen.steps // 20), curve)]
    if chosen.degradation == "real-world":
        console.say("first, LR of all images by random chains: several minutes for BSDS500")
    try:
        run = loop.fit(chosen, recipes.training_images(chosen), callbacks=attached, folder=folder)
    except KeyboardInterrupt:
        kept = f"{folder} keeps the run, and --resume resumes it"
        if not (folder / checkpoint.NAME).is_file():
            kept = "no step was done, so there is nothing to keep"
        with contextlib.suppress(OSError):  # the terminal may be gone
            console.say(f"interrupted; {kept}")
        raise
    folder.mkdir(parents=True, exist_ok=True)  # it may have been removed meanwhile
    console.say(checkpoint.export(run, weights))
    for step, decibels in run.curves.get(curve, []):
        console.say(f"step {step}: {decibels:.2f} dB on {validate}")
