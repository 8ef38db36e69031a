"""Options that several commands have, and what they share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hatlib.errors import HatlibError

if TYPE_CHECKING:
    from hatlib.models import Network

MODEL_HELP = (
    "bicubic, nearest, weights by name (hat-nano-x4; see hatlib models), or a file of weights."
)
LR_HELP = (
    "matlab, original (the set's own ×4 files), "
    "or another program's bicubic: float, pil, torch, torch-antialias."
)

In = Annotated[Path, typer.Argument(metavar="IN", help="An image, or a folder of images.")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="The file to write, or the folder.")]
Model = Annotated[str, typer.Option(help=MODEL_HELP)]
Scale = Annotated[int, typer.Option(min=1, help="HR side / LR side.")]
ModelScale = Annotated[
    int | None, typer.Option(help="2, 3 or 4 (default); a file of weights knows its own.")
]
Precision = Annotated[str, typer.Option(help="auto, fp32, tf32, bf16 or fp16.")]
Lr = Annotated[str, typer.Option(help=LR_HELP)]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="K/N",
        help="Only part K of N, for schedulers; under torchrun each process takes its part itself.",
        show_default="all",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(help="Of the results in a folder: png, jpg, webp or tiff.", show_default="png"),
]
Quality = Annotated[
    int | None, typer.Option(min=1, max=100, help="Of JPEG files.", show_default="95")
]
Recursive = Annotated[
    bool, typer.Option("--recursive", help="Subfolders, too, into subfolders of OUT.")
]
NoMetadata = Annotated[
    bool,
    typer.Option(
        "--no-metadata",
        help="Leave out EXIF (also the place where a photo was taken), XMP and pixels per inch.",
    ),
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the table to FILE.")
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that hatlib did not write, never an input."),
]
OverwriteFolder = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Also make results anew that are done, and replace files that hatlib did not write.",
    ),
]


def names(text: str) -> list[str]:
    """The names of a list with commas.

    Raises:
        HatlibError: there is none.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise HatlibError(f"no name in '{text}': write one, or several with commas")
    return found


def load_model(name: str, scale: int | None) -> Network:
    """A network on the device of this machine.

    Raises:
        HatlibError: it is unknown, or its scale is not the one that was asked for.
    """
    from hatlib.system import devices
    from hatlib.weights import catalogue, files

    def check(own: int) -> None:
        if scale is not None and own != scale:
            raise HatlibError(f"{name} upscales ×{own}, and --scale asks for {scale}")

    if name in catalogue.CATALOGUE:
        check(catalogue.CATALOGUE[name].scale)  # before it is downloaded
    network = files.load(name, 4 if scale is None else scale)
    check(network.scale)
    return network.to(devices.device())


def weights_of(name: str, network: Network) -> str:
    """What identifies a network: the checksum of its tensors, or its name if it has none."""
    from hatlib.weights.files import fingerprint

    return fingerprint(network) or name


def file_of(model: str) -> list[Path]:
    """The file that --model names, if it names one."""
    path = Path(model)
    return [path] if path.is_file() else []
