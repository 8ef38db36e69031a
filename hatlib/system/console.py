"""What the commands share: lines and tables on the terminal, checks of output files, images one by
one."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatlib.errors import HatlibError
from hatlib.system.atomic import write_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def say(text: str) -> None:
    """A line on stdout."""
    print(text, flush=True)


def warn(text: str) -> None:
    """A line on stderr; a text of several lines becomes one."""
    print(f"hatlib: {' '.join(text.split())}", file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Text for a rich table, in which [brackets] would be taken for markup."""
    return text.replace("[", r"\[")


def new_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table with columns to the left and numbers to the right."""
    from rich import box
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE, show_header=any(columns), pad_edge=False)
    for name in right:
        table.add_column(name, justify="right")
    return table


def progress(items: Sequence[Any], title: str) -> Iterator[Any]:
    """The items, with a bar on stderr while a terminal is watching."""
    if not sys.stderr.isatty() or len(items) < 2:
        yield from items  # not track(disable=True), with which rich 13 still prints an empty line
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=title, console=Console(stderr=True), transient=True)


def make_folder(folder: Path) -> None:
    """Makes a folder for results; HatlibError if that can't be, or if nothing can be written
    there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise HatlibError(
            f"cannot write to the folder {folder}: {error.strerror or error}"
        ) from None


def check_file(path: Path | None) -> None:
    """Raises HatlibError now, before the work is done, if a file of that name can't be written."""
    if path is None:
        return
    if path.is_dir():
        raise HatlibError(f"cannot write {path}: it is a folder, and a file name was expected")
    if not path.parent.is_dir():
        raise HatlibError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise HatlibError(f"cannot write {path}: no permission to write in {path.parent}")


def write_json(path: Path | None, content: Any) -> None:
    """Writes a table's content, whole or not at all; infinite PSNR (identical images) becomes
    null."""
    if path is not None:
        write_text(path, json.dumps(_finite(content), indent=1, ensure_ascii=False) + "\n")


def _finite(value: Any) -> Any:
    """The value with numbers that JSON does not know (infinity, NaN) as None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value


@contextlib.contextmanager
def counter(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A function to be called as f(done, total), which moves a bar on stderr; None where no
    terminal is watching."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
