"""Tables that grow in a file, and what is recorded in the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd
import pytest

from experiments import command, tables
from hatlib import HatlibError
from hatlib.evaluation import results
from tests.helpers import ROOT


def test_a_table_grows_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    table = tables.Table(path)
    assert not table.has(model="a")
    table.add([{"model": "a", "psnr": 1 / 3}])
    table.add([{"model": "b", "psnr": 2 / 3}])
    again = tables.Table(path)
    assert again.has(model="a", psnr=1 / 3) and again.has(model="b")
    assert not again.has(model="a", psnr=2 / 3) and not again.has(model="a", lr="matlab")
    assert again.rows.equals(table.rows)


def test_reading_and_writing_change_no_digit(tmp_path: Path) -> None:
    """A row that is read is written again, and a parser may be off by the last bit."""
    path = tmp_path / "table.csv"
    rows = [{"loss": 0.1 + k / 7919} for k in range(1000)]
    table = tables.Table(path)
    table.add(rows)
    before = path.read_text()
    tables.write(path, tables.read(path))
    assert path.read_text() == before


def test_a_picture_called_by_a_number_is_found(tmp_path: Path) -> None:
    tables.Table(tmp_path / "t.csv").add([{"image": "101085", "seed": 0}])
    again = tables.Table(tmp_path / "t.csv")
    assert again.has(image="101085", seed=0)
    assert not again.has(image="101085", seed=1) and not again.has(image="10108")


def test_rows_that_another_process_adds_stay(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    mine, other = tables.Table(path), tables.Table(path)
    other.add([{"seed": 0}])
    mine.add([{"seed": 1}])
    assert list(tables.read(path)["seed"]) == [0, 1]


def test_outdated_rows_of_a_network_are_dropped_and_those_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    pd.DataFrame(
        {"model": ["a", "a", "b"], "weights": ["old", "new", "old"], "psnr": [1, 2, 3]}
    ).to_csv(path, index=False)
    table = tables.Table(path, {"a": {"weights": "new"}})
    assert list(table.rows["psnr"]) == [2, 3]
    table.add([{"model": "a", "weights": "new", "psnr": 4}])
    assert list(tables.read(path)["psnr"]) == [2, 3, 4]


def test_what_is_recorded_can_be_read() -> None:
    for name in results.names():
        assert len(results.table(name))
    with pytest.raises(HatlibError, match="no results of 'nothing' are recorded"):
        results.table("nothing")


def test_every_recorded_table_is_written_by_an_experiment() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "experiments").glob("*.py")]
    strings = {
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {f"{name}.csv" for name in results.names()} <= strings


# --- commands -------------------------------------------------------------------------------------


def test_an_error_of_a_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise HatlibError("no such set")

    with pytest.raises(SystemExit) as stopped:
        command.run(main)
    assert stopped.value.code == "error: no such set"


def test_every_experiment_is_a_command_and_listed() -> None:
    import experiments

    listed = {
        line.split()[0]
        for line in (experiments.__doc__ or "").splitlines()
        if line.startswith("    ") and line.split()[0] != "NAME"
    }
    folder = ROOT / "experiments"
    modules = {
        path.stem for path in folder.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
    }
    packages = {path.parent.name for path in folder.glob("*/__main__.py")}
    assert listed == modules | packages
