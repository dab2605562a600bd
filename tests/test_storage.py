"""Every kind of store keeps the contract, in one process and in several."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import (
    InvalidConfiguration,
    NotFound,
    StorageReadOnly,
    WrongContent,
)
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.folder import FolderContents
from slapos.networkcache.storage.kinds import open_contents, open_entries, open_stores
from slapos.networkcache.storage.layers import (
    FirstOf,
    MergedEntries,
    ReadOnlyContents,
    ReadOnlyEntries,
    ReadThrough,
)
from slapos.networkcache.storage.memory import MemoryContents, MemoryEntries
from slapos.networkcache.storage.sqlite import SQLiteEntries
from slapos.networkcache.testing import ContentStoreContract, EntryStoreContract

KEY = Key.parse("key")


class TestMemoryContents(ContentStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryContents()


class TestFolderContents(ContentStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        with closing(FolderContents(tmp_path / "root")) as store:
            yield store
        # Whatever a test did, no file stays open and no bytes stay promised.
        assert os.listdir(store.temporary) == []
        assert store._space._reserved == 0


class TestReadThrough(ContentStoreContract):
    @pytest.fixture
    def store(self):
        return ReadThrough(MemoryContents(), MemoryContents())


class TestFirstOf(ContentStoreContract):
    @pytest.fixture
    def store(self):
        return FirstOf(MemoryContents(), MemoryContents())


class TestMemoryEntries(EntryStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryEntries()


class TestSQLiteEntries(EntryStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        with closing(SQLiteEntries(tmp_path / "entries.sqlite")) as store:
            yield store


class TestMergedEntries(EntryStoreContract):
    @pytest.fixture
    def store(self):
        return MergedEntries(MemoryEntries(), MemoryEntries())


# A folder of contents


def test_a_content_is_a_file_under_its_digest(tmp_path):
    store = FolderContents(tmp_path)
    digest = store.put([b"hello"])
    path = tmp_path / "v1" / digest.hex[:2] / digest.hex[2:4] / digest.hex
    assert path.read_bytes() == b"hello"
    with store.open(digest) as content:
        assert content.path == str(path)


def test_files_can_be_read_by_a_server_in_front(tmp_path):
    umask = os.umask(0o022)
    try:
        store = FolderContents(tmp_path / "root")
        path = Path(store.path(store.put([b"hello"])))
    finally:
        os.umask(umask)
    modes = [entry.stat().st_mode & 0o777 for entry in (path, *path.parents[:4])]
    assert modes == [0o644, 0o755, 0o755, 0o755, 0o755]


def test_a_content_that_is_there_is_not_written_again(tmp_path):
    store = FolderContents(tmp_path)
    path = Path(store.path(store.put([b"hello"])))
    before = path.stat()
    store.put([b"hello"])
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_content_that_went_bad_is_replaced(tmp_path):
    store = FolderContents(tmp_path)
    digest = store.put([b"hello"])
    Path(store.path(digest)).write_bytes(b"HELLO")
    store.put([b"hello"])
    with store.open(digest) as content:
        assert content.read(0, 10) == b"hello"


def test_a_content_that_was_cut_is_replaced(tmp_path):
    store = FolderContents(tmp_path)
    digest = store.put([b"hello"])
    os.truncate(store.path(digest), 3)
    store.put([b"hello"])
    with store.open(digest) as content:
        assert content.read(0, 10) == b"hello"


def test_a_content_that_cannot_be_opened_is_replaced(tmp_path):
    store = FolderContents(tmp_path)
    path = Path(store.path(store.put([b"hello"])))
    path.unlink()
    path.symlink_to(path)
    store.put([b"hello"])
    assert path.read_bytes() == b"hello"


def test_strange_files_are_not_listed(tmp_path):
    store = FolderContents(tmp_path)
    digest = store.put([b"hello"])
    folder = Path(store.path(digest)).parent
    (folder / "README").write_text("x")
    (folder / Digest.of(b"elsewhere").hex).write_text("in the wrong folder")
    (tmp_path / "v1" / "lost+found").mkdir()
    assert list(store) == [digest]


# Stores made of stores


def test_a_miss_is_filled_from_afar():
    near, far = MemoryContents(), MemoryContents()
    digest = far.put([b"hello"])
    store = ReadThrough(near, far)
    assert store.size(digest) == 5
    assert list(store) == []
    with store.open(digest) as content:
        assert content.read(0, 10) == b"hello"
    assert list(near) == [digest]
    far.delete(digest)
    assert store.has(digest)
    with pytest.raises(NotFound):
        store.open(Digest.of(b"neither"))


def test_wrong_content_from_afar_is_neither_served_nor_kept(tmp_path):
    near, far = MemoryContents(), FolderContents(tmp_path)
    digest = far.put([b"hello"])
    Path(far.path(digest)).write_bytes(b"jello")
    with pytest.raises(WrongContent):
        ReadThrough(near, far).open(digest)
    assert list(near) == []


def test_the_first_that_has_it_serves():
    first, second = MemoryContents(), MemoryContents()
    store = FirstOf(first, second)
    one = second.put([b"one"])
    two = store.put([b"two"])
    both = store.put([b"both"])
    second.put([b"both"])
    assert store.has(one)
    assert sorted(store) == sorted([one, two, both])
    assert not second.has(two)
    store.delete(both)
    assert not store.has(both)


def test_read_only_contents_are_only_read():
    inner = MemoryContents()
    digest = inner.put([b"hello"])
    store = ReadOnlyContents(inner)
    assert list(store) == [digest]
    with store.open(digest) as content:
        assert content.size == store.size(digest) == 5
    with pytest.raises(StorageReadOnly):
        store.put([b"more"])
    with pytest.raises(StorageReadOnly):
        store.delete(digest)
    assert list(inner) == [digest]


def test_read_only_entries_are_only_read():
    inner = MemoryEntries()
    one = Stored(Pair("one", ""))
    inner.put(KEY, one)
    store = ReadOnlyEntries(inner)
    with pytest.raises(StorageReadOnly):
        store.put(KEY, Stored(Pair("two", "")))
    with pytest.raises(StorageReadOnly):
        store.remove(KEY, one.pair)
    assert list(store) == [KEY]
    assert list(store.get([KEY])[KEY]) == [one]


def test_merged_entries_hide_none_of_the_others():
    first, second = MemoryEntries(), MemoryEntries()
    mine, shared, theirs = (Stored(Pair(text, "")) for text in ("a", "b", "c"))
    store = MergedEntries(first, second)
    for stored in (shared, mine):
        store.put(KEY, stored)
    for stored in (theirs, shared._replace(account="they")):
        second.put(KEY, stored)
    second.put(Key.parse("other"), theirs)
    assert list(store.get([KEY])[KEY]) == [mine, shared, theirs]
    assert sorted(store) == [KEY, Key.parse("other")]
    store.remove(KEY, shared.pair)
    assert list(store.get([KEY])[KEY]) == [mine, theirs]


# The table of kinds


def test_a_folder_is_both_stores_under_one_root(tmp_path):
    root = tmp_path / "new" / "root"
    with closing(open_stores(str(root))) as stores:
        digest = stores.contents.put([b"hello"])
        stores.entries.put(KEY, Stored(Pair("a", "")))
    assert (root / "entries.sqlite").is_file()
    with closing(open_stores(str(root))) as stores:
        assert stores.contents.has(digest)
        assert stores.entries.get([KEY])[KEY][0].pair.entry == "a"


def test_memory_is_named_by_its_kind():
    assert isinstance(open_contents("memory:"), MemoryContents)
    assert isinstance(open_entries("memory:"), MemoryEntries)


@pytest.mark.parametrize("name", ["", "s4://bucket", "memroy:"])
def test_an_unknown_kind_is_named(name):
    for open_store in (open_contents, open_entries, open_stores):
        with pytest.raises(InvalidConfiguration, match=re.escape(repr(name))):
            open_store(name)


# Several processes

_PUTS = """
import sys
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.kinds import open_stores

root, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
stores = open_stores(root)
for i in range(20):
    own, shared = f"{name}:{i}", f"shared:{i}"
    for text in (own, shared):
        stores.contents.put([text.encode()])
        stores.entries.put(Key("key"), Stored(Pair(text, ""), name))
stores.close()
"""


def test_processes_that_open_and_put_at_once_lose_nothing(tmp_path):
    root = tmp_path / "root"
    names = [f"process-{number}" for number in range(6)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PUTS, str(root), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all open the new root at this moment
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    expected = {f"{name}:{i}" for name in (*names, "shared") for i in range(20)}
    with closing(open_stores(str(root))) as stores:
        found = [stored.pair.entry for stored in stores.entries.get([KEY])[KEY]]
        assert sorted(found) == sorted(expected)
        assert set(stores.contents) == {Digest.of(text.encode()) for text in expected}


def test_each_process_sees_what_the_other_put(tmp_path):
    path = tmp_path / "entries.sqlite"
    with closing(SQLiteEntries(path)) as one, closing(SQLiteEntries(path)) as other:
        for text in "abc":
            one.put(KEY, Stored(Pair(text, "")))
            assert other.get([KEY])[KEY][0].pair.entry == text
