"""The exercises that the learner has passed: a small file in the data folder, on this machine only.

`exercises.check` writes it; `exercises.progress` and the course's index page read it. It is JSON:
the exercise's number → when it was first passed (UTC). A missing or damaged file counts as empty.
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
    """The file: `HATLIB_PROGRESS`, else progress.json in the data folder; None if it is "off"."""
    setting = os.environ.get("HATLIB_PROGRESS")
    if setting == OFF:
        return None
    return paths.expanded(setting) if setting else paths.data_folder() / "progress.json"


def passed() -> dict[str, str]:
    """Number of each passed exercise → when it was first passed; {} if nothing can be read."""
    file = path()
    try:
        record = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError):
        return {}
    if not isinstance(record, dict):
        return {}
    return {id: when for id, when in record.items() if isinstance(when, str)}


def record_pass(id: str) -> None:
    """Records a pass; only the first one counts. A file that cannot be written is no error."""
    file = path()
    known = passed()
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
