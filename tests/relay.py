"""A relay on loopback that cuts answers, for clients that use a connection only once."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit


@dataclass
class Relay:
    """Passes connections on to a server; use `relay`.

    `cuts` says after how many bytes of its answer, head included, each connection is
    closed, in order; those after the last are left whole. `between` is called before
    the second connection is passed on.
    """

    target: tuple[str, int]
    cuts: Sequence[int] = ()
    between: Callable[[], None] = lambda: None
    address: tuple[str, int] = ("", 0)
    heads: list[str] = field(default_factory=list)
    """The request line and header fields of each connection, as the client sent them."""

    @property
    def requests(self) -> list[str]:
        """The method of each request, in order."""
        return [head.partition(" ")[0] for head in self.heads]

    def url(self, url: str) -> str:
        """`url` of the server, by way of this relay."""
        host, port = self.address
        return urlunsplit(urlsplit(url)._replace(netloc=f"{host}:{port}"))

    def handle(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                return
            head += piece
        number = len(self.heads)
        self.heads.append(head.partition(b"\r\n\r\n")[0].decode("latin-1"))
        if number == 1:
            self.between()
        cut = self.cuts[number] if number < len(self.cuts) else None
        with socket.create_connection(self.target) as server:
            server.sendall(head)
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()
            _pump(server, client, cut)


def _pump(source: socket.socket, sink: socket.socket, limit: int | None = None) -> None:
    with suppress(OSError):
        while limit is None or limit > 0:
            piece = source.recv(65536 if limit is None else min(limit, 65536))
            if not piece:
                break
            sink.sendall(piece)
            limit = limit - len(piece) if limit is not None else None
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def relay(
    url: str, cuts: Sequence[int] = (), between: Callable[[], None] = lambda: None
) -> Iterator[Relay]:
    """A running `Relay` to the server of `url`."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    assert host is not None
    assert port is not None
    running = Relay((host, port), cuts, between)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                running.handle(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        running.address = server.socket.getsockname()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield running
        server.shutdown()
