"""Results of experiments that take hours: small tables, kept in the package beside this file.

Each is written by an experiment, `python -m experiments.NAME`, which can be interrupted and
resumed; `experiments/__init__.py` lists them.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from hatlib.errors import HatlibError

if TYPE_CHECKING:
    import pandas as pd


def names() -> list[str]:
    """The tables that are here."""
    files = resources.files("hatlib.evaluation.results").iterdir()
    return sorted(file.name.removesuffix(".csv") for file in files if file.name.endswith(".csv"))


def table(name: str) -> pd.DataFrame:
    """A table by its name, one row per run, image or network.

    Raises:
        HatlibError: nothing of that name has been recorded.
    """
    import pandas as pd

    if name not in names():
        known = ", ".join(names()) or "nothing so far"
        raise HatlibError(f"no results of '{name}' are recorded; recorded: {known}")
    with (
        resources.files("hatlib.evaluation.results")
        .joinpath(f"{name}.csv")
        .open(encoding="utf-8") as file
    ):
        return pd.read_csv(file)
