"""Files are written whole or not at all: a crash, a full disk or Ctrl-C never leaves half of one
under its name."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from hatlib.errors import HatlibError

PREFIX = ".hatlib-"  # of temporary files; what a killed process leaves is recognised by it
STALE = 24 * 3600  # seconds after which a temporary file belongs to no running process


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what was written there takes the name `path` if the
    block succeeds.

    The temporary name keeps the suffix, so that writers which choose the format by suffix work. If
    the block raises, the temporary file is removed and a file that was there before stays as it
    was. A link stays a link: the file that it leads to is replaced, and keeps its permissions. The
    folder has to exist.

    Raises:
        HatlibError: the folder is missing or cannot be written to, the name is too long, or what is
            there is read-only or no regular file.
    """
    name = Path(path)
    check_target(name)
    target = Path(os.path.realpath(name))
    temporary = temporary_path(target)
    try:
        yield temporary
        replace(temporary, target)
    except OSError as error:
        raise HatlibError(f"cannot write {name}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_path(target: Path) -> Path:
    """A new hidden name beside a file, with its suffix.

    It is short whatever the file is called: a name that fits must not fail because of ours.
    """
    suffix = target.suffix if len(target.suffix) <= 16 else ""
    return target.with_name(f"{PREFIX}{secrets.token_hex(4)}{suffix}")


def replace(temporary: Path, target: Path) -> None:
    """Gives a temporary file its name, with the permissions of the file that it replaces."""
    with contextlib.suppress(FileNotFoundError):
        os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
    os.replace(temporary, target)


def check_target(path: Path) -> None:
    """Raises HatlibError if a file of that name cannot be written."""
    if "\0" in os.fspath(path):
        raise HatlibError(f"cannot write {str(path)!r}: a name has no NUL in it")
    if path.is_dir():
        raise HatlibError(f"cannot write {path}: it is a folder, and a file name was expected")
    if not path.parent.is_dir():
        raise HatlibError(f"cannot write {path}: the folder {path.parent} does not exist")
    try:
        there = path.exists()
    except OSError as error:  # such as a name that is too long
        raise HatlibError(f"cannot write {path}: {error.strerror or error}") from None
    if there and not path.is_file():
        raise HatlibError(f"cannot write {path}: it is not a regular file")
    if there and not os.access(path, os.W_OK):
        raise HatlibError(f"cannot write {path}: it is read-only")
    if not os.access(os.path.dirname(os.path.realpath(path)), os.W_OK):
        raise HatlibError(f"cannot write {path}: no permission to write in {path.parent}")


def set_aside(path: Path) -> Path:
    """Gives a file that cannot be read another name, so that nothing is lost where a new one takes
    its place: NAME.damaged, NAME.damaged-2, …

    Returns:
        The new path.
    """
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.damaged" + (f"-{number}" if number > 1 else ""))
        if not os.path.lexists(aside):
            break
    os.replace(path, aside)
    return aside


def sweep(folder: Path) -> None:
    """Removes temporary files that a killed process left in a folder, a day or more ago."""
    with contextlib.suppress(OSError):
        # names of hexadecimal digits: records and locks, which have words, stay
        for path in folder.glob(f"{PREFIX}{8 * '[0-9a-f]'}*"):
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file (UTF-8, newlines as they are), whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
