"""Downloads from servers that misbehave, over slow lines, and by programs that are killed."""

from __future__ import annotations

import gzip
import hashlib
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hatlib import HatlibError
from hatlib.system import downloads, http
from hatlib.system.downloads import Remote
from tests.helpers.serving import RawServer

Answer = Callable[[RawServer, socket.socket, str], None]

SMALL = np.random.default_rng(0).bytes(50_000)
LARGE = np.random.default_rng(1).bytes(5_000_000)


def remote(content: bytes, *urls: str, name: str = "file") -> Remote:
    return Remote(f"set/{name}", urls, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty data folder, no mirror, no proxy; all is ten times as fast as for a user."""
    for variable in ("HATLIB_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path / "data"))
    for name in ("TIMEOUT", "STALL_TIMEOUT", "PAUSE", "SPEED_WINDOW"):
        monkeypatch.setattr(downloads, name, getattr(downloads, name, 1) / 10, raising=False)
    monkeypatch.setattr(downloads, "MIN_SPEED", 10_000.0, raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], RawServer]]:
    servers: list[RawServer] = []

    def start(answer: Answer) -> RawServer:
        servers.append(RawServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# --- answers --------------------------------------------------------------------------------------


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def length(content: bytes) -> str:
    return f"Content-Length: {len(content)}"


def says(*parts: bytes) -> Answer:
    """Sends the parts and closes."""
    return lambda server, connection, _: server.send(connection, *parts)


def whole(content: bytes, *lines: str) -> Answer:
    return says(head(length(content), *lines), content)


def begin(request: str) -> int:
    """Where a request wants a file to begin."""
    asked = re.search(r"^Range: bytes=(\d+)-", request, re.MULTILINE)
    return int(asked[1]) if asked else 0


def ranges(content: bytes, cut: int = 10**9) -> Answer:
    """A server that can begin anywhere, and that ends a connection after so many bytes."""

    def answer(server: RawServer, connection: socket.socket, request: str) -> None:
        start = begin(request)
        rest = content[start:]
        status = "206 Partial Content" if start else "200 OK"
        where = f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}"
        server.send(connection, head(length(rest), where, status=status), rest[:cut])

    return answer


def endless(*parts: bytes) -> Answer:
    """Sends the last part again and again."""

    def answer(server: RawServer, connection: socket.socket, _: str) -> None:
        server.send(connection, *parts[:-1])
        while not server.closed.is_set():
            server.send(connection, parts[-1])

    return answer


def slowly(*parts: bytes, pause: float = 0.05) -> Answer:
    """Sends part after part, with a pause after each."""

    def answer(server: RawServer, connection: socket.socket, _: str) -> None:
        for part in parts:
            server.send(connection, part)
            if server.closed.wait(pause):
                return

    return answer


def silent(*parts: bytes) -> Answer:
    """Sends the parts and then nothing, without an end."""

    def answer(server: RawServer, connection: socket.socket, _: str) -> None:
        server.send(connection, *parts)
        server.closed.wait(60)

    return answer


def reset(server: RawServer, connection: socket.socket, _: str) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def once(first: Answer, then: Answer) -> Answer:
    """One answer to the first request, another to the others."""

    def answer(server: RawServer, connection: socket.socket, request: str) -> None:
        (first if len(server.requests) == 1 else then)(server, connection, request)

    return answer


def redirects(target: str) -> Answer:
    return says(head(f"Location: {target}", "Content-Length: 0", status="302 Found"))


OTHER = SMALL[::-1]
CHUNKED = "Transfer-Encoding: chunked"
GZIP = "Content-Encoding: gzip"
BOMB = gzip.compress(bytes(1 << 28))  # a quarter of a gigabyte
BYTES = [bytes([byte]) for byte in SMALL[:2000]]

# what the only server does → what comes of it: None: the file; else the words of the one line
ALONE: dict[str, tuple[Answer, str | None]] = {
    "right": (whole(SMALL), None),
    "without a length": (says(head(), SMALL), None),
    "chunked": (says(head(CHUNKED), b"c350\r\n", SMALL, b"\r\n0\r\n\r\n"), None),
    "cut once, resumed": (ranges(SMALL, 30_000), None),
    "cut once, from the start": (once(says(head(length(SMALL)), SMALL[:9]), whole(SMALL)), None),
    "reset once": (once(reset, whole(SMALL)), None),
    "busy once": (once(says(head("Content-Length: 0", status="503 Busy")), whole(SMALL)), None),
    "another part than asked for": (
        once(
            says(head(length(SMALL)), SMALL[:30_000]),
            once(whole(SMALL), says(head("Content-Range: bytes 7-8/9", status="206 Partial"))),
        ),
        "another part of the file",
    ),
    "no part of that size": (
        once(
            says(head(length(SMALL)), SMALL[:30_000]),
            lambda server, connection, request: (
                says(head("Content-Length: 0", status="416 Range Not Satisfiable"))
                if begin(request)
                else whole(SMALL)
            )(server, connection, request),
        ),
        None,
    ),
    "not found": (says(head("Content-Length: 0", status="404 Not Found")), "answers 404 Not Found"),
    "escape codes": (
        says(head("Content-Length: 0", status="404 \x1b[2J\x1b]0;x\x07 gone")),
        r"answers 404 \\x1b\[2J\\x1b\]0;x\\x07 gone",
    ),
    "a long reason": (says(head(status="404 " + "x" * 5000)), r"answers 404 x{190,}…"),
    "no content": (says(head(status="204 No Content")), "the server answers 204"),
    "an endless answer": (endless(head(), SMALL), "goes on after 50,000 bytes"),
    "endless chunks": (
        endless(head(CHUNKED), b"c350\r\n" + SMALL + b"\r\n"),
        "goes on after 50,000 bytes",
    ),
    "more than it says": (whole(SMALL * 2), r"not those of the registry \(100,000 of them"),
    "400 MB": (says(head("Content-Length: 400000000"), SMALL), "400,000,000 of them, not 50,000"),
    "a length without end": (endless(head(f"Content-Length: {10**17}"), SMALL), "100,000,000,000"),
    "less than it should": (whole(SMALL[:-1]), r"49,999 of them, not 50,000"),
    "compressed": (whole(gzip.compress(SMALL), GZIP), "compresses its answer"),
    "a bomb": (whole(BOMB, GZIP), "compresses its answer"),
    "a bomb without a length": (says(head(GZIP), BOMB), "compresses its answer"),
    "other bytes": (whole(OTHER), r"not those of the registry \(SHA-256"),
    "cut always": (says(head(length(SMALL)), SMALL[:9]), "the connection was cut"),
    "cut in a chunk": (says(head(CHUNKED), b"c350\r\n", SMALL[:9]), "the connection was cut"),
    "no chunk": (says(head(CHUNKED), b"hello\r\n"), "the connection was cut"),
    "ends at once": (says(), "no connection|was cut"),
    "reset always": (reset, "no connection|was cut"),
    "silent": (silent(), "no answer"),
    "silent after the head": (silent(head(length(SMALL))), "no answer"),
    "silent in the middle": (silent(head(length(SMALL)), SMALL[:30_000]), "no answer"),
    "a slow head": (slowly(*BYTES), "no answer"),
    "trickles": (slowly(head(length(SMALL)), *BYTES), "brings .* bytes a second|no answer"),
    "redirects to a file": (
        redirects("file:///etc/passwd"),
        "redirects to file:.*, and not to http",
    ),
    "redirects to ftp": (redirects("ftp://127.0.0.1/file"), "redirects to ftp:"),
    "redirects in a circle": (redirects("/file"), "more than 5 redirects"),
    "redirects with escape codes": (redirects("x:\x1b[2J"), r"redirects to x:\\x1b"),
    "redirects nowhere": (says(head(status="302 Found")), "the server answers 302"),
    "garbage": (says(b"hello there\r\n\r\n" + SMALL), ""),
    "an endless line": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000), ""),
    "endless headers": (endless(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 100), ""),
    "continue without end": (endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 100), ""),
    "a negative length": (says(head("Content-Length: -5"), SMALL), None),
    "a length of words": (says(head("Content-Length: many"), SMALL), None),
    "a length of 6,000 digits": (says(head("Content-Length: " + "9" * 6000), SMALL), None),
    "two lengths": (says(head("Content-Length: 5", length(SMALL)), SMALL), ""),
}


@pytest.mark.timeout(60)  # some hung
@pytest.mark.parametrize("name", ALONE)
def test_a_server_alone(name: str, serve: Callable[[Answer], RawServer], tmp_path: Path) -> None:
    answer, said = ALONE[name]
    server = serve(answer)
    wanted = remote(SMALL, server.url)
    began = time.monotonic()
    if said is None:
        assert downloads.fetch([wanted], "t", "do it by hand")[0].read_bytes() == SMALL
    else:
        with pytest.raises(HatlibError, match=said) as caught:
            downloads.fetch([wanted], "t", "do it by hand")
        assert str(caught.value).isprintable() and len(str(caught.value)) < 800
    assert time.monotonic() - began < 12, "give up within ten seconds"
    assert server.sent < 30 << 20, "take no more than the registry says"
    assert names(tmp_path) == (["data/set/file"] if said is None else [])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", [name for name, (_, said) in ALONE.items() if said is not None])
def test_a_right_server_after_it(name: str, serve: Callable[[Answer], RawServer]) -> None:
    first, second = serve(ALONE[name][0]), serve(whole(SMALL))
    wanted = remote(SMALL, first.url, second.url)
    assert downloads.fetch([wanted], "t", "do it by hand")[0].read_bytes() == SMALL


def test_a_large_file_with_other_bytes_is_fetched_once(
    serve: Callable[[Answer], RawServer],
) -> None:
    server = serve(whole(LARGE[::-1]))
    with pytest.raises(HatlibError, match="not those of the registry"):
        downloads.fetch([remote(LARGE, server.url)], "t", "do it by hand")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("address", "target", "good"),
    [
        ("https://a/f", "https://b/f", True),
        ("https://a/f", "http://a/f", False),
        ("https://a/f", "HTTPS://a/f", True),
        ("https://a/f", "ftp://a/f", False),
        ("http://a/f", "https://a/f", True),
        ("http://a/f", "http://b/f", True),
        ("http://a/f", "file:///f", False),
    ],
)
def test_redirects_lead_to_https_only(address: str, target: str, good: bool) -> None:
    if good:
        http._check_redirect(address, target)
    else:
        with pytest.raises(http.Refused, match="not to https"):
            http._check_redirect(address, target)


# --- slow and broken lines ------------------------------------------------------------------------


def test_eight_connections_on_a_slow_line(serve: Callable[[Answer], RawServer]) -> None:
    """A chunk of 64 KiB takes longer than a connection may be silent."""
    contents = [np.random.default_rng(seed).bytes(100_000) for seed in range(8)]

    def answer(server: RawServer, connection: socket.socket, request: str) -> None:
        content = contents[int(request.split()[1].removeprefix("/file"))]
        parts = [content[at : at + 2000] for at in range(0, len(content), 2000)]
        slowly(head(length(content)), *parts, pause=0.04)(server, connection, request)

    server = serve(answer)
    wanted = [remote(c, f"{server.url}{i}", name=str(i)) for i, c in enumerate(contents)]
    paths = downloads.fetch(wanted, "t", "do it by hand")
    assert [path.read_bytes() for path in paths] == contents
    assert len(server.requests) == 8


def test_a_line_that_breaks_again_and_again_gets_there(
    serve: Callable[[Answer], RawServer],
) -> None:
    server = serve(ranges(LARGE, 400_000))
    path = downloads.fetch([remote(LARGE, server.url)], "t", "do it by hand")[0]
    assert path.read_bytes() == LARGE
    assert [begin(request) for request in server.requests] == [400_000 * i for i in range(13)]


def test_the_second_address_goes_on_where_the_first_broke_off(
    serve: Callable[[Answer], RawServer],
) -> None:
    first = serve(once(ranges(LARGE, 2_000_000), silent()))
    second = serve(ranges(LARGE))
    downloads.fetch([remote(LARGE, first.url, second.url)], "t", "do it by hand")
    assert [begin(request) for request in second.requests] == [2_000_000]


def test_what_was_received_of_a_large_file_is_kept_for_the_next_time(
    serve: Callable[[Answer], RawServer], tmp_path: Path
) -> None:
    broken = serve(says(head(length(LARGE)), LARGE[:3_000_000]))
    (tmp_path / "data").mkdir()
    with pytest.raises(HatlibError, match="the connection was cut"):
        downloads.fetch([remote(LARGE, broken.url)], "t", "do it by hand")
    (part,) = names(tmp_path)
    assert Path(part).name.startswith(".hatlib-")
    server = serve(ranges(LARGE))
    downloads.fetch([remote(LARGE, server.url)], "t", "do it by hand")
    assert [begin(request) for request in server.requests] == [3_000_000]
    assert names(tmp_path) == ["data/set/file"]


def test_a_part_with_wrong_bytes_is_forgotten(
    serve: Callable[[Answer], RawServer], tmp_path: Path
) -> None:
    wanted = remote(LARGE, serve(ranges(LARGE)).url)
    folder = tmp_path / "data" / "set"
    folder.mkdir(parents=True)
    for harm in (LARGE[1:2_000_000], LARGE + b"more", LARGE, b""):
        broken = remote(LARGE, serve(says(head(length(LARGE)), LARGE[:2_000_000])).url)
        with pytest.raises(HatlibError, match="was cut"):
            downloads.fetch([broken], "t", "do it by hand")
        (part,) = folder.glob(".hatlib-*")
        part.write_bytes(harm)
        path = downloads.fetch([wanted], "t", "do it by hand")[0]
        assert path.read_bytes() == LARGE and names(tmp_path) == ["data/set/file"]
        path.unlink()


# --- programs -------------------------------------------------------------------------------------

SCRIPT = textwrap.dedent("""
    import sys
    from hatlib.system import downloads
    url, size, sha256 = sys.argv[1:]
    wanted = [downloads.Remote(f"set/{i}", (url,), int(size), sha256) for i in range(3)]
    print("ready", flush=True)
    downloads.fetch(wanted, "t", "do it by hand")
""")


def program(url: str, content: bytes) -> subprocess.Popen[str]:
    arguments = [url, str(len(content)), hashlib.sha256(content).hexdigest()]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_of_killed_programs_nothing_stays(
    serve: Callable[[Answer], RawServer], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    parts = [LARGE[at : at + 50_000] for at in range(0, len(LARGE), 50_000)]
    server = serve(slowly(head(length(LARGE)), *parts))
    for _ in range(2):
        killed = program(server.url, LARGE)
        assert killed.stdout is not None and killed.stdout.readline() == "ready\n"
        time.sleep(1.5)
        killed.kill()
        killed.communicate()
    assert any(".hatlib-" in name for name in names(tmp_path)), "nothing was going on"
    last = program(serve(ranges(LARGE)).url, LARGE)
    assert (last.communicate(timeout=60)[1], last.returncode) == ("", 0)
    assert names(tmp_path) == ["data/set/0", "data/set/1", "data/set/2"]


def test_programs_that_fetch_the_same_do_not_disturb_each_other(
    serve: Callable[[Answer], RawServer], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    server = serve(ranges(LARGE))
    programs = [program(server.url, LARGE) for _ in range(3)]
    results = [(each.communicate(timeout=60)[1], each.returncode) for each in programs]
    assert results == [("", 0)] * 3
    assert names(tmp_path) == ["data/set/0", "data/set/1", "data/set/2"]
    assert all((tmp_path / "data/set" / str(i)).read_bytes() == LARGE for i in range(3))
