"""Full disks, limits, disks that cannot be written, damaged files and those of others:
nothing is half-kept, what is there stays, and one sentence says what is wrong."""

from __future__ import annotations

import os
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest
from store_process import mounted, run

from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import StorageFailure
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.kinds import open_stores
from slapos.networkcache.storage.schema import VERSION
from slapos.networkcache.storage.sqlite import SQLiteEntries

KEY = Key.parse("key")


def stored(text):
    return Stored(Pair(text, ""))


# A full disk, a limit, a disk that cannot be written


def test_a_full_disk_keeps_nothing_half_and_goes_on(unshare, tmp_path):
    script = """
store = FolderContents(root)
piece = os.urandom(1 << 20)
kept = store.put([b"kept"])
with store.writer() as writer:
    def fill():
        for _ in range(20):
            writer.write(piece)
    assert "No space left" in failure(StorageFull, fill)
assert list(store) == [kept]
assert os.listdir(store.temporary) == []
store.put([piece] * 6)
store.put([b"and goes on"])
"""
    mounted("8m", script, unshare, tmp_path / "root")


def test_what_cannot_fit_is_refused_at_once(unshare, tmp_path):
    script = """
store = FolderContents(root)
piece = os.urandom(1 << 20)
failure(StorageFull, store.writer, size=9 << 20)
with store.writer(size=6 << 20) as writer:
    failure(StorageFull, store.writer, size=4 << 20)
    writer.write(piece)
    # What is written is counted once: by the disk.
    store.writer(size=(7 << 19) // 2).abort()
    failure(StorageFull, store.writer, size=4 << 20)
store.put([piece] * 4)
failure(StorageFull, store.writer, size=5 << 20)
store.writer(size=3 << 20).abort()
assert os.listdir(store.temporary) == []
"""
    mounted("8m", script, unshare, tmp_path / "root")


def test_entries_on_a_full_disk_are_refused_and_go_on(unshare, tmp_path):
    script = """
stores = open_stores(root)
pair = lambda text: Stored(Pair(text * 1000, ""))
stores.entries.put(KEY, pair("a"))
filler = os.path.join(root, "filler")
def fill():
    with open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
try:
    fill()
except OSError:
    pass
def put():
    for number in range(100):
        stores.entries.put(Key(f"key-{number}"), pair("b"))
failure(StorageFull, put)
put_then = set(stores.entries)
assert stores.entries.get([KEY])[KEY] == [pair("a")]
os.unlink(filler)
put()
assert put_then <= set(stores.entries) and len(set(stores.entries)) == 101
stores.close()
"""
    mounted("4m", script, unshare, tmp_path / "root")


def test_a_full_disk_is_named_at_the_start(unshare, tmp_path):
    script = """
from slapos.networkcache.storage.sqlite import SQLiteEntries
path = os.path.join(root, "entries.sqlite")
store = SQLiteEntries(path)
store.put(KEY, Stored(Pair("a", "")))
store.close()
with open(os.path.join(root, "filler"), "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
assert "the disk is full" in failure(StorageFull, SQLiteEntries, path)
os.unlink(file.name)
store = SQLiteEntries(path)
assert store.get([KEY]) == {KEY: [Stored(Pair("a", ""))]}
"""
    mounted("1m", script, unshare, tmp_path / "root")


def test_a_disk_that_is_read_only_is_named_at_the_start(unshare, tmp_path):
    script = """
from slapos.networkcache.errors import StorageReadOnly
from slapos.networkcache.storage.sqlite import SQLiteEntries
open_stores(root).close()
assert os.system(f"mount -o remount,ro {root}") == 0
for function, path in ((FolderContents, root), (SQLiteEntries, root + "/entries.sqlite")):
    assert f"cannot write in {root}" in failure(StorageFailure, function, path)
for path in (root + "/new", root + "/new/entries.sqlite"):
    assert "Read-only" in failure(StorageReadOnly, open_stores, path)
"""
    mounted("4m", script, unshare, tmp_path / "root")


def test_a_root_that_cannot_be_is_named_at_the_start(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for root in (file, file / "root", Path("/proc/root")):
        with pytest.raises(StorageFailure, match=re.escape(str(root))):
            open_stores(str(root))


def test_another_fault_of_the_disk_keeps_nothing_half(tmp_path):
    script = """
stores = open_stores(root)
stores.entries.put(KEY, Stored(Pair("a", "")))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
failure(StorageFailure, stores.contents.put, [bytes(60_000)] * 2)
def put():
    for number in range(20):
        stores.entries.put(KEY, Stored(Pair(f"{number}" * 10_000, "")))
failure(StorageFailure, put)
before = stores.entries.get([KEY])[KEY]
assert list(stores.contents) == []
assert os.listdir(stores.contents.temporary) == []
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
put()
stores.contents.put([bytes(60_000)] * 2)
assert [pair for pair in stores.entries.get([KEY])[KEY] if pair in before] == before
assert len(stores.entries.get([KEY])[KEY]) == 21
stores.close()
"""
    run(script, tmp_path / "root")


# Files that are not ours


def test_a_damaged_file_of_entries_is_named(tmp_path):
    path = tmp_path / "entries.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StorageFailure, match=re.escape(f"{path}: file is not a database")):
        SQLiteEntries(path)
    assert path.read_bytes() == b"this is no database" * 1000


def test_a_page_that_is_damaged_is_a_failure_and_not_a_miss(tmp_path):
    path = tmp_path / "entries.sqlite"
    with closing(SQLiteEntries(path)) as store:
        store.put(KEY, stored("a"))
    with open(path, "r+b") as file:
        file.seek(8192)  # after the first page, which has the schema
        file.write(b"\xff" * (path.stat().st_size - 8192))
    with closing(SQLiteEntries(path)) as store:
        with pytest.raises(StorageFailure, match="malformed"):
            store.get([KEY])
        with pytest.raises(StorageFailure, match="malformed"):
            store.put(KEY, stored("b"))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (f"PRAGMA user_version = {VERSION + 1}", f"version {VERSION + 1}, newer"),
        ("CREATE TABLE bookmarks (url TEXT)", "database of another program"),
    ],
)
def test_a_file_of_others_is_refused_and_left_alone(tmp_path, statement, message):
    path = tmp_path / "entries.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    before = path.read_bytes()
    with pytest.raises(StorageFailure, match=message):
        SQLiteEntries(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["entries.sqlite"]


def test_a_closed_store_refuses_and_does_not_hang(tmp_path):
    store = SQLiteEntries(tmp_path / "entries.sqlite")
    store.close()
    with pytest.raises(StorageFailure):
        store.put(KEY, stored("a"))
    store.close()


def test_a_new_file_that_another_holds_is_waited_for(tmp_path):
    path = tmp_path / "entries.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(SQLiteEntries, path)
            assert not wait([opening], timeout=0.1).done
            other.execute("ROLLBACK")
            with closing(opening.result(timeout=60)) as store:
                store.put(KEY, stored("a"))
