"""How one notebook went: what the runner fills in and the pages show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hatlib.validation import Name, Natural, NotNegative, validated

# "absent": not asked for now, and nothing left from an earlier run
State = Literal["waiting", "running", "passed", "failed", "absent"]
ENDED = ("passed", "failed")


@validated
class Record:
    """What course.json says of a notebook, checked as it is read."""

    name: Name
    state: State
    done: Natural = 0
    seconds: NotNegative = 0.0
    error: str = ""
    date: str = ""
    warnings: list[str] = field(default_factory=list)


@dataclass
class Result:
    """One notebook's run. `seconds` is wall time, including the kernel's start."""

    name: str  # file name without suffix, such as 03_srcnn
    title: str
    promise: str  # the notebook's first paragraph, as Markdown
    cells: int  # code cells that are not empty
    state: State = "waiting"
    done: int = 0  # code cells that have finished
    seconds: float = 0.0
    error: str = ""  # the last line of the error that stopped it
    date: str = ""  # when it ended, UTC
    warnings: list[str] = field(default_factory=list)  # first lines of what cells wrote to stderr

    @property
    def minutes(self) -> float:
        return self.seconds / 60

    @property
    def ran(self) -> bool:
        """Whether it has run to an end, in this run or in an earlier one."""
        return self.state in ENDED

    def count(self) -> None:
        """One more cell has finished."""
        self.done += 1
