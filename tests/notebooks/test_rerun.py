"""A reader who goes back: every cell from the third on runs once more in the same kernel.

It takes as long as the course twice, so it runs where HATLIB_RERUN is set: every week in CI.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import nbformat
import pytest

from tests.helpers import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.skipif("HATLIB_RERUN" not in os.environ, reason="HATLIB_RERUN is not set")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run_again_after_the_last(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hatlib.course import kernel

    monkeypatch.setenv("HATLIB_PROFILE", "quick")
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    again = [copy.deepcopy(cell) for cell in code[2:]]
    for cell in again:
        cell.id = f"{cell.id}-again"
    notebook.cells = [*code, *again]
    error = kernel.execute(
        notebook, path.parent, kernel.environment(), 900.0, lambda: None, kernel.Running()
    )
    assert error == ""
