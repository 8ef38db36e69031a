"""Downloads: public files with known size and SHA-256, several at a time, each of them whole or not
at all.

A file is received into memory, compared with its checksum, and only then written, so that neither a
cut connection nor Ctrl-C nor two programs fetching the same file leave a damaged one.
`HATLIB_MIRROR` stands in for the network. The registry beside this module has every address and
checksum.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatlib.errors import HatlibError
from hatlib.system import paths
from hatlib.system.atomic import atomic_path, sweep

WORKERS = 8  # connections at a time
TIMEOUT = 4.0  # seconds that one connection may be silent; then the file is asked for again
STALL_TIMEOUT = 8.0  # seconds without a byte from any of them; then we give up
ATTEMPTS = 3  # for a connection that breaks, or bytes that arrive damaged
PAUSE = 0.3  # seconds before the second attempt, four times that before the third


@dataclass(frozen=True)
class Remote:
    """A public file."""

    path: str  # below the data folder and the mirror, with forward slashes
    urls: tuple[str, ...]  # tried in this order
    bytes: int  # 0 where it is not known
    sha256: str


def intact(remote: Remote, folder: Path) -> bool:
    """Whether the file is there with the right bytes (the checksum is computed once for an
    unchanged file)."""
    try:
        state = os.stat(folder / remote.path)
    except OSError:
        return False
    return remote.bytes in (0, state.st_size) and sha256(folder / remote.path) == remote.sha256


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal; computed once while the file does not change."""
    state = os.stat(path)
    return _sha256(path, state.st_mtime_ns, state.st_size)


