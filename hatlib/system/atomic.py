"""Files are written whole or not at all: a crash, a full disk or Ctrl-C never leaves half of one
under its name."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from hatlib.errors import HatlibError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what was written there takes the name `path` if the
    block succeeds.

    The temporary name keeps the suffix, so that writers which choose the format by suffix work. If
    the block raises, the temporary file is removed and a file that was there before stays as it
    was. The folder has to exist.

    Raises:
        HatlibError: the folder is missing or can't be written to.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    if not target.parent.is_dir():
        raise HatlibError(f"cannot write {target}: the folder {target.parent} does not exist")
    if target.is_dir():
        raise HatlibError(f"cannot write {target}: it is a folder, and a file name was expected")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise HatlibError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file (UTF-8, newlines as they are), whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
