"""What the commands of this folder have in common: their options, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hatlib import HatlibError
from hatlib.system import paths


def options(doc: str | None, out: Path) -> argparse.ArgumentParser:
    """A parser with the options that every command has.

    Args:
        doc: the module's docstring, whose first paragraph describes the command.
        out: the file that it writes, unless told otherwise.
    """
    description = (doc or "").partition("\n\n")[0]
    parser = argparse.ArgumentParser(description=" ".join(description.split()))
    parser.add_argument("--out", type=Path, default=out, help=f"instead of {out.name}")
    return parser


def add_runs(parser: argparse.ArgumentParser) -> None:
    """The option of commands that train."""
    parser.add_argument(
        "--runs",
        type=Path,
        default=paths.data_folder() / "runs",
        help="the folder of checkpoints, from which an interrupted run is resumed",
    )


def say(row: Mapping[str, Any]) -> None:
    """Prints a row of a table as soon as it is there."""
    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)


def run(main: Callable[[], None]) -> None:
    """Runs a command; an error that a user can do something about is one line."""
    try:
        main()
    except HatlibError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
