"""``python -m benchmarks.asking URL CONNECTIONS COUNT``: so many requests as one process
can make, so that it is the server that is measured.

The paths to ask for come as JSON on standard input. Says the seconds that it took, and
those of them in which it had a processor, as JSON.
"""

from __future__ import annotations

import itertools
import json
import re
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"HTTP/1\.0|\r\nconnection: *close\r\n", re.IGNORECASE)


class _Asking:
    """A connection with one request on its way, made again where the server closes it."""

    def __init__(self, address: tuple[str, int], requests: Iterator[bytes]):
        self._address = address
        self._requests = requests
        self._begin()

    def _begin(self) -> None:
        self._socket = socket.create_connection(self._address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self) -> bool:
        """Send the next request; whether there was one."""
        request = next(self._requests, None)
        if request is not None:
            self._socket.send(request)
        return request is not None

    def hear(self) -> bool:
        """Read the answer; whether the connection stays."""
        data = self._socket.recv(1 << 17)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        if data[9:12] != b"200":
            raise RuntimeError(f"not expected: {data[:end]!r}")
        head = data[: end + 2]
        length = _LENGTH.search(head)
        assert length is not None
        left = end + 4 + int(length[1]) - len(data)
        while left > 0:
            left -= len(self._more())
        return _CLOSE.search(head) is None

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 17)
        if not more:
            raise ConnectionError("the server closed the connection")
        return more

    def again(self) -> None:
        """Connect anew."""
        self._socket.close()
        self._begin()


def ask_all(url: str, paths: Sequence[str], connections: int, count: int) -> None:
    """Ask `count` times, for each of `paths` in turn."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    heads = [
        f"GET {parts.path}{path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        for path in paths
    ]
    requests = itertools.islice(itertools.cycle(heads), count)
    address = (parts.hostname, parts.port)
    poll = select.epoll()
    askings: dict[int, _Asking] = {}

    def begin(asking: _Asking) -> None:
        if asking.ask():
            askings[asking.fileno()] = asking
            poll.register(asking, select.EPOLLIN)

    for _ in range(connections):
        begin(_Asking(address, requests))
    while askings:
        for fd, _ in poll.poll():
            asking = askings[fd]
            if not asking.hear():
                poll.unregister(fd)
                del askings[fd]
                asking.again()
                begin(asking)
            elif not asking.ask():
                poll.unregister(fd)
                del askings[fd]


if __name__ == "__main__":
    url, connections, count = sys.argv[1:]
    paths = json.load(sys.stdin)
    begun = time.perf_counter()
    ask_all(url, paths, int(connections), int(count))
    print(json.dumps([time.perf_counter() - begun, time.process_time()]))
