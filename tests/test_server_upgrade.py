"""A server on a folder that an earlier version made, or a newer one."""

from __future__ import annotations

import fcntl
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from golden_roots.make import CONTENTS, HERE, PAIRS
from test_server_start import command, says
from wire import ABSENT, ask, pairs, post

from slapos.networkcache.digest import Digest
from slapos.networkcache.server.root import VERSION, open_root
from slapos.networkcache.storage.database import Database
from slapos.networkcache.storage.folder import FolderContents

NAMES = {"version", "entries.sqlite", "v1"}
"""What a root is made of."""
ABSENT_DATA = b"never uploaded"


@pytest.fixture
def first(tmp_path) -> Path:
    """A root of version 1, as its server left it when it was killed."""
    root = tmp_path / "first"
    with closing(FolderContents(root)) as contents:
        for data in CONTENTS:
            contents.put([data])
    with closing(sqlite3.connect(root / "entries.sqlite")) as connection:
        connection.executescript((HERE / "version-1.sql").read_text())
        connection.execute("PRAGMA journal_mode = WAL")
    return root


def check(server) -> None:
    """Everything that was put is there."""
    for data in CONTENTS:
        assert ask(server, "GET", f"/shacache/{Digest.of(data)}").body == data
    shown = {key: [] for key, _ in PAIRS}
    for key, pair in reversed(PAIRS):
        if ABSENT not in pair[0]:
            shown[key].append(pair)
    assert {key: pairs(server, key) for key in shown} == shown


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_lost(make_server, first, workers):
    server = make_server("--workers", workers, root=first)
    check(server)
    assert server.stop() == 0
    assert (first / "version").read_text() == f"{VERSION}\n"
    assert f"{len(CONTENTS)} contents are in its catalogue" in server.errors.read_text()
    server.start()
    check(server)
    assert server.errors.read_text().count("upgrading") == 1


def test_the_catalogue_is_filled(make_server, first):
    make_server(root=first).stop()
    with closing(open_root(first)) as root:
        known = {each.digest: each.size for each in root.catalogue}
        naming = root.entries.naming(Digest.of(CONTENTS[0]))
        held = root.database.rows("SELECT contents, bytes FROM held")
        held_pairs = root.database.rows("SELECT pairs FROM held_pairs")
    assert known == {Digest.of(data): len(data) for data in CONTENTS}
    # One of them writes the digest in capitals.
    assert {key.text for key, _ in naming} == {"file-urlmd5:0123", "other"}
    assert held == [(len(CONTENTS), sum(map(len, CONTENTS)))]
    assert held_pairs == [(len(PAIRS),)]


def test_what_was_hidden_waits_for_its_content(make_server, first):
    server = make_server(root=first)
    before = len(pairs(server, "pypi:a=1"))
    assert post(server, ABSENT_DATA) == ABSENT
    assert len(pairs(server, "pypi:a=1")) == before + 1


def test_an_upgrade_that_was_interrupted(make_server, first):
    """The tables were there already, and nothing in the catalogue yet."""
    Database(first / "entries.sqlite").close()
    check(make_server(root=first))
    with closing(open_root(first)) as root:
        assert len(list(root.catalogue)) == len(CONTENTS)


def state(root: Path) -> dict[str, bytes]:
    """All that is kept, but the log of SQLite, which is empty."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] in NAMES
    }


def newer_version(root: Path) -> None:
    (root / "version").write_text(f"{VERSION + 1}\n")


def newer_database(root: Path) -> None:
    with closing(sqlite3.connect(root / "entries.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")


def other_program(root: Path) -> None:
    (root / "version").write_text("of something else\n")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (newer_version, f"is of version {VERSION + 1}, newer than the {VERSION}"),
        (newer_database, "is of version 99, newer than"),
        (other_program, "holds no version"),
    ],
)
def test_what_it_does_not_know_is_left_alone(tmp_path, first, change, sentence):
    for root in (first, tmp_path / "second"):
        if root != first:
            open_root(root, make=True).close()
        change(root)
        before = state(root)
        done = command("server", "run", "--root", root, "--port", 0)
        says(done, 1, sentence)
        assert done.stderr.count("\n") == 1
        assert state(root) == before


def test_a_command_does_not_upgrade_what_an_older_server_uses(first):
    """That would go on to put what nobody finds in the new tables."""
    before = state(first)
    with (first / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as it does
        done = command("server", "collect", "--root", first)
    says(done, 1, "whose server runs: restart that with this version first")
    assert state(first) == before
    says(command("server", "collect", "--root", first), 0)


def test_a_root_is_moved_as_a_whole(make_server, first, tmp_path):
    """Nothing in it says where it is."""
    server = make_server(root=first)
    server.stop()
    shutil.move(first, tmp_path / "elsewhere")
    check(make_server(root=tmp_path / "elsewhere"))
