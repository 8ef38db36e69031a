"""Exercises: each has a check for the learner's function, and a solution that passes it.

In a notebook the learner fills in a stub and calls `exercises.check("01.1", my_function)`, which
prints one line: passed, not done yet, or what is wrong. One module per notebook (`start`,
`degradation`, `metrics`, `srcnn` …) holds the solutions and the checks. A check takes an attempt
and raises `Wrong` with the mistake that it recognises.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hatlib.course.progress import passed, record_pass
from hatlib.errors import unknown

MODULES = {
    "00": "start",
    "01": "degradation",
    "02": "metrics",
    "03": "srcnn",
    "04": "rcan",
    "05": "windows",
    "06": "swinir",
    "07": "lam",
    "08": "hat",
    "09": "training",
    "10": "reproduction",
    "11": "photos",
}


class Wrong(Exception):
    """The attempt is wrong; the message names the mistake in the learner's terms."""


@dataclass(frozen=True)
class Exercise:
    """An exercise: what the notebook shows above it, its check, and its solution."""

    id: str
    title: str
    difficulty: int  # 1 (a line) to 5 (an evening)
    minutes: int
    solution: Callable[..., Any]
    test: Callable[[Callable[..., Any]], None]
    none_is_an_answer: bool = False  # elsewhere None means that `return` was forgotten

    @property
    def source(self) -> str:
        """The solution's code, as the notebook shows it."""
        return inspect.getsource(self.solution).strip()


_exercises: dict[str, Exercise] = {}


def exercise(
    id: str,
    title: str,
    *,
    difficulty: int,
    minutes: int,
    solution: Callable[..., Any],
    none_is_an_answer: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers the decorated function as the check of an exercise."""

    def register(test: Callable[..., None]) -> Callable[..., None]:
        _exercises[id] = Exercise(id, title, difficulty, minutes, solution, test, none_is_an_answer)
        return test

    return register


def all_exercises() -> list[Exercise]:
    """Every exercise of the course, in order."""
    for module in MODULES.values():
        importlib.import_module(f"hatlib.course.exercises.{module}")
    return [_exercises[key] for key in sorted(_exercises)]


def get(id: str) -> Exercise:
    """One exercise by its number, such as "01.2"."""
    if module := MODULES.get(id[:2]):
        importlib.import_module(f"hatlib.course.exercises.{module}")
    if id not in _exercises:
        raise unknown("exercise", id, [e.id for e in all_exercises()])
    return _exercises[id]


def verdict(id: str, attempt: Callable[..., Any]) -> tuple[str, str]:
    """(state, message) of a learner's function; the state is "passed", "open" or "wrong"."""
    try:
        get(id).test(_watched(attempt, get(id).none_is_an_answer))
    except NotImplementedError:
        return "open", "not done yet: write the function's body, then run this cell again"
    except Wrong as mistake:
        return "wrong", str(mistake)
    except Exception as error:
        return "wrong", f"the check stopped with {type(error).__name__}: {error}"
    return "passed", get(id).title


def _watched(attempt: Callable[..., Any], none_is_an_answer: bool) -> Callable[..., Any]:
    """The learner's function; it raises `Wrong`, with the line, where it fails or returns None."""

    @functools.wraps(attempt)
    def watched(*arguments: Any, **named: Any) -> Any:
        try:
            result = attempt(*arguments, **named)
        except (NotImplementedError, Wrong):
            raise
        except Exception as error:
            reason = (str(error).splitlines() or ["no message"])[0]
            kind = type(error).__name__
            raise Wrong(
                f"the function stopped{_place(attempt, error)} with {kind}: {reason}"
            ) from error
        expect(
            none_is_an_answer or result is not None,
            "the function returned nothing: does it end with `return`?",
        )
        return result

    return watched


def _place(attempt: Callable[..., Any], error: Exception) -> str:
    """ " at `line`", the line of the learner's code that failed; "" if it cannot be found."""
    file = getattr(getattr(attempt, "__code__", None), "co_filename", None)
    lines = [
        frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file
    ]
    return f" at `{lines[-1]}`" if lines and lines[-1] else ""


def check(id: str, attempt: Callable[..., Any]) -> None:
    """Prints one line: the learner's function passed, is not done yet, or what is wrong with it.

    Never raises. `progress` lists what has passed.
    """
    state, message = verdict(id, attempt)
    if state == "passed":
        record_pass(id)
    mark = {"passed": "✓", "open": "○", "wrong": "✗"}[state]
    _print(f"{mark} {id}  {message}")


def progress() -> None:
    """Prints each notebook's exercises; a tick marks those that have passed on this machine."""
    done = passed()
    everything = all_exercises()
    width = max(map(len, MODULES.values()))  # of the longest name: the counts stay aligned
    for number, module in MODULES.items():
        own = [item.id for item in everything if item.id.startswith(number)]
        marks = "  ".join(f"{'✓' if id in done else '○'} {id}" for id in own)
        count = sum(id in done for id in own)
        _print(f"{number} {module:<{width}}  {count} of {len(own)}   {marks}")
    _print(f"passed: {sum(item.id in done for item in everything)} of {len(everything)}")


def _print(text: str) -> None:
    # A Windows console may lack the tick and the circle.
    print(text if can_print(text) else text.encode("ascii", "replace").decode())


def can_print(text: str) -> bool:
    """Whether the console's encoding has all of the text's characters."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def expect(condition: bool, mistake: str) -> None:
    """Raises Wrong(mistake) unless the condition holds."""
    if not condition:
        raise Wrong(mistake)


def recognise(got: Any, mistakes: Mapping[str, Any], tolerance: float = 1e-6) -> None:
    """Raises Wrong if `got` is the result of a known mistake: message → that result."""
    for mistake, result in mistakes.items():
        expect(not close(got, result, tolerance), mistake)


def close(actual: Any, expected: Any, tolerance: float = 1e-6) -> bool:
    """Whether two numbers or arrays have one shape and agree to `tolerance`; None, NaN never do."""
    if actual is None:
        return False
    a, b = (
        np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, dtype=np.float64)
        for x in (actual, expected)
    )
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= tolerance))
