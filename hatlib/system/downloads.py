"""Downloads: public files with known size and SHA-256, several at a time, each of them whole or not
at all.

A file is received into a hidden one beside its place, compared with its checksum, and only then
given its name, so that neither a cut connection nor Ctrl-C nor two programs fetching the same file
leave a damaged one. What was received of a large file is kept, and the next attempt, or the next
program, goes on from there. A server gets no more than the registry says: time, bytes or trust.
`HATLIB_MIRROR` stands in for the network. The registry beside this module has every address and
checksum.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hatlib.errors import HatlibError
from hatlib.system import http, locks, paths
from hatlib.system.atomic import PREFIX, check_target, replace, sweep, temporary_path

WORKERS = 8  # connections at a time
TIMEOUT = 4.0  # seconds that one connection may be silent; then the file is asked for again
STALL_TIMEOUT = 8.0  # seconds without a byte from any of them; then we give up
ATTEMPTS = 3  # that bring nothing new, such as connections that break at once
PAUSE = 0.3  # seconds before the second attempt, four times that before the third
# A connection that brings less than its share of this, while it is not silent, is given up. Eight
# connections on a line of 480 kbit/s bring 60,000.
MIN_SPEED = 1000.0  # bytes per second, of all connections together
SPEED_WINDOW = 8.0  # seconds over which it is measured
GAIN = 1 << 16  # bytes that make an attempt worth another one
KEEP = 1 << 20  # bytes of an unfinished file that are worth keeping
ASK_AGAIN = 1 << 22  # bytes up to which a file with a wrong checksum is asked for again
MAX_BYTES = 1 << 30  # of a file whose size is not known


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
        source = _network() if mirror is None else http.from_folder(mirror)
        _Fetch(missing, folder, title, source, mirror, by_hand).run()
    return [folder / remote.path for remote in remotes]


def _network() -> http.Source:
    return http.from_network(TIMEOUT)


class _Stopped(Exception):
    """The rest of the download was given up."""


class _Silent(HatlibError):
    """A connection on which nothing comes, or next to nothing."""


class _Unwritable(HatlibError):
    """The disk refuses: no other address would help."""

    final = True


class _Cut(HatlibError):
    """A connection that ended before the file did."""


class _Reader:
    """An answer of a server, read by a thread of its own.

    Whatever the thread waits for (a name server, the head of an answer, the next byte), whoever
    takes the chunks waits no longer than he likes. A thread that hangs can't keep the program from
    ending.
    """

    def __init__(self, source: http.Source, address: str, start: int) -> None:
        self.items: queue.Queue[http.Answer | bytes | Exception | None] = queue.Queue(16)
        self.given_up = threading.Event()
        arguments = (source, address, start)
        threading.Thread(target=self._read, args=arguments, daemon=True).start()

    def _read(self, source: http.Source, address: str, start: int) -> None:
        try:
            answer = source(address, start)
            self._put(answer)
            with contextlib.closing(answer.chunks):  # type: ignore[type-var]  # generators
                for chunk in answer.chunks:
                    self._put(chunk)
            self._put(None)
        except _Stopped:
            pass
        except Exception as error:  # handed to the thread that waits
            with contextlib.suppress(_Stopped):
                self._put(error)

    def _put(self, item: http.Answer | bytes | Exception | None) -> None:
        while not self.given_up.is_set():
            with contextlib.suppress(queue.Full):
                return self.items.put(item, timeout=0.1)
        raise _Stopped

    def next(self, stop: threading.Event) -> http.Answer | bytes | None:
        """The answer, then its chunks, then None.

        Raises:
            _Silent: nothing came for `TIMEOUT` seconds.
            _Stopped: the event was set.
            Exception: what the source raised.
        """
        deadline = time.monotonic() + TIMEOUT
        while not stop.is_set():
            try:
                item = self.items.get(timeout=min(0.1, TIMEOUT))
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise _Silent(f"no answer for {TIMEOUT:.0f} seconds") from None
                continue
            if isinstance(item, Exception):
                raise item
            return item
        raise _Stopped


class _Part:
    """A file that is being received, beside its place, under a hidden name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.digest = hashlib.sha256()
        self.file: IO[bytes] | None = None

    def resume(self) -> None:
        """Takes over what an earlier program left."""
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            while chunk := file.read(http.CHUNK):
                self.digest.update(chunk)
                self.size += len(chunk)

    def write(self, chunk: bytes) -> None:
        if self.file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(self.path, "ab")  # noqa: SIM115  (closed by `close`)
        self.file.write(chunk)
        self.digest.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Forgets what was received."""
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        self.size = 0
        self.digest = hashlib.sha256()

    def close(self) -> None:
        """Sees to it that all bytes are in the file."""
        if self.file is not None:
            file, self.file = self.file, None
            file.close()


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
        source: http.Source,
        mirror: Path | None,
        by_hand: str,
    ) -> None:
        self.folder = folder
        self.title = title
        self.source = source
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
        self.connections = 0
        self.last = time.monotonic()
        self.held = contextlib.ExitStack()
        self.alone: bool | None = None  # whether no other program fetches into the folder

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
        self.last = time.monotonic()
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
            self.held.close()

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
                if not intact(remote, self.folder):  # another program may have brought it
                    self._receive(remote)
            except Exception as error:  # handed to the thread that waits
                self.done.put((remote, error))
            else:
                self.done.put((remote, None))

    def _receive(self, remote: Remote) -> None:
        """Puts a file in its place, from the first address that has the right bytes; asks again
        where that may help."""
        addresses = [remote.path] if self.mirror else list(remote.urls)
        reasons: dict[str, str] = {}
        part = _Part(self._part_path(remote))
        try:
            part.resume()
            if part.digest.hexdigest() == remote.sha256:  # all of it had arrived
                return self._finish(remote, part)
            if part.size >= (remote.bytes or MAX_BYTES):
                part.restart()
            best = part.size
            attempt = 0
            while True:
                for address in list(addresses):
                    try:
                        self._ask(address, remote, part)
                        return self._finish(remote, part)
                    except Exception as error:
                        if isinstance(error, _Stopped) or getattr(error, "final", False):
                            raise
                        reasons[address] = _reason(error)
                        if self.mirror or not _passing(error):
                            addresses.remove(address)
                attempt = 0 if part.size >= best + GAIN else attempt + 1
                best = max(best, part.size)
                pause = PAUSE * 4 ** max(0, attempt - 1)
                if not addresses or attempt == ATTEMPTS or self.stop.wait(pause):
                    raise self._failed(remote, reasons)
        finally:
            part.close()
            if part.size < KEEP or not self.alone:
                part.restart()

    def _ask(self, address: str, remote: Remote, part: _Part) -> None:
        """Receives what is missing of a file from an address.

        Raises:
            Exception: what came is not the file; the part is then empty if its bytes are wrong.
        """
        if self.stop.is_set():
            raise _Stopped
        before = part.size
        reader = _Reader(self.source, address, part.size)
        with self.lock:
            self.connections += 1
        try:
            self._take(reader, remote, part)
        except EOFError:
            self._restart(part)
            raise _Cut("the part that was received before does not fit") from None
        finally:
            reader.given_up.set()
            with self.lock:
                self.connections -= 1
        if (received := part.digest.hexdigest()) != remote.sha256:
            size = part.size
            self._restart(part)
            error = http.Refused if size > ASK_AGAIN and not before else HatlibError
            raise error(
                f"its bytes are not those of the registry (SHA-256 {received[:12]}…, not "
                f"{remote.sha256[:12]}…)"
            )

    def _take(self, reader: _Reader, remote: Remote, part: _Part) -> None:
        """Writes what a reader brings, as long as it can be the file."""
        answer = reader.next(self.stop)
        assert isinstance(answer, http.Answer)
        if answer.total is not None and remote.bytes and answer.total != remote.bytes:
            raise http.Refused(
                f"its bytes are not those of the registry ({answer.total:,} of them, not "
                f"{remote.bytes:,}; SHA-256 {remote.sha256[:12]}…)"
            )
        limit = remote.bytes or MAX_BYTES
        if (answer.total or 0) > limit:
            raise http.Refused(f"its {answer.total:,} bytes are more than {limit:,}")
        if answer.start != part.size:
            self._restart(part)
        began, counted = time.monotonic(), part.size
        while chunk := reader.next(self.stop):
            assert isinstance(chunk, bytes)
            if part.size + len(chunk) > limit:
                self._restart(part)
                raise http.Refused(f"it goes on after {limit:,} bytes, where the file ends")
            self._write(part, remote, chunk)
            self._arrived(len(chunk))
            if (seconds := time.monotonic() - began) > SPEED_WINDOW:
                speed = (part.size - counted) / seconds
                if speed < MIN_SPEED / self.connections:
                    raise _Silent(f"it brings {speed:,.0f} bytes a second")
                began, counted = time.monotonic(), part.size
        if part.size < (answer.total or remote.bytes):
            raise _Cut("the connection was cut")

    def _arrived(self, count: int) -> None:
        with self.lock:
            self.received += count
            self.last = time.monotonic()

    def _restart(self, part: _Part) -> None:
        with self.lock:
            self.received = max(0, self.received - part.size)
        part.restart()

    # --- on the disk ------------------------------------------------------------------------------

    def _part_path(self, remote: Remote) -> Path:
        """Where a file is received: under one name by the program that is alone in the folder, so
        that it goes on with what the one before left; else under a new one."""
        target = self.folder / remote.path
        if self._claim():
            name = hashlib.sha256(f"{remote.path} {remote.sha256}".encode()).hexdigest()[:16]
            return target.with_name(f"{PREFIX}{name}.part")
        return temporary_path(target)

    def _claim(self) -> bool:
        """Whether this program is alone in the data folder."""
        with self.lock:
            if self.alone is None and self.folder.is_dir():
                try:
                    self.held.enter_context(locks.alone_in(self.folder, "fetch"))
                    self.alone = True
                except locks.Taken:
                    self.alone = False
            return bool(self.alone)

    def _write(self, part: _Part, remote: Remote, chunk: bytes) -> None:
        with self._keeping(remote):
            part.write(chunk)

    def _finish(self, remote: Remote, part: _Part) -> None:
        """Gives the file its name."""
        target = self.folder / remote.path
        with self._keeping(remote):
            if part.file is None:  # nothing was missing, or the file is empty
                part.write(b"")
            part.close()
            check_target(target)
            replace(part.path, target)
            sweep(target.parent)

    @contextlib.contextmanager
    def _keeping(self, remote: Remote) -> Iterator[None]:
        """Inside, an error of the disk ends the download, with advice."""
        try:
            yield
        except (OSError, HatlibError) as error:
            if intact(remote, self.folder):  # on Windows another program may hold the same file
                return
            reason = error.strerror if isinstance(error, OSError) else str(error)
            failed = _Unwritable(
                f"{self.folder / remote.path} cannot be kept: {reason}; HATLIB_DATA chooses "
                "another folder"
            )
            raise failed from None

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
    if isinstance(error, http.Refused):
        return False
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status is None or status == 429 or status >= 500


def _reason(error: Exception) -> str:
    """An error of the network or of a disk in a few words."""
    import requests
    import urllib3

    if isinstance(error, HatlibError):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        said = http.short(error.response.reason or "")
        return f"the server answers {error.response.status_code} {said}".rstrip()
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"no answer for {TIMEOUT:.0f} seconds"
    if isinstance(error, urllib3.exceptions.HTTPError):  # raised while an answer is read
        return "the connection was cut"
    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection (its certificate is not accepted)"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"{type(error).__name__}: {http.short(str(error)) or 'no details'}"
