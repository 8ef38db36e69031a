"""Result tables: CSV files in hatlib/evaluation/results/ that grow while an experiment runs.

A table is written whole each time rows are added, so that it is complete whenever the command is
stopped. What it holds already is not computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import hatlib
from hatlib.system import atomic
from hatlib.weights import files

if TYPE_CHECKING:
    import pandas as pd

    from hatlib.models import Network

RESULTS = Path(hatlib.__file__).parent / "evaluation" / "results"


def read(path: Path, **options: Any) -> pd.DataFrame:
    """The rows of a file; none where there is no file.

    Args:
        options: of pandas.read_csv.
    """
    import pandas as pd

    if not path.is_file():
        return pd.DataFrame()
    return pd.read_csv(path, **options)


def write(path: Path, rows: pd.DataFrame) -> None:
    """Writes a file whole or not at all; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, rows.to_csv(index=False, lineterminator="\n"))


def fingerprint(model: Network) -> str:
    """A few characters that change with the weights, and a word, so that no reader of the table
    takes them for a number."""
    return f"sha256:{files.fingerprint(model)[:8]}"


class Table:
    """A table in a file, and what is in it already.

    Attributes:
        rows: those of the file that still count.
    """

    def __init__(
        self,
        path: Path,
        current: Mapping[Any, Mapping[str, Any]] | None = None,
        by: Sequence[str] = ("model",),
    ) -> None:
        """Reads the file, if there is one.

        Args:
            current: network → what its rows have to say, such as {"weights": "sha256:…"}. Rows of
                these networks that say otherwise are dropped; those of other networks stay.
            by: the columns that tell networks apart; with several, a key of `current` is a tuple.
        """
        self.path = path
        self.current = {
            key if isinstance(key, tuple) else (key,): facts
            for key, facts in (current or {}).items()
        }
        self.by = by
        self.rows = self._read()

    def _read(self) -> pd.DataFrame:
        rows = read(self.path)
        for key, facts in self.current.items():
            if len(rows):
                own = _matching(rows, dict(zip(self.by, key, strict=True)))
                rows = rows[~own | _matching(rows, facts)]
        return rows.reset_index(drop=True)

    def has(self, **values: Any) -> bool:
        """Whether a row with these values is there."""
        return bool(_matching(self.rows, values).any())

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds rows and writes the file."""
        import pandas as pd

        new = pd.DataFrame(rows)
        before = self._read()  # again: another process may have added rows
        self.rows = pd.concat([before, new], ignore_index=True) if len(before) else new
        write(self.path, self.rows)


def _matching(rows: pd.DataFrame, values: Mapping[str, Any]) -> np.ndarray:
    """(rows,) bool: which of them have these values."""
    matching = np.ones(len(rows), dtype=bool)
    for name, value in values.items():
        if name not in rows:
            return np.zeros(len(rows), dtype=bool)
        # pictures may be called 101085: a file does not say that this is text
        column = rows[name].astype(str) if isinstance(value, str) else rows[name]
        matching &= (column == value).to_numpy()
    return matching
