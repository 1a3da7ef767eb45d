"""A file server on loopback that can be told to misbehave: what downloads have to survive."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file and how it is served.

    `cuts`: the n-th answer ends after so many bytes of its body. `stalls`: it ends by falling silent.
    `says_length`: the length is in the header. `statuses` are answered first, one each. `shift`: ranges begin
    so many bytes from where they were asked to.
    """

    content: bytes
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    stalls: bool = False
    says_length: bool = True
    statuses: list[int] = field(default_factory=list)
    moved_to: str | None = None
    delay_s: float = 0.0
    shift: int = 0


class FileServer:
    """`requests` are (path, Range header or None) in the order in which they came."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.proxy_authorization: list[str | None] = []
        self.stopping = threading.Event()
        files = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                files.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that hangs up is one of the things that happen

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[FileServer]:
        self._thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.requests.append((request.path, asked))
        self.proxy_authorization.append(request.headers.get("Proxy-Authorization"))
        served = self.files.get(request.path)
        if served is None or served.statuses:
            request.send_error(404 if served is None else served.statuses.pop(0))
            return
        if served.moved_to is not None:
            request.send_response(302)
            request.send_header("Location", served.moved_to)
            request.end_headers()
            return
        self._send(request, served, asked)

    def _send(self, request: BaseHTTPRequestHandler, served: Served, asked: str | None) -> None:
        body = served.content
        if asked and served.ranges:
            found = re.fullmatch(r"bytes=(\d+)-", asked)
            assert found
            start = int(found[1]) + served.shift
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        else:
            request.send_response(200)
        if served.says_length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        self.stopping.wait(served.delay_s)
        request.wfile.write(body[: served.cuts.pop(0)] if served.cuts else body)
        request.wfile.flush()
        if served.stalls:
            self.stopping.wait(30)
        request.close_connection = True
