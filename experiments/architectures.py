"""RCAN, SwinIR or HAT? The course's networks with several seeds, on whole sets.

    python -m experiments.architectures [FILE…] [--sets set5 set14 urban100] [--out FILE]

Networks of one size, nano or light, have about the same multiply-adds and were trained by the same
recipe on the same data; only these are compared with each other. A difference of a few hundredths
of a dB between two of them can be the networks', the seed's, or that of the pictures at hand. So
every network takes part with each seed that there is: the weights in the package, and the files
named, such as those of `hatlib train hat-nano-x4 --set seed=1`. A file's card says which network,
how many steps and which seed it is of.

The table has one row per picture and file: PSNR and SSIM by the protocol of the papers. What is
recorded of other seeds counts without its file; of a seed that was trained anew, the earlier rows
are dropped. The command prints, for each set, each network's mean and the range over its seeds;
then each pair of networks: the difference, its confidence interval over pictures alone (the same
pictures for both), and the one over pictures and seeds. The second is what can be said of the
architectures. With one seed each there is none, and nothing can be said of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import command, tables
from experiments.bootstrap import Interval, bootstrap, mean
from hatlib import HatlibError, models
from hatlib.data import datasets
from hatlib.evaluation import protocol
from hatlib.models import complexity
from hatlib.weights import files

if TYPE_CHECKING:
    import pandas as pd

OUT = tables.RESULTS / "architectures.csv"
SIZES = (("rcan-nano", "swinir-nano", "hat-nano"), ("swinir-light", "hat-light"))
NETWORKS = tuple(itertools.chain(*SIZES))
SETS = ("set5", "set14", "urban100")
SCALE = 4


@dataclass(frozen=True)
class Trained:
    """A file of weights, and what its card says."""

    model: str
    seed: int
    steps: int
    network: models.Network


def trained(source: str | Path) -> Trained:
    """Weights by name or file.

    Raises:
        HatlibError: no such weights, or none that `hatlib train` wrote.
    """
    card = files.card(source)
    training = card.get("training")
    if not training:
        raise HatlibError(f"{source} does not say how it was trained; hatlib train writes that")
    return Trained(
        card["model"], training["recipe"]["seed"], training["steps"], files.load(str(source))
    )


def run(
    entries: Sequence[Trained],
    sets: Mapping[str, Sequence[datasets.Pair]],
    out: Path,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Measures what is missing, writing the table after each set; returns these pictures' rows."""
    heads: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in entries:
        if (entry.model, entry.seed) in heads:
            raise HatlibError(f"{entry.model} is there twice with seed {entry.seed}")
        heads[entry.model, entry.seed] = {
            "model": entry.model,
            "seed": entry.seed,
            "steps": entry.steps,
            "weights": tables.fingerprint(entry.network),
        }
    table = tables.Table(out, heads, by=("model", "seed"))
    for entry, head in zip(entries, heads.values(), strict=True):
        for data, pairs in sets.items():
            missing = [p for p in pairs if not table.has(**head, data=data, image=p.name)]
            if missing:
                measured = protocol.evaluate(entry.network, missing).to_dict("records")
                table.add(
                    [
                        {
                            **head,
                            "data": data,
                            "image": row["name"],
                            "psnr": round(row["psnr"], 4),
                            "ssim": round(row["ssim"], 5),
                        }
                        for row in measured
                    ]
                )
            say(f"{entry.model}, seed {entry.seed}, {data}: {len(missing)} measured")
    asked = {(data, pair.name) for data, pairs in sets.items() for pair in pairs}
    places = zip(table.rows["data"], table.rows["image"].astype(str), strict=True)
    return table.rows[[place in asked for place in places]].reset_index(drop=True)


def scores(table: pd.DataFrame, data: str, model: str) -> np.ndarray:
    """PSNR, (pictures, seeds): the seeds that have been measured on all pictures."""
    rows = table[(table["data"] == data) & (table["model"] == model)]
    by_seed = rows.pivot(index="image", columns="seed", values="psnr")
    wide: np.ndarray = by_seed.dropna(axis="columns").to_numpy()
    return wide


def over_pictures(first: np.ndarray, second: np.ndarray) -> Interval:
    """The second network minus the first, means over seeds, with its interval over pictures.

    Args:
        first, second: (pictures, seeds), the same pictures.
    """
    return mean(second.mean(axis=1) - first.mean(axis=1))


def over_pictures_and_seeds(first: np.ndarray, second: np.ndarray) -> Interval | None:
    """The same with an interval over pictures and seeds; none where one of them has one seed.

    Each draw takes pictures, the same for both, and seeds, each network's own. With two or three
    seeds such an interval is too narrow rather than too wide: read it as the least that is open.
    """
    if min(first.shape[1], second.shape[1]) < 2:
        return None

    def statistic(pictures: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> float:
        return float(second[np.ix_(pictures, theirs)].mean() - first[np.ix_(pictures, ours)].mean())

    return bootstrap(statistic, len(first), first.shape[1], second.shape[1])


Pair = tuple[str, str]


def differences(table: pd.DataFrame, data: str) -> dict[Pair, tuple[Interval, Interval | None]]:
    """(first, second) → the second minus the first, in dB: over pictures, and over seeds too."""
    found = {}
    for size in SIZES:
        present = [name for name in size if name in set(table["model"])]
        for pair in itertools.combinations(present, 2):
            first, second = (scores(table, data, name) for name in pair)
            found[pair] = over_pictures(first, second), over_pictures_and_seeds(first, second)
    return found


def verdict(interval: Interval | None) -> str:
    """What may be said of two architectures."""
    if interval is None:
        return "one seed: nothing can be said of the architectures"
    if interval.low > 0:
        return "the second is ahead"
    if interval.high < 0:
        return "the first is ahead"
    return "no difference that pictures and seeds would not explain"


def report(table: pd.DataFrame) -> list[str]:
    """What the command prints."""
    lines = []
    for data in dict.fromkeys(table["data"]):
        lines.append(f"{data}:")
        for name in NETWORKS:
            values = scores(table, data, name).mean(axis=0) if name in set(table["model"]) else []
            if len(values):
                steps = sorted(set(table[table["model"] == name]["steps"]))
                spread = "one seed"
                if len(values) > 1:
                    spread = f"{len(values)} seeds from {min(values):.3f} to {max(values):.3f}"
                work = complexity.multiply_adds(models.create(name, SCALE)) / 1e9
                lines.append(
                    f"  {name:<12} {np.mean(values):.3f} dB, {spread}; "
                    f"{work:.2f} G multiply-adds; steps "
                    + ", ".join(f"{count:,}" for count in steps)
                )
        for (first, second), (pictures, both) in differences(table, data).items():
            also = f"; with seeds {both.low:+.3f} to {both.high:+.3f}" if both else ""
            lines.append(
                f"  {second} − {first}: {pictures.value:+.3f} dB, over pictures "
                f"{pictures.low:+.3f} to {pictures.high:+.3f}{also}: {verdict(both)}"
            )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.options(__doc__, OUT)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="weights of more seeds")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--limit", type=int, help="only so many pictures of a set")
    asked = parser.parse_args(arguments)
    packaged = [name for name in files.trained("bicubic") if files.card(name)["model"] in NETWORKS]
    entries = [trained(source) for source in [*packaged, *asked.files]]
    sets = {name: datasets.load(name, SCALE, gray="rgb", limit=asked.limit) for name in asked.sets}
    print("\n".join(report(run(entries, sets, asked.out))))


if __name__ == "__main__":
    command.run(main)
