"""Exercises: each has a check for the learner's function, and a solution that passes it.

In a notebook the learner fills in a stub and calls `exercises.check("01.1", my_function)`, which
prints one line: passed, not done yet, or what is wrong. One module per notebook (`start`,
`degradation`, `metrics`, `srcnn` …) holds the solutions and the checks. A check takes an attempt
and raises `Wrong` with the mistake that it recognises.
"""

from __future__ import annotations

import csv
import inspect
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hatlib.course.exercises import probes
from hatlib.course.exercises.answers import answer, forget, put_in, remember, same_picture
from hatlib.course.exercises.console import show
from hatlib.course.exercises.probes import Guard, Wrong, described
from hatlib.course.exercises.registry import MODULES, Exercise, all_exercises, get
from hatlib.course.progress import passed, record_pass
from hatlib.system import atomic

__all__ = [
    "MODULES",
    "Exercise",
    "all_exercises",
    "answer",
    "check",
    "export",
    "get",
    "progress",
    "put_in",
    "same_picture",
    "verdict",
]


def verdict(id: str, attempt: Callable[..., Any]) -> tuple[str, str]:
    """(state, message) of a learner's function; the state is "passed", "open" or "wrong"."""
    item = get(id)
    if not callable(attempt):
        return "wrong", f"hand over the function itself, {item.name}, not what it returns"
    names = list(inspect.signature(item.solution).parameters)
    guard = Guard(attempt, names, item.none_is_an_answer, item.forbids, item.returns)
    try:
        probes.look(guard, item.solution, item.cases)
        item.test(guard)
        probes.run(guard, item.solution, item.cases, item.tolerance, item.compare)
    except NotImplementedError:
        return "open", "not done yet: write the function's body, then run this cell again"
    except Wrong as mistake:
        return "wrong", str(mistake)
    except Exception as error:
        said = f"{described(guard.last)} was returned, which cannot be what the docstring asks for"
        return "wrong", f"{said} ({type(error).__name__}: {error})"
    return "passed", item.title


def check(id: str, attempt: Callable[..., Any]) -> None:
    """Prints one line: the learner's function passed, is not done yet, or what is wrong with it.

    Never raises. `progress` lists what has passed, `answer` hands out the function.
    """
    state, message = verdict(id, attempt)
    forget(id)
    if state == "passed":
        record_pass(id)
        remember(id, attempt)
    mark = {"passed": "✓", "open": "○", "wrong": "✗"}[state]
    show(f"{mark} {id}  {message}")


def progress() -> None:
    """Prints each notebook's exercises; a tick marks those that have passed on this machine."""
    done = passed()
    everything = all_exercises()
    width = max(map(len, MODULES.values()))  # of the longest name: the counts stay aligned
    for number, module in MODULES.items():
        own = [item.id for item in everything if item.id.startswith(number)]
        marks = "  ".join(f"{'✓' if id in done else '○'} {id}" for id in own)
        count = sum(id in done for id in own)
        show(f"{number} {module:<{width}}  {count} of {len(own)}   {marks}")
    show(f"passed: {sum(item.id in done for item in everything)} of {len(everything)}")


def export(path: str | os.PathLike[str]) -> Path:
    """Writes a CSV table of all exercises: a row each, with when it was first passed (UTC) or "".

    The columns are notebook, exercise, title, difficulty, minutes, passed. A file of that name is
    replaced.
    """
    done = passed()
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["notebook", "exercise", "title", "difficulty", "minutes", "passed"])
    everything = all_exercises()
    for item in everything:
        when = done.get(item.id, "")
        table.writerow([item.id[:2], item.id, item.title, item.difficulty, item.minutes, when])
    atomic.write_text(Path(path), text.getvalue())
    count = sum(item.id in done for item in everything)
    show(f"{count} of {len(everything)} exercises passed: {path}")
    return Path(path)
