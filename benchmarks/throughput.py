"""Training speed: our loop and networks against the usual way, in patches a second.

    python benchmarks/throughput.py [--networks swinir-nano hat-nano] [--steps 10] [--rounds 3] [--json FILE]

The usual way: HR and LR files decoded by a DataLoader with two workers, cropped and flipped there, and the published
arithmetic computed step by step (`plain.py`), float32. Ours: `hatlib.training.fit` as it is, in float32 and in the
precision that it chooses. Same network, patch, batch, loss and optimiser. The cases take turns, so that whatever else
the machine does meets all of them; the numbers are medians of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hatlib  # before torch: settles how waiting threads wait  # isort: skip
import numpy as np
import torch
from plain import Plain
from torch.utils.data import DataLoader, Dataset

from hatlib import files, models, training
from hatlib.images import load_image, save_image
from hatlib.models.swinir import WindowNetwork
from hatlib.resize import imresize
from hatlib.runtime import device, hardware

WORKERS = 2


class Files(Dataset):
    """Pairs of files, decoded each time one is asked for, as BasicSR does it."""

    def __init__(self, folder: Path, recipe: training.Recipe, length: int):
        self.paths, self.recipe, self.length = sorted(folder.glob("*_hr.png")), recipe, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        path = self.paths[index % len(self.paths)]
        hr, lr = load_image(path), load_image(path.with_name(path.name.replace("_hr", "_lr")))
        p, s = self.recipe.patch, self.recipe.scale
        y, x = (int(np.random.randint(side - p + 1)) for side in lr.shape[:2])
        pair = lr[y : y + p, x : x + p], hr[y * s : (y + p) * s, x * s : (x + p) * s]
        if np.random.rand() < 0.5:
            pair = pair[0][:, ::-1], pair[1][:, ::-1]
        turns = np.random.randint(4)
        low, high = (np.ascontiguousarray(np.rot90(image, turns)).astype(np.float32) / 255 for image in pair)
        return torch.from_numpy(low.transpose(2, 0, 1)), torch.from_numpy(high.transpose(2, 0, 1))


def usual(recipe: training.Recipe, folder: Path, steps: int) -> Callable[[], float]:
    """A function that trains for some steps the usual way and returns the seconds."""
    network = models.create(recipe.model, recipe.scale).train().to(device())
    plain: Any = Plain(network) if isinstance(network, WindowNetwork) else network
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    pairs = Files(folder, recipe, 10**6)

    def run() -> float:
        loader = iter(DataLoader(pairs, recipe.batch, shuffle=True, num_workers=WORKERS))
        step(*next(loader))  # the workers have started
        start = time.perf_counter()
        for _ in range(steps):
            step(*next(loader))
        return time.perf_counter() - start

    def step(lr: torch.Tensor, hr: torch.Tensor) -> None:
        loss = (plain(lr.to(device())) - hr.to(device())).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    return run


def ours(recipe: training.Recipe, images: list[np.ndarray], steps: int, waiting: list[float]) -> Callable[[], float]:
    """The same with `training.fit`; notes the share of time that was not arithmetic."""
    def run() -> float:
        done = training.fit(recipe, images, progress=False, listeners=[moments.append_time])
        waiting.append(done.waiting / done.seconds)
        return moments.seconds(steps)

    moments = Moments()
    return run


class Moments:
    """When steps ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def append_time(self, run: training.Run) -> None:
        self.times.append(time.perf_counter())

    def seconds(self, steps: int) -> float:
        """Of the last so many steps."""
        return self.times[-1] - self.times[-1 - steps]


def compare(name: str, steps: int, rounds: int, folder: Path, images: list[np.ndarray]) -> list[dict[str, Any]]:
    recipe = training.recipe(f"{name}-x4", steps=steps + 1, warm_up=1)
    exact = training.recipe(f"{name}-x4", steps=steps + 1, warm_up=1, precision="fp32")
    shares: dict[str, list[float]] = {"ours, fp32": [], "ours": []}
    cases = {"usual": usual(recipe, folder, steps), "ours, fp32": ours(exact, images, steps, shares["ours, fp32"]),
             "ours": ours(recipe, images, steps, shares["ours"])}
    seconds: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, run in cases.items():
            seconds[case].append(run())
    speed = {case: steps * recipe.batch / statistics.median(times) for case, times in seconds.items()}
    return [{"network": name, "case": case, "patches_a_second": round(speed[case], 1),
             "times_the_usual": round(speed[case] / speed["usual"], 2),
             "outside_arithmetic": round(statistics.median(shares[case]), 4) if case in shares else None}
            for case in cases]


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
    parser.add_argument("--networks", nargs="+", default=["swinir-nano", "hat-nano"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    images = [image[: image.shape[0] // 4 * 4, : image.shape[1] // 4 * 4]
              for image in hatlib.datasets.hr_images("bsds500", limit=40)]
    with photographs(images) as folder:
        rows = [row for name in asked.networks for row in compare(name, asked.steps, asked.rounds, folder, images)]
    print(f"{hardware()}; batch 8, LR patch 32, ×4; {asked.steps} steps a round, medians of {asked.rounds} rounds")
    print(pd.DataFrame(rows).to_string(index=False))
    if asked.json:
        files.write_text(asked.json, json.dumps({"hardware": hardware(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
