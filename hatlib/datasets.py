"""Data sets: a catalogue of public ones, HR/LR pairs for measuring, random patches for training.

A set of the catalogue is fetched when it is first used (`hatlib.downloads`); any folder of images is a set too.
Taught in notebooks 00 and 03.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch

from hatlib import downloads, pictures, runtime
from hatlib.catalogue import CATALOGUE, DataSet, info, names
from hatlib.errors import HatlibError, unknown
from hatlib.images import check_image, crop_to_multiple, list_images, load_image
from hatlib.resize import BORDERS, imresize

__all__ = [
    "CATALOGUE", "DataSet", "Pair", "Pairs", "PatchSampler", "fetch", "hr_images", "info", "load", "names", "table",
]
SCALES = (2, 3, 4, 8)


def table() -> list[dict[str, Any]]:
    """The catalogue as rows: the fields of DataSet that are read, and `present`, how many of the files are here."""
    folder = runtime.data_folder()
    rows = []
    for entry in CATALOGUE.values():
        present = [(folder / remote.path).is_file() for remote in downloads.registry().get(entry.name, ())]
        rows.append({
            "name": entry.name, "title": entry.title, "purpose": entry.purpose, "files": entry.files,
            "bytes": entry.bytes, "present": entry.files if entry.name == "builtin" else sum(present),
            "terms": entry.terms, "citation": entry.citation, "homepage": entry.homepage, "note": entry.note,
        })
    return rows


def fetch(name: str, published_lr: bool = False, limit: int | None = None) -> list[Path]:
    """Downloads what is missing or damaged of a set.

    Args:
        name: a name of the catalogue.
        published_lr: also the ×4 LR files that were published with it.
        limit: only the first so many images.
    Returns:
        The paths of the HR files (and then the LR files); none for "builtin".
    Raises:
        HatlibError: an unknown name, no published LR files, no network (see `downloads.fetch`).
    """
    entry = info(name)
    remotes = downloads.registry().get(name, ())
    if limit is not None:
        remotes = tuple(remote for remote in remotes if remote.path not in entry.left_out)[:limit]
    if published_lr:
        remotes += downloads.registry()[_lr_section(entry)][:limit]
    return downloads.fetch(remotes, entry.name)


def _lr_section(entry: DataSet) -> str:
    if not entry.lr_bytes:
        having = ", ".join(other.name for other in CATALOGUE.values() if other.lr_bytes)
        raise HatlibError(f"{entry.name} has no published LR files; those that have: {having}. lr='matlab' makes them")
    return f"{entry.name}:lr"


class Pair(NamedTuple):
    """An image and its small version; both uint8 (H, W, 3), or (H, W) for a one-channel file that is kept so."""

    name: str
    lr: np.ndarray
    hr: np.ndarray


class Source(NamedTuple):
    """An image that has not been read yet."""

    name: str
    read: Callable[[str], np.ndarray]  # takes "keep" or "rgb", for one-channel files
    read_lr: Callable[[str], np.ndarray] | None = None


def _source(name: str, path: Path, lr_path: Path | None = None) -> Source:
    return Source(name, partial(load_image, path), partial(load_image, lr_path) if lr_path else None)


def _sources(name_or_folder: str | os.PathLike[str], published: bool = False, limit: int | None = None) -> list[Source]:
    """The images of a set or a folder, unread. Fetches what is missing."""
    if limit is not None and limit < 1:
        raise HatlibError(f"limit is how many images to take, at least 1, got {limit}")
    name = os.fspath(name_or_folder)
    if name in CATALOGUE:
        return _set_sources(CATALOGUE[name], published, limit)
    folder = Path(name).expanduser()
    if folder.is_file():
        raise HatlibError(f"{name} is a file; a data set is a folder of images or one of {', '.join(names())}")
    if not folder.is_dir() and folder.name == name:
        raise unknown("data set (or folder)", name, names())
    if published:
        raise HatlibError(f"a folder of images has no published LR files, got lr='published' for {name}")
    files = list_images(folder)[:limit]
    stems = Counter(path.stem for path in files)
    return [_source(path.stem if stems[path.stem] == 1 else path.name, path) for path in files]


def _builtin(name: str, gray: str) -> np.ndarray:
    """A built-in picture; a gray photograph has three equal channels, of which "keep" takes one."""
    image = pictures.builtin(name)
    return image[..., 0] if gray == "keep" and name in pictures.GRAY else image


def _set_sources(entry: DataSet, published: bool, limit: int | None) -> list[Source]:
    if published:
        _lr_section(entry)
    if entry.name == "builtin":
        return [Source(label, partial(_builtin, label)) for label in pictures.builtin_names()[:limit]]
    paths = fetch(entry.name, published, limit)
    count = len(paths) // 2 if published else len(paths)
    lr_paths: Sequence[Path | None] = paths[count:] or [None] * count
    labels = entry.labels or [path.stem.removesuffix("_SRF_4_HR") for path in paths[:count]]
    left_out = {runtime.data_folder() / path for path in entry.left_out}
    triples = zip(labels, paths[:count], lr_paths, strict=False)  # `limit` cuts the paths, not the labels
    return [_source(*triple) for triple in triples if triple[1] not in left_out]


class Pairs(Sequence[Pair]):
    """HR/LR pairs that are decoded when they are asked for; what `load` returns. Slices are Pairs too."""

    def __init__(self, sources: Sequence[Source], scale: int, gray: str, border: str) -> None:
        self.sources, self.scale, self.gray, self.border = list(sources), scale, gray, border

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
            return Pairs(self.sources[index], self.scale, self.gray, self.border)
        source = self.sources[index]
        hr = crop_to_multiple(source.read(self.gray), self.scale)
        if source.read_lr:
            return Pair(source.name, source.read_lr(self.gray), hr)
        return Pair(source.name, imresize(hr, 1 / self.scale, border=self.border), hr)


def load(name_or_folder: str | os.PathLike[str], scale: int = 4, lr: str = "matlab", gray: str = "keep",
         limit: int | None = None, border: str = "symmetric") -> Pairs:
    """HR/LR pairs of a public set (fetched on first use) or of a folder of images, by the protocol of the papers.

    Args:
        name_or_folder: a name of the catalogue, or a folder; its images come in the order of their names.
        scale: 2, 3, 4 or 8; HR is cropped to a multiple of it.
        lr: "matlab" makes LR with `imresize`, bit-exactly; "published" takes the ×4 files that came with the set.
        gray: "keep" leaves a one-channel file (Set14 has one) as (H, W), as in the published results of bicubic;
            "rgb" repeats it three times, as in most results of networks.
        limit: only the first so many images.
        border: what `imresize` takes to lie outside: "symmetric", or "replicate" as in the published LR files.
    Returns:
        A sequence of Pair(name, lr, hr), uint8, each decoded when it is asked for.
    Raises:
        HatlibError: an unknown set, an empty or missing folder, no published LR files, no network. A file that can't
            be read raises when its pair is asked for.
    """
    if scale not in SCALES:
        raise HatlibError(f"scale can be {', '.join(map(str, SCALES[:-1]))} or {SCALES[-1]}, got {scale}")
    for what, value, allowed in (("lr", lr, ("matlab", "published")), ("gray", gray, ("keep", "rgb")),
                                 ("border", border, BORDERS)):
        if value not in allowed:
            raise HatlibError(f"{what} is '{value}'; it can be {' or '.join(allowed)}")
    if lr == "published" and scale != 4:
        raise HatlibError(f"the published LR files are for scale 4, got scale {scale}; lr='matlab' makes them")
    return Pairs(_sources(name_or_folder, lr == "published", limit), scale, gray, border)


def hr_images(name_or_folder: str | os.PathLike[str], gray: str = "rgb", limit: int | None = None) -> list[np.ndarray]:
    """All images of a set or a folder, uint8 (H, W, 3), for training; arguments and errors as in `load`."""
    return [source.read(gray) for source in _sources(name_or_folder, limit=limit)]


class PatchSampler:
    """Random LR/HR patches from images that are held in memory, one batch at a time: `lr, hr = next(sampler)`.

    Every position in every image is equally likely, and so is each of the eight flips and quarter turns. LR is made
    once, bit-exactly, from the whole images. The random numbers are drawn on the CPU, so a seed gives the same patches
    on every device. Taught in notebook 03.

    Args:
        images: uint8 (H, W, 3), or (H, W), which is repeated three times; each at least patch·scale on a side.
        scale: HR side / LR side.
        patch: side of an LR patch, pixels.
        batch: patches a batch.
        device: where images are kept and patches are cut.
        share: (i, n): of each batch, only what the i-th of n processes trains on; together they see the whole batch.
    Raises:
        HatlibError: no images, images smaller than a patch, or a batch that can't be shared evenly.
    """

    def __init__(self, images: Sequence[np.ndarray], scale: int, patch: int, batch: int, seed: int = 0,
                 device: torch.device | str = "cpu", share: tuple[int, int] = (0, 1)) -> None:
        if min(scale, patch, batch) < 1:
            raise HatlibError(f"scale, patch and batch are at least 1, got {scale}, {patch} and {batch}")
        if batch % share[1]:
            raise HatlibError(f"a batch of {batch} can't be shared by {share[1]} processes")
        self.mine = slice(share[0], None, share[1])
        _check_sizes(images, scale, patch)
        hrs = [crop_to_multiple(_three_channels(image), scale) for image in images]
        lrs = [imresize(hr, 1 / scale) for hr in hrs]
        self.scale, self.patch, self.batch = scale, patch, batch
        self.rng = np.random.default_rng(seed)
        self.hr, self.lr = _flat(hrs, device), _flat(lrs, device)  # (3, pixels of all images)
        self.sides = np.array([image.shape[:2] for image in lrs])
        self.first = np.concatenate([[0], np.cumsum(self.sides.prod(axis=1))])  # where each image starts in `lr`
        places = (self.sides - patch + 1).prod(axis=1)
        self.chance = places / places.sum()

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return self

    def __next__(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, p, p) and (N, 3, s·p, s·p), float32 in [0, 1], on the device."""
        image = self.rng.choice(len(self.sides), size=self.batch, p=self.chance)
        corner = self.rng.integers(0, self.sides[image] - self.patch + 1)  # row, column in LR
        turn = self.rng.integers(0, 2, size=(self.batch, 3), dtype=bool)  # upside down, left to right, transposed
        image, corner, turn = image[self.mine], corner[self.mine], turn[self.mine]
        first, width = self.first[image], self.sides[image, 1]
        lr = _cut(self.lr, first, width, corner, self.patch, turn)
        s = self.scale
        return lr, _cut(self.hr, first * s * s, width * s, corner * s, self.patch * s, turn)


