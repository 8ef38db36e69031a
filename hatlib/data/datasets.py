"""Data sets: a catalogue of public ones, and HR/LR pairs for measuring.

A set of the catalogue is fetched when it is first used (`hatlib.system.downloads`); any folder of
images is a set too. Random patches for training are in `hatlib.data.patches`. Taught in notebooks
00 and 03.
"""

from __future__ import annotations

import os
from collections import Counter
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
from hatlib.imaging.degradation import SHRINKS, shrink
from hatlib.imaging.io import SUFFIXES, list_images, load_image
from hatlib.imaging.resize import BORDERS
from hatlib.system import downloads
from hatlib.system.paths import data_folder

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
LR_WAYS = (*SHRINKS, "published")  # how LR is made, or that it is read


def table() -> list[dict[str, Any]]:
    """The catalogue as rows: the fields of DataSet that are read, and `present`, how many of the
    files are here."""
    folder = data_folder()
    rows = []
    for entry in CATALOGUE.values():
        present = [
            (folder / remote.path).is_file() for remote in registry.registry().get(entry.name, ())
        ]
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
    name: str, published_lr: bool = False, limit: int | None = None, every: int = 1
) -> list[Path]:
    """Downloads what is missing or damaged of a set.

    Args:
        name: a name of the catalogue.
        published_lr: also the ×4 LR files that were published with it.
        limit, every: only a part of the images, as in `load`.
    Returns:
        The paths of the HR files (and then the LR files); none for "builtin".
    Raises:
        HatlibError: an unknown name, no published LR files, no network (see `downloads.fetch`).
    """
    entry = info(name)
    remotes = registry.registry().get(name, ())
    if limit is not None or every > 1:
        remotes = tuple(remote for remote in remotes if remote.path not in entry.left_out)[::every][
            :limit
        ]
    if published_lr:
        remotes += registry.registry()[_lr_section(entry)][::every][:limit]
    folder = (data_folder() / remotes[0].path).parent if remotes else data_folder()
    by_hand = f"put the files into {folder} (names and SHA-256: {registry.REGISTRY})"
    return downloads.fetch(remotes, entry.name, by_hand)


def _lr_section(entry: DataSet) -> str:
    if not entry.lr_bytes:
        having = ", ".join(other.name for other in CATALOGUE.values() if other.lr_bytes)
        raise HatlibError(
            f"{entry.name} has no published LR files; those that have: {having}. lr='matlab' makes them"
        )
    return f"{entry.name}:lr"


class Pair(NamedTuple):
    """An image and its small version; both uint8 (H, W, 3), or (H, W) for a one-channel file that
    is kept so."""

    name: str
    lr: np.ndarray
    hr: np.ndarray


class Source(NamedTuple):
    """An image that has not been read yet."""

    name: str
    read: Callable[[str], np.ndarray]  # takes "keep" or "rgb", for one-channel files
    read_lr: Callable[[str], np.ndarray] | None = None


def _source(name: str, path: Path, lr_path: Path | None = None) -> Source:
    return Source(
        name, partial(load_image, path), partial(load_image, lr_path) if lr_path else None
    )


def _sources(
    name_or_folder: str | os.PathLike[str],
    published: bool = False,
    limit: int | None = None,
    every: int = 1,
) -> list[Source]:
    """The images of a set or a folder, unread. Fetches what is missing."""
    if limit is not None and limit < 1:
        raise HatlibError(f"limit is how many images to take, at least 1, got {limit}")
    if every < 1:
        raise HatlibError(f"every is 1 for all images, 10 for each tenth, got {every}")
    name = os.fspath(name_or_folder)
    if name == "ucla":
        name = str(ucla_folder() or _no_ucla())
    if name in CATALOGUE:
        return _set_sources(CATALOGUE[name], published, limit, every)
    folder = Path(name).expanduser()
    if folder.is_file():
        raise HatlibError(
            f"{name} is a file; a data set is a folder of images or one of {', '.join(names())}"
        )
    if not folder.is_dir() and folder.name == name:
        raise unknown("data set (or folder)", name, names())
    if published:
        raise HatlibError(
            f"a folder of images has no published LR files, got lr='published' for {name}"
        )
    files = list_images(folder)[::every][:limit]
    stems = Counter(path.stem for path in files)
    return [_source(path.stem if stems[path.stem] == 1 else path.name, path) for path in files]


