"""The list of all exercises: a module per notebook registers its own."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hatlib.course.exercises.parts import Part
from hatlib.course.exercises.probes import Cases, difference
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


@dataclass(frozen=True)
class Exercise:
    """An exercise: what the notebook shows above it, its check, and its solution."""

    id: str
    title: str
    difficulty: int  # 1 (a line) to 5 (an evening)
    minutes: int
    solution: Callable[..., Any]
    test: Callable[[Callable[..., Any]], None]
    cases: Cases  # label → arguments; without any, the test alone decides
    tolerance: float = 1e-6  # of the largest value
    compare: Callable[[Any, Any, float], str] = difference  # with the solution's: "" if equal
    returns: str = ""  # what is returned, where it is several things: "two numbers, (down, right)"
    forbids: Mapping[str, str] = field(default_factory=dict)  # function, or "loop" → what to say
    none_is_an_answer: bool = False  # elsewhere None means that `return` was forgotten
    part: Part | None = None  # of a network: what the function can stand in for

    @property
    def source(self) -> str:
        """The solution's code, as the notebook shows it."""
        return inspect.getsource(self.solution).strip()

    @property
    def name(self) -> str:
        """Of the function, in stub and solution."""
        return self.solution.__name__


_exercises: dict[str, Exercise] = {}


def exercise(
    id: str,
    title: str,
    *,
    difficulty: int,
    minutes: int,
    solution: Callable[..., Any],
    cases: Cases = lambda draw: {},
    **more: Any,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers the decorated function as the check of an exercise; arguments as in `Exercise`."""

    def register(test: Callable[..., None]) -> Callable[..., None]:
        _exercises[id] = Exercise(id, title, difficulty, minutes, solution, test, cases, **more)
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
