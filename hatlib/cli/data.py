"""hatlib datasets, hatlib fetch: what can be downloaded, and downloading it."""

from __future__ import annotations

from typing import Annotated

import typer

from hatlib.cli.options import Json, Overwrite
from hatlib.cli.results import Table
from hatlib.errors import unknown
from hatlib.system import console


def datasets(json_file: Json = None, overwrite: Overwrite = False) -> None:
    """List the data sets that hatlib can fetch, and how much of each is here."""
    from hatlib.data import datasets

    file = Table(json_file, overwrite)
    rows = datasets.table()
    table = console.new_table("name", "for", "terms", right=("images", "here", "MB"))
    for row in rows:
        table.add_row(
            row["name"],
            row["purpose"],
            console.plain(row["terms"]),
            str(row["files"]),
            str(row["present"]),
            f"{row['bytes'] / 1e6:.1f}",
        )
    console.console().print(table)
    file.write(rows)


def fetch(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME…", help="Data sets and weights, by name.")
    ],
    original_lr: Annotated[
        bool, typer.Option("--original-lr", help="Also the set's own ×4 LR files.")
    ] = False,
) -> None:
    """Download data sets and weights; what is here is checked, and kept if it is right."""
    from hatlib.data import datasets
    from hatlib.system.paths import data_folder
    from hatlib.weights import catalogue

    known = [*datasets.names(), *catalogue.names()]
    for name in names:
        if name not in known:
            raise unknown("data set or weights", name, known)
    for name in names:
        if name in catalogue.CATALOGUE:
            paths = [catalogue.fetch(name)]
        else:
            paths = datasets.fetch(name, original_lr)
        if not paths:
            console.say(f"{name}: needs no download")
            continue
        size = sum(path.stat().st_size for path in paths) / 1e6
        count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        console.say(f"{name}: {count}, {size:.1f} MB in {data_folder()}")
