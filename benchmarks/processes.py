"""Two processes at one folder against one: `hatlib upscale` alone and under torchrun, in turns.

    python -m benchmarks.processes [--model hat-nano-x4] [--images 60] [--side 64] [--processes 2]
        [--rounds 3]

Each run is the whole command, start-up and files included, on the same small pictures (crops of the
built-in ones). One process has all threads of the machine, several share them. The time of a
start-up is that of the same command with a single picture. The bytes of the results are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from hatlib.data import builtin
from hatlib.imaging.io import save_image
from hatlib.system.machine import hardware


def crops(folder: Path, count: int, side: int) -> None:
    """So many pictures of side×side pixels."""
    folder.mkdir()
    picture = builtin.builtin_image("facade-5")
    height, width = picture.shape[0] - side, picture.shape[1] - side
    for number in range(count):
        top, left = (37 * number) % height, (53 * number) % width
        save_image(folder / f"{number:03}.png", picture[top : top + side, left : left + side])


def seconds(source: Path, target: Path, model: str, processes: int) -> float:
    """Of the whole command."""
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command = [*launcher, "-m", "hatlib"] if processes > 1 else ["-m", "hatlib"]
    threads = max(1, torch.get_num_threads() // processes)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command, "upscale", source, target, "--model", model],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - start


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="hat-nano-x4")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--side", type=int, default=64, help="of a picture, in pixels")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    counts = (1, asked.processes)
    times: dict[int, list[float]] = {count: [] for count in counts}
    starts: dict[int, list[float]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        crops(root / "all", asked.images, asked.side)
        crops(root / "single", 1, asked.side)
        results = {}
        for turn in range(asked.rounds):
            for count in counts:
                where = root / f"{turn}-{count}"
                times[count].append(seconds(root / "all", where, asked.model, count))
                once = root / f"{turn}-{count}-once"
                starts[count].append(seconds(root / "single", once, asked.model, count))
                results[count] = contents(where)
    same = results[1] == results[asked.processes]
    print(f"{hardware()}; {asked.model}, {asked.images} pictures of {asked.side}×{asked.side}")
    print(f"{'processes':>9}{'seconds':>9}{'start-up':>10}")
    for count in counts:
        print(f"{count:>9}{statistics.median(times[count]):9.1f}"
              f"{statistics.median(starts[count]):10.1f}")  # fmt: skip
    alone, together = (statistics.median(times[count]) for count in counts)
    without = [statistics.median(times[c]) - statistics.median(starts[c]) for c in counts]
    print(
        f"{alone / together:.2f} times the speed, {without[0] / without[1]:.2f} without the "
        f"start-up; the results are {'the same bytes' if same else 'DIFFERENT'}"
    )


if __name__ == "__main__":
    main()
