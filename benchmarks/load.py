"""A raw load for either server: prepared bytes over plain sockets.

A connection is used again where the server keeps it, as HTTP/1.1 says.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http.client import parse_headers
from pathlib import Path
from urllib.parse import urlsplit


class Connection:
    """To the server of `url`; opened when it is needed."""

    def __init__(self, url: str):
        parts = urlsplit(url)
        assert parts.port is not None
        self._address = (parts.hostname, parts.port)
        self._path = parts.path
        self._socket: socket.socket | None = None

    def ask(self, method: str, path: str = "", body: bytes | Path = b"") -> int:
        """Send one request for `path` below the URL, read the whole answer: its status."""
        length = len(body) if isinstance(body, bytes) else body.stat().st_size
        head = (
            f"{method} {self._path}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        ).encode()
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
        if isinstance(body, bytes):
            self._socket.sendall(head + body)
        else:
            self._socket.sendall(head)
            with body.open("rb") as file:
                self._socket.sendfile(file)
        status, kept = _read_answer(self._socket)
        if not kept:
            self.close()
        return status

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _read_answer(connection: socket.socket) -> tuple[int, bool]:
    """The status, and whether the connection is kept."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("the server closed the connection")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    fields = head.decode("latin-1").lower().split("\r\n")
    lengths = [line for line in fields if line.startswith("content-length:")]
    left = int(lengths[0].partition(":")[2]) - len(body)
    while left > 0:
        left -= len(connection.recv(65536))
    return int(fields[0].split()[1]), "connection: close" not in fields


def get_all(
    url: str, paths: Iterable[str], connections: int, *, at_once: bool = False
) -> float:
    """Ask for each path once, over so many connections at a time: seconds it took.

    A connection asks for the next path when it has the answer before, or for all of its
    paths `at_once`.
    """
    queue = list(paths)
    shares = [queue[n::connections] for n in range(connections)]
    get_share = _get_share_at_once if at_once else _get_share
    start = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda share: get_share(url, share), shares))
    return time.perf_counter() - start


def _get_share(url: str, paths: list[str]) -> None:
    connection = Connection(url)
    for path in paths:
        _check(connection.ask("GET", path), url + path)
    connection.close()


def _get_share_at_once(url: str, paths: list[str]) -> None:
    parts = urlsplit(url)
    assert parts.port is not None
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        for path in paths:
            head = f"GET {parts.path}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            connection.sendall(head.encode())
        with connection.makefile("rb") as answers:
            for path in paths:
                status = int(answers.readline().split()[1])
                fields = parse_headers(answers)
                answers.read(int(fields["Content-Length"]))
                _check(status, url + path)


def _check(status: int, url: str) -> None:
    if status != 200:
        raise RuntimeError(f"{url} answered {status}")
