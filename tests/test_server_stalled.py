"""Clients that stall keep nobody waiting, and are dropped in the end."""

from __future__ import annotations

import os
import time

from wire import TIMEOUT, ask, dial, files, head, old, pairs, post, put, read_all, read_head

LARGE = os.urandom(20_000_000)


def wait_until(condition):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def stalled(server, digest):
    """64 clients: no request, half a head, half a body, or a content that nobody reads."""
    begun = [
        b"",
        b"GET / HTTP/1.1\r\nHost:",
        head("POST", "/shacache", "Content-Length: 3000000") + b"x" * 1_500_000,
        head("PUT", "/shadir/x", "Content-Length: 30") + b'["',
        head("GET", f"/shacache/{digest}"),
        head("POST", "/shacache", "Transfer-Encoding: chunked") + b"5\r\nab",
        head("POST", "/shadir", "Content-Length: 30") + b"{",
        b"GET /",
    ]
    for number in range(64):
        sock = dial(server)
        sock.sendall(begun[number % len(begun)])
        yield sock


def test_64_stalled_clients_keep_nobody_from_being_answered(server):
    digest = post(server, LARGE)
    put(server, "key", old(digest))
    sockets = list(stalled(server, digest))
    try:
        for number in range(20):
            content = post(server, b"%d" % number)
            assert ask(server, "GET", f"/shacache/{content}").body == b"%d" % number
            assert pairs(server, "key") == [old(digest)]
            assert put(server, "other", old(content)).status == 201
    finally:
        for sock in sockets:
            sock.close()


def test_stalled_clients_are_dropped(make_server):
    server = make_server("--stall-timeout", "1 s")
    digest = post(server, LARGE)
    sockets = list(stalled(server, digest))
    time.sleep(1.5)  # or reading would be progress
    for sock in sockets:
        with sock:
            assert len(read_all(sock)) < len(LARGE)
    wait_until(lambda: files(server.root) == [digest])
    cut = [line for line in server.requests(41) if line["cut"]]
    assert len(cut) == 40
    assert "Traceback" not in server.errors.read_text()


def test_client_that_sends_slowly_is_not_stalled(make_server):
    server = make_server("--stall-timeout", "1 s")
    with dial(server) as sock:
        sock.sendall(head("POST", "/shacache", "Content-Length: 10"))
        for _ in range(10):
            sock.sendall(b"x")
            time.sleep(0.2)
        assert read_head(sock).startswith(b"HTTP/1.1 201 ")
