"""One kind of error for everything that a user can put right: one line, what was wrong and what
would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HatlibError(ValueError):
    """Bad input. The message is one line; commands print it and exit with 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> HatlibError:
    """The error for a name that is not in a catalogue, with the nearest one that is.

    >>> str(unknown("data set", "sett5", ["set5", "set14"]))
    "unknown data set 'sett5'; did you mean 'set5'? Known: set5, set14"
    """
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return HatlibError(f"unknown {kind} '{name}'; {hint}Known: {', '.join(names)}")
