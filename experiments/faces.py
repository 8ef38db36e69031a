"""Buildings against faces: the gain over bicubic by content, and what fine-tuning on a few
portraits changes.

    python -m experiments.faces content      # what is gained on which content, and why: content.csv
    python -m experiments.faces tuning       # fine-tuned on 1, 4 and 12 portraits: faces.csv

The survey found HAT better at buildings than at faces, put that down to few humans in the training
set, and expected that "finetuning the model with few-shot learning" would help. Neither was
measured. Notebook 10 shows both tables.

**content** has one row per network, image and region: PSNR on luma of the network and of bicubic,
and how much detail the region has. Regions are the whole image, in portraits also the face (the
largest box of the face detector that comes with scikit-image), and tiles of 64×64 pixels. Tiles
where bicubic does equally well are taken together, so that contents can be compared at equal
difficulty. One network is measured under other conditions too: HR at half the size, and through
JPEG.

**tuning** has one row per run and one column per picture, PSNR in dB. hat-nano-x4 is trained for a
few hundred steps more on k of twelve portraits, or on as many pixels of photos from BSDS500, which
it was trained on before (the control), or of buildings. It is measured on the twelve other
portraits, on twelve buildings and on other pictures, none of which it has been trained on. The
learning rate is chosen on none of these: trained on four of the first twelve portraits, measured on
the other eight.

Rows of other weights than those in the package are dropped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import command, tables
from experiments.bootstrap import mean
from hatlib import HatlibError, models
from hatlib.data import datasets
from hatlib.data.datasets import Pair
from hatlib.evaluation import protocol
from hatlib.imaging import metrics
from hatlib.imaging.convert import crop_to_multiple, luma
from hatlib.imaging.degradation import jpeg
from hatlib.imaging.resize import imresize
from hatlib.plotting import Box, crop
from hatlib.system import devices
from hatlib.training import loop, recipes
from hatlib.weights import files

if TYPE_CHECKING:
    import pandas as pd

SCALE, TILE = 4, 64
NETWORKS = ("srcnn-x4", "rcan-nano-x4", "swinir-nano-x4", "hat-nano-x4")
TUNED = "hat-nano-x4"
# No network of the course was trained on these. Of two overlapping pictures (Set14's face is a part
# of Set5's head, Set5's butterfly of Set14's monarch) the smaller one is left out.
CONTENTS = {"buildings": ("urban100",), "portraits": ("portraits",), "others": ("set5", "set14")}
LEFT_OUT = ("butterfly", "face")
EDGES = (16, 20, 24, 28, 32, 36, 40)  # dB of bicubic, between which tiles are taken together
# what is done to HR before LR is made of it
CONDITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda hr: hr,
    "half size": lambda hr: imresize(crop_to_multiple(hr, 2), 1 / 2),
    "JPEG 99": partial(jpeg, quality=99),  # about as fine as the portraits' own
    "JPEG 75": partial(jpeg, quality=75),
}
COUNTS = (1, 4, 12)  # portraits to fine-tune on
SEEDS = (0, 1, 2)
STEPS = 200
RATES = (5e-5, 2e-4, 8e-4, 2e-3)  # learning rates to choose from
CHOOSING = 100  # the seed of the runs that choose the rate, which use four portraits


# --- pictures -------------------------------------------------------------------------------------


def pictures(content: str, limit: int | None = None) -> list[Pair]:
    """All pictures of a content, or those among the first so many of each set."""
    sets = [datasets.load(name, SCALE, gray="rgb", limit=limit) for name in CONTENTS[content]]
    return [pair for pairs in sets for pair in pairs if pair.name not in LEFT_OUT]


@cache
def _detector() -> Any:
    from skimage import data
    from skimage.feature import Cascade

    return Cascade(data.lbp_frontal_face_cascade_filename())


def face(image: np.ndarray) -> Box | None:
    """The largest face that scikit-image's detector (a cascade on local binary patterns) finds, or
    None."""
    side = min(image.shape[:2])
    detections = _detector().detect_multi_scale(
        img=image,
        scale_factor=1.2,
        step_ratio=1,
        min_size=(side // 5, side // 5),
        max_size=(side, side),
    )
    boxes = [(box["r"], box["c"], box["height"], box["width"]) for box in detections]
    return max(boxes, key=lambda box: box[2]) if boxes else None


def detail(image: np.ndarray) -> float:
    """How much there is to see: the mean length of luma's gradient, in grey levels per pixel."""
    down, right = np.gradient(luma(image))
    return float(np.hypot(down, right).mean())


def upscaled(network: models.Network, pair: Pair) -> np.ndarray:
    """The network's SR as the protocol has it: float32 arithmetic, uint8."""
    results: list[np.ndarray] = []
    protocol.evaluate(network, [pair], on_image=lambda _, sr: results.append(sr))
    return results[0]


