"""Training speed: our loop and networks against the usual way, in patches a second.

    python -m benchmarks.throughput [--networks srcnn rcan-nano …] [--steps 10] [--rounds 3]
        [--json FILE]

The usual way: HR and LR files decoded by a DataLoader with two workers, cropped and flipped there,
and the readable arithmetic (`fused=False`: step by step as the papers have it), float32. Ours:
`hatlib.training.loop.fit` as it is, in float32 and in the precision that it chooses. Same network,
patch, batch, loss and optimiser. Each measurement has its own process, the usual way with the
system's own settings and ours with hatlib's; the cases take turns, so that whatever else the
machine does meets all of them; the numbers are medians of the rounds. "of peak" is the share of the
speed of a large matrix product, measured before, that the multiply-adds of a step (three times
those of a forward pass) come to.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hatlib
from hatlib.system import devices

devices.prepare_cpu()  # before torch is imported

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.speed import ENVIRONMENT, matrix_product, peak_speeds
from hatlib import models
from hatlib.imaging.convert import crop_to_multiple
from hatlib.imaging.io import load_image, save_image
from hatlib.imaging.resize import imresize
from hatlib.inference.precision import arithmetic
from hatlib.models import complexity
from hatlib.system import atomic, torch_settings
from hatlib.system.devices import device
from hatlib.system.machine import hardware
from hatlib.training import loop, recipes

WORKERS = 2
WARM_UP = 3  # steps before the clock starts


class Files(Dataset):
    """Pairs of files, decoded each time one is asked for, as BasicSR does it."""

    def __init__(self, folder: Path, recipe: recipes.Recipe, length: int):
        self.paths, self.recipe, self.length = sorted(folder.glob("*_hr.png")), recipe, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        path = self.paths[index % len(self.paths)]
        hr, lr = load_image(path), load_image(path.with_name(path.name.replace("_hr", "_lr")))
        p, s = self.recipe.patch_size, self.recipe.scale
        y, x = (int(np.random.randint(side - p + 1)) for side in lr.shape[:2])
        pair = lr[y : y + p, x : x + p], hr[y * s : (y + p) * s, x * s : (x + p) * s]
        if np.random.rand() < 0.5:
            pair = pair[0][:, ::-1], pair[1][:, ::-1]
        turns = np.random.randint(4)
        low, high = (
            np.ascontiguousarray(np.rot90(image, turns)).astype(np.float32) / 255 for image in pair
        )
        return torch.from_numpy(low.transpose(2, 0, 1)), torch.from_numpy(high.transpose(2, 0, 1))


def usual(recipe: recipes.Recipe, steps: int) -> tuple[float, float | None]:
    """Trains for some steps the usual way; seconds, and nothing about the share that was not
    arithmetic."""
    network = models.create(recipe.model, recipe.scale).train().to(device())
    models.set_fused(network, False)
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)

    def step(lr: torch.Tensor, hr: torch.Tensor) -> None:
        loss = (network(lr.to(device())) - hr.to(device())).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    with photographs(photos()) as folder:
        loader = iter(
            DataLoader(
                Files(folder, recipe, 10**6), recipe.batch_size, shuffle=True, num_workers=WORKERS
            )
        )
        for _ in range(WARM_UP):
            step(*next(loader))
        start = time.perf_counter()
        for _ in range(steps):
            step(*next(loader))
        return time.perf_counter() - start, None


def ours(recipe: recipes.Recipe, steps: int) -> tuple[float, float | None]:
    """The same with `hatlib.fit`, and the share of time that was not arithmetic."""
    ends: list[float] = []
    done = loop.fit(
        recipe, photos(), progress=False, callbacks=[lambda run: ends.append(time.perf_counter())]
    )
    return ends[-1] - ends[-1 - steps], done.waiting / done.seconds


CASES = {"usual": {}, "ours, fp32": {"precision": "fp32"}, "ours": {}}


def measure(name: str, case: str, steps: int) -> tuple[float, float | None]:
    """One measurement, in this process."""
    recipe = recipes.recipe(f"{name}-x4", steps=steps + WARM_UP, warmup_steps=1, **CASES[case])
    return usual(recipe, steps) if case == "usual" else ours(recipe, steps)


def in_a_process(name: str, case: str, steps: int) -> tuple[float, float | None]:
    """One measurement, in a process of its own."""
    asked = ["--networks", name, "--steps", str(steps), "--case", case]
    command = [sys.executable, "-m", "benchmarks.throughput", *asked]
    settings = ENVIRONMENT if case == "usual" else {}
    done = subprocess.run(
        command,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, share = json.loads(done.stdout.splitlines()[-1])
    return seconds, share


def work(recipe: recipes.Recipe) -> float:
    """GFLOP of a patch: forward, and as much again for the gradients of the maps and of the
    weights."""
    network = models.create(recipe.model, recipe.scale)
    return 3 * 2 * complexity.multiply_adds(network, recipe.patch_size, recipe.patch_size) / 1e9


def compare(name: str, steps: int, rounds: int, peaks: dict[str, float]) -> list[dict[str, Any]]:
    measured: dict[str, list[tuple[float, float | None]]] = {case: [] for case in CASES}
    for _ in range(rounds):
        for case in CASES:
            measured[case].append(in_a_process(name, case, steps))
    recipe = recipes.recipe(f"{name}-x4")
    batch = recipe.batch_size
    chosen = arithmetic(
        models.create(recipe.model, recipe.scale), recipe.precision, device(), training=True
    )
    precision = {"usual": "fp32", "ours, fp32": "fp32", "ours": chosen}
    speed = {
        case: steps * batch / statistics.median(seconds for seconds, _ in measured[case])
        for case in CASES
    }
    shares = {case: [share for _, share in measured[case] if share is not None] for case in CASES}
    return [
        {
            "network": name,
            "case": case,
            "precision": precision[case],
            "patches_a_second": round(speed[case], 1),
            "times_the_usual": round(speed[case] / speed["usual"], 2),
            "of_peak": round(speed[case] * work(recipe) / peaks[precision[case]], 2),
            "outside_arithmetic": round(statistics.median(shares[case]), 4)
            if shares[case]
            else None,
        }
        for case in CASES
    ]


def photos() -> list[np.ndarray]:
    """Photographs whose sides are multiples of the scale."""
    return [
        crop_to_multiple(image, 4) for image in hatlib.data.datasets.hr_images("bsds500", limit=40)
    ]


@contextlib.contextmanager
def photographs(images: list[np.ndarray]) -> Iterator[Path]:
    """A folder with HR and LR files."""
    with tempfile.TemporaryDirectory() as name:
        for number, image in enumerate(images):
            save_image(Path(name) / f"{number:03}_hr.png", image)
            save_image(Path(name) / f"{number:03}_lr.png", imresize(image, 1 / 4))
        yield Path(name)


def main() -> None:
    import pandas as pd

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--networks", nargs="+", default=["srcnn", "rcan-nano", "swinir-nano", "hat-nano"]
    )
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--case", choices=list(CASES), help="only this one, once, in this process: its seconds"
    )
    asked = parser.parse_args()
    if asked.case:
        print(json.dumps(measure(asked.networks[0], asked.case, asked.steps)))
        return
    peaks = peak_speeds()
    with torch_settings.tf32(True):  # which a CPU does not have, and no network gets there
        peaks["tf32"] = matrix_product(torch.float32)
    rows = [
        row for name in asked.networks for row in compare(name, asked.steps, asked.rounds, peaks)
    ]
    print(
        f"{hardware()}; a matrix product: "
        + ", ".join(f"{name} {peak:.0f} GFLOP/s" for name, peak in peaks.items())
    )
    print(
        f"batch 8, LR patch 32 (srcnn: 24), ×4; {asked.steps} steps per round, "
        f"medians of {asked.rounds} rounds"
    )
    print(pd.DataFrame(rows).to_string(index=False))
    if asked.json:
        atomic.write_text(
            asked.json, json.dumps({"hardware": hardware(), "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
