"""One program at a time in a folder, or at one of its files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hatlib.errors import HatlibError
from hatlib.system.atomic import PREFIX


class Taken(HatlibError):
    """Another program is at work in the folder."""


@contextlib.contextmanager
def alone_in(folder: Path, purpose: str, wait: bool = False) -> Iterator[None]:
    """Inside, no other program that asks for the same purpose gets into the folder.

    The lock ends with the program, however that ends. On a disk without locks there is none.

    Args:
        folder: has to exist.
        purpose: a word for the name of the lock file, which is removed in the end.
        wait: whether to wait for the end of the other program.
    Raises:
        Taken: another program is in there.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"{PREFIX}{purpose}.lock", timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise Taken(
            f"another program ({purpose}) writes to {folder}: wait for its end, or choose another "
            "folder"
        ) from None
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        # removed while it is held: afterwards it may be another program's
        with contextlib.suppress(OSError):
            os.unlink(lock.lock_file)
        with contextlib.suppress(OSError):
            lock.release()
