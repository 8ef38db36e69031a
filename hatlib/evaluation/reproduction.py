"""The course's table of results without a notebook: networks on test sets, next to the papers' and
the survey's values.

`run` writes one row per image as soon as it is measured, so that an interrupted run resumes where
it stopped. Used by `hatlib reproduce`. Taught in notebook 10.

Survey: the article on super-resolution with HAT that this course grew from; it has two rows of
measurements (its Fig. 11), without a protocol, a baseline or a count of images.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import json
import math
import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

import hatlib
from hatlib.data import datasets
from hatlib.errors import HatlibError
from hatlib.evaluation import protocol
from hatlib.evaluation.reported import Reported, reported
from hatlib.imaging.io import list_images
from hatlib.inference.precision import arithmetic
from hatlib.models import Network
from hatlib.system import atomic, console, devices, locks, machine, paths
from hatlib.system.processes import WHOLE, Part
from hatlib.validation import AnyNumber, Name, NotNegative, Similarity, validated
from hatlib.weights import catalogue, files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASELINE = "bicubic"
FIELDS = ("name", "psnr", "ssim", "seconds", "bicubic", "conditions")
ALL_FIELDS = ("data", "lr", "image", "model", "weights", "psnr", "ssim", "gain", "seconds")
# (weights, set): what the survey measured, its Fig. 11
SURVEY = {
    ("hat-x4-imagenet", "urban100"): Reported(28.3642, 0.8445, "survey, Fig. 11"),
    ("hat-x4-imagenet", "ucla"): Reported(27.0516, 0.7833, "survey, Fig. 11"),
}
COLUMNS = (
    "network",
    "PSNR dB",
    "SSIM",
    "gain over bicubic dB",
    "seconds an image",
    "papers",
    "difference",
    "survey",
    "difference",
)
# folder of the rows that several processes measured, each in a folder of its own
PARTS = "parts"
# images of a set of which strips are drawn, evenly over it
STRIPS = 4

Draw = Callable[[np.ndarray, Mapping[str, np.ndarray], np.ndarray, Mapping[str, str]], "Figure"]


class Benchmark(NamedTuple):
    """A set as it is measured."""

    name: str  # as it was asked for
    title: str  # as the table has it, with a stand-in named
    pairs: datasets.Pairs
    state: str = ""  # of a folder's files: another one makes earlier rows invalid
    whole: bool = False  # all images of a set of which somebody reports something
    part: str = ""  # which of its images these are, in words; "" for all


@dataclass(frozen=True)
class Row:
    """A network on a set: means over the images."""

    data: str
    model: str
    images: int
    psnr: float  # dB
    ssim: float
    gain: float  # dB over bicubic, on the same images
    seconds: float  # per image, the median: one during which the machine slept does not count
    minutes: float  # all images
    protocol: str
    reported: Reported | None  # by papers; where the whole set was measured
    survey: Reported | None

    def record(self) -> dict[str, Any]:
        """For JSON."""
        others = {"reported": self.reported, "survey": self.survey}
        named = {name: value and value._asdict() for name, value in others.items()}
        return {**asdict(self), **named}


def run(
    models: Sequence[str] | Mapping[str, Network],
    data: Sequence[str] = ("urban100",),
    out: str | os.PathLike[str] = "build/reproduce",
    limit: int | None = None,
    scale: int = 4,
    precision: str = "fp32",
    progress: Callable[[Sequence[int], str], Any] = lambda items, title: items,
    every: int = 1,
    lr: str = "matlab",
    draw: Draw | None = None,
    part: Part = WHOLE,
    begin: Callable[[Path], None] = lambda folder: None,
) -> list[Row]:
    """Measures networks on sets by the protocol of the papers, and writes the results to a folder.

    A row of an earlier run counts if everything that determines its numbers is the same, the device
    and its precision included: `conditions` lists it. Written are SET-MODEL.csv, one row per image;
    reproduce.csv, all of them together; SET-IMAGE.png, strips of the middle; reproduce.json and
    reproduce.md, the table of means.

    Args:
        models: names of `hatlib.weights.files.names()` or files, or networks by name, such as those
            of `hatlib.adapt`; bicubic is measured in any case.
        data: sets by name or folders; "ucla" is the folder `ucla` of the data folder, or else a
            stand-in.
        limit: only the first so many images of each set.
        precision: as in `hatlib.upscale`.
        progress: called with the indices of the images that are left and a title; gives them back
            one by one.
        every: 10 measures each tenth image of each set.
        lr: how LR is made, as in `hatlib.load_dataset`. Reported values stand beside the protocol's
            only ("matlab", "original").
        draw: makes the strips, as `hatlib.plotting.comparison` does; without it there are none.
        part: of the images of each set, for one of several processes. It writes its rows to
            parts/K-of-N, its strips, and no table; the whole run, afterwards, takes the rows.
        begin: called with the folder before anything is written to it.
    Returns:
        One row per network and set; none for a part.
    Raises:
        HatlibError: an unknown model or set, another scale, a folder that can't be written to or
            that another program writes to.
    """
    folder = paths.expanded(out)
    networks = _networks(models, scale)
    benchmarks = [open_set(name, scale, limit, every, lr) for name in data]
    # before the folder is made: a precision that does not suit is refused here
    computed = {name: how_computed(model, precision) for name, model in networks.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HatlibError(
            f"cannot write to the folder {folder}: {error.strerror or error}"
        ) from None
    hashes = {name: files.fingerprint(model) for name, model in networks.items()}
    begin(folder)
    place = folder if part == WHOLE else folder / PARTS / part.slug
    place.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    images: list[tuple[object, ...]] = []
    with locks.alone_in(place, "reproduce"):  # two programs would lose rows of each other
        for test in benchmarks:
            logs = {
                name: Log(
                    _log_file(place, test, name),
                    conditions(test, hashes[name], computed[name]),
                    _log_files(folder, test, name),
                )
                for name in networks
            }
            _measure(test, networks, logs, folder, precision, progress, draw, part)
            if part == WHOLE:
                rows += _rows(test, logs, computed)
                images += _by_image(test, logs, hashes)
    if part != WHOLE:
        return []
    atomic.write_text(folder / "reproduce.csv", "".join(map(_line, [ALL_FIELDS, *images])))
    record = {
        "machine": _machine(),
        "weights": {name: _weights(name, hashes) for name in hashes},
        "rows": [row.record() for row in rows],
    }
    atomic.write_text(folder / "reproduce.json", console.json_text(record))
    atomic.write_text(folder / "reproduce.md", markdown(rows))
    return rows


def _networks(models: Sequence[str] | Mapping[str, Network], scale: int) -> dict[str, Network]:
    """Name → network on this machine's device, bicubic first."""
    given = models if isinstance(models, Mapping) else {}
    networks = {}
    for name in dict.fromkeys([BASELINE, *models]):
        network = given.get(name) or files.load(name, scale)
        if network.scale != scale:
            raise HatlibError(f"{name} upscales ×{network.scale}, and ×{scale} is measured")
        networks[name] = network.to(devices.device())
    return networks


