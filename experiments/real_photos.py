"""What training on real-world degradation gains on degraded pictures, and costs on clean ones.

    python -m experiments.real_photos [--models hat-nano-x4 hat-nano-real-x4] [--chains 10]
                                      [--pictures DIR] [--out FILE]

The same network twice: trained on bicubic LR, and on LR from random chains of blur, resizing,
noise, JPEG and sharpening (`hatlib.imaging.real_world`). Both upscale sixteen pictures that neither
was trained on, eight portraits and eight of Urban100: LR made by ten random chains for each
picture, the same for all networks, and clean LR by the protocol of the papers. Bicubic
interpolation is the measure.

The table has one row per picture, chain and network: PSNR on luma. Rows of other weights are
dropped. A chain's number is its seed, so more chains leave the others as they are. The command
prints the means, and the differences of the two networks with confidence intervals over the
pictures. `--pictures` also writes three of them as each network made them, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments import command, tables
from experiments.bootstrap import Interval, mean
from hatlib import models, plotting
from hatlib.data import datasets
from hatlib.imaging.metrics import psnr
from hatlib.imaging.real_world import real_world
from hatlib.inference.upscale import upscale
from hatlib.system import atomic, console
from hatlib.weights import files

if TYPE_CHECKING:
    import pandas as pd

OUT = tables.RESULTS / "real-photos.csv"
MODELS = ("hat-nano-x4", "hat-nano-real-x4")
SCALE = 4
CHAINS = 10
CLEAN = "clean"
SETS = ("portraits", "urban100")
EACH = 8


def lrs(pair: datasets.Pair, number: int, chains: int) -> Iterator[tuple[str, np.ndarray]]:
    """(chain, LR) of the number-th picture: the clean one, and those of the random chains."""
    yield CLEAN, pair.lr
    for chain in range(chains):
        yield str(chain), real_world(pair.hr, SCALE, np.random.default_rng((number, chain)))[0]


def run(
    networks: Mapping[str, models.Network],
    pairs: Sequence[datasets.Pair],
    chains: int,
    out: Path,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Measures what is missing, writing the table after each picture; returns the rows of these
    networks."""
    facts = {name: {"weights": tables.fingerprint(model)} for name, model in networks.items()}
    table = tables.Table(out, facts)
    for number, pair in enumerate(pairs):
        rows = []
        for chain, lr in lrs(pair, number, chains):
            for name, model in networks.items():
                head = {"image": pair.name, "chain": chain, "model": name, **facts[name]}
                if not table.has(**head):
                    sr = upscale(model, lr, precision="fp32")
                    rows.append({**head, "psnr": round(psnr(sr, pair.hr, shave=SCALE), 4)})
        if rows:
            table.add(rows)
        say(f"{pair.name}: {len(rows)} measured" if rows else f"{pair.name}: recorded before")
    return table.rows[table.rows["model"].isin(list(networks))].reset_index(drop=True)


def by_picture(table: pd.DataFrame, clean: bool) -> pd.DataFrame:
    """PSNR, (pictures, networks): on clean LR, or the mean over the chains."""
    rows = table[(table["chain"] == CLEAN) == clean]
    return rows.pivot_table(index="image", columns="model", values="psnr", aggfunc="mean")


def summary(table: pd.DataFrame, first: str, second: str) -> dict[str, Interval]:
    """What the second network has over the first, in dB, on degraded and on clean LR."""
    found = {}
    for kind, clean in (("degraded", False), ("clean", True)):
        scores = by_picture(table, clean)
        found[kind] = mean((scores[second] - scores[first]).to_numpy())
    return found


def pictures(
    networks: Mapping[str, models.Network], pairs: Sequence[datasets.Pair], folder: Path
) -> None:
    """Writes what each network makes of the first chain of the first, middle and last picture."""
    console.make_folder(folder)
    for number in (0, len(pairs) // 2, len(pairs) - 1):
        pair = pairs[number]
        lr = dict(lrs(pair, number, 1))["0"]
        results = {name: upscale(model, lr) for name, model in networks.items()}
        with atomic.atomic_path(folder / f"{pair.name}.png") as path:
            plotting.comparison(lr, results, pair.hr).savefig(path, dpi=150)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.options(__doc__, OUT)
    parser.add_argument("--models", nargs=2, default=list(MODELS), help="weights by name or file")
    parser.add_argument("--chains", type=int, default=CHAINS)
    parser.add_argument("--data", nargs="+", default=list(SETS), help="other sets")
    parser.add_argument("--each", type=int, default=EACH, help="so many pictures of each set")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also draw three of them")
    asked = parser.parse_args(arguments)
    networks = {"bicubic": models.create("bicubic", SCALE)} | {
        name: files.load(name) for name in asked.models
    }
    pairs = [
        pair
        for data in asked.data
        for pair in datasets.load(data, SCALE, gray="rgb", limit=asked.each)
    ]
    table = run(networks, pairs, asked.chains, asked.out)
    means = {
        kind: by_picture(table, clean).mean()
        for kind, clean in (("degraded", False), ("clean", True))
    }
    for name in networks:
        print(f"{name:<20}" + "".join(f"{kind} {means[kind][name]:6.2f} dB   " for kind in means))
    for kind, (value, low, high) in summary(table, *asked.models).items():
        print(f"{asked.models[1]} on {kind}: {value:+.2f} dB   95 %: {low:+.2f} to {high:+.2f}")
    if asked.pictures:
        pictures(networks, pairs, asked.pictures)


if __name__ == "__main__":
    command.run(main)
