"""A web server of our own, for tests of downloads."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hatlib.system.downloads import Remote


class Server:
    """A web server on this machine whose files can be made to misbehave: damaged, missing, cut,
    hanging."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.trouble: dict[
            str, list[str]
        ] = {}  # path → what goes wrong at the next requests; "always:…" stays
        self.asked: list[str] = []
        self.release = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def remote(self, path: str, content: bytes) -> Remote:
        self.files[path] = content
        return Remote(
            path, (f"{self.url}/{path}",), len(content), hashlib.sha256(content).hexdigest()
        )

    def close(self) -> None:
        self.release.set()
        self.http.shutdown()
        self.http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                path = self.path.lstrip("/")
                server.asked.append(path)
                queue = server.trouble.get(path, [])
                trouble = (
                    (queue[0] if queue[0].startswith("always:") else queue.pop(0)) if queue else ""
                )
                self.answer(trouble.removeprefix("always:"), server.files[path])

            def answer(self, trouble: str, content: bytes) -> None:
                if trouble.isdigit():
                    self.send_error(int(trouble))
                    return
                if trouble == "damaged":
                    content = bytes([content[0] ^ 1]) + content[1:]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if trouble in ("hang", "cut"):
                    self.wfile.write(content[: len(content) // 2])
                    self.wfile.flush()
                    if trouble == "hang":
                        server.release.wait(60)
                    return
                self.wfile.write(content)

        return Handler


class RawServer:
    """A web server that says whatever a test wants, byte by byte.

    Attributes:
        requests: the heads of all requests so far, as text.
        sent: bytes that were sent.
    """

    def __init__(self, answer: Callable[[RawServer, socket.socket, str], None]) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.sent = 0
        self.closed = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/file"

    def send(self, connection: socket.socket, *parts: bytes) -> None:
        for part in parts:
            connection.sendall(part)
            self.sent += len(part)

    def close(self) -> None:
        self.closed.set()
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := connection.recv(4096)):
                    return
                head += more
            self.requests.append(head.decode("latin-1"))
            self.answer(self, connection, self.requests[-1])