def open_set(
    name: str, scale: int = 4, limit: int | None = None, every: int = 1, lr: str = "matlab"
) -> Benchmark:
    """A set of the catalogue, a folder, or the survey's photos of UCLA, for which built-in pictures
    stand in until they are there."""
    stand_in = name == "ucla" and not datasets.ucla_folder()
    pairs = datasets.load("builtin" if stand_in else name, scale, lr=lr, limit=limit, every=every)
    part = ", ".join(
        [f"one image in {every}"] * (every > 1) + ["the beginning"] * (limit is not None)
    )
    if stand_in:
        return Benchmark(name, "stand-in for UCLA (built-in pictures)", pairs, part=part)
    by_protocol = lr in ("matlab", "original")
    if name in datasets.CATALOGUE:
        entry = datasets.CATALOGUE[name]
        whole = len(pairs) == entry.files
        return Benchmark(
            name, entry.title, pairs, whole=whole and by_protocol, part="" if whole else part
        )
    folder = (datasets.ucla_folder() if name == "ucla" else None) or Path(name)
    photos = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in list_images(folder)
    ]
    return Benchmark(
        name,
        "UCLA" if name == "ucla" else name,
        pairs,
        repr(photos),
        not part and by_protocol,
        part,
    )


# ---- image by image ------------------------------------------------------------------------------


