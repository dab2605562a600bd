"""Several workers under one supervisor."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from wire import TIMEOUT, ask, dial, head, old, pairs, post, put, read_head

LARGE = os.urandom(20_000_000)


def wait_until(condition):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def children(pid):
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid):
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_workers_serve_one_root(make_server):
    server = make_server("--workers", "3")
    assert len(children(server.process.pid)) == 3
    digest = post(server, LARGE)
    assert ask(server, "GET", f"/shacache/{digest}").body == LARGE
    for number in range(30):
        assert put(server, "key", old(digest, n=number)).status == 201
    assert pairs(server, "key") == [old(digest, n=number) for number in range(29, -1, -1)]
    assert len(server.requests(33)) == 33
    workers = children(server.process.pid)
    assert server.stop() == 0
    assert all(gone(worker) for worker in workers)


def test_worker_that_dies_is_replaced(make_server):
    server = make_server("--workers", "2")
    first, second = children(server.process.pid)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(set(children(server.process.pid)) - {first}) == 2)
    os.kill(second, signal.SIGKILL)  # now only the new one can answer
    assert post(server, b"content")
    assert f"worker {first} died" in server.errors.read_text()
    assert server.stop() == 0


def test_too_many_dead_workers_end_it(make_server):
    server = make_server("--workers", "2")
    for _ in range(6):
        before = children(server.process.pid)
        os.kill(before[0], signal.SIGKILL)
        wait_until(
            lambda before=before: (
                server.process.poll() is not None
                or before[0] not in children(server.process.pid)
            )
        )
    assert server.process.wait(TIMEOUT) == 1
    assert "6 workers died" in server.errors.read_text()


def test_workers_let_uploads_finish(make_server):
    server = make_server("--workers", "2")
    with dial(server) as sock:
        sock.sendall(head("POST", "/shacache", "Content-Length: 4") + b"ab")
        ask(server, "GET", "/")
        server.process.send_signal(signal.SIGTERM)
        sock.sendall(b"cd")
        assert read_head(sock).startswith(b"HTTP/1.1 201 ")
    assert server.process.wait(TIMEOUT) == 0


def test_workers_end_with_their_supervisor(make_server):
    server = make_server("--workers", "2")
    workers = children(server.process.pid)
    server.kill()
    wait_until(lambda: all(gone(worker) for worker in workers))
    server.start()
    assert post(server, b"content")
