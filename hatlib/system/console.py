"""What the commands share: lines and tables on the terminal, checks of output files, images one by
one."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hatlib.errors import HatlibError
from hatlib.system.atomic import check_target

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Item = TypeVar("Item")


def console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough where there is none."""
    from rich.console import Console

    return Console(width=None if is_terminal(sys.stdout) else 160, highlight=False)


def is_terminal(stream: Any) -> bool:
    """Whether somebody watches a stream; it is None where the shell has closed it."""
    return stream is not None and stream.isatty()


def say(text: str) -> None:
    """A line, or several, on stdout."""
    print(printable(text), flush=True)


def warn(text: str) -> None:
    """A line on stderr; a text of several lines becomes one."""
    note(f"hatlib: {' '.join(text.split())}")


def note(text: str) -> None:
    """A line on stderr, such as one that tells how far long work has come."""
    print(printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text with escape sequences made visible: the name of a file must not move the cursor."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text
    )


def plain(text: str) -> str:
    """Text for a rich table, in which [brackets] would be taken for markup."""
    return printable(text).replace("[", r"\[")


def new_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table with columns to the left and numbers to the right."""
    from rich import box
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE, show_header=any(columns), pad_edge=False)
    for name in right:
        table.add_column(name, justify="right")
    return table


def progress(
    items: Sequence[Item], title: str, lines: Callable[[Item], str] | None = None
) -> Iterator[Item]:
    """The items, with a bar on stderr while a terminal is watching.

    Args:
        lines: what to say of an item in a line on stderr where no terminal is watching; None: such
            work is short, and nothing is said.
            "" for an item of which nothing is to be said.
    """
    if not is_terminal(sys.stderr):
        for count, item in enumerate(items, start=1):
            yield item
            if lines and (said := lines(item)):
                note(f"[{count}/{len(items)}] {said}")
        return
    if len(items) < 2:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=title, console=Console(stderr=True), transient=True)


def make_folder(folder: Path) -> None:
    """Makes a folder for results; HatlibError if it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise HatlibError(
            f"cannot write to the folder {folder}: {error.strerror or error}"
        ) from None


def check_file(path: Path | None) -> None:
    """Raises HatlibError now, before the work is done, if a file of that name cannot be written."""
    if path is not None:
        check_target(path)


def json_text(content: Any) -> str:
    """A table's content as JSON; infinite PSNR (identical images) becomes null."""
    text = json.dumps(_finite(content), indent=1, ensure_ascii=False) + "\n"
    # of a file name that is no UTF-8: \udce9, which JSON reads as it was
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _finite(value: Any) -> Any:
    """The value with None for numbers that JSON does not know (infinity, NaN)."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value


@contextlib.contextmanager
def counter(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A function to be called as f(done, total), which moves a bar on stderr; None where no
    terminal is watching."""
    if not is_terminal(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