def _measure(
    test: Benchmark,
    networks: Mapping[str, Network],
    logs: Mapping[str, Log],
    folder: Path,
    precision: str,
    progress: Callable[[Sequence[int], str], Any],
    draw: Draw | None,
    part: Part,
) -> None:
    """All networks on each image that lacks a row or its strip: so LR is made once per image."""
    strips = {int(k) for k in np.linspace(0, len(test.pairs) - 1, STRIPS)} if draw else set()
    names = test.pairs.names

    def to_do(k: int) -> bool:
        without_row = any(names[k] not in log.rows for log in logs.values())
        return without_row or (k in strips and not _strip_file(folder, test, names[k]).is_file())

    own = part.take(range(len(names)))
    left = [k for k in own if to_do(k)]
    for k in progress(left, f"{test.title}: {len(left)} of {len(own)} images to measure"):
        pair = test.pairs[k]
        results: dict[str, np.ndarray] = {}
        for name, network in networks.items():
            if pair.name not in logs[name].rows or k in strips:
                results[name], values = _score(network, pair, precision)
                bicubic = values[0] if name == BASELINE else logs[BASELINE].rows[pair.name][0]
                if name != BASELINE and pair.hr.ndim == 2:
                    # networks are measured in RGB here, where the same errors give more dB
                    bicubic = _score(networks[BASELINE], pair, precision, gray="rgb")[1][0]
                logs[name].add(pair.name, *values, bicubic)
        if draw and k in strips:
            captions = {name: f"{log.rows[pair.name][0]:.2f} dB" for name, log in logs.items()}
            figure = draw(pair.lr, results, pair.hr, captions)
            with atomic.atomic_path(_strip_file(folder, test, pair.name)) as temporary:
                figure.savefig(temporary, dpi=120)


