"""Does a network that uses more pixels reconstruct better? Diffusion index and PSNR in a hundred
windows and more.

    python -m experiments.lam_study [--models NAME…] [--images 100] [--steps 10] [--out FILE]

HAT's paper shows one picture, in which HAT's attribution map is the widest and its result the best
(arXiv 2205.04437). This asks the same of one window in each picture of Urban100. The windows are
drawn by chance with a fixed seed, and do not depend on any network: LR is made by the protocol of
the papers; of it a square of 64×64 is cut out, and in the middle of that lies a window of 16×16 SR
pixels. A draw counts if luma varies in the window by at least 10 grey levels (standard deviation),
because where there is no detail there is none to attribute.

A row a window and network: diffusion index (midpoint rule), what was attributed and what it has to
be, PSNR on luma in the window of the network and of bicubic, which see the same 64×64 LR pixels.
Rows that are in the table already, of the same weights and steps, are not computed again, so the
command can be stopped and started at any time. Then it prints the summary and draws the figure.
Published weights that are here already take part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import hatlib  # before torch: settles how waiting threads wait
from hatlib import HatlibError, attribution, models, plotting
from hatlib.attribution import Attribution
from hatlib.data import datasets
from hatlib.imaging import metrics
from hatlib.imaging.convert import luma
from hatlib.imaging.resize import imresize
from hatlib.system import atomic, devices
from hatlib.weights import catalogue, files

if TYPE_CHECKING:
    import pandas as pd

OUT = Path(hatlib.__file__).parent / "evaluation" / "results" / "lam-study.csv"
FIGURE = Path(__file__).with_name("lam-study.png")
NANO = ("rcan-nano-x4", "swinir-nano-x4", "hat-nano-x4")
SCALE, SIDE, WINDOW = 4, 64, 16  # LR crop in LR pixels, window in SR pixels
LIVELY = 10.0  # grey levels
KEY = ["image", "model", "weights", "steps"]  # what makes a row the same
IN_CROP = ((SCALE * SIDE - WINDOW) // 2, (SCALE * SIDE - WINDOW) // 2, WINDOW)


@dataclass(frozen=True)
class Place:
    """A crop with its window in the middle."""

    image: str
    top: int  # of the crop, in LR pixels
    left: int
    lr: np.ndarray  # uint8 (64, 64, 3)
    hr: np.ndarray  # uint8 (16, 16, 3): the window


def draw(pair: datasets.Pair, seed: int) -> Place | None:
    """The first of a thousand draws that has detail in its window; None where there is none, or no
    room for a crop."""
    rng = np.random.default_rng(seed)
    rooms = [side - SIDE for side in pair.lr.shape[:2]]
    if min(rooms) < 0:
        return None
    offset = IN_CROP[0]
    for _ in range(1000):
        top, left = (int(rng.integers(0, room + 1)) for room in rooms)
        hr = plotting.crop(pair.hr, (SCALE * top + offset, SCALE * left + offset, WINDOW, WINDOW))
        if luma(hr).std() >= LIVELY:
            return Place(pair.name, top, left, pair.lr[top : top + SIDE, left : left + SIDE], hr)
    return None


def places(pairs: Sequence[datasets.Pair]) -> Iterator[Place]:
    """One a picture; its number is the seed, so that the windows do not depend on how many pictures
    are asked for."""
    for seed, pair in enumerate(pairs):
        if place := draw(pair, seed):
            yield place


def measure(model: models.Network, place: Place, steps: int) -> dict[str, Any]:
    """The numbers of a row."""
    found: Attribution = attribution.lam(model, place.lr, IN_CROP, steps, rule="midpoint")
    inside = (*IN_CROP[:2], WINDOW, WINDOW)
    network = metrics.psnr(plotting.crop(found.sr, inside), place.hr)
    bicubic = metrics.psnr(plotting.crop(imresize(place.lr, SCALE), inside), place.hr)
    attributed, change = found.completeness
    return {
        "di": round(found.diffusion_index, 4),
        "psnr": round(network, 4),
        "bicubic": round(bicubic, 4),
        "gain": round(network - bicubic, 4),
        "attributed": round(attributed, 4),
        "change": round(change, 4),
    }


def fingerprint(model: models.Network) -> str:
    """A few characters that change with the weights, and a word, so that no table takes them for a
    number."""
    return f"sha256:{files.fingerprint(model)[:8]}"


def networks(names: Sequence[str], untrained: bool) -> dict[str, models.Network]:
    """Those asked for; by default the nano networks and the published ×4 weights that are on this
    machine."""
    wanted = names or [*NANO, *catalogue.present(SCALE)]
    if not untrained:
        return {name: files.load(name) for name in wanted}
    devices.seed_everything(0)
    return {name: models.create(name.removesuffix("-x4"), SCALE).eval() for name in wanted}


def recorded(out: Path) -> pd.DataFrame:
    """The rows so far."""
    import pandas as pd

    if not out.is_file():
        return pd.DataFrame(columns=KEY)
    return pd.read_csv(out)


def run(
    made: dict[str, models.Network],
    pairs: Sequence[datasets.Pair],
    steps: int,
    out: Path,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Computes the rows that are missing, writing the table after each picture; returns the rows of
    these networks.

    Rows of the same networks with other weights or steps are dropped; those of other networks stay
    in the file.
    """
    import pandas as pd

    table, prints = recorded(out), {name: fingerprint(model) for name, model in made.items()}
    stated = zip(table["model"], table["weights"], table["steps"], strict=True)
    valid = [
        name not in prints or (weights, count) == (prints[name], steps)
        for name, weights, count in stated
    ]
    table = table[np.array(valid, dtype=bool)]
    there = set(table[KEY].itertuples(index=False, name=None))
    for place in places(pairs):
        rows = []
        for name, model in made.items():
            key = (place.image, name, prints[name], steps)
            if key not in there:
                head = dict(zip(KEY, key, strict=True))
                rows.append(
                    {**head, "top": place.top, "left": place.left, **measure(model, place, steps)}
                )
        if rows:
            table = pd.concat([table, pd.DataFrame(rows)]) if len(table) else pd.DataFrame(rows)
            atomic.write_text(out, table.to_csv(index=False, lineterminator="\n"))
            say(
                f"{place.image}: "
                + ", ".join(f"{r['model']} DI {r['di']:.2f} {r['gain']:+.2f} dB" for r in rows)
            )
    return table[table["model"].isin(prints)].reset_index(drop=True)


