"""Which exercises the learner has passed: a small file in the data folder, on this machine only.

`exercises.check` writes it, `exercises.progress` and the index page of the course read it. It is
JSON, number of the exercise → when it was first passed (UTC). A file that is missing or damaged
counts as empty.
"""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path

from hatlib.errors import HatlibError
from hatlib.system import atomic, paths

OFF = "off"


def path() -> Path | None:
    """The file: `HATLIB_PROGRESS`, else progress.json in the data folder; None where that variable
    says "off"."""
    chosen = os.environ.get("HATLIB_PROGRESS")
    if chosen == OFF:
        return None
    return Path(chosen).expanduser() if chosen else paths.data_folder() / "progress.json"


def passed() -> dict[str, str]:
    """Number of each passed exercise → when it was first passed; empty where nothing is recorded or
    can be read."""
    file = path()
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {id: when for id, when in found.items() if isinstance(when, str)}


def remember(id: str) -> None:
    """Records a pass. The first one counts; a place that can't be written to is no reason to
    disturb the learner."""
    file, known = path(), passed()
    if file is None or id in known:
        return
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(
            file, json.dumps(dict(sorted({**known, id: when}.items())), indent=1) + "\n"
        )
    except (OSError, HatlibError):
        return
