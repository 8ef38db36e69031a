"""One kind of error for everything that a user can put right: one line, what was wrong and what
would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 300  # characters of an unknown name that a message repeats


class HatlibError(ValueError):
    """Bad input. The message is one line; commands print it and exit with 2.

    Public functions raise it for values out of range and for values of a wrong kind alike ("8"
    where a number is wanted): `hatlib.validation` has the limits and the words. TypeError is left
    to what Python itself checks, the number and the names of arguments.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> HatlibError:
    """The error for a name that is not in a catalogue, with the nearest one that is.

    >>> str(unknown("data set", "sett5", ["set5", "set14"]))
    "unknown data set 'sett5'; did you mean 'set5'? Known: set5, set14"
    """
    names = list(known)
    if not isinstance(name, str):
        return HatlibError(f"{kind} is {name!r:.60}; it is one of {', '.join(names)}")
    near = difflib.get_close_matches(name[:SHOWN].lower(), names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return HatlibError(f"unknown {kind} '{_shown(name)}'; {hint}Known: {', '.join(names)}")


def _shown(name: str) -> str:
    """The beginning of a name on one line. What can't be printed is spelled out: half a pair of
    surrogates, from a file name that is no UTF-8, could not even be encoded."""
    start = name[:SHOWN] + ("…" if len(name) > SHOWN else "")
    return start if start.isprintable() else repr(start)[1:-1]
