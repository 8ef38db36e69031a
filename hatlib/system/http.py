"""Where the bytes of a file come from: an address on the network, or a mirror in a folder.

What a server says is not trusted: redirects lead to https only, nothing is unpacked, both time
limits of a connection are set, and whoever reads decides how much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from hatlib.errors import HatlibError
from hatlib.system.console import printable

CHUNK = 1 << 16  # bytes at a time, at most
REDIRECTS = 5


class Refused(HatlibError):
    """An answer that another request would not change."""


@dataclass(frozen=True)
class Answer:
    """The bytes of a file from a place on.

    Attributes:
        start: where they begin: as asked for, or 0 where a server can't begin elsewhere.
        total: bytes of the whole file; None where the server does not say.
        chunks: gives them as they arrive.
    """

    start: int
    total: int | None
    chunks: Iterator[bytes]


# (address, where to begin) → the answer
Source = Callable[[str, int], Answer]


def from_network(timeout: float) -> Source:
    """Files by their address.

    Args:
        timeout: seconds, of connecting and of each reading.
    """

    import requests  # here, as it takes half a second, and not while a clock runs

    def ask(address: str, start: int) -> Answer:
        headers = {"Accept-Encoding": "identity"}  # what is unpacked has no limit
        if start:
            headers["Range"] = f"bytes={start}-"
        for _ in range(REDIRECTS + 1):
            response = requests.get(
                address,
                headers=headers,
                stream=True,
                timeout=(timeout, timeout),
                allow_redirects=False,
            )
            if not response.is_redirect:
                return _answer(response, start)
            response.close()
            target = urljoin(address, response.headers["Location"])
            _check_redirect(address, target)
            address = target
        raise Refused(f"more than {REDIRECTS} redirects")

    return ask


def from_folder(folder: Path) -> Source:
    """Files of a mirror, by their path there."""

    def ask(path: str, start: int) -> Answer:
        source = folder / path
        size = source.stat().st_size
        if not source.is_file():  # reading a pipe would wait for ever
            raise Refused("not a regular file")

        def chunks() -> Iterator[bytes]:
            with open(source, "rb") as file:
                file.seek(start)
                while chunk := file.read(CHUNK):
                    yield chunk

        return Answer(start, size, chunks())

    return ask


def _check_redirect(address: str, target: str) -> None:
    """Raises Refused for a redirect that gives up encryption, or leads to something else than the
    web."""
    scheme = urlsplit(target).scheme
    # what was not encrypted before (a test, a mirror in a laboratory) need not be afterwards
    if scheme != "https" and not (scheme == "http" == urlsplit(address).scheme):
        raise Refused(f"it redirects to {short(target)}, and not to https")


def _answer(response: object, start: int) -> Answer:
    """What a server sends, from the place where it begins."""
    import requests

    assert isinstance(response, requests.Response)
    if start and response.status_code == 416:  # it has less than we have: begin anew
        response.close()
        raise EOFError
    response.raise_for_status()
    if response.status_code not in (200, 206):
        raise Refused(f"the server answers {response.status_code}")
    if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise Refused(
            f"the server compresses its answer ({short(coding)}), which was not asked for"
        )
    begin = 0
    if response.status_code == 206:
        said = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
        if said is None or int(said[1]) != start:
            raise Refused("the server answers with another part of the file than asked for")
        begin = start
    length = response.headers.get("Content-Length", "")
    total = begin + int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None
    return Answer(begin, total, _chunks(response))


def _chunks(response: object) -> Iterator[bytes]:
    """The bytes as they come, never unpacked; a slow line gives few at a time."""
    raw = response.raw  # type: ignore[attr-defined]
    try:
        while chunk := raw.read1(CHUNK, decode_content=False):
            yield chunk
    finally:
        response.close()  # type: ignore[attr-defined]


def short(text: str) -> str:
    """What a server says, for a message: without control characters, and not for ever."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= 200 else f"{text[:200]}…"
