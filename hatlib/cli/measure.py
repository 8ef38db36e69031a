"""hatlib models, hatlib evaluate, hatlib reproduce: tables of networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hatlib.cli.batch import reason
from hatlib.cli.options import (
    LR_HELP,
    MODEL_HELP,
    Json,
    Lr,
    Model,
    Overwrite,
    Precision,
    Scale,
    Shard,
    file_of,
    load_model,
    names,
    weights_of,
)
from hatlib.cli.results import Results, Table, check_distinct, check_folder, claim_folder
from hatlib.errors import HatlibError
from hatlib.system import console, processes

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame
    from rich.table import Table as RichTable

    from hatlib.data.datasets import Pairs
    from hatlib.models import Network

# the note on weights of ours, by the degradation that they were trained on
OWN = {"bicubic": "the course's own", "real-world": "the course's own, for real photos"}
MEASURED = 5  # columns of reproduce that fit a narrow terminal; the others follow as lines


# ---- hatlib models -------------------------------------------------------------------------------


def models(json_file: Json = None, overwrite: Overwrite = False) -> None:
    """List the networks (size, multiply-adds, reported PSNR) and the weights that there are."""
    from hatlib import models
    from hatlib.evaluation import model_table

    file = Table(json_file, overwrite)
    networks = list(model_table.networks(console.progress(models.names(), "counting")))
    trained = model_table.trained_weights()
    released = model_table.released_weights()
    console.console().print(_network_table(networks))
    console.say(
        "at ×4, for an LR image of 64×64; PSNR is that of the best released weights "
        "(--json has the sources)"
    )
    console.console().print(_weights_table(trained, released))
    file.write({"networks": networks, "trained": trained, "weights": released})


def _network_table(rows: Iterable[dict[str, Any]]) -> RichTable:
    """One row per network."""
    columns = ("parameters", "G multiply-adds", "Set5 dB", "Urban100 dB")
    table = console.new_table("network", "configuration", right=columns)
    table.add_column("trained on")
    for row in rows:
        best = row["reported"] or {"set5": None, "urban100": None, "training": None}
        table.add_row(
            row["name"],
            row["configuration"],
            f"{row['parameters']:,}",
            f"{row['multiply_adds'] / 1e9:.2f}",
            _decibels(best["set5"]),
            _decibels(best["urban100"]),
            best["training"] or "",
        )
    return table


def _weights_table(
    trained: Iterable[dict[str, Any]], released: Iterable[dict[str, Any]]
) -> RichTable:
    """One row per file of weights: those of the package, then those that can be fetched."""
    table = console.new_table("weights", "", right=("MB", "Set5 dB", "Urban100 dB"))
    for column in ("trained on", "licence", "note"):
        table.add_column(column)
    for row in trained:
        table.add_row(
            row["name"],
            "in the package",
            f"{row['bytes'] / 1e6:.1f}",
            *(_decibels(value) for value in row["measured"].values()),
            ", ".join(row["training"]["recipe"]["data"]),
            row["licence"].partition(" (")[0],
            OWN[row["degradation"]],
        )
    for row in released:
        table.add_row(
            row["name"],
            row["state"],
            f"{row['bytes'] / 1e6:.1f}" if row["bytes"] else "",
            *(_decibels(value) for value in row["reported"].values()),
            row["training"],
            row["licence"].partition(" (")[0],
            console.plain(row["note"]),
        )
    return table


def _decibels(value: dict[str, Any] | None) -> str:
    """A PSNR, or nothing."""
    return f"{value['psnr']:.2f}" if value else ""


# ---- hatlib evaluate -----------------------------------------------------------------------------


def evaluate(
    model: Model,
    data: Annotated[str, typer.Option(help="A data set by name, or a folder of images.")],
    scale: Scale = 4,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")] = None,
    save_images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the SR images there.")
    ] = None,
    lr: Lr = "matlab",
    gray: Annotated[
        str,
        typer.Option(
            help="One-channel files: keep, rgb, or auto (rgb for networks, as in papers)."
        ),
    ] = "auto",
    json_file: Json = None,
    overwrite: Overwrite = False,
) -> int:
    """Measure a network on a data set by the papers' protocol, next to the reported value."""
    from hatlib.data.datasets import load
    from hatlib.evaluation import protocol

    inputs = [*files_of(data), *file_of(model)]
    file = Table(json_file, overwrite, inputs)
    network = load_model(model, scale)
    pairs = load(data, scale, lr=lr, limit=limit)
    saver = None
    if save_images:
        made = {"weights": weights_of(model, network), "scale": scale, "lr": lr, "gray": gray}
        saver = _saver(
            save_images,
            pairs,
            Results(inputs, overwrite, processes.launched()),
            inputs,
            made,
            json_file,
        )
    results, left_out = _measured(network, pairs, data, gray, saver)
    code = 1 if left_out else 0
    if processes.launched().number > 1:  # the first speaks for all
        return code
    mean = results[["psnr", "ssim", "seconds"]].mean()
    console.console().print(_image_table(results))
    line = protocol.protocol(scale, lr, gray)
    console.say(f"{model} on {data} {line}")
    if identical := results.name[results.psnr == math.inf].tolist():
        others = results.psnr[results.psnr != math.inf]
        rest = f"; mean of the other {len(others)}: {others.mean():.2f} dB" if len(others) else ""
        console.say(f"identical to HR, PSNR infinite: {', '.join(identical)}{rest}")
    if left_out:
        console.say(f"left out: {', '.join(left_out)}")
    reported = _reported(model, data, scale, len(results), lr)
    if reported:
        psnr, ssim, where = reported
        values = f"{psnr:.2f} dB"
        difference = f"{mean.psnr - psnr:+.2f} dB"
        if ssim is not None:
            values += f", {ssim:.4f}"
            difference += f", {mean.ssim - ssim:+.4f}"
        console.say(f"reported: {values} (difference {difference}); from {where}")
    file.write(
        {
            "model": model,
            "data": data,
            "scale": scale,
            "protocol": line,
            "mean": mean.to_dict(),
            "reported": reported,
            "images": results.to_dict("records"),
            "left_out": left_out,
        }
    )
    return code


