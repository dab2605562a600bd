"""The folder of a server: what belongs to one transaction, the log, and versions."""

from __future__ import annotations

import os
import pwd
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import (
    Code,
    QuotaExceeded,
    Refusal,
    StorageFailure,
)
from slapos.networkcache.server.log import Log
from slapos.networkcache.server.root import AnotherUser, NoServer, Root, open_root
from slapos.networkcache.server.space.holdings import held_under, remove
from slapos.networkcache.storage import Stored

KEY = Key.parse("key")


@pytest.fixture
def root(tmp_path):
    with closing(open_root(tmp_path / "root", make=True)) as root:
        yield root


def put(root: Root, text: str, content: bytes = b"content", account: str = "zoe"):
    digest = root.contents.put([content])
    root.entries.put(KEY, Stored(Pair(text, ""), account), digest)
    return digest


def texts(root: Root) -> list[str]:
    return [stored.pair.entry for stored in root.entries.get([KEY]).get(KEY, ())]


def test_a_put_is_logged_once_with_its_content(root: Root) -> None:
    digest = put(root, "a")
    put(root, "a", account="another")
    lines = list(Log(root.database).lines())
    assert [(line.account, line.action, line.subject, line.detail) for line in lines] == [
        ("zoe", "put", "key", digest.hex)
    ]


def test_a_pair_whose_content_was_removed_meanwhile_is_not_put(root: Root) -> None:
    gone = Digest.of(b"gone")
    with pytest.raises(Refusal) as raised:
        root.entries.put(KEY, Stored(Pair("a", "")), gone)
    assert raised.value.code is Code.MISSING_CONTENT
    assert texts(root) == []
    assert list(Log(root.database).lines()) == []
    root.entries.put(KEY, Stored(Pair("a", ""), hidden=True), gone)
    assert texts(root) == ["a"]


def test_a_put_beyond_the_quota_leaves_nothing(root: Root) -> None:
    account = ("zoe", "[]", 1000, "[]", 0)
    root.database.change(
        lambda c: c.execute(
            "INSERT INTO account (name, rights, quota, signers, created)"
            " VALUES (?, ?, ?, ?, ?)",
            account,
        )
    )
    put(root, "a" * 600)
    with pytest.raises(QuotaExceeded, match="the account zoe may keep 1000 B"):
        put(root, "b" * 401)
    put(root, "b" * 401, account="another")
    put(root, "c" * 400)
    assert [text[0] for text in texts(root)] == ["c", "b", "a"]
    lines = list(Log(root.database).lines(account="zoe"))
    assert len(lines) == 2


def test_a_pair_that_took_the_number_of_another_stays(root: Root) -> None:
    """Numbers are used again: somebody removes the last pair while another is put."""
    put(root, "a")
    shown = held_under(root, KEY)
    root.entries.remove(KEY, Pair("a", ""))
    put(root, "b")
    assert held_under(root, KEY)[0].number == shown[0].number
    assert remove(root, KEY, shown).pairs == []
    assert texts(root) == ["b"]


def test_what_else_belongs_to_a_put_undoes_it(tmp_path: Path) -> None:
    def refuse(connection, key, stored, content):
        raise Refusal(Code.FORBIDDEN, "no")

    with closing(open_root(tmp_path, make=True, after_put=refuse)) as root:
        with pytest.raises(Refusal):
            put(root, "a")
        assert texts(root) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_a_folder_of_another_user_is_left_alone(tmp_path: Path) -> None:
    open_root(tmp_path, make=True).close()
    for user, name in ((1, pwd.getpwuid(1).pw_name), (54321, "'#54321'")):
        os.chown(tmp_path / "entries.sqlite", user, -1)
        before = sorted(path.name for path in tmp_path.rglob("*"))
        for make in (False, True):
            with pytest.raises(AnotherUser, match=f"`sudo -u {name}`"):
                open_root(tmp_path, make=make)
        assert sorted(path.name for path in tmp_path.rglob("*")) == before
    open_root(tmp_path, make=True, locked=True).close()


