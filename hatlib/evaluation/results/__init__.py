"""Results of experiments that take hours: small tables, kept in the package beside this file.

Each is written by a command of its own, `python -m experiments.NAME`, which resumes where it was
interrupted.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from hatlib.errors import HatlibError

if TYPE_CHECKING:
    import pandas as pd


def names() -> list[str]:
    """The tables that are recorded."""
    files = resources.files("hatlib.evaluation.results").iterdir()
    return sorted(file.name.removesuffix(".csv") for file in files if file.name.endswith(".csv"))


def table(name: str) -> pd.DataFrame:
    """A table by the name of its experiment, one row per run.

    Raises:
        HatlibError: nothing of that name has been recorded.
    """
    import pandas as pd

    if name not in names():
        known = ", ".join(names()) or "nothing so far"
        raise HatlibError(f"no results of '{name}' are recorded; recorded: {known}")
    path = resources.files("hatlib.evaluation.results").joinpath(f"{name}.csv")
    with path.open(encoding="utf-8") as file:
        return pd.read_csv(file)