# --- the gain by content --------------------------------------------------------------------------


def values(
    images: Sequence[np.ndarray], region: str = "", box: Box | None = None, shave: int = 0
) -> dict[str, Any]:
    """A row: PSNR in dB of the network and of bicubic in a region.

    Args:
        images: the network's, bicubic's and HR, all of one size.
        region: its name.
        box: where it is; by default the whole image.
        shave: pixels that are left out at each border.
    """
    sr, bicubic, hr = (crop(image, box) for image in images) if box else images
    return {
        "region": region,
        "pixels": hr.shape[0] * hr.shape[1],
        "detail": detail(hr),
        "bicubic": metrics.psnr(bicubic, hr, shave),
        "psnr": metrics.psnr(sr, hr, shave),
    }


def tiles(images: Sequence[np.ndarray]) -> Iterator[dict[str, Any]]:
    """One row per pair of edges, for the tiles in which bicubic lies between them: means over these
    tiles."""
    height, width = images[-1].shape[:2]
    corners = [
        (top, left)
        for top in range(SCALE, height - SCALE - TILE + 1, TILE)
        for left in range(SCALE, width - SCALE - TILE + 1, TILE)
    ]
    each = [values(images, box=(*corner, TILE, TILE)) for corner in corners]
    for low, high in itertools.pairwise(EDGES):
        inside = [tile for tile in each if low <= tile["bicubic"] < high]
        if inside:
            means = {
                name: float(np.mean([tile[name] for tile in inside]))
                for name in ("detail", "bicubic", "psnr")
            }
            yield {"region": f"tiles {low}-{high}", "pixels": TILE**2 * len(inside), **means}


