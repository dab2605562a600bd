"""SIGTERM: running transfers finish, up to a limit; everything else ends at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading

import pytest
from wire import TIMEOUT, ask, connect, dial, files, head, post, read_all, read_head

from slapos.networkcache.digest import Digest
from slapos.networkcache.server.threads import Threads

LARGE = os.urandom(20_000_000)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_uploads_finish_and_idle_connections_end_at_once(server, number):
    idle = connect(server)
    ask(server, "GET", "/", connection=idle)
    silent, running = dial(server), dial(server)
    with contextlib.closing(idle), silent, running:
        lines = head("POST", "/shacache", f"Content-Length: {len(LARGE)}")
        running.sendall(lines + LARGE[:5_000_000])
        ask(server, "GET", "/")
        server.process.send_signal(number)
        assert read_all(idle.sock) == b""
        assert read_all(silent) == b""
        with pytest.raises(ConnectionRefusedError):
            dial(server)
        running.sendall(LARGE[5_000_000:])
        answer = read_head(running)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert b"Connection: close" in answer
    assert server.process.wait(TIMEOUT) == 0
    assert files(server.root) == [Digest.of(LARGE).hex]


def test_downloads_finish(server):
    digest = post(server, LARGE)
    with dial(server) as sock:
        sock.sendall(head("GET", f"/shacache/{digest}"))
        read_head(sock)
        server.process.send_signal(signal.SIGTERM)
        assert Digest.of(read_all(sock)).hex == digest
    assert server.process.wait(TIMEOUT) == 0


def test_what_takes_too_long_is_dropped_at_the_end(make_server):
    server = make_server("--shutdown-timeout", "500 ms")
    with dial(server) as sock:
        sock.sendall(head("POST", "/shacache", "Content-Length: 9") + b"1234")
        ask(server, "GET", "/")
        server.process.send_signal(signal.SIGTERM)
        assert read_all(sock) == b""
    assert server.process.wait(TIMEOUT) == 0
    assert files(server.root) == []
    assert "Traceback" not in server.errors.read_text()


def test_what_a_thread_works_on_is_not_taken_from_it():
    """The call goes on after its request was cancelled, and the request waits for it."""

    async def cancel_while_it_runs():
        threads, begun, go_on = Threads(1), threading.Event(), threading.Event()
        ended = []

        def call():
            begun.set()
            ended.append(go_on.wait(TIMEOUT))

        task = asyncio.create_task(threads.run(call))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        waited = not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        threads.close()
        return waited, ended

    assert asyncio.run(cancel_while_it_runs()) == (True, [True])