def _measured(
    network: Network,
    pairs: Pairs,
    title: str,
    gray: str,
    saver: Callable[[str, np.ndarray], None] | None,
) -> tuple[DataFrame, list[str]]:
    """One row per image, and the names of those that cannot be measured: damaged, of a kind that is
    not read, too small. One bad file among hundreds does not stop the others. The processes of a
    launcher measure a part each, and all get the rows of all.

    Raises:
        HatlibError: none can be measured.
    """
    import pandas

    from hatlib.evaluation import protocol

    measured: dict[int, DataFrame | None] = {}
    names = pairs.names
    own = processes.launched().take(range(len(pairs)))
    for k in console.progress(own, title, lambda k: names[k]):
        try:
            measured[k] = protocol.evaluate(network, [pairs[k]], on_image=saver, gray=gray)
        except Exception as error:
            measured[k] = None
            console.warn(f"{names[k]} left out: {reason(error)}")
    of_all = {k: table for part in processes.gather(measured) for k, table in part.items()}
    in_order = [of_all[k] for k in range(len(pairs))]
    tables = [table for table in in_order if table is not None]
    if not tables:
        raise HatlibError(f"none of the {len(pairs)} images of {title} could be measured")
    left_out = [name for name, table in zip(names, in_order, strict=True) if table is None]
    return pandas.concat(tables, ignore_index=True), left_out


def _image_table(results: DataFrame) -> RichTable:
    """One row per image, and the mean."""
    table = console.new_table("image", right=("PSNR dB", "SSIM", "seconds"))
    for name, psnr, ssim, seconds in results.itertuples(index=False):
        table.add_row(console.plain(name), f"{psnr:.2f}", f"{ssim:.4f}", f"{seconds:.2f}")
    mean = results[["psnr", "ssim", "seconds"]].mean()
    cells = (f"{mean.psnr:.2f}", f"{mean.ssim:.4f}", f"{mean.seconds:.2f}")
    table.add_section()
    table.add_row(f"mean of {len(results)}", *cells, style="bold")
    return table


def _reported(
    model: str, data: str, scale: int, count: int, lr: str
) -> tuple[float, float | None, str] | None:
    """The PSNR and SSIM of the papers; None for a part of a set, or another way to make LR."""
    from hatlib.evaluation import reported

    if count != set_size(data) or lr not in ("matlab", "original"):
        return None
    return reported.reported(model, data, scale)


def set_size(data: str) -> int:
    """How many images a set of the catalogue has; 0 for a folder, of which nothing is reported."""
    from hatlib.data.datasets import CATALOGUE

    return CATALOGUE[data].files if data in CATALOGUE else 0