def measure(
    pair: Pair, condition: str, network: models.Network, box: Box | None, tiled: bool
) -> list[dict[str, Any]]:
    """The rows of a network on a picture, one per region; LR is made of the HR that the condition
    leaves."""
    hr = crop_to_multiple(CONDITIONS[condition](pair.hr), SCALE)
    lr = imresize(hr, 1 / SCALE)
    images = upscaled(network, Pair(pair.name, lr, hr)), imresize(lr, SCALE), hr
    rows = [values(images, "whole", shave=SCALE)]
    if box and condition == "half size":
        box = (box[0] // 2, box[1] // 2, box[2] // 2, box[3] // 2)
    if box:
        rows.append(values(images, "face", box))
    if tiled:
        rows += tiles(images)
    return [
        {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for row in rows
    ]


def content(
    names: Sequence[str], limit: int | None, out: Path, say: Callable[[str], None] = print
) -> pd.DataFrame:
    """Measures what is missing, picture by picture; returns the table."""
    networks = {name: files.load(name, SCALE) for name in names}
    facts = {name: {"weights": tables.fingerprint(network)} for name, network in networks.items()}
    table = tables.Table(out, facts)
    for kind in CONTENTS:
        for pair in pictures(kind, limit):
            rows, box = [], face(pair.hr) if kind == "portraits" else None
            for condition, name in itertools.product(CONDITIONS, names):
                plain = condition == "as it is"
                head = {
                    "model": name,
                    **facts[name],
                    "condition": condition,
                    "content": kind,
                    "image": pair.name,
                }
                if (plain or name == TUNED) and not table.has(**head):
                    tiled = plain and name == TUNED
                    measured = measure(pair, condition, networks[name], box, tiled)
                    rows += [{**head, **row} for row in measured]
            if rows:
                table.add(rows)
                gains = [
                    f"{row['model']} {row['condition']} {row['psnr'] - row['bicubic']:+.2f} dB"
                    for row in rows
                    if row["region"] == "whole"
                ]
                say(f"{kind} {pair.name}: {', '.join(gains)}")
            else:
                say(f"{kind} {pair.name}: recorded before")
    return table.rows


# --- fine-tuning ----------------------------------------------------------------------------------


class Pictures:
    """What is trained on and what is measured on; no picture is in both."""

    def __init__(self, limit: int | None = None) -> None:
        portraits, buildings = pictures("portraits", limit), pictures("buildings", limit)
        measured = buildings[7::8][:12] or buildings[:1]  # Urban100's img_008, img_016 … img_096
        names = {pair.name for pair in measured}
        self.portraits = portraits[0::2]
        self.buildings = [pair for pair in buildings if pair.name not in names]
        self.tests = {
            "portraits": portraits[1::2],
            "buildings": measured,
            "others": pictures("others", limit),
        }
        used = {pair.name for pair in self.drawn(4, CHOOSING)}
        self.choosing = {"portraits": [pair for pair in self.portraits if pair.name not in used]}
        self.faces = {pair.name: face(pair.hr) for pair in portraits}

    def drawn(self, k: int, seed: int) -> list[Pair]:
        """k of the portraits for training; a seed's four are among its twelve."""
        return [
            self.portraits[i]
            for i in np.random.default_rng(seed).permutation(len(self.portraits))[:k]
        ]

    def training(self, kind: str, k: int, seed: int) -> list[np.ndarray]:
        """HR images: k portraits, or about as many pixels of photos of BSDS500 or of buildings."""
        portraits = [pair.hr for pair in self.drawn(k, seed)]
        if kind == "portraits":
            return portraits
        pool = (
            datasets.hr_images("bsds500")
            if kind == "photos"
            else [pair.hr for pair in self.buildings]
        )
        order = np.random.default_rng(seed).permutation(len(pool))
        sums = np.cumsum([_pixels([pool[i]]) for i in order])
        return [pool[i] for i in order[: 1 + int(np.abs(sums - _pixels(portraits)).argmin())]]

    def scores(
        self, network: models.Network, tests: Mapping[str, Sequence[Pair]]
    ) -> dict[str, float]:
        """PSNR in dB, one value per picture; of portraits also that of the face alone."""
        scores: dict[str, float] = {}
        for content, pairs in tests.items():
            for pair in pairs:
                sr = upscaled(network, pair)
                scores[f"{content}/{pair.name}"] = round(metrics.psnr(sr, pair.hr, SCALE), 4)
                if content == "portraits" and (box := self.faces[pair.name]):
                    psnr = metrics.psnr(crop(sr, box), crop(pair.hr, box))
                    scores[f"faces/{pair.name}"] = round(psnr, 4)
        return scores


def _pixels(images: Sequence[np.ndarray]) -> int:
    return sum(image.shape[0] * image.shape[1] for image in images)


class Tuning:
    """The runs, and the table that they go into."""

    def __init__(
        self,
        steps: int,
        limit: int | None,
        out: Path,
        runs: Path,
        say: Callable[[str], None] = print,
    ):
        self.steps = steps
        self.runs = runs
        self.say = say
        self.pictures = Pictures(limit)
        self.base = files.load(TUNED, SCALE)
        self.weights = tables.fingerprint(self.base)
        self.table = tables.Table(out, {TUNED: {"weights": self.weights}})

    def untouched(self) -> None:
        """The row that all others are compared with."""
        if not self.table.has(stage="untouched"):
            scores = {
                **self.pictures.scores(self.base, self.pictures.choosing),
                **self.pictures.scores(self.base, self.pictures.tests),
            }
            self._add(
                {
                    "stage": "untouched",
                    "kind": "untouched",
                    "k": 0,
                    "seed": 0,
                    "steps": 0,
                    "rate": 0.0,
                },
                scores,
            )

    def run(self, stage: str, kind: str, k: int, seed: int, rate: float) -> None:
        """Fine-tunes on k portraits, or on something else instead, and measures, unless the run is
        recorded."""
        head = {
            "stage": stage,
            "kind": kind,
            "k": k,
            "seed": seed,
            "steps": self.steps,
            "rate": rate,
        }
        if self.table.has(**head):
            self.say(f"{stage}, {kind}, k {k}, seed {seed}, rate {rate:g}: recorded before")
            return
        images = self.pictures.training(kind, k, seed)
        folder = (
            self.runs / f"faces-{self.weights[-8:]}-{kind}-{k}-seed{seed}-{rate:g}-{self.steps}"
        )
        run = loop.fit(plan(self.steps, rate, seed), images, model=self.base, folder=folder)
        tests = self.pictures.choosing if stage == "rate" else self.pictures.tests
        facts = {
            "photos": len(images),
            "megapixels": round(_pixels(images) / 1e6, 3),
            "device": devices.device().type,
            "seconds": round(run.seconds, 1),
        }
        self._add({**head, **facts}, self.pictures.scores(run.ema_model, tests))

    def _add(self, row: dict[str, Any], scores: dict[str, float]) -> None:
        self.table.add([{"model": TUNED, "weights": self.weights, **row, **scores}])
        self.say(", ".join(f"{name} {value}" for name, value in row.items()))

    def rate(self) -> float:
        """The learning rate that helped most on the portraits that were kept for choosing it."""
        table = self.table.rows
        rows = table[(table["stage"] == "rate") & (table["steps"] == self.steps)]
        gains = change(table, rows, "portraits").mean(axis=1).to_numpy()
        return float(rows["rate"].iloc[int(gains.argmax())])


def plan(steps: int, rate: float, seed: int) -> recipes.Recipe:
    """Few steps, the rate rising for a fifth of them and falling to zero after: a fresh optimiser
    knows nothing yet."""
    return recipes.recipe(
        TUNED,
        steps=steps,
        learning_rate=rate,
        seed=seed,
        schedule="cosine",
        warmup_steps=steps // 5,
    )


def tuning(
    counts: Sequence[int], seeds: Sequence[int], rates: Sequence[float], study: Tuning
) -> pd.DataFrame:
    """Does the runs that are missing; returns the table."""
    study.untouched()
    for rate in rates:
        study.run("rate", "portraits", 4, CHOOSING, rate)
    chosen = study.rate()
    study.say(f"chosen rate: {chosen:g}")
    for seed, k in itertools.product(seeds, counts):  # after one seed all can be compared
        for kind in ("portraits", "photos", *(["buildings"] if k == max(counts) else [])):
            study.run("measured", kind, k, seed, chosen)
    return study.table.rows


def change(table: pd.DataFrame, rows: pd.DataFrame, content: str) -> pd.DataFrame:
    """PSNR of runs less that of the untouched network, in dB: one row per run, one column per
    picture of that content."""
    before = table[table["stage"] == "untouched"].filter(regex=f"^{content}/").iloc[0]
    return (rows.filter(regex=f"^{content}/") - before).dropna(axis=1, how="all")


# --- what the tables say --------------------------------------------------------------------------


def content_summary(table: pd.DataFrame) -> list[str]:
    """Lines: for each region, condition, network and content the number of pictures, detail, PSNR
    and gain."""
    lines = [
        f"{'region':<13}{'condition':<11}{'network':<16}{'content':<11}{'n':>4}{'detail':>8}"
        f"{'bicubic':>9}{'PSNR':>8}{'gain':>7}   95 %"
    ]
    table = table.assign(tiled=table["region"].str.startswith("tiles"))
    order = ["tiled", "region", "condition", "model", "content"]
    for key, rows in table.sort_values(order, kind="stable").groupby(order, sort=False):
        tiled, region, condition, model, kind = key
        # a tile counts the same in any picture, and so does a picture
        weights = rows["pixels"].to_numpy(float) if tiled else np.ones(len(rows))
        gain, low, high = mean((rows["psnr"] - rows["bicubic"]).to_numpy(), weights)
        means = [
            float(np.average(rows[name], weights=weights)) for name in ("detail", "bicubic", "psnr")
        ]
        lines.append(
            f"{region:<13}{condition:<11}{model:<16}{kind:<11}{len(rows):>4}{means[0]:>8.2f}"
            f"{means[1]:>9.2f}{means[2]:>8.2f}{gain:>+7.2f}   {low:+.2f} to {high:+.2f}"
        )
    return lines


def tuning_summary(table: pd.DataFrame) -> list[str]:
    """Lines: for each kind and k the change in dB on each content, means over pictures of the means
    over seeds."""
    lines = [
        f"{'stage':<10}{'trained on':<12}{'k':>3}{'steps':>6}{'rate':>8}  {'measured on':<12}"
        f"{'change':>8}   95 % over pictures   seeds"
    ]
    runs = table[table["stage"] != "untouched"]
    for key, rows in runs.groupby(["stage", "rate", "steps", "kind", "k"], sort=False):
        stage, rate, steps, kind, k = key
        for where in ("portraits", "faces", "buildings", "others"):
            gains = change(table, rows, where)
            if gains.size:
                value, low, high = mean(gains.mean(axis=0).to_numpy())
                seeds = " ".join(f"{gain:+.3f}" for gain in gains.mean(axis=1))
                lines.append(
                    f"{stage:<10}{kind:<12}{k:>3}{steps:>6}{rate:>8g}  {where:<12}{value:>+8.3f}   "
                    f"{f'{low:+.3f} to {high:+.3f}':<21}{seeds}"
                )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.options(__doc__, tables.RESULTS)
    command.add_runs(parser)
    parser.add_argument(
        "parts", nargs="*", default=["content", "tuning"], help="content, tuning, or both"
    )
    parser.add_argument(
        "--models", nargs="+", default=list(NETWORKS), help="weights by name, for content"
    )
    parser.add_argument(
        "--limit", type=int, help="only the first so many pictures of each set, to try the command"
    )
    parser.add_argument(
        "--counts", type=int, nargs="+", default=list(COUNTS), help="portraits to fine-tune on"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument(
        "--rates", type=float, nargs="+", default=list(RATES), help="learning rates to choose from"
    )
    asked = parser.parse_args(arguments)
    if wrong := set(asked.parts) - {"content", "tuning"}:
        raise HatlibError(f"the parts are content and tuning, got {', '.join(sorted(wrong))}")
    say = partial(print, flush=True)
    if "content" in asked.parts:
        table = content(asked.models, asked.limit, asked.out / "content.csv", say)
        say("\n".join(content_summary(table)))
    if "tuning" in asked.parts:
        study = Tuning(asked.steps, asked.limit, asked.out / "faces.csv", asked.runs, say)
        table = tuning(asked.counts, asked.seeds, asked.rates, study)
        say("\n".join(tuning_summary(table)))


if __name__ == "__main__":
    command.run(main)