def _score(
    network: Network, pair: datasets.Pair, precision: str, gray: str = "auto"
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The upscaled image; PSNR, SSIM and seconds."""
    images: list[np.ndarray] = []
    table = protocol.evaluate(
        network, [pair], on_image=lambda _, sr: images.append(sr), gray=gray, precision=precision
    )
    return images[0], (float(table.psnr[0]), float(table.ssim[0]), float(table.seconds[0]))


def how_computed(model: Network, precision: str) -> str:
    """The precision that a network is computed in on this machine's device, and the device's name
    where it is not the CPU: "fp32", "bf16 on Tesla T4". GPUs round in another order, each kind in
    its own.

    Raises:
        HatlibError: as `hatlib.inference.precision.arithmetic`.
    """
    device = devices.device()
    precision = arithmetic(model, precision, device)
    return precision if device.type == "cpu" else f"{precision} on {machine.hardware()}"


def conditions(test: Benchmark, weights: str, computed: str) -> str:
    """What determines the numbers of a network on a set, as a few characters: the weights, the
    protocol, the precision and the device, the files of a folder, the version of our numeric code
    (`protocol.NUMERICS`) and that of torch, as far as it changes arithmetic.

    Args:
        weights: their fingerprint.
        computed: what `how_computed` says of the network.
    """
    torch_version = torch.__version__.split(".")[:2]  # major and minor
    state = [weights, _protocol(test, computed), test.state, protocol.NUMERICS, torch_version]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:12]


class Log:
    """The rows of a network on a set in a file, one per image, written as they are measured.

    Args:
        file: a CSV file, which need not be there yet.
        conditions: those of now; rows that were measured under others are dropped.
        others: files of other processes, whose rows are taken over.
    """

    def __init__(self, file: Path, conditions: str, others: Iterable[Path] = ()) -> None:
        self.file = file
        self.others = [other for other in others if other != file]
        self.conditions = conditions
        # name → PSNR, SSIM, seconds, and the PSNR of bicubic on the same image
        self.rows: dict[str, tuple[float, float, float, float]] = {}
        self._read()

    def _read(self) -> None:
        """Takes the rows that are whole and measured under the same conditions, and drops the
        others."""
        text = _text(self.file)
        damaged = self._take(text)
        for other in self.others:
            self._take(_text(other))
        if damaged:
            aside = atomic.set_aside(self.file)
            console.warn(
                f"{self.file} has lines that cannot be read: they are measured again, and the file "
                f"is kept as {aside.name}"
            )
        lines = [_line(FIELDS)]
        lines += [_line((name, *values, self.conditions)) for name, values in self.rows.items()]
        if damaged or "".join(lines) != text:
            atomic.write_text(self.file, "".join(lines))

    def _take(self, text: str) -> bool:
        """Takes the rows of a file's text; whether something in it is damaged."""
        damaged = text != "" and not text.startswith(_line(FIELDS))
        # not `splitlines`, which would also cut at signs that a name may have
        for line in re.findall(r"[^\n]*\n|[^\n]+", text)[1:]:
            try:
                name, conditions, values = _row(line)
            except ValueError:
                # an interrupted run can leave half a line, which is no damage
                damaged = damaged or line.endswith("\n")
                continue
            if conditions == self.conditions:
                self.rows.setdefault(name, values)
        return damaged

    def add(self, name: str, psnr: float, ssim: float, seconds: float, bicubic: float) -> None:
        """A row, unless there is one."""
        if name not in self.rows:
            self.rows[name] = (psnr, ssim, seconds, bicubic)
            with self.file.open("a", encoding="utf-8", newline="") as file:
                file.write(_line((name, *self.rows[name], self.conditions)))


@validated
class Measured:
    """What a line of a log says of an image."""

    name: Name
    psnr: AnyNumber  # infinite for two identical images
    ssim: Similarity
    seconds: NotNegative
    bicubic: AnyNumber
    conditions: str

    def __post_init__(self) -> None:
        if math.isnan(self.psnr) or math.isnan(self.bicubic):
            raise HatlibError("a PSNR is not a number")


def _text(file: Path) -> str:
    """What a file has; "" where there is none."""
    return file.read_bytes().decode("utf-8", "replace") if file.is_file() else ""


def _row(line: str) -> tuple[str, str, tuple[float, float, float, float]]:
    """Name, conditions and values of a line; ValueError where it is damaged."""
    if not line.endswith("\n") or "\0" in line:
        raise ValueError("half a line, or bytes of something else")
    try:
        (cells,) = csv.reader([line], strict=True)
    except csv.Error as error:
        raise ValueError(str(error)) from None
    name, *numbers, conditions = cells
    psnr, ssim, seconds, bicubic = (float(cell) for cell in numbers)
    row = Measured(name, psnr, ssim, seconds, bicubic, conditions)
    return row.name, row.conditions, (row.psnr, row.ssim, row.seconds, row.bicubic)


def _line(values: Sequence[object]) -> str:
    """A line of CSV; floats with all their digits."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _slug(name: str) -> str:
    """A name for files: letters, digits and hyphens."""
    return re.sub(r"\W+", "-", name).strip("-").lower()


def _stem(test: Benchmark) -> str:
    """With what the files of a set begin."""
    return _slug(test.title) + ("" if test.pairs.lr == "matlab" else f"-lr-{test.pairs.lr}")


def _log_file(folder: Path, test: Benchmark, model: str) -> Path:
    return folder / f"{_stem(test)}-{_slug(model)}.csv"


def _log_files(folder: Path, test: Benchmark, model: str) -> list[Path]:
    """The files of all processes."""
    own = _log_file(folder, test, model)
    return [own, *sorted((folder / PARTS).glob(f"*/{own.name}"))]


def _strip_file(folder: Path, test: Benchmark, name: str) -> Path:
    return folder / f"{_stem(test)}-{_slug(name)}.png"


def _protocol(test: Benchmark, computed: str) -> str:
    return f"{protocol.protocol(test.pairs.scale, test.pairs.lr)}; {computed}"


# ---- the table -----------------------------------------------------------------------------------


def _rows(test: Benchmark, logs: Mapping[str, Log], computed: Mapping[str, str]) -> list[Row]:
    """One row per network."""
    names = test.pairs.names
    values = {name: np.array([log.rows[image] for image in names]) for name, log in logs.items()}
    rows = []
    for name, of_images in values.items():
        psnr, ssim = (float(value) for value in of_images[:, :2].mean(axis=0))
        gain = float((of_images[:, 0] - of_images[:, 3]).mean())
        seconds = of_images[:, 2]
        paper = reported(name, test.name, test.pairs.scale) if test.whole else None
        survey = SURVEY.get((name, test.name)) if test.whole else None
        title = test.title + (f", {test.part}" if test.part else "")
        row = Row(
            data=title,
            model=name,
            images=len(names),
            psnr=psnr,
            ssim=ssim,
            gain=gain,
            seconds=float(np.median(seconds)),
            minutes=float(seconds.sum() / 60),
            protocol=_protocol(test, computed[name]),
            reported=paper,
            survey=survey,
        )
        rows.append(row)
    return rows


def _by_image(
    test: Benchmark, logs: Mapping[str, Log], hashes: Mapping[str, str]
) -> Iterator[tuple[object, ...]]:
    """ALL_FIELDS of each image and network; weights are the first characters of their SHA-256."""
    for name, log in logs.items():
        weights = f"sha256:{hashes[name][:8]}" if hashes[name] else ""
        for image in test.pairs.names:
            psnr, ssim, seconds, bicubic = log.rows[image]
            gain = psnr - bicubic
            yield test.title, test.pairs.lr, image, name, weights, psnr, ssim, gain, seconds


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown, one section per set, with protocol and sources."""
    parts = ["# Measured\n"]
    for title, columns, lines in tables(rows):
        own = [row for row in rows if title == _headline(row)]
        parts += [f"\n## {title}\n\n{own[0].protocol}\n\n"]
        rule = ["---", *["---:"] * (len(columns) - 1)]
        parts += [f"| {' | '.join(line)} |\n" for line in (columns, rule, *lines)]
        papers = {row.model: row.reported.source for row in own if row.reported}
        parts += [f"\nPapers, {model}: {source}.\n" for model, source in papers.items()]
        parts += ["\nSurvey: its Fig. 11.\n"] if any(row.survey for row in own) else []
    return "".join(parts)


def tables(rows: Sequence[Row]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, columns, lines) for each set; columns in which no line has anything are left out."""
    result = []
    for title in dict.fromkeys(map(_headline, rows)):
        lines = [cells(row) for row in rows if title == _headline(row)]
        used = [k for k in range(len(COLUMNS)) if any(line[k] for line in lines)]
        cut = [[line[k] for k in used] for line in lines]
        result.append((title, [COLUMNS[k] for k in used], cut))
    return result


def _headline(row: Row) -> str:
    return f"{row.data}: {row.images} image{'s' if row.images > 1 else ''}"


def cells(row: Row) -> list[str]:
    """A row in words: network, PSNR, SSIM, gain, seconds, papers, difference, survey,
    difference."""
    beside = [
        cell
        for source in (row.reported, row.survey)
        for cell in (_value(source), _difference(row, source))
    ]
    return [
        row.model,
        f"{row.psnr:.2f}",
        f"{row.ssim:.4f}",
        f"{row.gain:+.2f}",
        f"{row.seconds:.2f}",
        *beside,
    ]


def beside(row: Row) -> list[str]:
    """What others have, in words: "papers 23.14 / 0.6577, here +0.00 / +0.0005"."""
    sources = {"papers": row.reported, "survey": row.survey}
    return [
        f"{who} {_value(source)}, here {_difference(row, source)}"
        for who, source in sources.items()
        if source
    ]


def _value(source: Reported | None) -> str:
    """28.37 / .8447, or nothing."""
    if source is None:
        return ""
    return f"{source.psnr:.2f}" + ("" if source.ssim is None else f" / {source.ssim:.4f}")


def _difference(row: Row, source: Reported | None) -> str:
    """Ours minus theirs."""
    if source is None:
        return ""
    psnr = f"{row.psnr - source.psnr:+.2f}"
    return psnr if source.ssim is None else f"{psnr} / {row.ssim - source.ssim:+.4f}"


def _machine() -> dict[str, str]:
    """With what the numbers were made."""
    return {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "hatlib": hatlib.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(devices.device()),
        "threads": str(torch.get_num_threads()),
    }


def _weights(name: str, hashes: Mapping[str, str]) -> dict[str, str]:
    """What identifies the weights of a network."""
    file = catalogue.CATALOGUE[name].sha256 if name in catalogue.CATALOGUE else ""
    return {"tensors_sha256": hashes[name], **({"file_sha256": file} if file else {})}
