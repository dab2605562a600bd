"""A key that one account floods, and slow clients by the hundred: others are answered, and
see what they saw before."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from incumbents import OldClient
from processes import memory, sockets, wait_until
from wire import TIMEOUT, ask, connect, files, head, old, pairs, post, put

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.storage import ACCOUNT_LIMIT, Stored
from slapos.networkcache.storage.sqlite import SQLiteEntries

# -- a key that one account floods


def flooded(server) -> tuple[list[str], list[str]]:
    """The pair of one account under ``key``, and the last of many of another."""
    digest = post(server, b"content")
    honest = old(digest, honest=True)
    with closing(SQLiteEntries(server.root / "entries.sqlite")) as entries:
        entries.put(Key("key"), Stored(Pair(*honest), "honest"), Digest(digest))
    with closing(connect(server)) as connection:
        for number in range(200):
            junk = old(digest, n=number, x="x" * 60_000)
            assert put(server, "key", junk, connection).status == 201
    return honest, junk


def test_a_key_that_one_account_floods(server):
    honest, junk = flooded(server)
    there = pairs(server, "key")
    assert (there[0], there[-1]) == (junk, honest)
    assert sum(len(text) for pair in there[:-1] for text in pair) <= ACCOUNT_LIMIT


@pytest.mark.incumbent
def test_an_old_client_reads_a_key_that_one_account_floods(server, tmp_path):
    flooded(server)
    client = OldClient.of(tmp_path, server.cache_url, server.dir_url)
    assert client.select("key")[-1]["honest"]


# -- clients that dawdle

MANY = 300
LARGE = os.urandom(20_000_000)


@pytest.fixture
def files_to_open() -> Iterator[int]:
    """More of them than are allowed at first; the number that are allowed at last."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * MANY:
        pytest.skip(f"{4 * MANY} open files are needed: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * MANY), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def dawdling(server, request: bytes) -> socket.socket:
    """A client that asks, and takes hardly anything at a time."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(TIMEOUT)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(request)
    return sock


def test_slow_readers_and_writers_by_the_hundred(make_server, files_to_open):
    """The limit of open files is what a process of systemd's begins with."""
    limited = ("prlimit", f"--nofile=256:{files_to_open}")
    server = make_server("--stall-timeout", "2 s", wrap=limited)
    digest = post(server, LARGE)
    put(server, "key", old(digest))
    idle, before = sockets(server), memory(server)
    reading = head("GET", f"/shacache/{digest}")
    writing = head("POST", "/shacache", "Content-Length: 3000000") + bytes(100_000)
    with ExitStack() as stack:
        for _ in range(MANY):
            reader = stack.enter_context(dawdling(server, reading))
            assert reader.recv(1)
            stack.enter_context(dawdling(server, writing)).sendall(b"x")
        check_answers(server)
        assert memory(server) - before < 64 << 20
        wait_until(lambda: sockets(server) <= idle)
    assert files(server.root) == sorted([digest, *SMALL])
    check_answers(server)
    assert "Traceback" not in server.errors.read_text()


SMALL = [Digest.of(b"%d" % number).hex for number in range(20)]


def check_answers(server) -> None:
    """Others upload, look up and download meanwhile."""
    for number, digest in enumerate(SMALL):
        assert post(server, b"%d" % number) == digest
        assert ask(server, "GET", f"/shacache/{digest}").body == b"%d" % number
        assert put(server, f"key{number}", old(digest)).status == 201
        assert pairs(server, f"key{number}") == [old(digest)]
