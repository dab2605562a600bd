"""`networkcache server backup`: whole, while the server serves."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from test_server_start import command, says
from wire import TIMEOUT, ask, files, ours, pairs, post, put

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.server.backup import back_up
from slapos.networkcache.server.root import Root, open_root
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.folder import FolderContents
from slapos.networkcache.storage.locks import taken


def backup(server, folder: Path, code: int = 0) -> str:
    done = command("server", "backup", "--root", server.root, folder)
    says(done, code)
    return done.stdout + done.stderr


def fill(server, name: str, data: bytes) -> str:
    digest = post(server, data)
    assert put(server, f"key:{name}", ours(f"key:{name}", digest)).status == 201
    return digest


# -- while serving


EARLY = 10
"""Entries of each writer that are there before the backup begins."""


def test_nothing_acknowledged_is_lost_and_no_entry_lacks_its_content(make_server, tmp_path):
    server, folder = make_server("--workers", "2"), tmp_path / "backup"
    begun, stop = threading.Semaphore(0), threading.Event()

    def write(writer: int) -> dict[str, str]:
        done: dict[str, str] = {}
        while not stop.is_set():
            name = f"{writer}-{len(done)}"
            done[name] = fill(server, name, os.urandom(2000))
            if len(done) == EARLY:
                begun.release()
        return done

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, writer) for writer in range(4)]
        try:
            for _ in writing:
                begun.acquire(timeout=TIMEOUT)
            backup(server, folder)
            backup(server, folder)
        finally:
            stop.set()
        written = {name: one for done in writing for name, one in done.result().items()}
    server.stop()
    restored = make_server(root=folder)
    found = {name for name in written if pairs(restored, f"key:{name}")}
    for name in found:
        body = ask(restored, "GET", f"/shacache/{written[name]}").body
        assert Digest.of(body).hex == written[name]
    assert found >= {f"{writer}-{n}" for writer in range(4) for n in range(EARLY)}


@pytest.fixture
def root(tmp_path):
    with closing(open_root(tmp_path / "root", make=True)) as root:
        yield root


def keep(root: Root, name: str, data: bytes) -> Digest:
    """A content, and an entry that names it."""
    digest = root.contents.put([data])
    key = Key(f"key:{name}")
    pair = Pair(*ours(key.text, digest.hex))
    root.catalogue.store(digest, len(data))
    root.entries.put(key, Stored(pair), digest)
    return digest


def test_what_is_removed_meanwhile(root, tmp_path):
    """An operator removes an entry, and its content, after the database was copied."""
    keep(root, "stays", b"stays")
    goes = keep(root, "goes", b"goes")

    class Vanishing(FolderContents):
        def __iter__(self):
            key = Key("key:goes")
            for stored in root.entries.get([key]).get(key, ()):
                root.entries.remove(key, stored.pair)
                root.catalogue.remove([goes])
            return super().__iter__()

    with closing(Vanishing(root.folder)) as vanishing:
        done = back_up(root._replace(contents=vanishing), tmp_path / "backup")
    assert (done.contents, done.missing) == (1, 0)
    with closing(open_root(tmp_path / "backup")) as copy:
        assert list(copy.entries) == [Key("key:stays")]


# -- the next one


def test_the_next_one_copies_what_is_new(root, tmp_path):
    folder = tmp_path / "backup"
    first = keep(root, "first", b"first")
    gone = root.contents.put([b"gone"])
    assert back_up(root, folder)[:4] == (2, 2, len(b"firstgone"), 0)
    with closing(FolderContents(folder)) as copy:
        before = os.stat(copy.path(first))
        root.contents.delete(gone)
        keep(root, "second", b"second")
        assert back_up(root, folder)[:4] == (2, 1, len(b"second"), 1)
        assert os.stat(copy.path(first)).st_ino == before.st_ino
        assert not copy.has(gone)
    with closing(open_root(folder)) as copy:
        assert set(copy.entries) == {Key("key:first"), Key("key:second")}


def test_it_keeps_what_the_server_has_lost(root, tmp_path):
    lost = keep(root, "lost", b"lost")
    back_up(root, tmp_path / "backup")
    root.contents.delete(lost)
    done = back_up(root, tmp_path / "backup")
    assert (done.contents, done.gone, done.missing) == (1, 0, 0)
    assert files(tmp_path / "backup") == [lost.hex]


def test_it_keeps_what_pairs_name_that_are_not_shown(root, tmp_path):
    """What an old client put before its content stays hidden in the tables."""
    digest = root.contents.put([b"lost"])
    pair = Pair(*ours("key:lost", digest.hex))
    root.entries.put(Key("key:lost"), Stored(pair, hidden=True), digest)
    back_up(root, tmp_path / "backup")
    root.contents.delete(digest)
    assert back_up(root, tmp_path / "backup").gone == 0
    assert files(tmp_path / "backup") == [digest.hex]


@pytest.mark.parametrize(
    "instead",
    [lambda path: path.symlink_to(path), lambda path: path.mkdir()],
    ids=["loop", "folder"],
)
def test_what_cannot_be_read_is_named_and_the_others_are_copied(root, tmp_path, instead):
    unreadable, other = keep(root, "a", b"unreadable"), keep(root, "b", b"other")
    path = Path(root.contents.path(unreadable))
    path.unlink()
    instead(path)
    done = back_up(root, tmp_path / "backup")
    assert (done.spoilt, done.missing, done.contents) == ((unreadable,), 1, 1)
    assert files(tmp_path / "backup") == [other.hex]


def test_what_was_lost_before_is_not_waited_for(root, tmp_path):
    root.contents.delete(keep(root, "lost", b"lost"))
    listed = []

    class Listed(FolderContents):
        def __iter__(self):
            listed.append(self)
            return super().__iter__()

    with closing(Listed(root.folder)) as contents:
        done = back_up(root._replace(contents=contents), tmp_path / "backup")
    assert done.missing == 1
    assert len(listed) == 2


def test_an_older_one_is_whole_until_another_takes_its_place(root, tmp_path):
    """What is written over in place is cut for a moment, in which all may end."""
    (root.folder / "authority").mkdir()
    (root.folder / "authority" / "key.pem").write_text("key")
    back_up(root, tmp_path / "backup")
    for name in ("version", "authority/key.pem"):
        with open(tmp_path / "backup" / name) as older:
            back_up(root, tmp_path / "backup")
            assert os.fstat(older.fileno()).st_nlink == 0
            assert older.read() == (root.folder / name).read_text()


def test_nobody_else_reads_the_key_while_it_is_copied(root, tmp_path):
    """Not through what a backup left that was killed, either."""
    (root.folder / "authority").mkdir(0o755)
    (root.folder / "authority" / "key.pem").write_text("key")
    folder = tmp_path / "backup" / "authority"
    back_up(root, tmp_path / "backup")
    left = folder / "key.pem.new"
    left.touch(0o644)
    with open(left) as held:
        back_up(root, tmp_path / "backup")
        assert held.read() == ""
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_copy_that_was_cut_is_made_anew(root, tmp_path):
    digest = keep(root, "a", b"content")
    back_up(root, tmp_path / "backup")
    with closing(FolderContents(tmp_path / "backup")) as copy:
        Path(copy.path(digest)).write_bytes(b"con")
        assert back_up(root, tmp_path / "backup").new == 1
        assert Path(copy.path(digest)).read_bytes() == b"content"


def test_what_sqlite_left_beside_an_older_one_does_not_count(root, tmp_path):
    """A server ran on the backup, and was killed: its log is not for the next database."""
    folder = tmp_path / "backup"
    back_up(root, folder)
    with closing(open_root(folder)) as copy:
        keep(copy, "other", b"other")
        beside = (folder / "entries.sqlite-wal").read_bytes()
    (folder / "entries.sqlite-wal").write_bytes(beside)
    keep(root, "own", b"own")
    back_up(root, folder)
    with closing(open_root(folder)) as copy:
        assert list(copy.entries) == [Key("key:own")]


# -- the command


def test_it_restores_a_server(server, make_server, tmp_path):
    digest = fill(server, "a", b"content")
    config = tmp_path / "server.cfg"
    config.write_text(f"[server]\nroot = {server.root.name}\n")
    done = command("server", "backup", "--config", config, tmp_path / "backup")
    says(done, 0)
    assert "1 content, 1 of them new" in done.stdout
    server.stop()
    restored = make_server(root=tmp_path / "backup")
    assert ask(restored, "GET", f"/shacache/{digest}").body == b"content"
    assert pairs(restored, "key:a") == [ours("key:a", digest)]
    for name, mode in (("key.pem", 0o600), ("certificate.pem", 0o644)):
        copy, own = (root / "authority" / name for root in (restored.root, server.root))
        assert (copy.read_bytes(), copy.stat().st_mode & 0o777) == (own.read_bytes(), mode)


def test_what_is_spoilt_is_said_and_never_copied(server, tmp_path):
    digest = fill(server, "a", b"content")
    backup(server, tmp_path / "older")
    [path] = (server.root / "v1").rglob(digest)
    path.write_bytes(b"CONTENT")
    said = backup(server, tmp_path / "backup", code=1)
    assert f"{digest} is spoilt" in said
    assert "1 content is named by entries, and not in the backup" in said
    assert files(tmp_path / "backup") == []
    backup(server, tmp_path / "older")
    assert (tmp_path / "older" / path.relative_to(server.root)).read_bytes() == b"content"


def test_where_it_is_not_made(server, make_server, tmp_path):
    other = make_server()
    fill(other, "a", b"content")
    for folder in (server.root, other.root):
        assert "no backup: give an empty folder" in backup(server, folder, code=2)
    assert len(pairs(other, "key:a")) == 1
    other.stop()
    backup(server, tmp_path / "backup")
    lock = taken(tmp_path / "backup" / "lock")
    assert "another backup uses" in backup(server, tmp_path / "backup", code=1)
    os.close(lock)
    make_server(root=tmp_path / "backup").stop()
    assert "no backup: give an" in backup(server, tmp_path / "backup", code=2)
    done = command("server", "backup", "--root", tmp_path / "none", tmp_path / "new")
    says(done, 1, tmp_path / "none")
    assert not (tmp_path / "new").exists()
