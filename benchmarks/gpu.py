"""All that is to be known of a GPU, in one run, for the day on which one is at hand.

    python -m benchmarks.gpu --out DIR [--seconds 540] [--only STAGE…] [--train RECIPE] [--dry]

The stages (`benchmarks.gpu_stages`) follow one another, each in a process of its own, which is
killed at its limit. Every row is written as soon as it is measured, so nothing is lost when the
machine is. In DIR: rows.jsonl, one row per line; summary.md, the same as tables; log.txt, what the
stages print; and what was trained. That is at most five files, none over 16 MB. A second run with
the same DIR adds rows and trains on.

`--dry` takes the smallest of everything, on whatever device there is: to try this file before the
day.

A rented GPU often comes with torch and without a network. The stages need pydantic beside what such
machines have, and the notebooks Jupyter; a stage whose packages are missing is left out and says
which. They fit into 20 MB of wheels, carried along (here for Python 3.12), without torch:

    W='--dest wheels --only-binary :all: --python-version 3.12 --platform manylinux_2_28_x86_64'
    pip download $W pydantic pooch ipywidgets ipykernel nbclient
    pip install --no-index --find-links wheels pydantic pooch ipywidgets ipykernel nbclient
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatlib.system import atomic

# Seconds of 540 for each stage, in order; the last one takes what is left. About eight of them go
# into starting the process.
LIMITS = {
    "machine": 25,
    "parity": 90,
    "speed": 90,
    "compiled": 75,
    "training": 60,
    "lam": 25,
    "tests": 45,
    "notebooks": 90,
    "weights": 40,
}
ALL = sum(LIMITS.values())
# What the stages import, by the names of import; and some of them beside it.
PACKAGES = ["torch", "numpy", "scipy", "skimage", "PIL", "pandas", "safetensors", "accelerate"]
PACKAGES += ["pydantic", "tqdm"]
MORE_PACKAGES = {
    "tests": ("pytest",),
    "notebooks": ("nbclient", "ipykernel", "ipywidgets", "matplotlib"),
}
ROWS = "rows.jsonl"
Row = dict[str, Any]


# --- stages as processes --------------------------------------------------------------------------


def run_stage(command: Sequence[str], limit: float, log: Path) -> str:
    """Runs a command, with what it prints added to a log.

    Returns:
        How it ended: "done", "failed" or "killed at its limit".
    """
    with log.open("a", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return "failed" if process.wait(limit) else "done"
        except subprocess.TimeoutExpired:
            return "killed at its limit"
        finally:
            # also what the stage itself has started, such as the kernels of notebooks
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def missing(stage: str) -> list[str]:
    """The packages that a stage needs and that are not installed, by the names of import."""
    needed = (*PACKAGES, *MORE_PACKAGES.get(stage, ()))
    return [name for name in needed if importlib.util.find_spec(name) is None]


def run_all(asked: argparse.Namespace) -> None:
    """All stages that were asked for, within the time."""
    out: Path = asked.out
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + asked.seconds
    stages = asked.only or list(LIMITS)
    share = asked.seconds / sum(LIMITS[stage] for stage in stages)
    for stage in stages:
        left = end - time.monotonic()
        limit = left if stage == stages[-1] else min(left, share * LIMITS[stage])
        command = [sys.executable, "-m", "benchmarks.gpu_stages", stage, str(out / ROWS)]
        command += ["--seconds", f"{limit:.0f}", "--train", asked.train]
        began = time.monotonic()
        if lacking := missing(stage):
            ended = f"left out: {', '.join(lacking)} not installed"
        elif limit <= 1:
            ended = "left out: no time left"
        else:
            ended = run_stage(command + ["--dry"] * asked.dry, limit, out / "log.txt")
        took = round(time.monotonic() - began, 1)
        append(out / ROWS, {"stage": stage, "ended": ended, "took_s": took})
        print(f"{stage}: {ended} after {took:.0f} s", flush=True)
        atomic.write_text(out / "summary.md", summary(read(out / ROWS)))


# --- rows -----------------------------------------------------------------------------------------


def append(path: Path, row: Row) -> None:
    """Adds a row to a file, at once and for good."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[Row]:
    """The rows of a file; half a line, of a process that was killed, is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def summary(rows: Sequence[Row]) -> str:
    """Markdown with a table for each kind of rows, and how each stage ended."""
    parts = ["# GPU\n"]
    kinds = dict.fromkeys((row["stage"], row.get("what", "")) for row in rows if "ended" not in row)
    for stage, what in kinds:
        those = [row for row in rows if (row["stage"], row.get("what", "")) == (stage, what)]
        those = [
            {key: value for key, value in row.items() if key not in ("stage", "what")}
            for row in those
            if "ended" not in row
        ]
        parts += [f"\n## {stage}{': ' * bool(what)}{what}\n\n", *table(those)]
    ended = [row for row in rows if "ended" in row]
    return "".join([*parts, "\n## Stages\n\n", *table(ended)])


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of a Markdown table, with all columns that any row has."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[cell(row.get(column)) for column in columns] for row in rows]
    return [f"| {' | '.join(line)} |\n" for line in lines]


def cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "/").replace("\n", " ")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder for results")
    parser.add_argument("--seconds", type=float, default=ALL, help="for everything")
    parser.add_argument("--only", nargs="+", choices=list(LIMITS), help="only these stages")
    parser.add_argument("--train", default="hat-nano-x4", help="the recipe of the last stage")
    parser.add_argument("--dry", action="store_true", help="the smallest of everything")
    run_all(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
