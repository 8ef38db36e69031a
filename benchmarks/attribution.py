"""How long an attribution map takes, with the path's steps in batches and one at a time.

    python -m benchmarks.attribution [--models hat-nano-x4 …] [--side 64] [--steps 50] [--rounds 3]

The two take turns; times are medians. The error is the difference between the map's sum and what it
has to be (`completeness`), as a share of that: 20 steps of the midpoint rule come closer than the
paper's 50 of the other, in less than half the time. A name whose weights are unavailable stands for
a network with random ones, which takes the same time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import hatlib
from hatlib.system import devices

devices.prepare_cpu()  # before torch is imported

import torch

from hatlib import HatlibError, attribution, models
from hatlib.data import builtin
from hatlib.imaging.resize import imresize
from hatlib.weights import files


def network(name: str) -> models.Network:
    """A network by the name of weights or, with random weights, by its own: "hat", or "hat-nano-x4"
    without weights."""
    try:
        return files.load(name)
    except HatlibError:
        stem, _, scale = name.partition("-x")
        return models.create(stem, int(scale[:1] or 4)).eval()


def measure(
    model: models.Network, side: int, steps: int, rule: str, batch: int | None
) -> tuple[float, float]:
    """Seconds and error of one map, for the window in the middle of the built-in façade."""
    lr = imresize(builtin.builtin_image("facade-5")[: 4 * side, : 4 * side], 1 / 4)
    window = (model.scale * side // 2 - 8, model.scale * side // 2 - 8, 16)
    start = time.perf_counter()
    result = attribution.lam(model, lr, window, steps, rule=rule, batch=batch)
    seconds = time.perf_counter() - start
    attributed, change = result.completeness
    return seconds, abs(attributed - change) / abs(change)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--models", nargs="+", default=["rcan-nano-x4", "swinir-nano-x4", "hat-nano-x4"]
    )
    parser.add_argument(
        "--side", type=int, default=64, help="of the LR image, in pixels; at most 96"
    )
    parser.add_argument("--steps", type=int, default=attribution.STEPS)
    parser.add_argument("--rule", choices=attribution.RULES, default="right")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    device = devices.device()
    print(
        f"hatlib {hatlib.__version__}, torch {torch.__version__}, {device.type}, "
        f"{torch.get_num_threads()} threads; LR {asked.side}×{asked.side}, {asked.steps} steps, "
        f"rule {asked.rule}, medians of {asked.rounds}"
    )
    print(f"{'network':<18}{'in batches, s':>14}{'one at a time, s':>18}{'ratio':>8}{'error':>9}")
    for name in asked.models:
        model = network(name).to(device)
        times: dict[int | None, list[float]] = {None: [], 1: []}
        for _ in range(asked.rounds):
            for batch, measured in times.items():
                seconds, error = measure(model, asked.side, asked.steps, asked.rule, batch)
                measured.append(seconds)
        batched, single = (statistics.median(measured) for measured in times.values())
        print(
            f"{name:<18}{batched:14.2f}{single:18.2f}{single / batched:8.2f}{error:9.2%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
