"""Disks that fill up or are only read, a database that is locked or damaged: nothing that
was acknowledged is lost, nothing wrong is served, and the server comes back by itself."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from wire import ask, dial, head, old, pairs, post, put

from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import StorageReadOnly
from slapos.networkcache.server.root import open_root
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.database import Database

# -- a full disk


@pytest.fixture
def small_disk(make_server, tmp_path, unshare) -> Callable[..., tuple]:
    """Starts a server on a disk of 8 MiB; the server, and that disk as it sees it."""
    root = tmp_path / "disk"
    root.mkdir()
    mount = f'mount -t tmpfs -o size=8m none {root} && exec "$@"'

    def start(*options: str) -> tuple:
        server = make_server(*options, root=root, wrap=(*unshare, "sh", "-c", mount, "sh"))
        return server, Path(f"/proc/{server.process.pid}/root{root}")

    return start


def fill(file: Path) -> None:
    """Take all space that is left on a disk."""
    with file.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(4096))
        except OSError:
            pass


def test_a_disk_that_fills_up_and_has_space_again(small_disk):
    server, disk = small_disk("--min-free", "0 KiB")
    digest = post(server, b"content")
    assert put(server, "key", old(digest)).status == 201
    fill(disk / "filler")
    reply = ask(server, "POST", "/shacache", b"another")
    assert (reply.status, reply.code) == (507, "storage-full")
    replies = [put(server, "key", old(digest, n=n, x="x" * 60_000)) for n in range(1, 20)]
    assert (replies[-1].status, replies[-1].code) == (507, "storage-full")
    kept = [n for n, reply in enumerate(replies, 1) if reply.status == 201]
    check = [old(digest, n=n, x="x" * 60_000) for n in reversed(kept)]
    assert pairs(server, "key") == [*check, old(digest)]
    assert ask(server, "GET", f"/shacache/{digest}").body == b"content"
    (disk / "filler").unlink()
    assert put(server, "another", old(post(server, b"another"))).status == 201
    assert pairs(server, "key") == [*check, old(digest)]


def test_a_disk_that_is_to_keep_some_space_goes_on_taking_pairs(small_disk):
    server, _ = small_disk("--min-free", "5 MiB")
    digest = post(server, os.urandom(1 << 20))
    asking = head("POST", "/shacache", "Content-Length: 3000000", "Expect: 100-continue")
    with dial(server) as sock:
        sock.sendall(asking)
        assert b"507" in sock.makefile("rb").readline()  # before its body
    for number in range(20):
        assert put(server, "key", old(digest, n=number)).status == 201


# -- a database that is locked


@contextmanager
def locked(server) -> Iterator[None]:
    """Another process writes, and takes its time."""
    path = server.root / "entries.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def check_reads(server, digest: str, data: bytes) -> None:
    """One by one and together, what was put under ``key`` is served."""
    assert pairs(server, "key") == [old(digest)]
    assert ask(server, "GET", f"/shacache/{digest}").body == data
    batch = ask(server, "POST", "/shadir", json.dumps({"keys": ["key"]}).encode())
    assert json.loads(batch.body)["entries"] == {"key": [old(digest)]}


def test_a_lock_is_waited_for_and_keeps_no_reader(server):
    digest = post(server, b"content")
    put(server, "key", old(digest))
    with ThreadPoolExecutor(40) as pool:
        with locked(server):
            # More than there are threads that could wait.
            puts = [pool.submit(put, server, f"k{n}", old(digest)) for n in range(40)]
            for _ in range(5):
                check_reads(server, digest, b"content")
            assert not wait(puts, timeout=0.2).done
        assert {each.result().status for each in puts} == {201}


@pytest.mark.long
def test_a_lock_that_stays_is_busy_and_no_fault(server):
    digest = post(server, b"content")
    put(server, "key", old(digest))
    with locked(server), ThreadPoolExecutor(2) as pool:
        uploads = [
            pool.submit(put, server, "other", old(digest)),
            pool.submit(ask, server, "POST", "/shacache", b"another"),
        ]
        while wait(uploads, timeout=0.5).not_done:
            check_reads(server, digest, b"content")
        for upload in uploads:
            assert (upload.result().status, upload.result().code) == (503, "busy")
    assert pairs(server, "other") == []
    assert put(server, "other", old(post(server, b"another"))).status == 201
    assert "Traceback" not in server.errors.read_text()


# -- a disk that is only read


@pytest.fixture
def frozen(tmp_path) -> Callable[..., AbstractContextManager[None]]:
    """``with frozen(*paths)``: nobody can change these files, nor what is in these folders,
    who has them open included; as if their disk had become read-only."""
    probe = tmp_path / "probe"
    probe.touch()
    if (
        not shutil.which("chattr")
        or subprocess.run(["chattr", "+i", probe], capture_output=True).returncode
    ):
        pytest.skip("making files immutable needs root, and a disk that knows it")
    subprocess.run(["chattr", "-i", probe], check=True)

    @contextmanager
    def freeze(*paths: Path) -> Iterator[None]:
        subprocess.run(["chattr", "+i", *paths], check=True)
        try:
            yield
        finally:
            subprocess.run(["chattr", "-i", *paths], check=True)

    return freeze


def database_files(server) -> list[Path]:
    # Not the index of the log, which SQLite has mapped: on a disk that is remounted, what
    # is mapped can be written still.
    return [server.root / name for name in ("entries.sqlite", "entries.sqlite-wal")]


def test_a_database_that_is_only_read_for_a_while(server, frozen):
    digest = post(server, b"content")
    put(server, "key", old(digest))
    with frozen(*database_files(server)):
        check_reads(server, digest, b"content")
        for reply in (
            put(server, "other", old(digest)),
            ask(server, "POST", "/shacache", b"another"),
        ):
            assert (reply.status, reply.code) == (403, "read-only")
        check_reads(server, digest, b"content")
    assert pairs(server, "other") == []
    assert put(server, "other", old(post(server, b"another"))).status == 201
    assert "Traceback" not in server.errors.read_text()


def test_contents_that_are_only_read_for_a_while(server, frozen):
    digest = post(server, b"content")
    with frozen(server.root / "v1" / "tmp"):
        reply = ask(server, "POST", "/shacache", b"another")
        assert (reply.status, reply.code) == (403, "read-only")
        assert put(server, "key", old(digest)).status == 201
        check_reads(server, digest, b"content")
    assert post(server, b"another")
    assert "Traceback" not in server.errors.read_text()


def test_a_database_that_is_only_read_is_named_at_the_start(tmp_path, frozen):
    file = tmp_path / "entries.sqlite"
    Database(file).close()
    with frozen(file), pytest.raises(StorageReadOnly, match=f"cannot write {file}"):
        Database(file)
    Database(file).close()


# -- a damaged database


def damage(file: Path, words: bytes, how: Callable[[bytes], bytes]) -> None:
    """Overwrite each page of a database in which `words` are."""
    with closing(sqlite3.connect(file)) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as pages:
        for number, page in enumerate(iter(lambda: pages.read(size), b"")):
            if words in page:
                pages.seek(number * size)
                pages.write(how(page))


DAMAGES: dict[int, Callable[[bytes], bytes]] = {
    7: lambda page: bytes(len(page)),
    17: lambda page: b"\xff" * len(page),
    27: lambda page: random.Random(1).randbytes(len(page)),
}
"""What becomes of the pages of three keys."""


def test_a_database_that_is_damaged_while_it_is_served(server):
    digest = post(server, b"content")
    kept = {f"key-{n}": old(digest, n=n, x="x" * 3000) for n in range(30)}
    for key, pair in kept.items():
        assert put(server, key, pair).status == 201
    file = server.root / "entries.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for number, how in DAMAGES.items():
        damage(file, b'"n": %d,' % number, how)
        reply = ask(server, "GET", f"/shadir/key-{number}")
        assert (reply.status, reply.code) == (500, "internal")
        body = json.dumps({"keys": [f"key-{number}"]}).encode()
        assert ask(server, "POST", "/shadir", body).status == 500
    said = server.errors.read_text()
    assert f"cannot read {file}" in said
    assert "restore it from a backup" in said
    for key, pair in kept.items():
        reply = ask(server, "GET", f"/shadir/{key}")
        assert reply.status == 500 or json.loads(reply.body) == [pair]
    assert pairs(server, "key-0") == [kept["key-0"]]
    assert ask(server, "GET", f"/shacache/{digest}").body == b"content"
    assert put(server, "another", old(post(server, b"another"))).status == 201
    assert pairs(server, "another")


def test_a_damaged_database_is_named_at_the_start_and_restored(make_server, tmp_path):
    with closing(open_root(tmp_path / "root", make=True)) as root:
        digest = root.contents.put([b"content"])
        root.entries.put(Key("key"), Stored(Pair(*old(digest.hex))), digest)
    file = tmp_path / "root" / "entries.sqlite"
    backup = file.read_bytes()
    file.write_bytes(b"\0" * 8192 + backup[8192:])
    with pytest.raises(RuntimeError) as raised:
        make_server(root=tmp_path / "root")
    said = str(raised.value)
    assert f"cannot open {file}" in said
    assert "restore it from a backup" in said
    assert "Traceback" not in said
    file.write_bytes(backup)
    check_reads(make_server(root=tmp_path / "root"), digest.hex, b"content")
