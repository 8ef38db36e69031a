"""Slider moved to picture changed, for every explorer, on a 512×512 photo; the aim is 100 ms.

    python benchmarks/explorers.py [--json FILE]

The time is that of setting a control's value in the kernel: the arithmetic, the PNG and handing it to the widget.
What the browser adds is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

from hatlib import files, widgets
from hatlib.pictures import builtin

EXPLORERS = {"degradation": widgets.degradation_explorer, "metrics": widgets.metrics_explorer}
GOAL = 100  # ms


def values(control: Any, count: int = 7) -> list[Any]:
    """Values to put a control through: evenly over a slider's range, or all options of a list."""
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    steps = round((control.max - control.min) / control.step)
    return [control.min + control.step * (steps * k // (count - 1)) for k in range(count)]


def measure(control: Any) -> list[float]:
    """Milliseconds of each change, the first left out (it warms caches up)."""
    times = []
    start_value = control.value
    for value in [*values(control), start_value]:
        if value == control.value:
            continue
        start = time.perf_counter()
        control.value = value
        times.append(1000 * (time.perf_counter() - start))
    return times[1:] or times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", help="also write the table to this file")
    photo, rows = builtin("astronaut"), []
    arguments = parser.parse_args()
    import torch  # after hatlib, as in a notebook: hatlib says how its threads are to wait

    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, photo 512×512")
    print(f"{'explorer':<13}{'control':<48}{'median ms':>10}{'slowest ms':>12}")
    for name, make in EXPLORERS.items():
        for control in make(photo).children[0].children[:-1]:  # the last one is the reset button
            times = measure(control)
            rows.append({"explorer": name, "control": control.description, "median_ms": statistics.median(times),
                         "slowest_ms": max(times)})
            print(f"{name:<13}{control.description:<48}{rows[-1]['median_ms']:>10.0f}{rows[-1]['slowest_ms']:>12.0f}")
    slow = [row for row in rows if row["median_ms"] > GOAL]
    print(f"{len(rows) - len(slow)} of {len(rows)} controls redraw within {GOAL} ms (median)")
    if arguments.json:
        files.write_text(Path(arguments.json), json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
