"""The exercises that the learner has passed: a small file in the data folder, on this machine only.

`exercises.check` writes it; `exercises.progress` and the course's index page read it. It is JSON:
the exercise's number → when it was first passed (UTC). What is damaged counts as missing, and is
kept under another name before the next pass is written.
"""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

from hatlib.errors import HatlibError
from hatlib.system import atomic, console, locks, paths
from hatlib.validation import checked, one_line

OFF = "off"


def path() -> Path | None:
    """The file: `HATLIB_PROGRESS`, else progress.json in the data folder; None if it is "off"."""
    setting = os.environ.get("HATLIB_PROGRESS")
    if setting == OFF:
        return None
    return paths.expanded(setting) if setting else paths.data_folder() / "progress.json"


def passed() -> dict[str, str]:
    """Number of each passed exercise → when it was first passed; {} if nothing can be read."""
    file = path()
    try:
        record = _read(file) if file else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return {id: when for id, when in record.items() if isinstance(when, str)}


def read(file: Path) -> dict[str, str]:
    """A learner's file: number of each passed exercise → when it was first passed (UTC).

    Raises:
        HatlibError: it is missing or damaged.
    """
    try:
        return checked("the record", json.loads(file.read_text(encoding="utf-8")), dict[str, str])
    except (OSError, ValueError, RecursionError) as error:
        raise HatlibError(f"{file} is no file of passed exercises: {one_line(error)}") from error


def _read(file: Path) -> dict[str, Any]:
    """What the file says; ValueError or RecursionError if it is damaged."""
    if not file.is_file():
        return {}
    return checked("the record", json.loads(file.read_text(encoding="utf-8")), dict[str, Any])


def _keep_damaged(file: Path) -> None:
    """Gives a file that cannot be read another name, before a new one takes its place."""
    try:
        checked("the record", _read(file), dict[str, str])
    except (ValueError, RecursionError):
        aside = atomic.set_aside(file)
        console.warn(f"{file} cannot be read: it is kept as {aside.name}")


def record_pass(id: str) -> None:
    """Records a pass; only the first one counts. A file that cannot be written is no error."""
    file = path()
    if file is None:
        return
    if id in passed():
        return
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with locks.alone_in(file.parent, "progress", wait=True):
            # read again: another notebook may have written in the meantime
            known = {id: when, **passed()}
            _keep_damaged(file)
            atomic.write_text(file, json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    except (OSError, HatlibError):
        return
