"""One image, or all images of a folder, one after another; or a part of them, while other processes
do the others."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hatlib.cli.results import Results, Settings, checksum
from hatlib.errors import HatlibError
from hatlib.system import atomic, console, locks, processes
from hatlib.validation import choice

if TYPE_CHECKING:
    import numpy as np

# What Pillow reads beside the formats that hatlib writes, and what it does not read.
ALSO_READ = (".avif", ".gif", ".jfif", ".jp2", ".mpo", ".pbm", ".pgm", ".pnm", ".ppm", ".tga")
NOT_READ = (
    *(".heic", ".heif", ".jxl", ".svg", ".psd", ".xcf", ".eps", ".ai", ".pdf"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw"),
)
FORMATS = ("png", "jpg", "webp", "tiff")  # of the results of a folder
NAMED = 5  # names that the last line mentions; the others are counted


class Batch:
    """The images of a command, and where their results go; both are checked when it is made.

        for path, result in batch:
            with batch.writing(path, result) as file:
                …
        return batch.finish()

    What is written to `file` takes the name `result` after the block. An error in the block leaves
    that image out, if it is one of a folder, and the others are done. An image of a folder that
    another program has in hand, into the same folder, is left to it; if it does not finish, the
    image is done here in the end.

    Args:
        source: an image file or a folder.
        target: a file or a folder for a file, a folder for a folder; it is made if needed. Results
            in a folder have the names of their originals.
        overwrite: whether files that hatlib did not write may be replaced, and results that are
            done are made anew.
        shard: the part of a folder that is asked for, "3/100". The processes of a launcher split
            it once more; the first speaks for all.
        format: one of FORMATS, for results in a folder; png by default.
        recursive: whether the subfolders of a folder are done, too, into subfolders of the target.
    Raises:
        HatlibError: nothing to read, or a result that may not be written (see `results`).
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        overwrite: bool = False,
        shard: str | None = None,
        format: str | None = None,
        recursive: bool = False,
    ) -> None:
        self.shard = processes.parse(shard)
        self.process = processes.launched()
        self.source = source
        self.target = target
        self.overwrite = overwrite
        self.is_folder = source.is_dir()
        for option, given in (("--shard", shard is not None), ("--recursive", recursive)):
            if given and not self.is_folder:
                raise HatlibError(f"{option} is for the images of a folder, and {source} is none")
        choice("--format", "png" if format is None else format, FORMATS)
        self.format = format
        self.recursive = recursive
        self.no_reader: list[Path] = []
        self.subfolders = 0
        whole = self._plan_folder() if self.is_folder else {source: self._single_result()}
        part = self.shard.split(self.process)
        self.plan = dict(part.take(list(whole.items())))
        self.no_reader = list(part.take(self.no_reader))
        self.results = Results(whole, overwrite, part)
        self.results.check(list(self.plan.values()))
        if self.is_folder and target.exists():
            console.make_folder(target)  # asks whether it can be written to
        self.settings: Settings = {}
        self.kept = 0
        self.written = 0
        self.failed: list[Path] = []
        self._said = ""  # of the image that is being worked on

    def made_by(self, command: str, **settings: object) -> None:
        """What the results depend on beside their originals. A result counts as done only if all
        of it is as it was."""
        self.settings = {"command": command, **settings}

    def __iter__(self) -> Iterator[tuple[Path, Path]]:
        if not self.is_folder:
            yield from self.plan.items()
            return
        for folder in dict.fromkeys((self.target, *(path.parent for path in self.plan.values()))):
            console.make_folder(folder)
            atomic.sweep(folder)
        left = [path for path in self.plan if self.overwrite or not self._is_done(path)]
        self.kept = len(self.plan) - len(left)
        taken: list[Path] = []
        for path in console.progress(left, self.source.name, self._line):
            self._said = ""
            try:
                with self._claimed(path):
                    yield from self._unless_done(path)
            except locks.Taken:
                taken.append(path)
        for path in taken:
            self.remark(path, "another program is at work on it; waiting for its end")
            with self._claimed(path, wait=True):
                yield from self._unless_done(path)

    def _claimed(self, path: Path, wait: bool = False) -> contextlib.AbstractContextManager[None]:
        """Inside, no other program works on an image; raises Taken where one does. The claim ends
        with the program, however that ends."""
        result = self.plan[path]
        # eight digits: what a killed program leaves is swept as a temporary file is
        name = hashlib.sha256(os.fsencode(result.name)).hexdigest()[:8]
        return locks.alone_in(result.parent, name, wait)

    def _unless_done(self, path: Path) -> Iterator[tuple[Path, Path]]:
        """The image and its result, unless another program has done it in the meantime."""
        if not self.overwrite and self.plan[path].exists() and self._is_done(path):
            self.kept += 1
        else:
            yield path, self.plan[path]

    @contextlib.contextmanager
    def writing(self, path: Path, result: Path) -> Iterator[Path]:
        """Yields the path to write one result to."""
        try:
            with self.results.writing(result, self._made(path)) as file:
                yield file
            self.written += 1
        except Exception as error:
            if not self.is_folder:
                if isinstance(error, HatlibError | OSError):
                    raise
                raise HatlibError(f"{path} cannot be processed: {reason(error)}") from error
            self.failed.append(path)
            self._said = ""
            console.warn(f"{self._name(path)} left out: {reason(error)}")

    def remark(self, path: Path, what: str) -> None:
        """Says something of an image on stderr, unless it is empty."""
        if what:
            console.note(f"{self._name(path)}: {what}")

    def note(self, before: np.ndarray, after: np.ndarray) -> None:
        """What became of an image, to be shown as soon as it is written."""
        self._said = " → ".join(f"{image.shape[1]}×{image.shape[0]}" for image in (before, after))

    def _line(self, path: Path) -> str:
        return self._said and f"{self._name(path)}: {self._said}"

    def _name(self, path: Path) -> Path:
        """An image as messages name it."""
        return path.relative_to(self.source) if self.is_folder else Path(path.name)

    def finish(self) -> int:
        """Says what was written, what was kept and what was left out; the exit code. Waits for the
        other processes of a launcher, which ends all as soon as one ends with an error."""
        counts = (len(self.plan) + len(self.no_reader), self.written, self.kept)
        left_out = [str(self._name(path)) for path in self.failed]
        no_reader = [f"{self._name(path)} (no reader for {path.suffix})" for path in self.no_reader]
        of_all = processes.gather((counts, left_out, no_reader))
        total, written, kept = (
            sum(column) for column in zip(*(row[0] for row in of_all), strict=True)
        )
        left_out = [name for _, failed, _ in of_all for name in failed]
        left_out += [name for _, _, unread in of_all for name in unread]
        if self.process.number == 1:
            self._say(total, written, kept, left_out)
        return 1 if left_out else 0

    def _say(self, total: int, written: int, kept: int, left_out: list[str]) -> None:
        if not self.is_folder:
            console.say(f"{self.plan[self.source]}: {self._said}")
            return
        which = "" if self.shard == processes.WHOLE else f", {self.shard}"
        parts = [f"{self.target}{which}: {written} of {total} images written"]
        if kept:
            parts.append(f"{kept} done before (--overwrite makes them anew)")
        if left_out:
            more = len(left_out) - NAMED
            names = ", ".join(left_out[:NAMED]) + (f" and {more} more" if more > 0 else "")
            parts.append(f"left out: {names}")
        if self.subfolders:
            parts.append(f"subfolders are left out: {self.subfolders} (--recursive takes them)")
        console.say("; ".join(parts))

    def _single_result(self) -> Path:
        """Where the result of a single image goes."""
        from hatlib.imaging.io import check_suffix

        path = self.target
        if path.is_dir():
            path = path / f"{self.source.stem}.{self.format or FORMATS[0]}"
        elif self.format is not None:
            raise HatlibError(f"--format is for results in a folder, and OUT is the file {path}")
        check_suffix(path)
        if self.source.exists() and not self.source.is_file():
            raise HatlibError(f"{self.source} is not a regular file")
        atomic.check_target(path)
        return path

    def _plan_folder(self) -> dict[Path, Path]:
        """Original → result. Two originals with one stem keep their suffixes in the results."""
        from hatlib.imaging.io import SUFFIXES

        if self.target.exists() and self.source.samefile(self.target):
            raise HatlibError(f"IN and OUT are both {self.source}: the originals would be lost")
        plan: dict[Path, Path] = {}
        for folder in self._folders():
            images = self._images(folder)
            target = self.target / folder.relative_to(self.source)
            plan |= dict(zip(images, result_names(images, target, self.format), strict=True))
        if not plan:
            raise HatlibError(f"no image in {self.source} ({', '.join(SUFFIXES)})")
        folders = {parent: path for path, result in plan.items() for parent in result.parents}
        for path, result in plan.items():
            if result in folders:
                raise HatlibError(
                    f"the result of {path} would be the file {result}, and that of "
                    f"{folders[result]} is to go into a folder of that name"
                )
        return plan

    def _folders(self) -> Iterator[Path]:
        """The folder, and what is below it, if that is asked for: neither hidden ones, nor links,
        nor the folder of the results."""
        if not self.recursive:
            yield self.source
            return
        for here, below, _ in os.walk(self.source):
            folder = Path(here)
            below[:] = sorted(name for name in below if name[0] != ".")
            if not (self.target.exists() and folder.samefile(self.target)):
                yield folder
            else:
                below.clear()

    def _images(self, folder: Path) -> list[Path]:
        """The images of a folder. What else is in there is counted."""
        from hatlib.imaging.io import SUFFIXES, is_image_file

        visible = sorted(path for path in folder.iterdir() if path.name[0] != ".")
        files = [path for path in visible if is_image_file(path)]
        self.no_reader += [path for path in files if path.suffix.lower() in NOT_READ]
        if not self.recursive:
            self.subfolders = sum(path.is_dir() for path in visible)
        return [path for path in files if path.suffix.lower() in (*SUFFIXES, *ALSO_READ)]

    def _made(self, path: Path) -> Settings:
        """What determines the result of an image."""
        with contextlib.suppress(OSError):  # reported when it is read
            return {**self.settings, "from": checksum(path)}
        return self.settings

    def _is_done(self, path: Path) -> bool:
        return self.results.done(self.plan[path], self._made(path))


def result_names(images: list[Path], folder: Path, format: str | None = None) -> list[Path]:
    """A file for each image, none twice."""
    from hatlib.imaging.io import distinct_names

    return [folder / f"{name}.{format or FORMATS[0]}" for name in distinct_names(images)]


def reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, HatlibError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "not enough memory; --tile 128 takes a large image in pieces"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
