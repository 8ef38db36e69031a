"""hatlib export: files that other programs take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hatlib.cli.options import MODEL_HELP, ModelScale, Overwrite, file_of, load_model, weights_of
from hatlib.cli.results import Results
from hatlib.errors import HatlibError, unknown
from hatlib.system import atomic, console

if TYPE_CHECKING:
    from hatlib.models import Network

LAYOUTS = ("original",)
OF_WEIGHTS = (".safetensors", ".pth")


def export(
    model: Annotated[str, typer.Argument(metavar="NAME|FILE", help=MODEL_HELP)],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="OUT.onnx, or OUT.safetensors (or .pth).")
    ],
    layout: Annotated[
        str | None,
        typer.Option(
            help="Of .safetensors and .pth: original, as the network's authors have it.",
            show_default=False,
        ),
    ] = None,
    scale: ModelScale = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a network as ONNX, or its weights as other programs recognise them."""
    _check(target, layout)
    results = Results(file_of(model), overwrite)
    results.check([target])
    network = load_model(model, scale).cpu()
    about = {"weights": model, "sha256": weights_of(model, network), **_licence(model)}
    made = {"command": "export", "layout": layout, **about, "scale": network.scale}
    with results.writing(target, made) as file:
        said = _write_weights(network, file, about) if layout else _write(network, file, about)
    console.say(f"{target}: {target.stat().st_size / 1e6:.1f} MB, ×{network.scale}, {said}")


def _check(target: Path, layout: str | None) -> None:
    """Raises HatlibError for a file that can't be written, before anything is loaded."""
    from hatlib.weights import onnx_file

    if layout is not None and layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    if target.suffix == onnx_file.SUFFIX:
        if layout is not None:
            raise HatlibError(f"--layout is for {' and '.join(OF_WEIGHTS)}; ONNX has one layout")
        onnx_file.check_packages()
    elif target.suffix not in OF_WEIGHTS:
        raise HatlibError(
            f"cannot export {target}: the name has to end in "
            f"{', '.join((onnx_file.SUFFIX, *OF_WEIGHTS))}"
        )
    elif layout is None:
        raise HatlibError(f"say in which layout {target} is to be: --layout {LAYOUTS[0]}")
    atomic.check_target(target)


def _licence(model: str) -> dict[str, str]:
    """The terms of weights that have a name; of a file nothing is known."""
    from hatlib.weights import catalogue, files

    if model in files.trained():
        return {"licence": files.TRAINED_LICENCE}
    if model in catalogue.CATALOGUE:
        return {"licence": catalogue.CATALOGUE[model].licence}
    return {}


def _write(network: Network, file: Path, about: dict[str, str]) -> str:
    from hatlib.weights import onnx_file

    written = onnx_file.write(network, file, about)
    sizes = ", ".join(f"{width}×{height}" for height, width in written.sizes)
    sides = f"multiples of {written.multiple}" if written.multiple > 1 else "any size"
    return (
        f"LR of {sides}; on {sizes} at most {written.difference:.0e} from the network's own result"
    )


def _write_weights(network: Network, file: Path, about: dict[str, str]) -> str:
    from hatlib.weights import original

    original.write(network, file, about)
    return f"as {type(network).__name__}'s authors have it"
