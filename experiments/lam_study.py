"""Does a network that uses more pixels reconstruct better? Diffusion index and PSNR in a hundred
windows and more.

    python -m experiments.lam_study [--models NAME…] [--side 64] [--images 100] [--steps 10]
                                    [--out FILE]

HAT's paper shows one picture, in which HAT's attribution map is the widest and its result the best
(arXiv 2205.04437). This asks the same of one window in each picture of Urban100. The windows are
drawn at random with a fixed seed, and do not depend on any network. LR is made by the protocol of
the papers; a square of 64×64 is cut out of it, and in the middle of that lies a window of 16×16 SR
pixels. A draw counts if luma varies in the window by at least 10 grey levels (standard deviation),
because where there is no detail there is none to attribute.

The table has one row per window and network: the diffusion index (DI, midpoint rule), what was
attributed and what it has to be, and PSNR on luma in the window, of the network and of bicubic,
which are given the same 64×64 LR pixels. As the index grows with what there is to use, `--side 48`
asks again for the same windows with the 48×48 LR pixels around them, in a table of its own. Rows of
other weights or another number of steps are dropped. Then the command prints the summary and draws
the figure. Released weights that are on this machine take part; `hatlib fetch dat-light-x4` puts
DAT-light among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import command, tables
from experiments.bootstrap import Interval, bootstrap, mean
from hatlib import HatlibError, attribution, models, plotting
from hatlib.data import datasets
from hatlib.imaging import metrics
from hatlib.imaging.convert import luma
from hatlib.imaging.resize import imresize
from hatlib.system import atomic
from hatlib.weights import catalogue, files

if TYPE_CHECKING:
    import pandas as pd

OUT = tables.RESULTS / "lam-study.csv"
OUT_48 = tables.RESULTS / "lam-study-48.csv"  # with fewer pixels around the same windows
FIGURE = Path(__file__).with_name("lam-study.png")
NANO = ("rcan-nano-x4", "swinir-nano-x4", "hat-nano-x4")
LIGHT = ("swinir-light-course-x4", "hat-light-x4")  # windows of 8 and of 16
SCALE = 4
SIDE = 64  # of the LR crop, LR pixels
WINDOW = 16  # side, SR pixels
LIVELY = 10.0  # grey levels


def in_crop(side: int = SIDE) -> attribution.Window:
    """The window in the SR image of a crop: top row, left column, side."""
    corner = (SCALE * side - WINDOW) // 2
    return corner, corner, WINDOW


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
    offset = in_crop()[0]
    for _ in range(1000):
        top, left = (int(rng.integers(0, room + 1)) for room in rooms)
        hr = plotting.crop(pair.hr, (SCALE * top + offset, SCALE * left + offset, WINDOW, WINDOW))
        if luma(hr).std() >= LIVELY:
            return Place(pair.name, top, left, pair.lr[top : top + SIDE, left : left + SIDE], hr)
    return None


def places(pairs: Sequence[datasets.Pair]) -> Iterator[Place]:
    """One per picture. The picture's number is the seed, so that its window is the same however
    many pictures are asked for."""
    for seed, pair in enumerate(pairs):
        if place := draw(pair, seed):
            yield place


def measure(model: models.Network, place: Place, steps: int, side: int = SIDE) -> dict[str, Any]:
    """The numbers of a row, where the network is given side×side LR pixels around the window."""
    margin = (SIDE - side) // 2
    lr = plotting.crop(place.lr, (margin, margin, side, side))
    window = in_crop(side)
    result = attribution.lam(model, lr, window, steps, rule="midpoint")
    inside = (*window[:2], WINDOW, WINDOW)
    network = metrics.psnr(plotting.crop(result.sr, inside), place.hr)
    bicubic = metrics.psnr(plotting.crop(imresize(lr, SCALE), inside), place.hr)
    attributed, change = result.completeness
    return {
        "di": round(result.diffusion_index, 4),
        "psnr": round(network, 4),
        "bicubic": round(bicubic, 4),
        "gain": round(network - bicubic, 4),
        "attributed": round(attributed, 4),
        "change": round(change, 4),
    }


def networks(names: Sequence[str]) -> dict[str, models.Network]:
    """Those asked for; by default the nano and light networks, and the released ×4 weights that are
    on this machine."""
    wanted = names or [*NANO, *LIGHT, *catalogue.present(SCALE)]
    return {name: files.load(name) for name in wanted}


def run(
    networks: dict[str, models.Network],
    pairs: Sequence[datasets.Pair],
    steps: int,
    out: Path,
    say: Callable[[str], None] = print,
    side: int = SIDE,
) -> pd.DataFrame:
    """Computes the rows that are missing, writing the table after each picture; returns the rows of
    these networks."""
    facts = {
        name: {"weights": tables.fingerprint(model), "steps": steps}
        for name, model in networks.items()
    }
    table = tables.Table(out, facts)
    for place in places(pairs):
        rows = []
        for name, model in networks.items():
            head = {"image": place.image, "model": name, **facts[name]}
            if not table.has(**head):
                where = {"top": place.top, "left": place.left}
                rows.append({**head, **where, **measure(model, place, steps, side)})
        if rows:
            table.add(rows)
            results = [f"{r['model']} DI {r['di']:.2f} {r['gain']:+.2f} dB" for r in rows]
            say(f"{place.image}: {', '.join(results)}")
        else:
            say(f"{place.image}: recorded before")
    if table.rows.empty:
        return table.rows
    return table.rows[table.rows["model"].isin(list(networks))].reset_index(drop=True)


# --- what the table says --------------------------------------------------------------------------


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's: the correlation of the ranks, equal values sharing theirs; 0 where one of them is
    constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) - (np.size(values) + 1) / 2 for values in (x, y)]
    scale = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float((ranks[0] * ranks[1]).sum() / scale) if scale else 0.0


def correlation(x: np.ndarray, y: np.ndarray) -> Interval:
    """The rank correlation of x and y, (windows,) or (windows, networks), over the windows."""
    return bootstrap(
        lambda windows: rank_correlation(x[windows].ravel(), y[windows].ravel()), len(x)
    )


def summary(table: pd.DataFrame) -> list[tuple[str, float, float, float]]:
    """(what, value, low, high): means and rank correlations, each with its confidence interval over
    the windows.

    "between networks" compares networks in the same window: of DI and of gain the mean over the
    networks is subtracted.
    """
    wide = {
        column: table.pivot(index="image", columns="model", values=column).dropna()
        for column in ("di", "gain")
    }
    di = wide["di"].to_numpy()  # (windows, networks)
    gain = wide["gain"].to_numpy()
    lines = []
    for name, own_di, own_gain in zip(wide["di"].columns, di.T, gain.T, strict=True):
        lines += [
            (f"{name}: DI", *mean(own_di)),
            (f"{name}: gain over bicubic, dB", *mean(own_gain)),
            (f"{name}: rank correlation of DI and gain", *correlation(own_di, own_gain)),
        ]
    if di.shape[1] > 1:
        centred = [values - values.mean(axis=1, keepdims=True) for values in (di, gain)]
        what = "between networks in the same window: rank correlation"
        lines.append((what, *correlation(*centred)))
    return lines


def figure(table: pd.DataFrame) -> Any:
    """DI against gain, one point per window, coloured by network; large points are the means."""
    groups = {
        str(name): (rows["di"].to_numpy(), rows["gain"].to_numpy())
        for name, rows in table.groupby("model")
    }
    return plotting.scatter(groups, "diffusion index", "PSNR gain over bicubic in the window, dB")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.options(__doc__, OUT)
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        help="weights by name; by default the course's and those here",
    )
    parser.add_argument(
        "--images", type=int, default=100, help="only the first so many pictures of Urban100"
    )
    parser.add_argument("--data", default="urban100", help="another set, to try the command")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument(
        "--side", type=int, choices=(48, 64), default=SIDE, help="of the LR crop, in pixels"
    )
    asked = parser.parse_args(arguments)
    if asked.side != SIDE and asked.out == OUT:
        asked.out = OUT_48
    pairs = datasets.load(asked.data, SCALE, gray="rgb", limit=asked.images)
    table = run(networks(asked.models), pairs, asked.steps, asked.out, side=asked.side)
    if table.empty:
        raise HatlibError(
            f"no picture of {asked.data} has room for a crop of {SIDE}×{SIDE} LR pixels with detail"
        )
    for what, value, low, high in summary(table):
        print(f"{what:<58}{value:8.2f}   95 %: {low:.2f} to {high:.2f}")
    missed = (table["attributed"] - table["change"]).abs() / table["change"].abs()
    print(f"completeness: {missed.median():.2%} of the change in detail is missed (median)")
    if asked.out == OUT:
        with atomic.atomic_path(FIGURE) as path:
            figure(table).savefig(path, dpi=120)


if __name__ == "__main__":
    command.run(main)
