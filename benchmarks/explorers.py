"""From slider to picture: milliseconds of every explorer's controls, against its budget.

    python -m benchmarks.explorers [--only NAME…] [--json FILE]

The time is that of setting a control's value in the kernel: the arithmetic, the PNG and passing it
to the widget. What the browser adds is not in it. The budget is 100 ms, or 1 s where a network
runs. Each explorer shows its own picture and network.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hatlib import HatlibError
from hatlib.course import widgets
from hatlib.system import atomic

EXPLORERS = [name for name in widgets.__all__ if name.endswith("_explorer") or name == "wipe"]
QUICK = 100  # ms
BUDGETS = {
    "query_explorer": 1000,
    "gates_explorer": 1000,
    "conv_scale_explorer": 1000,
    "lam_explorer": 1000,
}


def values(control: Any, count: int = 7) -> list[Any]:
    """Values to set a control to: evenly over a slider's range, all options of a list, or on and
    off."""
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    if not hasattr(control, "max"):
        return [False, True]
    steps = round((control.max - control.min) / control.step)
    return [control.min + control.step * (steps * k // (count - 1)) for k in range(count)]


def measure(control: Any, caption: Any) -> list[float]:
    """Milliseconds of each change, the first left out where there are others (it warms caches
    up)."""
    times = []
    start_value = control.value
    for value in [*values(control), start_value]:
        if value == control.value:
            continue
        start = time.perf_counter()
        control.value = value
        times.append(1000 * (time.perf_counter() - start))
        if "not drawn" in caption.value:
            raise SystemExit(f"{control.description} {value}: {caption.value}")
    return times[1:] or times


def rows_of(name: str) -> list[dict[str, Any]]:
    """One row per control of an explorer, printed as it is measured."""
    panel, _, caption = getattr(widgets, name)().children
    *controls, reset = panel.children
    budget = BUDGETS.get(name, QUICK)
    rows = []
    for control in controls:
        times = measure(control, caption)
        if not times:
            print(f"{name:<22}{control.description:<48} has one value only")
            continue
        median = statistics.median(times)
        row = {
            "explorer": name,
            "control": control.description,
            "median_ms": median,
            "slowest_ms": max(times),
            "budget_ms": budget,
        }
        rows.append(row)
        numbers = f"{median:>10.0f}{max(times):>12.0f}{budget:>10}"
        print(f"{name:<22}{control.description:<48}{numbers}")
        reset.click()
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only",
        nargs="+",
        choices=EXPLORERS,
        default=EXPLORERS,
        metavar="NAME",
        help=", ".join(EXPLORERS),
    )
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    asked = parser.parse_args(arguments)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    print(f"{'explorer':<22}{'control':<48}{'median ms':>10}{'slowest ms':>12}{'budget':>10}")
    rows = []
    for name in asked.only:
        try:
            rows += rows_of(name)
        except HatlibError as error:  # weights that are unavailable
            print(f"{name:<22}not measured: {error}")
    within = sum(row["median_ms"] <= row["budget_ms"] for row in rows)
    print(f"{within} of {len(rows)} controls redraw within their budget (median)")
    if asked.json:
        atomic.write_text(asked.json, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
