"""How long an attribution map takes, with the path's steps in batches and one at a time.

    python -m benchmarks.attribution [--models hat-nano-x4 …] [--side 64] [--rule right]
        [--steps 50] [--rounds 3]
    python -m benchmarks.attribution --accuracy [--models …] [--side 64]

The two take turns; times are medians. The error is the difference between the map's sum and what it
has to be (`completeness`), as a share of that. `--accuracy` compares the default, 20 steps of the
midpoint rule, and the published 50 of the other with 500 of the midpoint rule, over three windows:
the error, how far the diffusion index is off, and how much of the map lies elsewhere. A name whose
weights are unavailable stands for a network with random ones, which takes the same time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import hatlib
from hatlib.system import devices

devices.prepare_cpu()  # before torch is imported

import numpy as np
import torch

from hatlib import HatlibError, attribution, models
from hatlib.data import builtin
from hatlib.imaging.resize import imresize
from hatlib.weights import files

EXACT = 500  # steps of the midpoint rule that stand for the integral


def network(name: str) -> models.Network:
    """A network by the name of weights or, with random weights, by its own: "hat", or "hat-nano-x4"
    without weights."""
    try:
        return files.load(name)
    except HatlibError:
        stem, _, scale = name.partition("-x")
        return models.create(stem, int(scale[:1] or 4)).eval()


def facade(side: int) -> np.ndarray:
    """LR of a corner of a built-in façade."""
    return imresize(builtin.builtin_image("facade-5")[: 4 * side, : 4 * side], 1 / 4)


def measure(
    model: models.Network, side: int, steps: int | None, rule: str, batch: int | None
) -> tuple[float, float]:
    """Seconds and error of one map, for the window in the middle of the façade."""
    window = (model.scale * side // 2 - 8, model.scale * side // 2 - 8, 16)
    start = time.perf_counter()
    result = attribution.lam(model, facade(side), window, steps, rule=rule, batch=batch)
    return time.perf_counter() - start, error(result)


def error(result: attribution.Attribution) -> float:
    attributed, change = result.completeness
    return abs(attributed - change) / abs(change)


def accuracy(model: models.Network, side: int) -> dict[str, list[float]]:
    """For each rule: the largest error, the largest difference of the diffusion index, and the
    largest share of the map that lies elsewhere, over windows along the diagonal."""
    found: dict[str, list[list[float]]] = {rule: [] for rule in attribution.STEPS}
    for part in (0.25, 0.5, 0.75):
        at = int(model.scale * side * part) - 8
        exact = attribution.lam(model, facade(side), (at, at, 16), EXACT, rule="midpoint")
        for rule, rows in found.items():
            result = attribution.lam(model, facade(side), (at, at, 16), rule=rule)
            elsewhere = np.abs(shares(result.map) - shares(exact.map)).sum() / 2
            index = abs(result.diffusion_index - exact.diffusion_index)
            rows.append([error(result), index, elsewhere])
    return {rule: np.max(rows, axis=0).tolist() for rule, rows in found.items()}


def shares(values: np.ndarray) -> np.ndarray:
    return values / values.sum()


def print_accuracy(networks: dict[str, models.Network], side: int) -> None:
    print(f"{'network':<18}{'rule':<10}{'steps':>6}{'error':>9}{'index':>8}{'elsewhere':>11}")
    for name, model in networks.items():
        for rule, (off, index, elsewhere) in accuracy(model, side).items():
            print(
                f"{name:<18}{rule:<10}{attribution.STEPS[rule]:>6}{off:9.2%}{index:8.3f}"
                f"{elsewhere:11.2%}",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--models", nargs="+", default=["rcan-nano-x4", "swinir-nano-x4", "hat-nano-x4"]
    )
    parser.add_argument(
        "--side", type=int, default=64, help="of the LR image, in pixels; at most 96"
    )
    parser.add_argument("--rule", choices=attribution.STEPS, default="midpoint")
    parser.add_argument("--steps", type=int, help="by default as many as the rule brings")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--accuracy", action="store_true", help="errors instead of times")
    asked = parser.parse_args(arguments)
    device = devices.device()
    networks = {name: network(name).to(device) for name in asked.models}
    if asked.accuracy:
        print_accuracy(networks, asked.side)
        return
    steps = asked.steps or attribution.STEPS[asked.rule]
    print(
        f"hatlib {hatlib.__version__}, torch {torch.__version__}, {device.type}, "
        f"{torch.get_num_threads()} threads; LR {asked.side}×{asked.side}, {steps} steps, "
        f"rule {asked.rule}, medians of {asked.rounds}"
    )
    print(f"{'network':<18}{'in batches, s':>14}{'one at a time, s':>18}{'ratio':>8}{'error':>9}")
    for name, model in networks.items():
        times: dict[int | None, list[float]] = {None: [], 1: []}
        for _ in range(asked.rounds):
            for batch, measured in times.items():
                seconds, off = measure(model, asked.side, steps, asked.rule, batch)
                measured.append(seconds)
        batched, single = (statistics.median(measured) for measured in times.values())
        print(
            f"{name:<18}{batched:14.2f}{single:18.2f}{single / batched:8.2f}{off:9.2%}", flush=True
        )


if __name__ == "__main__":
    main()
