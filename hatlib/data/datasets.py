"""Data sets: a catalogue of public ones, and HR/LR pairs for measuring.

A set of the catalogue is fetched when it is first used (`hatlib.system.downloads`); any folder of
images is a set too. Random patches for training are in `hatlib.data.patches`. Taught in notebooks
00 and 03.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, overload

import numpy as np

from hatlib.data import builtin, registry
from hatlib.data.catalogue import CATALOGUE, DataSet, info, names
from hatlib.data.patches import PatchSampler
from hatlib.errors import HatlibError, unknown
from hatlib.imaging.convert import crop_to_multiple
from hatlib.imaging.degradation import DOWNSAMPLERS, downsample
from hatlib.imaging.io import SUFFIXES, as_uint8, distinct_names, list_images
from hatlib.imaging.reading import read_picture
from hatlib.imaging.resize import BORDERS
from hatlib.system import console, downloads
from hatlib.system.paths import data_folder, expanded
from hatlib.validation import SetName, Whole, checked

__all__ = [
    "CATALOGUE",
    "DataSet",
    "Pair",
    "Pairs",
    "PatchSampler",
    "fetch",
    "hr_images",
    "info",
    "load",
    "names",
    "stream",
    "table",
]
SCALES = (2, 3, 4, 8)

# how LR is made, or that it is read
LR_METHODS = (*DOWNSAMPLERS, "original")


def table() -> list[dict[str, Any]]:
    """The catalogue as rows: the fields of DataSet that are read, and `present`, how many of the
    files are here."""
    folder = data_folder()
    rows = []
    for entry in CATALOGUE.values():
        remotes = registry.registry().get(entry.name, ())
        present = [(folder / remote.path).is_file() for remote in remotes]
        rows.append(
            {
                "name": entry.name,
                "title": entry.title,
                "purpose": entry.purpose,
                "files": entry.files,
                "bytes": entry.bytes,
                "present": entry.files if entry.name == "builtin" else sum(present),
                "terms": entry.terms,
                "citation": entry.citation,
                "homepage": entry.homepage,
                "note": entry.note,
            }
        )
    return rows


def fetch(
    name: str, original_lr: bool = False, limit: int | None = None, every: int = 1
) -> list[Path]:
    """Downloads what is missing or damaged of a set.

    Args:
        name: a name of the catalogue.
        original_lr: also the ×4 LR files that its authors made.
        limit, every: only a part of the images, as in `load`.
    Returns:
        The paths of the HR files (and then the LR files); none for "builtin".
    Raises:
        HatlibError: an unknown name, a set without original LR files, no network (see
            `hatlib.system.downloads.fetch`).
    """
    entry = info(name)
    remotes = registry.registry().get(name, ())
    if limit is not None or every > 1:
        wanted = [remote for remote in remotes if remote.path not in entry.left_out]
        remotes = tuple(wanted[::every][:limit])
    if original_lr:
        remotes += registry.registry()[_lr_section(entry)][::every][:limit]
    folder = (data_folder() / remotes[0].path).parent if remotes else data_folder()
    by_hand = f"put the files into {folder} (names and SHA-256: {registry.REGISTRY})"
    return downloads.fetch(remotes, entry.name, by_hand)


def _lr_section(entry: DataSet) -> str:
    if not entry.lr_bytes:
        having = ", ".join(other.name for other in CATALOGUE.values() if other.lr_bytes)
        raise HatlibError(
            f"{entry.name} has no original LR files; those that have: {having}. lr='matlab' makes "
            f"them"
        )
    return f"{entry.name}:lr"


class Pair(NamedTuple):
    """A downsampled image and its ground truth; both uint8 (H, W, 3), or (H, W) for a one-channel
    file that is kept so."""

    name: str
    lr: np.ndarray
    hr: np.ndarray


class Source(NamedTuple):
    """An image that has not been read yet."""

    name: str
    read: Callable[[str], np.ndarray]  # takes "keep" or "rgb", for one-channel files
    read_lr: Callable[[str], np.ndarray] | None = None


def _source(name: str, path: Path, lr_path: Path | None = None) -> Source:
    read_lr = partial(_read, lr_path) if lr_path else None
    return Source(name, partial(_read, path), read_lr)


def _read(path: Path, gray: str) -> np.ndarray:
    """As `load_image`, of images without transparency: what it hides is nothing to learn from or to
    measure."""
    picture = read_picture(path, metadata=False)
    if picture.transparent:
        raise HatlibError(
            f"{path} has transparent pixels, whose colours nobody sees; save it without"
        )
    return as_uint8(picture, gray)


def _sources(
    name_or_folder: str | os.PathLike[str],
    original_lr: bool = False,
    limit: int | None = None,
    every: int = 1,
) -> list[Source]:
    """The images of a set or a folder, unread. Fetches what is missing."""
    limit = checked("limit", limit, Whole | None)
    every = checked("every", every, Whole)
    name_or_folder = checked("a data set or a folder", name_or_folder, SetName)
    if limit is not None and limit < 1:
        raise HatlibError(f"limit is how many images to take, at least 1, got {limit}")
    if every < 1:
        raise HatlibError(f"every is 1 for all images, 10 for each tenth, got {every}")
    name = os.fspath(name_or_folder)
    if name == "ucla":
        name = str(ucla_folder() or _no_ucla())
    if name in CATALOGUE:
        return _set_sources(CATALOGUE[name], original_lr, limit, every)
    folder = expanded(name)
    if folder.is_file():
        raise HatlibError(
            f"{name} is a file; a data set is a folder of images or one of {', '.join(names())}"
        )
    if not folder.is_dir() and folder.name == name:
        raise unknown("data set (or folder)", name, names())
    if original_lr:
        raise HatlibError(
            f"a folder of images has no original LR files, got lr='original' for {name}"
        )
    files = list_images(folder)[::every][:limit]
    return [
        _source(console.printable(name).replace("\n", r"\n"), path)
        for name, path in zip(distinct_names(files), files, strict=True)
    ]


def ucla_folder() -> Path | None:
    """Where the survey's photos of UCLA are, `ucla` in the data folder; None while there is no
    image in it."""
    folder = data_folder() / "ucla"
    if not folder.is_dir():
        return None
    return folder if any(path.suffix.lower() in SUFFIXES for path in folder.iterdir()) else None


def _no_ucla() -> NoReturn:
    raise HatlibError(
        f"the survey's photos of UCLA are in no public set: put them, or photos of another campus, "
        f"into {data_folder() / 'ucla'} (data/README.md has more)"
    )


def _builtin(name: str, gray: str) -> np.ndarray:
    """A built-in picture; a gray photograph has three equal channels, of which "keep" takes one."""
    image = builtin.builtin_image(name)
    return image[..., 0] if gray == "keep" and name in builtin.GRAY else image


def _set_sources(entry: DataSet, original_lr: bool, limit: int | None, every: int) -> list[Source]:
    if original_lr:
        _lr_section(entry)
    if entry.name == "builtin":
        chosen = builtin.builtin_names()[::every][:limit]
        return [Source(label, partial(_builtin, label)) for label in chosen]
    paths = fetch(entry.name, original_lr, limit, every)
    count = len(paths) // 2 if original_lr else len(paths)
    hr_paths = paths[:count]
    lr_paths: Sequence[Path | None] = paths[count:] or [None] * count
    labels = entry.labels[::every] or [path.stem.removesuffix("_SRF_4_HR") for path in hr_paths]
    left_out = {data_folder() / path for path in entry.left_out}
    triples = zip(labels, hr_paths, lr_paths, strict=False)  # `limit` leaves labels over
    return [_source(*triple) for triple in triples if triple[1] not in left_out]


class Pairs(Sequence[Pair]):
    """HR/LR pairs that are decoded when they are asked for; what `load` returns. Slices are Pairs
    too."""

    def __init__(
        self, sources: Sequence[Source], scale: int, gray: str, border: str, lr: str = "matlab"
    ) -> None:
        self.sources = list(sources)
        self.scale = scale
        self.gray = gray
        self.border = border
        self.lr = lr

    @property
    def names(self) -> list[str]:
        return [source.name for source in self.sources]

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Pairs: ...
    def __getitem__(self, index: int | slice) -> Pair | Pairs:
        if isinstance(index, slice):
            return Pairs(self.sources[index], self.scale, self.gray, self.border, self.lr)
        source = self.sources[index]
        whole = source.read(self.gray)
        try:
            hr = crop_to_multiple(whole, self.scale)
        except HatlibError as error:
            raise HatlibError(f"{source.name}: {error}") from None
        if source.read_lr:
            return Pair(source.name, source.read_lr(self.gray), hr)
        return Pair(source.name, downsample(hr, self.scale, self.lr, self.border), hr)


def load(
    name_or_folder: str | os.PathLike[str],
    scale: int = 4,
    lr: str = "matlab",
    gray: str = "keep",
    limit: int | None = None,
    border: str = "symmetric",
    every: int = 1,
) -> Pairs:
    """HR/LR pairs of a public set (fetched on first use) or of a folder of images, by the protocol
    of the papers.

    Args:
        name_or_folder: a name of the catalogue, or a folder; its images come in the order of their
            names. "ucla" is the folder of that name in the data folder, into which you put the
            photos yourself.
        scale: 2, 3, 4 or 8; HR is cropped to a multiple of it.
        lr: "matlab" makes LR with `imresize`, bit-exactly; "original" takes the ×4 files that came
            with the set; "float", "pil", "torch" and "torch-antialias" are other programs' bicubic
            (`hatlib.imaging.degradation.downsample`).
        gray: "keep" leaves a one-channel file (Set14 has one) as (H, W), as in the reported results
            of bicubic; "rgb" repeats it three times, as in most results of networks.
        limit: only the first so many images.
        every: 10 takes each tenth image, from the first on: a part of a set that is not only its
            beginning. `limit` counts those.
        border: what `imresize` takes to lie outside: "symmetric", or "replicate" as in the original
            LR files.
    Returns:
        A sequence of Pair(name, lr, hr), uint8, each decoded when it is asked for.
    Raises:
        HatlibError: an unknown set, an empty or missing folder, a set without original LR files, no
            network. A file that can't be read raises when its pair is asked for.
    """
    if scale not in SCALES:
        raise HatlibError(
            f"scale can be {', '.join(map(str, SCALES[:-1]))} or {SCALES[-1]}, got {scale}"
        )
    options = {"lr": (lr, LR_METHODS), "gray": (gray, ("keep", "rgb")), "border": (border, BORDERS)}
    for what, (value, allowed) in options.items():
        if value not in allowed:
            raise HatlibError(
                f"{what} is '{value}'; it can be {', '.join(allowed[:-1])} or {allowed[-1]}"
            )
    if lr == "original" and scale != 4:
        raise HatlibError(
            f"the original LR files are for scale 4, got scale {scale}; lr='matlab' makes them"
        )
    return Pairs(_sources(name_or_folder, lr == "original", limit, every), scale, gray, border, lr)


def hr_images(
    name_or_folder: str | os.PathLike[str], gray: str = "rgb", limit: int | None = None
) -> list[np.ndarray]:
    """All images of a set or a folder, uint8 (H, W, 3), for training; arguments and errors as in
    `load`."""
    return list(stream(name_or_folder, gray, limit))


def stream(
    name_or_folder: str | os.PathLike[str], gray: str = "rgb", limit: int | None = None
) -> Iterator[np.ndarray]:
    """The same, read one by one: for sets that do not fit into memory."""
    return (source.read(gray) for source in _sources(name_or_folder, limit=limit))