# The log


def test_the_log_is_only_appended_to(root: Root) -> None:
    put(root, "a")
    for statement in ("UPDATE log SET account = 'nobody'", "DELETE FROM log"):
        with (
            pytest.raises(StorageFailure, match="only ever appended to"),
        ):
            root.database.change(lambda c, s=statement: c.execute(s))
    assert [line.account for line in Log(root.database).lines()] == ["zoe"]


def test_lines_are_chosen(root: Root) -> None:
    for number in range(3):
        put(root, f"{number}", account=f"account{number % 2}")
    log = Log(root.database)
    numbers = [line.number for line in log.lines()]
    assert numbers == sorted(numbers)
    assert len(numbers) == 3
    assert len(list(log.lines(account="account0"))) == 2
    assert len(list(log.lines(account="account0", action="revoke"))) == 0
    assert len(list(log.lines(subject="key", action="put"))) == 3
    last = list(log.lines())[-1]
    assert [line.number for line in log.lines(since=last.time)][-1] == last.number
    assert list(log.lines(since=last.time + 1)) == []


# Versions


def test_a_folder_that_is_no_servers_is_not_made_one(tmp_path: Path) -> None:
    message = re.escape(f"no server's folder at {tmp_path}")
    with pytest.raises(NoServer, match=message):
        open_root(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("3\n", "of version 3, newer than the 2"), ("two\n", "holds no version")],
)
def test_another_version_is_left_alone(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "version").write_text(text)
    with pytest.raises(StorageFailure, match=message):
        open_root(tmp_path, make=True)
    assert [path.name for path in tmp_path.iterdir()] == ["version"]


def test_an_upgrade_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    with closing(open_root(tmp_path, make=True)) as root:
        digests = [root.contents.put([b"%d" % number]) for number in range(3)]
        root.catalogue.store(digests[0], 1)
    (tmp_path / "version").unlink()
    told: list[str] = []
    with closing(open_root(tmp_path, progress=told.append)) as root:
        assert {known.digest for known in root.catalogue} == set(digests)
        assert root.catalogue.transfers.bytes_held() == 3
    assert told == [f"upgrading {tmp_path}: 2 contents are in its catalogue"]
    assert (tmp_path / "version").read_text() == "2\n"


def test_two_that_open_it_first_do_not_meet(tmp_path: Path) -> None:
    """While one says that it upgrades, another has done so."""
    with closing(open_root(tmp_path, make=True)) as root:
        root.contents.put([b"content"])
    (tmp_path / "version").unlink()
    (tmp_path / "version.new").mkdir()  # the name that all of them used

    def another(sentence: str) -> None:
        open_root(tmp_path).close()

    open_root(tmp_path, progress=another).close()
    assert (tmp_path / "version").read_text() == "2\n"


def test_a_database_of_version_one_becomes_one_of_today(tmp_path: Path) -> None:
    digest = Digest.of(b"content")
    with closing(sqlite3.connect(tmp_path / "entries.sqlite")) as old:
        old.executescript(
            """
            CREATE TABLE entry (
                id INTEGER PRIMARY KEY, key TEXT NOT NULL, account TEXT NOT NULL,
                hidden INTEGER NOT NULL, size INTEGER NOT NULL, entry TEXT NOT NULL,
                signature TEXT NOT NULL
            );
            CREATE INDEX entry_key ON entry (key);
            PRAGMA user_version = 1;
            """
        )
        entry = f'{{"sha512": "{digest.hex}"}}'
        for text in (entry, "[" * 100_000, '{"sha512": 1}', "é"):
            old.execute(
                "INSERT INTO entry (key, account, hidden, size, entry, signature)"
                " VALUES ('key', 'zoe', 0, 10, ?, '')",
                (text,),
            )
        old.commit()
    with closing(open_root(tmp_path)) as root:
        assert len(texts(root)) == 4
        assert [key for key, _ in root.entries.naming(digest)] == [KEY]
        assert root.database.rows("SELECT * FROM held_pairs") == [("zoe", 4, 40)]
