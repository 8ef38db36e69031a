"""hatlib course: the notebooks, run in order."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from hatlib.cli.options import names
from hatlib.errors import HatlibError
from hatlib.system import console, paths


def course(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pages go.")] = Path("build"),
    only: Annotated[
        list[str] | None, typer.Option(metavar="NN", help="Only these: 03, or 01,03.")
    ] = None,
    store: Annotated[
        bool,
        typer.Option(
            "--store",
            help="Write the outputs back into the notebooks, if all of them pass; in the quick "
            "profile.",
        ),
    ] = False,
    notebooks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the notebooks are.", show_default="the checkout's"),
    ] = None,
    student: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run nothing: write the notebooks without solutions."),
    ] = None,
    instructor: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run nothing: write them with every exercise solved."),
    ] = None,
    marks: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="DIR CSV",
            help="Run nothing: write what the progress files NAME.json of a class say.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds that a cell may run.", show_default="900 in the quick profile"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Notebooks that run side by side and share the CPU's threads.",
            show_default="up to 4 on a CPU; 1 on a GPU and with --store",
        ),
    ] = None,
) -> int:
    """Run the notebooks in order and write them executed, as HTML, with an index."""
    from hatlib.course import classroom, runner
    from hatlib.validation import CellSeconds, checked

    checked("--timeout", timeout, CellSeconds | None)
    root = paths.checkout()
    source = notebooks or (root / "notebooks" if root else None)
    if source and out.is_dir() and source.is_dir() and out.samefile(source):
        raise HatlibError(f"{out} is the folder of the notebooks: choose another one for the pages")
    wanted = [name for part in only or [] for name in names(part)]
    if sum(asked is not None for asked in (student, instructor, marks)) > 1 or (
        store and (student or instructor or marks)
    ):
        raise HatlibError("name one of --student, --instructor, --marks and --store")
    if marks:
        count = classroom.marks(*marks)
        console.say(f"{count} learners: {marks[1]}")
        return 0
    if folder := student or instructor:
        runner.need_notebook_packages()
        chosen = runner.select(runner.find_notebooks(notebooks), wanted)
        count = classroom.write(chosen, folder, solutions=instructor is not None)
        how = "put in their places" if instructor else "taken out"
        console.say(f"{len(chosen)} notebooks, {count} solutions {how}: {folder}")
        return 0
    began = time.monotonic()
    results = runner.run(out, wanted, store, notebooks, timeout, console.console(), jobs)
    for result in results:
        for warning in result.warnings:
            console.say(f"{result.name} wrote to stderr: {warning}")
    failed = [result.name for result in results if result.state == "failed"]
    how = f"failed: {', '.join(failed)}" if failed else f"{len(results)} passed"
    minutes = (time.monotonic() - began) / 60
    stored = ""
    if store:
        stored = " (outputs not stored)" if failed else " (outputs stored)"
    console.say(f"{how}, {minutes:.1f} min{stored}: {out / 'index.html'}")
    return 1 if failed else 0