def files_of(data: str) -> list[Path]:
    """The files of a data set that are here, or of a folder."""
    from hatlib.data import datasets, registry
    from hatlib.system.paths import data_folder, expanded

    if data in datasets.CATALOGUE:
        return [data_folder() / remote.path for remote in registry.registry().get(data, ())]
    folder = datasets.ucla_folder() if data == "ucla" else expanded(data)
    if folder is None or not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_file()]


def _saver(
    folder: Path,
    pairs: Pairs,
    results: Results,
    inputs: Sequence[Path],
    made: dict[str, Any],
    table: Path | None,
) -> Callable[[str, np.ndarray], None]:
    """Writes SR images into a folder: called with the name and the image.

    Raises:
        HatlibError: it is the folder of the data, or has files that would be replaced.
    """
    from hatlib.imaging.io import save_image

    for place in {path.parent for path in inputs}:
        if place.is_dir() and folder.is_dir() and place.samefile(folder):
            raise HatlibError(
                f"--save-images {folder} is the folder of the data: choose another one for results"
            )
    plan = {name: folder / f"{name}.png" for name in pairs.names}
    results.check(list(plan.values()))
    check_distinct([*plan.values(), table])
    console.make_folder(folder)

    def save(name: str, sr: np.ndarray) -> None:
        with results.writing(plan[name], {"command": "evaluate", **made}) as file:
            save_image(file, sr)

    return save


# ---- hatlib reproduce ----------------------------------------------------------------------------


def reproduce(
    models: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Networks: " + MODEL_HELP,
            show_default="bicubic and the course's own",
        ),
    ] = None,
    data: Annotated[
        str, typer.Option(metavar="NAME,…", help="Sets by name, folders, or ucla.")
    ] = "urban100,ucla",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many images of each set.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="10: only each tenth image of each set.")] = 1,
    scale: Scale = 4,
    lr: Annotated[str, typer.Option(help=LR_HELP)] = "matlab",
    precision: Precision = "fp32",
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where results go; an interrupted run resumes.")
    ] = Path("build/reproduce"),
    shard: Shard = None,
    json_file: Json = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure networks on whole sets, next to the papers' values; writes tables and strips.

    Each image is written down as it is measured: after an interruption the same command resumes.
    With --shard only a part is measured; the same command without it makes the tables of all parts.
    """
    from hatlib import plotting
    from hatlib.evaluation import reproduction
    from hatlib.weights import files

    networks = files.trained("bicubic") if models is None else names(models)
    sets = names(data)
    inputs = [path for name in sets for path in files_of(name)]
    inputs += [path for name in networks for path in file_of(name)]
    file = Table(json_file, overwrite, inputs)
    check_folder(out, "reproduce", overwrite, {path.parent for path in inputs})
    if json_file is not None and json_file.resolve().is_relative_to(out.resolve()):
        raise HatlibError(f"{json_file} lies in {out}, where reproduce writes tables of its own")

    def announced(items: Sequence[int], title: str) -> Iterator[int]:
        """The items, with a bar, and a line for those who look at it hours later."""
        console.say(title)
        return console.progress(items, title, lambda _: title.partition(":")[0])

    def run(part: processes.Part) -> list[reproduction.Row]:
        return reproduction.run(
            networks,
            sets,
            out,
            limit,
            scale,
            precision,
            announced,
            every,
            lr,
            draw=plotting.comparison,
            part=part,
            begin=lambda folder: claim_folder(folder, "reproduce"),
        )

    asked = processes.parse(shard)
    process = processes.launched()
    part = asked.split(process)
    try:
        if part != processes.WHOLE:
            run(part)
            processes.gather(part)  # waits until all have measured theirs
        if asked != processes.WHOLE:
            console.say(f"{part}: measured; without --shard, the tables of all parts are made")
            return
        if process.number > 1:
            return
        rows = run(processes.WHOLE)
    except KeyboardInterrupt:
        console.say(f"interrupted; {out} keeps what was measured, and the same command resumes")
        raise
    for title, columns, lines in reproduction.tables(rows):
        console.say(title)
        table = console.new_table(columns[0], right=columns[1:MEASURED])
        for name, *numbers in lines:
            table.add_row(console.plain(name), *numbers[: MEASURED - 1])
        console.console().print(table)
    for row in rows:
        for note in reproduction.beside(row):
            console.say(f"{row.data}, {row.model}: {note}")
    minutes = sum(row.minutes for row in rows)
    console.say(rows[0].protocol)
    console.say(f"{minutes:.1f} min in the networks; rows by image, strips and this table: {out}")
    file.write([row.record() for row in rows])
