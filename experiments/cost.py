"""What the papers' networks cost: parameters, multiply-adds and seconds, side by side in one run.

    python -m experiments.cost [--networks rcan swinir hat] [--side 64] [--rounds 7]

The survey says that SwinIR is competitive for its "efficient use of parameters and faster inference
times". The networks take turns, once in each round, so that whatever else the machine does slows
all of them. Seconds are medians over the rounds, in float32, with random weights, on which time
does not depend. Ratios of one run mean something; the seconds themselves are of that machine on
that day. The table has one row per network and is measured anew each time. CLAIMS.md quotes it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import pandas as pd
import torch

from experiments import command, tables
from hatlib import models
from hatlib.models import complexity
from hatlib.system import devices

OUT = tables.RESULTS / "cost.csv"


def seconds(network: models.Network, lr: torch.Tensor) -> float:
    """Of one forward pass; .item() waits for the device."""
    start = time.perf_counter()
    with torch.inference_mode():
        network(lr).sum().item()
    return time.perf_counter() - start


def measure(names: Sequence[str], side: int, rounds: int) -> pd.DataFrame:
    """One row per network, for an LR image of side×side at ×4."""
    device = devices.device()
    networks = {name: models.create(name, 4).eval().to(device) for name in names}
    lr = torch.rand(1, 3, side, side, device=device)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        for name, network in networks.items():
            duration = seconds(network, lr)
            if turn:  # the first round warms up
                times[name].append(duration)
    conditions = {
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "device": device.type,
        "torch": torch.__version__,
    }
    return pd.DataFrame(
        [
            {
                "network": name,
                "lr": side,
                "parameters": complexity.parameters(network),
                "multiply_adds": complexity.multiply_adds(network, side, side),
                "seconds": round(statistics.median(times[name]), 3),
                "least": round(min(times[name]), 3),
                "most": round(max(times[name]), 3),
                **conditions,
            }
            for name, network in networks.items()
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.options(__doc__, OUT)
    parser.add_argument("--networks", nargs="+", default=["rcan", "swinir", "hat"])
    parser.add_argument("--side", type=int, default=64, help="of the LR image, a multiple of 16")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args(arguments)
    table = measure(asked.networks, asked.side, asked.rounds)
    tables.write(asked.out, table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    command.run(main)