def ucla_folder() -> Path | None:
    """Where the survey's photos of UCLA are, `ucla` in the data folder; None while there is no
    image in it."""
    folder = data_folder() / "ucla"
    there = folder.is_dir() and any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
    return folder if there else None


def _no_ucla() -> NoReturn:
    raise HatlibError(
        f"the survey's photos of UCLA are in no public set: put them, or photos of another campus, into "
        f"{data_folder() / 'ucla'} (data/README.md has more)"
    )


def _builtin(name: str, gray: str) -> np.ndarray:
    """A built-in picture; a gray photograph has three equal channels, of which "keep" takes one."""
    image = builtin.builtin_image(name)
    return image[..., 0] if gray == "keep" and name in builtin.GRAY else image


def _set_sources(entry: DataSet, published: bool, limit: int | None, every: int) -> list[Source]:
    if published:
        _lr_section(entry)
    if entry.name == "builtin":
        return [
            Source(label, partial(_builtin, label))
            for label in builtin.builtin_names()[::every][:limit]
        ]
    paths = fetch(entry.name, published, limit, every)
    count = len(paths) // 2 if published else len(paths)
    lr_paths: Sequence[Path | None] = paths[count:] or [None] * count
    labels = entry.labels[::every] or [
        path.stem.removesuffix("_SRF_4_HR") for path in paths[:count]
    ]
    left_out = {data_folder() / path for path in entry.left_out}
    triples = zip(
        labels, paths[:count], lr_paths, strict=False
    )  # `limit` cuts the paths, not the labels
    return [_source(*triple) for triple in triples if triple[1] not in left_out]


class Pairs(Sequence[Pair]):
    """HR/LR pairs that are decoded when they are asked for; what `load` returns. Slices are Pairs
    too."""

    def __init__(
        self, sources: Sequence[Source], scale: int, gray: str, border: str, way: str = "matlab"
    ) -> None:
        self.sources, self.scale, self.gray, self.border, self.way = (
            list(sources),
            scale,
            gray,
            border,
            way,
        )

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
            return Pairs(self.sources[index], self.scale, self.gray, self.border, self.way)
        source = self.sources[index]
        hr = crop_to_multiple(source.read(self.gray), self.scale)
        if source.read_lr:
            return Pair(source.name, source.read_lr(self.gray), hr)
        return Pair(source.name, shrink(hr, self.scale, self.way, self.border), hr)


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
        lr: "matlab" makes LR with `imresize`, bit-exactly; "published" takes the ×4 files that came
            with the set; "float", "pil", "torch" and "torch-antialias" are other programs' bicubic
            (`degradation.shrink`).
        gray: "keep" leaves a one-channel file (Set14 has one) as (H, W), as in the published
            results of bicubic; "rgb" repeats it three times, as in most results of networks.
        limit: only the first so many images.
        every: 10 takes each tenth image, from the first on: a part of a set that is not only its
            beginning. `limit` counts those.
        border: what `imresize` takes to lie outside: "symmetric", or "replicate" as in the
            published LR files.
    Returns:
        A sequence of Pair(name, lr, hr), uint8, each decoded when it is asked for.
    Raises:
        HatlibError: an unknown set, an empty or missing folder, no published LR files, no network.
            A file that can't be read raises when its pair is asked for.
    """
    if scale not in SCALES:
        raise HatlibError(
            f"scale can be {', '.join(map(str, SCALES[:-1]))} or {SCALES[-1]}, got {scale}"
        )
    for what, value, allowed in (
        ("lr", lr, LR_WAYS),
        ("gray", gray, ("keep", "rgb")),
        ("border", border, BORDERS),
    ):
        if value not in allowed:
            raise HatlibError(
                f"{what} is '{value}'; it can be {', '.join(allowed[:-1])} or {allowed[-1]}"
            )
    if lr == "published" and scale != 4:
        raise HatlibError(
            f"the published LR files are for scale 4, got scale {scale}; lr='matlab' makes them"
        )
    return Pairs(_sources(name_or_folder, lr == "published", limit, every), scale, gray, border, lr)


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
