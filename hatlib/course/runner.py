"""Runs the course: every notebook in order, each in a fresh kernel of the running Python.

`hatlib course` writes the executed notebooks and `course.json` to a folder, each as soon as it has
run, and at the end their pages and an index. With `--store` the outputs also go back into
`notebooks/`; stored outputs are made in no other way. `kernel` runs one notebook, `pages` draws the
pages.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatlib.course import kernel, pages
from hatlib.course.result import ENDED, Record, Result
from hatlib.errors import HatlibError, unknown
from hatlib.system import console, devices, locks, machine, paths
from hatlib.system.atomic import set_aside, write_text
from hatlib.system.console import make_folder, warn
from hatlib.validation import Count, checked, one_line

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from rich.console import Console
    from rich.table import Table

QUICK_CELL_TIMEOUT = 900  # seconds; one cell that hangs must not block the notebooks after it

# Notebooks that run side by side: two processes of one thread each do more than one of two.
MOST_JOBS = 4
JOB_BYTES = 3 << 30  # a notebook takes up to 2 GB


# ---- what to run ---------------------------------------------------------------------------------


def need_notebook_packages() -> None:
    """Raises HatlibError if a package that runs notebooks is missing."""
    if missing := machine.missing_notebook_packages():
        raise HatlibError(f"the course needs {', '.join(missing)}: {machine.INSTALL_NOTEBOOKS}")


def find_notebooks(folder: str | Path | None = None) -> list[Path]:
    """The course's notebooks, NN_*.ipynb, in order: those of the checkout, or of `folder`."""
    root = paths.checkout()
    if folder is None and root is None:
        raise HatlibError(
            "the notebooks are not installed with the package: run this in a checkout of the "
            "repository, or name their folder with --notebooks"
        )
    source = Path(folder) if folder is not None else root / "notebooks" if root else Path()
    notebooks = sorted(source.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise HatlibError(f"no notebooks named NN_name.ipynb in {source}")
    return notebooks


def select(notebooks: Sequence[Path], only: Iterable[str]) -> list[Path]:
    """The notebooks whose number (03) or name (03_srcnn) is in `only`; all if it is empty."""
    wanted = [re.sub(r"\.ipynb$", "", Path(name).name) for name in only]
    known = {key: path for path in notebooks for key in (path.stem, path.stem[:2])}
    for name in wanted:
        if name not in known:
            raise unknown("notebook", name, [path.stem for path in notebooks])
    chosen = {known[name] for name in wanted}
    return [path for path in notebooks if path in chosen or not chosen]


def load(paths: Sequence[Path]) -> tuple[dict[Path, NotebookNode], dict[Path, Result]]:
    """The notebooks that can be read, and what is known of each, errors included."""
    loaded = {}
    results = {}
    for path in paths:
        try:
            loaded[path] = kernel.read(path)
            results[path] = describe(path, loaded[path])
        except HatlibError as error:
            loaded.pop(path, None)
            results[path] = Result(path.stem, path.stem, "", cells=0, error=str(error))
    return loaded, results


def describe(path: Path, notebook: NotebookNode) -> Result:
    """Title and promise from the notebook's first Markdown cell, and its number of code cells."""
    text = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    heading = next((p for p in paragraphs if p.startswith("#")), path.stem)
    promise = next((p for p in paragraphs if p and p[0] not in "#[!<|-"), "")
    cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    title = re.split(r"\s*\[?!\[", heading.lstrip("# "))[0]  # a badge may follow the title
    return Result(path.stem, title, promise, cells)


# ---- the live table ------------------------------------------------------------------------------


class Board:
    """The progress of all notebooks: a live table on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, results: Sequence[Result]) -> None:
        self.console = console
        self.results = results
        self.started: dict[str, float] = {}

    def seconds(self, result: Result) -> float:
        return (
            time.monotonic() - self.started[result.name]
            if result.state == "running"
            else result.seconds
        )

    def table(self) -> Table:
        from rich.table import Table

        colours = {"passed": "green", "failed": "bold red", "running": "yellow", "waiting": "dim"}
        table = Table("notebook", "state", box=None, header_style="dim", pad_edge=False)
        table.add_column("cells", justify="right")
        table.add_column("minutes", justify="right")
        table.add_column("")
        for r in self.results:
            minutes = "" if r.state == "waiting" else f"{self.seconds(r) / 60:.1f}"
            state = f"[{colours[r.state]}]{r.state}"
            table.add_row(r.name, state, f"{r.done}/{r.cells}", minutes, console.plain(r.error))
        return table

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        from rich.live import Live

        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self.table, console=self.console, refresh_per_second=4):
            yield

    def start(self, result: Result) -> None:
        self.started[result.name] = time.monotonic()
        result.state = "running"
        result.done = 0  # an earlier run may have left its count
        if not self.console.is_terminal:
            self.console.print(f"{result.name} …", markup=False, highlight=False)

    def finish(self, result: Result, error: str) -> None:
        result.seconds = round(time.monotonic() - self.started[result.name], 1)
        result.state = "failed" if error else "passed"
        result.error = error
        result.date = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}"
        if not self.console.is_terminal:
            cells = f"{result.done}/{result.cells} cells"
            line = f"{result.name} {result.state}: {cells}, {result.minutes:.1f} min"
            line += f"; {error}" if error else ""
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


# ---- the whole course ----------------------------------------------------------------------------


def default_jobs() -> int:
    """How many notebooks run side by side: on a CPU as many as threads and memory are there for."""
    import torch

    device = devices.device()
    if device.type != "cpu":
        return 1
    fitting = devices.free_memory(device) // JOB_BYTES
    return max(1, min(MOST_JOBS, torch.get_num_threads(), fitting))


def run(
    out: str | Path = "build",
    only: Iterable[str] = (),
    store: bool = False,
    notebooks: str | Path | None = None,
    timeout: float | None = None,
    console: Console | None = None,
    jobs: int | None = None,
) -> list[Result]:
    """Runs the notebooks and writes NAME.ipynb, NAME.html, index.html and course.json to `out`.

    Each file is written whole. A notebook that fails does not stop the rest. Ctrl-C ends the
    running kernels and keeps what has finished.

    Args:
        out: folder to write to; created if needed.
        only: numbers or names (03, 03_srcnn) of the notebooks to run; all by default.
        store: whether to write the outputs back into the notebooks if all of them passed; implies
            the quick profile.
        notebooks: folder of the notebooks; the checkout's by default.
        timeout: seconds that one cell may run; by default 900 in the quick profile, no limit in
            the full one.
        jobs: notebooks that run side by side, which share the CPU's threads; by default what
            `default_jobs` says, and 1 with `store`, where times are measured for others to read.
    Returns:
        A Result for each notebook that was run.
    Raises:
        HatlibError: notebook packages or notebooks are missing, a name is unknown, or `out` cannot
            be written.
    """
    import torch
    from rich.console import Console

    need_notebook_packages()
    available = find_notebooks(notebooks)
    chosen = select(available, only)
    loaded, results = load(available)
    if not any(path in loaded for path in chosen):
        raise HatlibError(results[chosen[0]].error)
    jobs = checked("jobs", jobs, Count | None) or (1 if store else default_jobs())
    jobs = min(jobs, len(chosen))
    variables = kernel.environment(
        store, max(1, torch.get_num_threads() // jobs) if jobs > 1 else None
    )
    profile = "quick" if store else machine.profile()  # an unknown one is refused here
    timeout = timeout or (QUICK_CELL_TIMEOUT if profile == "quick" else None)
    folder = paths.expanded(out)
    make_folder(folder)
    restore_earlier(results.values(), folder)
    for path in available:
        if path not in chosen and results[path].state == "waiting":
            results[path].state = "absent"
    facts = {**machine.facts(), "profile": profile}
    if jobs > 1:
        facts["notebooks"] = (
            f"{jobs} side by side, on {variables['OMP_NUM_THREADS']} of these threads each: what "
            "cells measure takes longer than alone"
        )
    board = Board(console or Console(), [results[path] for path in chosen])
    tidy: dict[Path, NotebookNode] = {}
    everything = list(results.values())
    running = kernel.Running()
    recording = threading.Lock()

    def run_one(path: Path) -> None:
        result = results[path]
        board.start(result)
        if path in loaded:
            notebook = loaded[path]
            place = path.parent.absolute()
            error = kernel.execute(notebook, place, variables, timeout, result.count, running)
            if running.killed:
                return
            board.finish(result, error)
            result.warnings = kernel.stderr_lines(notebook)
            tidy[path] = kernel.clean(notebook)
            write_text(folder / path.name, kernel.as_text(tidy[path]))
        else:
            board.finish(result, result.error)  # the others run all the same
        with recording:
            write_record(everything, facts, folder)

    with locks.alone_in(folder, "course"):
        try:
            with board.live():
                side_by_side(run_one, chosen, jobs, running)
        finally:  # after Ctrl-C, too
            pages.write(available[0].parent, everything, facts, folder)
    if store and all(results[path].state == "passed" for path in chosen):
        store_outputs(tidy)
    return [results[path] for path in chosen]


def side_by_side(
    run_one: Callable[[Path], None], chosen: Sequence[Path], jobs: int, running: kernel.Running
) -> None:
    """Runs the notebooks, so many at a time. What ends one, such as Ctrl-C, ends all."""
    if jobs == 1:
        for path in chosen:
            run_one(path)
        return
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for done in [pool.submit(run_one, path) for path in chosen]:
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            running.kill()
            raise


def store_outputs(notebooks: dict[Path, NotebookNode]) -> None:
    """Writes executed notebooks over their sources, once all of them are ready to be written."""
    for notebook in notebooks.values():
        kernel.compress_pictures(notebook)
    # Every text exists before the first file changes: an error leaves all notebooks as they were.
    texts = {path: kernel.as_text(notebook) for path, notebook in notebooks.items()}
    for path, text in texts.items():
        write_text(path, text)


def restore_earlier(results: Iterable[Result], folder: Path) -> None:
    """Fills in the results of an earlier run: with `--only 03`, the index still lists the others.

    Only results whose executed notebook is still there count.
    """
    file = folder / "course.json"
    if not file.is_file():
        return
    try:
        earlier = {record.name: record for record in read_records(file)}
    except (ValueError, RecursionError) as error:
        aside = set_aside(file)
        warn(f"{file} cannot be read: it is kept as {aside.name} ({one_line(error)})")
        return
    for result in results:
        record = earlier.get(result.name)
        if record and record.state in ENDED and (folder / f"{result.name}.ipynb").is_file():
            vars(result).update(vars(record))


def read_records(file: Path) -> list[Record]:
    """What course.json says of the notebooks.

    Raises:
        ValueError: it is damaged, or of another shape.
    """
    content = checked("the file", json.loads(file.read_text(encoding="utf-8")), dict[str, Any])
    listed = checked("notebooks", content.get("notebooks"), list[dict[str, Any]])
    known = {f.name for f in fields(Record)}
    return [Record(**{k: v for k, v in entry.items() if k in known}) for entry in listed]


def write_record(results: list[Result], facts: dict[str, str], folder: Path) -> None:
    """Writes course.json."""
    record = {
        "machine": facts,
        "notebooks": [{**asdict(r), "minutes": round(r.minutes, 2)} for r in results],
    }
    write_text(folder / "course.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