@functools.cache
def _sha256(path: Path, changed: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(remotes: Sequence[Remote], title: str, by_hand: str) -> list[Path]:
    """Downloads what is missing or damaged; returns the paths of all in the data folder.

    A bar shows the bytes if it takes more than a second. With `HATLIB_MIRROR` set, the files are
    copied from there and the network is not used.

    Args:
        remotes: what is wanted.
        title: what to call it in the progress bar and in errors.
        by_hand: what to do without the network, in words, for the error.
    Raises:
        HatlibError: no network, a file that is unavailable or arrives damaged, a folder that cannot
            be written to. Files that had arrived by then are kept.
    """
    folder = paths.data_folder()
    missing = [remote for remote in remotes if not intact(remote, folder)]
    if missing:
        mirror = paths.mirror()
        downloader = _network() if mirror is None else CopyDownloader(mirror)
        _Fetch(missing, folder, title, downloader, mirror, by_hand).run()
    return [folder / remote.path for remote in remotes]


class CopyDownloader:
    """A pooch downloader that copies from a mirror; instead of a URL it takes the path of the file
    there."""

    def __init__(self, mirror: Path) -> None:
        self.mirror = mirror

    def __call__(
        self, url: str, output_file: Any, pooch: Any, check_only: bool = False
    ) -> bool | None:
        source = self.mirror / url
        if check_only:
            return source.is_file()
        output_file.write(source.read_bytes())
        return None


def _network() -> Callable[..., Any]:
    import pooch

    return pooch.HTTPDownloader(chunk_size=1 << 16, timeout=TIMEOUT)


class _Stopped(Exception):
    """The rest of the download was given up."""


class _Buffer(io.BytesIO):
    """Where the bytes of one file arrive: it reports them, and refuses them once the download was
    given up."""

    def __init__(self, arrived: Callable[[int], None]) -> None:
        super().__init__()
        self.arrived = arrived

    def write(self, chunk: Any, /) -> int:
        self.arrived(len(chunk))
        return super().write(chunk)


class _Fetch:
    """One download of several files: worker threads take them from a queue, the caller's thread
    watches.

    The workers are daemon threads, so a connection that hangs can't keep the program from ending.
    """

    def __init__(
        self,
        remotes: Sequence[Remote],
        folder: Path,
        title: str,
        downloader: Callable[..., Any],
        mirror: Path | None,
        by_hand: str,
    ) -> None:
        self.folder = folder
        self.title = title
        self.downloader = downloader
        self.mirror = mirror
        self.by_hand = by_hand
        self.todo: queue.SimpleQueue[Remote] = queue.SimpleQueue()
        for remote in remotes:
            self.todo.put(remote)
        self.waiting = dict.fromkeys(remotes)  # in the order of the set
        self.done: queue.SimpleQueue[tuple[Remote, Exception | None]] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.received = 0
        self.last = time.monotonic()

    def run(self) -> None:
        """Fetches all of them, or raises what went wrong first."""
        from tqdm.auto import tqdm

        count = len(self.waiting)
        size = sum(remote.bytes for remote in self.waiting)
        workers = [
            threading.Thread(target=self._work, daemon=True) for _ in range(min(WORKERS, count))
        ]
        # None: shown on a terminal and in a notebook
        quiet = True if "PYTEST_CURRENT_TEST" in os.environ else None
        bar = tqdm(
            total=size or None,
            desc=self.title,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            disable=quiet,
            delay=1,
            leave=False,
        )
        try:
            for worker in workers:
                worker.start()
            for _ in range(count):
                self._wait(bar)
        finally:
            self.stop.set()
            bar.close()
            deadline = time.monotonic() + 0.5  # enough for a file that is being written
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))

    def _wait(self, bar: Any) -> None:
        """Until one more file is there."""
        while True:
            bar.update(self.received - bar.n)
            try:
                remote, error = self.done.get(timeout=0.1)
            except queue.Empty:
                if time.monotonic() - self.last > STALL_TIMEOUT:
                    silent = next(iter(self.waiting))
                    reason = f"no answer for {STALL_TIMEOUT:.0f} seconds"
                    raise self._failed(silent, dict.fromkeys(silent.urls, reason)) from None
                continue
            self.last = time.monotonic()
            del self.waiting[remote]
            if error is not None:
                if isinstance(error, HatlibError):
                    raise error
                raise self._failed(remote, dict.fromkeys(remote.urls, _reason(error)))
            return

    def _work(self) -> None:
        while not self.stop.is_set():
            try:
                remote = self.todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._write(remote, self._receive(remote))
            except Exception as error:  # handed to the thread that waits
                self.done.put((remote, error))
            else:
                self.done.put((remote, None))

    def _receive(self, remote: Remote) -> bytes:
        """The right bytes of a file, from the first address that has them; asks again where that
        may help."""
        addresses = [remote.path] if self.mirror else list(remote.urls)
        reasons: dict[str, str] = {}
        for attempt in range(ATTEMPTS):
            for address in list(addresses):
                try:
                    return self._ask(address, remote)
                except Exception as error:
                    reasons[address] = _reason(error)
                    if self.mirror or not _passing(error):
                        addresses.remove(address)
            if not addresses or attempt == ATTEMPTS - 1 or self.stop.wait(PAUSE * 4**attempt):
                break
        raise self._failed(remote, reasons)

    def _ask(self, address: str, remote: Remote) -> bytes:
        """What an address answers, if it is the file."""
        if self.stop.is_set():
            raise _Stopped
        buffer = _Buffer(self._arrived)
        try:
            self.downloader(address, buffer, None)
            received = hashlib.sha256(buffer.getbuffer()).hexdigest()
            if received != remote.sha256:
                raise HatlibError(
                    f"its bytes are not those of the registry (SHA-256 {received[:12]}…, not "
                    f"{remote.sha256[:12]}…)"
                )
        except Exception:
            with self.lock:
                self.received -= buffer.tell()
            raise
        return buffer.getvalue()

    def _arrived(self, count: int) -> None:
        if self.stop.is_set():
            raise _Stopped
        with self.lock:
            self.received += count
            self.last = time.monotonic()

    def _write(self, remote: Remote, content: bytes) -> None:
        path = self.folder / remote.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent)
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        except (OSError, HatlibError) as error:
            if not intact(remote, self.folder):  # on Windows another program may hold the same file
                reason = error.strerror if isinstance(error, OSError) else str(error)
                raise HatlibError(
                    f"{path} cannot be kept: {reason}; HATLIB_DATA chooses another folder"
                ) from None

    def _failed(self, remote: Remote, reasons: dict[str, str]) -> HatlibError:
        """The error for a file that could not be fetched, with the reason at each address."""
        name = f"{self.title}: {remote.path}"
        if self.mirror:
            reason = next(iter(reasons.values()))
            return HatlibError(
                f"{name} cannot be copied from HATLIB_MIRROR={self.mirror}: {reason}"
            )
        addresses: dict[str, list[str]] = {}
        for address, reason in reasons.items():
            addresses.setdefault(reason, []).append(address)
        tried = "; ".join(
            f"from {' or '.join(urls)}: {reason}" for reason, urls in addresses.items()
        )
        return HatlibError(
            f"{name} cannot be downloaded {tried}. To do without the network, {self.by_hand}, or "
            "set HATLIB_MIRROR to a folder that has them"
        )


def _passing(error: Exception) -> bool:
    """Whether asking again may help: not for an answer like 404."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status is None or status == 429 or status >= 500


def _reason(error: Exception) -> str:
    """An error of the network or of a disk in a few words."""
    import requests

    if isinstance(error, HatlibError):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer for {TIMEOUT:.0f} seconds"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}"
