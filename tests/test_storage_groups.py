"""Puts that wait are committed together, and fail alone."""

from __future__ import annotations

import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import NotFound, StorageFailure, StorageFull
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.sqlite import SQLiteEntries

KEY = Key.parse("key")


def stored(text):
    return Stored(Pair(text, ""))


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def waiting_puts(store, changes):
    """Call all `changes` in threads while another process, as it were, holds the file;
    returns their outcomes and what SQLite was told."""
    told: list[str] = []
    store.database._writing.set_trace_callback(told.append)
    with (
        closing(sqlite3.connect(store.path, isolation_level=None)) as other,
        ThreadPoolExecutor(len(changes)) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        futures = [pool.submit(changes[0])]
        # The thread that writes has taken the first one, and waits for the file.
        wait_until(lambda: "BEGIN IMMEDIATE" in told)
        futures += [pool.submit(change) for change in changes[1:]]
        wait_until(lambda: store.database._groups._waiting.qsize() == len(changes) - 1)
        other.execute("ROLLBACK")
        outcomes = [future.exception(timeout=60) for future in futures]
    store.database._writing.set_trace_callback(None)
    return outcomes, told


def put(store, text, key=KEY):
    return lambda: store.put(key, stored(text))


def test_puts_that_wait_are_committed_together(tmp_path):
    with closing(SQLiteEntries(tmp_path / "entries.sqlite")) as store:
        outcomes, told = waiting_puts(store, [put(store, str(n)) for n in range(40)])
        assert outcomes == [None] * 40
        assert len(store.get([KEY])[KEY]) == 40
    assert told.count("COMMIT") <= 3


def test_one_that_fails_does_not_fail_the_others(tmp_path):
    with closing(SQLiteEntries(tmp_path / "entries.sqlite")) as store:
        changes = [put(store, str(n)) for n in range(40)]
        changes[20] = lambda: store.remove(KEY, Pair("never put", ""))
        changes[30] = put(store, "half of a pair: \ud800")
        outcomes, _ = waiting_puts(store, changes)
        failed = {n: type(error) for n, error in enumerate(outcomes) if error}
        assert failed == {20: NotFound, 30: UnicodeEncodeError}
        assert len(store.get([KEY])[KEY]) == 38


def test_of_one_that_fails_nothing_remains(tmp_path):
    with closing(SQLiteEntries(tmp_path / "entries.sqlite")) as store:
        store.put(KEY, stored("a"))

        def half(connection):
            connection.execute("DELETE FROM entry")
            raise NotFound("in the middle")

        with pytest.raises(NotFound):
            store.database._groups.commit(half)
        assert list(store.get([KEY])[KEY]) == [stored("a")]


def test_a_commit_that_fails_fails_all_of_its_group(tmp_path):
    with closing(SQLiteEntries(tmp_path / "entries.sqlite")) as store:

        def no_commit(action, argument, *_):
            commit = action == sqlite3.SQLITE_TRANSACTION and argument == "COMMIT"
            return sqlite3.SQLITE_DENY if commit else sqlite3.SQLITE_OK

        store.database._writing.set_authorizer(no_commit)
        outcomes, _ = waiting_puts(store, [put(store, str(n)) for n in range(40)])
        assert {type(error) for error in outcomes} == {StorageFailure}
        # None would do from Python 3.11 on.
        store.database._writing.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
        assert dict(store.get([KEY])) == {}
        store.put(KEY, stored("and goes on"))
        assert len(store.get([KEY])[KEY]) == 1


def test_a_file_at_its_limit_is_full_and_keeps_what_it_has(tmp_path):
    with closing(SQLiteEntries(tmp_path / "entries.sqlite")) as store:
        store.put(KEY, stored("a"))
        (pages,) = store.database._writing.execute("PRAGMA page_count").fetchone()
        store.database._writing.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageFull, match=re.escape(store.path)):
            store.put(KEY, stored("b" * 10_000))
        assert list(store.get([KEY])[KEY]) == [stored("a")]
        store.database._writing.execute("PRAGMA max_page_count = 1000000")
        store.put(KEY, stored("b" * 10_000))


def test_a_file_that_another_holds_for_too_long_is_a_failure(tmp_path):
    with (
        closing(SQLiteEntries(tmp_path / "entries.sqlite")) as store,
        closing(sqlite3.connect(store.path, isolation_level=None)) as other,
    ):
        store.database._writing.execute("PRAGMA busy_timeout = 10")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFailure, match="locked"):
            store.put(KEY, stored("a"))
        other.execute("ROLLBACK")
        store.put(KEY, stored("a"))


def test_no_cursor_leaves_the_thread_that_writes(tmp_path):
    """Its end in another thread would meet the same statement, which is kept, in use."""
    with closing(SQLiteEntries(tmp_path / "entries.sqlite")) as store:
        change = store.database.change
        assert change(lambda connection: connection.execute("SELECT 1")) is None
        assert change(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
