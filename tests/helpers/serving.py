"""A web server of our own, for tests of downloads."""

from __future__ import annotations

import hashlib
import threading
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
