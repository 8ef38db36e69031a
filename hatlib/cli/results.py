"""What a command may write: one rule for all of them, applied before the work begins.

1. A file that the command reads is never replaced.
2. A file that hatlib wrote, and that nobody has changed since, may be replaced. If it was made in
   the same way from the same original, it counts as done.
3. Any other file is replaced only with --overwrite.

What hatlib wrote is recorded beside it, in the hidden file RECORD: one line of JSON for each
result, with its checksum and with what it was made of. Lines are only ever added, so that a killed
process, or two at once, can do no more harm than an unfinished last line, which is not read. A
process that does a part of a folder has a record of its own, as lines of several machines would
mix on a network drive; all records of a folder are read.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hatlib.errors import HatlibError
from hatlib.system import atomic, console
from hatlib.system.processes import WHOLE, Part
from hatlib.version import __version__

RECORD = ".hatlib-results.jsonl"
RECORDS = ".hatlib-results*.jsonl"  # with those of parts
NAMED = 3  # names of files that an error mentions; the others are counted

Settings = dict[str, Any]  # what determines a result: the command, its options, weights, original


class Results:
    """The files that one command writes.

    Args:
        inputs: the files that it reads.
        overwrite: whether files that hatlib did not write may be replaced.
        part: of the work, that this process does.
    """

    def __init__(
        self, inputs: Iterable[Path] = (), overwrite: bool = False, part: Part = WHOLE
    ) -> None:
        self.overwrite = overwrite
        self.part = part
        self._inputs = {_identity(path): path for path in inputs if path.exists()}
        self._records: dict[Path, Record] = {}

    def check(self, paths: Sequence[Path]) -> None:
        """Raises HatlibError unless all of these files may be written."""
        foreign = []
        check_distinct(paths)
        for path in paths:
            if fnmatch.fnmatch(path.name, RECORDS):
                raise HatlibError(f"cannot write {path}: hatlib keeps there what it wrote")
            if _exists(path) and (original := self._inputs.get(_identity(path))):
                same = "" if path == original else f" is {original}, which"
                raise HatlibError(
                    f"cannot write {path}: it{same} is an input of this command, and would be lost"
                )
            if _exists(path) and not self.overwrite and not self._record(path).has(path):
                foreign.append(path)
        if foreign:
            more = len(foreign) - NAMED
            names = ", ".join(map(str, foreign[:NAMED])) + (f" and {more} more" if more > 0 else "")
            raise HatlibError(
                f"{names} would be replaced, and hatlib did not write it as it is: "
                "choose another name or folder, or --overwrite"
            )

    def done(self, path: Path, made: Settings) -> bool:
        """Whether the file is there, made in this way."""
        return path.is_file() and self._record(path).has(path, {**made, "hatlib": __version__})

    @contextlib.contextmanager
    def writing(self, path: Path, made: Settings) -> Iterator[Path]:
        """Yields a temporary path; what was written there is recorded and takes the name `path`."""
        target = Path(os.path.realpath(path))
        temporary = atomic.temporary_path(target)
        try:
            yield temporary
            # Recorded first: killed in between, it has an entry too many, never a file unknown.
            self._record(path).add(path.name, temporary, {**made, "hatlib": __version__})
            atomic.replace(temporary, target)
        except HatlibError as error:
            raise HatlibError(str(error).replace(str(temporary), str(path))) from error
        except OSError as error:
            raise HatlibError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _record(self, path: Path) -> Record:
        if path.parent not in self._records:
            self._records[path.parent] = Record(path.parent, self.part)
        return self._records[path.parent]


class Record:
    """What hatlib wrote into a folder: name → the entries of all its results of that name."""

    def __init__(self, folder: Path, part: Part = WHOLE) -> None:
        self.folder = folder
        self.file = folder / RECORD
        if part != WHOLE:
            self.file = self.file.with_stem(f"{self.file.stem}-{part.slug}")
        self.entries: dict[str, list[Settings]] = {}
        self._sizes: dict[Path, int] = {}
        self._read()

    def _read(self) -> bool:
        """Reads the records of the folder; False where they are as they were."""
        sizes = {file: file.stat().st_size for file in sorted(self.folder.glob(RECORDS))}
        if sizes == self._sizes:
            return False
        self._sizes = sizes
        self.entries = {}
        for file in sizes:
            for entry in _read_lines(file):
                self.entries.setdefault(entry["file"], []).append(entry)
        return True

    def has(self, path: Path, made: Settings | None = None) -> bool:
        """Whether a file is a result, unchanged; made in this way, if one is given."""
        # where it is not: another process may have written it since the records were read
        return self._has(path, made) or (self._read() and self._has(path, made))

    def _has(self, path: Path, made: Settings | None) -> bool:
        entries = self.entries.get(path.name, [])
        if made is not None:
            entries = [entry for entry in entries if entry["made"] == made]
        return bool(entries) and checksum(path) in {entry["sha256"] for entry in entries}

    def add(self, name: str, file: Path, made: Settings) -> None:
        """Records a file as a result under a name."""
        made = json.loads(json.dumps(made))  # as it is read again: tuples become lists
        self.append({"file": name, "sha256": checksum(file), "made": made})

    def append(self, entry: Settings) -> None:
        """Adds an entry, by one write of one line: those of two processes do not mix."""
        self.entries.setdefault(entry["file"], []).append(entry)
        with self.file.open("a", encoding="utf-8", newline="") as lines:
            lines.write(json.dumps(entry) + "\n")  # ASCII: names need not be UTF-8


def _read_lines(file: Path) -> Iterator[Settings]:
    """The whole lines of a record; what is damaged is left out, and its file taken for foreign."""
    if not file.is_file():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.keys() >= {"file", "sha256", "made"}:
                yield entry


def check_distinct(paths: Iterable[Path | None]) -> None:
    """Raises HatlibError if two of the files that a command is to write are one (None: not
    asked for)."""
    names = Counter(os.path.realpath(path).casefold() for path in paths if path is not None)
    for name, count in names.items():
        if count > 1:
            raise HatlibError(f"{count} results of this command would be written to {name}")


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _exists(path: Path) -> bool:
    """Whether there is such a file; one whose name is too long is not there."""
    with contextlib.suppress(OSError):
        return path.exists()
    return False


def _identity(path: Path) -> tuple[int, int]:
    """Equal for two names of the same file, links included."""
    state = path.stat()
    return state.st_dev, state.st_ino


class Table:
    """The file of --json, if one was asked for; checked when it is made, before the work."""

    def __init__(
        self, path: Path | None, overwrite: bool = False, inputs: Iterable[Path] = ()
    ) -> None:
        self.path = path
        self.results = Results(inputs, overwrite)
        if path is not None:
            console.check_file(path)
            self.results.check([path])

    def write(self, content: Any) -> None:
        """Writes a table's content, whole or not at all."""
        if self.path is not None:
            with self.results.writing(self.path, {"command": "--json"}) as temporary:
                atomic.write_text(temporary, console.json_text(content))


# ---- folders that belong to one command ----------------------------------------------------------


def check_folder(folder: Path, command: str, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Raises HatlibError unless the command may write whatever it likes into a folder.

    It may if the folder is new or empty, or if it wrote there before; never if it reads from it.
    """
    if not folder.is_dir():
        return
    for place in inputs:
        if place.is_dir() and place.samefile(folder):
            raise HatlibError(f"{folder} is the folder of the data: choose another one for results")
    # a record alone: another process has begun just now
    files = (path for path in folder.iterdir() if not fnmatch.fnmatch(path.name, RECORDS))
    if overwrite or not any(files) or _is_claimed(Record(folder), command):
        return
    raise HatlibError(
        f"{folder} has files that hatlib {command} did not write: choose another folder, "
        "or --overwrite"
    )


def claim_folder(folder: Path, command: str) -> None:
    """Records that a folder belongs to a command."""
    record = Record(folder)
    if not _is_claimed(record, command):
        record.append({"file": ".", "sha256": "", "made": {"command": command}})


def _is_claimed(record: Record, command: str) -> bool:
    entries = record.entries.get(".", [])
    return any(entry["made"] == {"command": command} for entry in entries)
