"""64 clients that open a request and stall: how long the others wait for an answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from slapos.networkcache.certificates import generate
from slapos.networkcache.entry import Key

from .entries import pair_for, publish
from .load import Connection
from .rows import Row, take_turns
from .servers import Server, old_server, our_server

ROUNDS, STALLED, ASKED = 5, 64, 50
URL = "http://example.com/hello-1.0.tar.gz"
BEGINNINGS = {
    "in the head": "GET {path}/key HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    "in the body": "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Content-Length: 1000000\r\n\r\nsome",
}


def run(folder: Path) -> list[Row]:
    count = f"{ROUNDS} x the slowest of {ASKED}"
    rows = []
    with old_server(folder / "old") as old, our_server(folder / "ours") as ours:
        for server in (old, ours):
            publish(server, URL, b"hello", pair_for(URL, b"hello", generate("ed25519")))
        for where, beginning in BEGINNINGS.items():
            with _stalled(old, beginning), _stalled(ours, beginning):
                theirs, our = take_turns(
                    ROUNDS, partial(_slowest, old), partial(_slowest, ours)
                )
            what = f"answer while {STALLED} are stuck {where}"
            rows.append(Row(what, theirs, our, "ms", count, limit=100))
    return rows


@contextmanager
def _stalled(server: Server, beginning: str) -> Iterator[None]:
    parts = urlsplit(server.cache_url)
    assert parts.port is not None
    with ExitStack() as stack:
        for _ in range(STALLED):
            connection = socket.create_connection((parts.hostname, parts.port))
            stack.enter_context(connection)
            connection.sendall(beginning.format(path=parts.path).encode())
        yield


def _slowest(server: Server) -> float:
    return max(_answer_time(server) for _ in range(ASKED))


def _answer_time(server: Server) -> float:
    """Milliseconds of a look-up, with a connection of its own."""
    start = time.perf_counter()
    connection = Connection(server.dir_url)
    status = connection.ask("GET", f"/{Key.for_file(URL)}")
    connection.close()
    if status != 200:
        raise RuntimeError(f"{server.dir_url} answered {status}")
    return (time.perf_counter() - start) * 1000
