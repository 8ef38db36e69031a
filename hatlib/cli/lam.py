"""hatlib lam: which pixels a network used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hatlib.cli.options import Model, ModelScale, Overwrite, file_of, load_model, weights_of
from hatlib.cli.results import Results, checksum
from hatlib.errors import HatlibError
from hatlib.system import atomic, console

ELONGATED = 8  # how many times as long as it is wide an image may be to be shown whole
FIGURES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")


def lam(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An LR image.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help=f"A figure ({', '.join(FIGURES)}).")
    ],
    model: Model,
    window: Annotated[
        tuple[int, int, int],
        typer.Option(
            metavar="Y X SIZE",
            help="A square of the SR image: top row, left column, side in pixels.",
        ),
    ],
    scale: ModelScale = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps along the path of the integral; by default 20, or 50 with right."
        ),
    ] = None,
    rule: Annotated[str, typer.Option(help="midpoint, or right (as published).")] = "midpoint",
    overwrite: Overwrite = False,
) -> None:
    """Draw which LR pixels a network uses for a window of its result (local attribution map)."""
    from hatlib import attribution, plotting
    from hatlib.imaging.io import load_image

    if target.suffix.lower() not in FIGURES:
        raise HatlibError(
            f"cannot save {target}: the name has to end in one of {', '.join(FIGURES)}"
        )
    atomic.check_target(target)
    results = Results([source, *file_of(model)], overwrite)
    results.check([target])
    lr = load_image(source)
    network = load_model(model, scale)
    made = {
        "command": "lam",
        "weights": weights_of(model, network),
        "scale": network.scale,
        "window": window,
        "steps": steps or attribution.STEPS.get(rule),
        "rule": rule,
        "from": checksum(source),
    }
    with console.counter(source.name) as progress:
        result = attribution.lam(network, lr, window, steps, rule=rule, progress=progress)
    # of a long strip, what is around the window: a figure has to fit into a file, too
    height, width = lr.shape[:2]
    extent = ELONGATED * min(height, width)
    shown = extent if max(height, width) > extent else None
    with results.writing(target, made) as file:
        plotting.attributions(lr, {model: result}, width=6.0, extent=shown).savefig(file, dpi=150)
    used = "nothing to attribute: LR is flat"
    if result.map.any():
        used = f"diffusion index {result.diffusion_index:.2f}"
    attributed, of = result.completeness
    console.say(f"{target}: {used}; attributed {attributed:.3f} of {of:.3f}")
