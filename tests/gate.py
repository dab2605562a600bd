"""A network cache with one content that it gives as far as a test lets it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wire import TIMEOUT

from slapos.networkcache.digest import Digest


class Gate:
    """Gives `data` up to `held` bytes, and the rest once it is open; use `gate`.

    `asked` are the ranges that were asked for, None for all of it. `ranges` says whether
    it knows them, and `said` is the size that it says the content has.
    """

    def __init__(self, data: bytes, held: int):
        self.data = data
        self.held = held
        self.digest = Digest.of(data)
        self.asked: list[str | None] = []
        self.ranges = True
        self.said = len(data)
        self.port = 0
        self._changed = threading.Condition()
        self._open = self._dead = False
        self._cuts = 0

    @property
    def cache_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/shacache"

    @property
    def dir_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/shadir"

    def open(self) -> None:
        """Give the rest."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def cut(self) -> None:
        """Cut those who wait; whoever asks from now on gets all."""
        with self._changed:
            self._cuts += 1
        self.open()

    def die(self) -> None:
        """Cut those who wait, and whoever asks from now on."""
        self._dead = True
        self.cut()

    def give(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request for the content."""
        cuts, asked = self._cuts, request.headers.get("Range")
        self.asked.append(asked)
        if self._dead:
            return
        match = re.fullmatch("bytes=([0-9]+)-", asked or "") if self.ranges else None
        start, size = int(match[1]) if match else 0, len(self.data)
        request.send_response(206 if match else 200)
        if match:
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{self.said}")
        request.send_header("Content-Length", str(size - start))
        request.end_headers()
        request.wfile.write(self.data[start : self.held])
        with self._changed:
            assert self._changed.wait_for(lambda: self._open, TIMEOUT)
        if self._cuts == cuts:
            request.wfile.write(self.data[max(start, self.held) :])


@contextmanager
def gate(data: bytes, held: int) -> Iterator[Gate]:
    """A running `Gate`; opened at the end."""
    running = Gate(data, held)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            if self.path == f"/shacache/{running.digest}":
                running.give(self)
            else:
                self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield running
        finally:
            running.open()
            server.shutdown()
