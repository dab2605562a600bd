"""Servers that are dead in one way each; a port of loopback that never serves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

HALF_AN_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n[["
)


def _drop(connection: socket.socket) -> None:
    connection.close()


def _be_silent(_: socket.socket) -> None:
    """Accepted, and never a byte."""


def _stall(connection: socket.socket) -> None:
    """Begin an answer and never go on; read no more than the head of the request."""
    connection.recv(4096)
    connection.sendall(HALF_AN_ANSWER)


WAYS: dict[str, Callable[[socket.socket], None]] = {
    "connection dropped": _drop,
    "accepted and silent": _be_silent,
    "stalled in the body": _stall,
}


@contextmanager
def dead(way: str) -> Iterator[str]:
    """The URL of a server that is dead in that way."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        threading.Thread(
            target=_accept, args=(listener, WAYS[way], stack), daemon=True
        ).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread


def _accept(
    listener: socket.socket, answer: Callable[[socket.socket], None], stack: ExitStack
) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        stack.enter_context(connection)
        with suppress(OSError):
            answer(connection)