def _cut(flat: torch.Tensor, first: np.ndarray, width: np.ndarray, corner: np.ndarray, side: int,
         turn: np.ndarray) -> torch.Tensor:
    """Square patches out of images that lie one after another: a flip only changes where to start and how to step."""
    down, right = np.where(turn[:, 0], -width, width), np.where(turn[:, 1], -1, 1)
    row, column = (corner + (side - 1) * turn[:, :2]).T
    start = first + row * width + column
    steps = np.where(turn[:, 2:], np.stack([right, down], 1), np.stack([down, right], 1))
    start, by_row, by_column = torch.from_numpy(np.column_stack([start, steps])).to(flat.device).T[..., None, None]
    along = torch.arange(side, device=flat.device)
    index = start + by_row * along[:, None] + by_column * along  # (N, side, side)
    patches = flat.gather(1, index.flatten().expand(3, -1)).view(3, *index.shape)
    return patches.transpose(0, 1).contiguous().float().div_(255)


def _flat(images: Sequence[np.ndarray], device: torch.device | str) -> torch.Tensor:
    """Images (H, W, 3) one after another as (3, pixels of all), uint8."""
    return torch.cat([torch.from_numpy(image.reshape(-1, 3).T.copy()) for image in images], dim=1).to(device)


def _three_channels(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _check_sizes(images: Sequence[np.ndarray], scale: int, patch: int) -> None:
    if not len(images):
        raise HatlibError("there are no images to cut patches from")
    for image in images:
        check_image(image)
        if image.dtype != np.uint8:
            raise HatlibError(f"patches are cut from uint8 images, got {image.dtype}")
    shortest = [min(image.shape[:2]) for image in images]
    small = sum(side < patch * scale for side in shortest)
    if small:
        raise HatlibError(
            f"an LR patch of {patch} at ×{scale} needs images of at least {patch * scale} pixels a side; {small} of "
            f"{len(images)} are smaller (the smallest side is {min(shortest)}, good for a patch of "
            f"{min(shortest) // scale})")