# --- what the table says --------------------------------------------------------------------------


def bootstrap(
    statistic: Callable[[np.ndarray], float], windows: int, draws: int = 2000
) -> tuple[float, float, float]:
    """A statistic of a set of windows, and its 95 % interval when the windows are drawn again with
    replacement.

    Args:
        statistic: takes the numbers of the windows (int array) and gives a value.
    """
    rng = np.random.default_rng(0)
    values = [statistic(rng.integers(0, windows, windows)) for _ in range(draws)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(statistic(np.arange(windows))), float(low), float(high)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's: the correlation of the ranks, equal values sharing theirs; 0 where one of them is
    constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) - (np.size(values) + 1) / 2 for values in (x, y)]
    scale = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float((ranks[0] * ranks[1]).sum() / scale) if scale else 0.0


def _mean(values: np.ndarray, windows: np.ndarray) -> float:
    return float(values[windows].mean())


def _correlation(x: np.ndarray, y: np.ndarray, windows: np.ndarray) -> float:
    return rank_correlation(x[windows].ravel(), y[windows].ravel())


def summary(table: pd.DataFrame) -> list[tuple[str, float, float, float]]:
    """(what, value, low, high): means and rank correlations, each with its 95 % interval over the
    windows.

    "between networks" compares networks in the same window: of DI and of gain the mean over the
    networks is taken off.
    """
    wide = {
        column: table.pivot(index="image", columns="model", values=column).dropna()
        for column in ("di", "gain")
    }
    di, gain = wide["di"].to_numpy(), wide["gain"].to_numpy()  # (windows, networks)
    lines = []
    for name, own_di, own_gain in zip(wide["di"].columns, di.T, gain.T, strict=True):
        lines.append((f"{name}: DI", *bootstrap(partial(_mean, own_di), len(di))))
        lines.append(
            (f"{name}: gain over bicubic, dB", *bootstrap(partial(_mean, own_gain), len(di)))
        )
        within = bootstrap(partial(_correlation, own_di, own_gain), len(di))
        lines.append((f"{name}: rank correlation of DI and gain", *within))
    if di.shape[1] > 1:
        apart = [values - values.mean(axis=1, keepdims=True) for values in (di, gain)]
        between = bootstrap(partial(_correlation, *apart), len(di))
        lines.append(("between networks in the same window: rank correlation", *between))
    return lines


def figure(table: pd.DataFrame) -> Any:
    """DI against gain, a point a window, coloured by network; large points are the means."""
    groups = {
        str(name): (rows["di"].to_numpy(), rows["gain"].to_numpy())
        for name, rows in table.groupby("model")
    }
    return plotting.scatter(groups, "diffusion index", "PSNR gain over bicubic in the window, dB")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--models", nargs="+", default=[], help="weights by name; by default the nano networks"
    )
    parser.add_argument(
        "--images", type=int, default=100, help="only the first so many pictures of Urban100"
    )
    parser.add_argument("--data", default="urban100", help="another set, to try the command")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument(
        "--untrained", action="store_true", help="random weights, to try the command"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    made = networks(asked.models, asked.untrained)
    table = run(
        made,
        datasets.load(asked.data, SCALE, gray="rgb", limit=asked.images),
        asked.steps,
        asked.out,
    )
    if not len(table):
        raise HatlibError(
            f"no picture of {asked.data} has room for a crop of {SIDE}×{SIDE} LR pixels with detail"
        )
    for what, value, low, high in summary(table):
        print(f"{what:<58}{value:8.2f}   95 %: {low:.2f} to {high:.2f}")
    missed = (table["attributed"] - table["change"]).abs() / table["change"].abs()
    print(
        f"completeness: {missed.median():.2%} of the change in detail is missed (median of all rows)"
    )
    if asked.out == OUT:
        figure(table).savefig(FIGURE, dpi=120)


if __name__ == "__main__":
    main()
