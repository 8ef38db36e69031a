"""benchmarks.gpu: stages end at their limit, with what they have started, and what was measured
before stays."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu
from tests.helpers import ROOT

# writes the id of a process that it starts, and does not end, as that one does not
STARTS_ANOTHER = """
import subprocess, sys
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(other.pid))
print("started", flush=True)
other.wait()
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a process whose parent has not looked at it yet is a name without a body
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.is_file() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.skipif(os.name == "nt", reason="groups of processes are others on Windows")
def test_a_stage_is_killed_at_its_limit_with_all_that_it_started(tmp_path: Path) -> None:
    note, log = tmp_path / "pid", tmp_path / "log.txt"
    command = [sys.executable, "-c", STARTS_ANOTHER, str(note)]
    assert gpu.run_stage(command, 5, log) == "killed at its limit"
    assert log.read_text() == "started\n"
    for _ in range(100):
        if not is_alive(int(note.read_text())):
            break
        time.sleep(0.1)
    assert not is_alive(int(note.read_text()))


@pytest.mark.parametrize("code, ended", [("", "done"), ("1 / 0", "failed")])
def test_how_a_stage_ended(code: str, ended: str, tmp_path: Path) -> None:
    assert gpu.run_stage([sys.executable, "-c", code], 60, tmp_path / "log.txt") == ended


def test_rows_are_read_but_for_the_half_of_one_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / gpu.ROWS
    assert gpu.read(path) == []
    gpu.append(path, {"stage": "speed", "ms": 1.5})
    with path.open("a") as file:
        file.write('{"stage": "sp')
    assert gpu.read(path) == [{"stage": "speed", "ms": 1.5}]


def test_the_summary_has_a_table_for_each_kind_of_rows() -> None:
    rows: list[gpu.Row] = [
        {"stage": "speed", "what": "forward", "network": "hat", "ms": 12.3456},
        {"stage": "speed", "what": "forward", "network": "rcan", "error": "a | b\nc"},
        {"stage": "speed", "ended": "killed at its limit", "took_s": 60.0},
    ]
    text = gpu.summary(rows)
    assert "## speed: forward\n\n| network | ms | error |\n| --- | --- | --- |\n" in text
    assert "| hat | 12.35 |  |\n" in text and "| rcan |  | a / b c |\n" in text
    assert "| speed | killed at its limit | 60 |\n" in text


def test_the_limits_fit_into_the_time_that_is_lent() -> None:
    assert gpu.ALL <= 540


def test_a_stage_whose_packages_are_missing_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    hidden = ("nbclient", "ipykernel")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in hidden else find(name)
    )
    monkeypatch.setattr(gpu, "run_stage", lambda command, limit, log: "done")
    gpu.main(["--out", str(tmp_path), "--only", "machine", "notebooks"])
    lines = [line.rpartition(" after ")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["machine: done", "notebooks: left out: nbclient, ipykernel not installed"]
    assert "left out: nbclient, ipykernel" in (tmp_path / "summary.md").read_text()


# Makes packages unfindable: those that a rented machine with a GPU does not have.
HIDDEN = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Hidden())
"""


def test_stages_start_without_packages_that_they_do_not_need(tmp_path: Path) -> None:
    hidden = ("pooch", "ipywidgets", "nbclient", "nbformat", "ipykernel", "jupyter_client", "yaml")
    (tmp_path / "sitecustomize.py").write_text(HIDDEN.format(hidden))
    script = (
        "import benchmarks.gpu_stages, benchmarks.gpu, sys\n"
        "print(benchmarks.gpu.missing.__name__, 'pooch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "missing False\n", done.stderr


def test_a_dry_run_writes_rows_and_a_summary(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry", "--only", "machine"]
    command += ["--out", str(tmp_path / "out"), "--seconds", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "machine: done" in done.stdout, (tmp_path / "out" / "log.txt").read_text()
    rows = [json.loads(line) for line in (tmp_path / "out" / gpu.ROWS).read_text().splitlines()]
    kinds = {row.get("what") for row in rows}
    assert kinds == {"facts", "products", "memory", "launches", None}  # None: how it ended
    assert not any("error" in row for row in rows)
    assert "## machine: products" in (tmp_path / "out" / "summary.md").read_text()
