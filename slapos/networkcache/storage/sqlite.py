"""Entries in one SQLite file, in WAL mode with ``synchronous=FULL``.

Puts are committed in groups, see `groups`. Look-ups never wait for them.

Rows are a kilobyte or more, so the table is an ordinary one with an index on the key: a
table ``WITHOUT ROWID`` keeps at most a quarter of a page of each row and moves the rest
to pages of its own. Pages of 8 KiB waste less on such rows than SQLite's 4 KiB: with
three pairs of 1 KiB under each, a million keys take 3.4 GiB instead of 4.0 (the pairs
alone: 2.9; the index: 0.2). That the key stands in table and index costs less than the
join that would avoid it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ..entry import Key, Pair
from ..errors import NotFound, StorageFailure, StorageFull
from . import ACCOUNT_LIMIT, EntryStore, Stored
from .durable import check_writable, disk_faults, make_folder
from .groups import Change, GroupCommit

VERSION = 1
"""``PRAGMA user_version`` of the files that are read and written here."""
BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process that writes."""

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,  -- grows with every put: the order of pairs
    key TEXT NOT NULL,
    account TEXT NOT NULL,
    hidden INTEGER NOT NULL,
    size INTEGER NOT NULL,
    entry TEXT NOT NULL,
    signature TEXT NOT NULL
);
CREATE INDEX entry_key ON entry (key);
PRAGMA user_version = {VERSION};
COMMIT;
"""
_GET = """
SELECT entry, signature, account, hidden FROM entry WHERE key = ? ORDER BY id DESC
"""
_FIND = "SELECT id, hidden FROM entry WHERE key = ? AND signature = ? AND entry = ?"
_SHOW = "UPDATE entry SET hidden = 0 WHERE id = ?"
_INSERT = (
    "INSERT INTO entry (key, account, hidden, size, entry, signature)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_HELD = "SELECT sum(size) FROM entry WHERE key = ? AND account = ?"
_OLDEST = "SELECT id, size FROM entry WHERE key = ? AND account = ? ORDER BY id"
_DELETE = "DELETE FROM entry WHERE id = ?"
_REMOVE = "DELETE FROM entry WHERE key = ? AND signature = ? AND entry = ?"
_KEYS = "SELECT DISTINCT key FROM entry WHERE key > ? ORDER BY key LIMIT 1000"

_PAGE = "PRAGMA page_size = 8192"
_STATE = """
SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version
"""


class SQLiteEntries(EntryStore):
    """Entries in the file `path`, which is made where it is not there yet.

    Several processes may use one file, each after opening it for itself: a store must
    not be carried over a fork. Raises `StorageFailure` where the file is not one of
    ours, is of a newer version, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.path.abspath(os.fspath(path))
        folder = os.path.dirname(self.path)
        with disk_faults(f"make the folder {folder}"):
            make_folder(folder)
        check_writable(folder)
        self._writing = self._connect()
        try:
            with self._faults("open"):
                _prepare(self._writing, self.path)
        except BaseException:
            self._writing.close()
            raise
        self._reading: deque[sqlite3.Connection] = deque()
        self._groups = GroupCommit(self._writing)

    def get(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Stored]]:
        reader = self._borrow()
        try:
            if len(keys) > 1:
                # All as they are at one moment. One statement for all keys together is
                # slower than one each, since it sorts the rows.
                reader.execute("BEGIN")
            return {key: found for key in keys if (found := _pairs(reader, key))}
        except sqlite3.Error as error:
            raise _failure("read", self.path, error) from error
        finally:
            self._give_back(reader)

    def put(self, key: Key, stored: Stored) -> None:
        self._change(lambda connection: _put(connection, key, stored))

    def remove(self, key: Key, pair: Pair) -> None:
        def change(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(_REMOVE, (key.text, pair.signature, pair.entry))
            if not cursor.rowcount:
                raise NotFound(f"no such pair under {key}")

        self._change(change)

    def __iter__(self) -> Iterator[Key]:
        # In steps, since a long read keeps SQLite from emptying its log.
        keys = self._keys_after("")
        while keys:
            yield from keys
            keys = self._keys_after(keys[-1].text)

    def _keys_after(self, last: str) -> list[Key]:
        reader = self._borrow()
        try:
            return [Key(text) for (text,) in reader.execute(_KEYS, (last,)).fetchall()]
        except sqlite3.Error as error:
            raise _failure("read", self.path, error) from error
        finally:
            self._give_back(reader)

    def close(self) -> None:
        self._groups.close()
        while self._reading:
            self._reading.pop().close()
        self._writing.close()

    def _change(self, change: Change) -> None:
        with self._faults("write"):
            self._groups.commit(change)

    def _connect(self) -> sqlite3.Connection:
        with self._faults("open"):
            # Autocommit: the transactions below are the only ones.
            connection = sqlite3.connect(
                self.path,
                timeout=BUSY_TIMEOUT,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA synchronous = FULL")
            return connection

    def _borrow(self) -> sqlite3.Connection:
        """A connection for one thread at a time, so that no reader waits for another.

        They are kept, since each remembers its prepared statements.
        """
        try:
            return self._reading.pop()
        except IndexError:
            return self._connect()

    def _give_back(self, reader: sqlite3.Connection) -> None:
        if reader.in_transaction:
            reader.rollback()
        self._reading.append(reader)

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _failure(doing, self.path, error) from error


def _pairs(reader: sqlite3.Connection, key: Key) -> list[Stored]:
    return [
        Stored(Pair(entry, signature), account, bool(hidden))
        for entry, signature, account, hidden in reader.execute(_GET, (key.text,))
    ]


def _put(connection: sqlite3.Connection, key: Key, stored: Stored) -> None:
    pair, account, hidden = stored
    known = connection.execute(_FIND, (key.text, pair.signature, pair.entry)).fetchone()
    if known is None:
        row = (key.text, account, hidden, pair.size, pair.entry, pair.signature)
        new = connection.execute(_INSERT, row).lastrowid
        _limit(connection, (key.text, account), new)
    elif known[1] and not hidden:
        connection.execute(_SHOW, (known[0],))


def _limit(
    connection: sqlite3.Connection, holder: tuple[str, str], new: int | None
) -> None:
    """Drop the oldest of the holder, a key and an account, but never `new`, until what
    it holds is within `ACCOUNT_LIMIT`."""
    (held,) = connection.execute(_HELD, holder).fetchone()
    surplus = []
    oldest = connection.execute(_OLDEST, holder)
    while held > ACCOUNT_LIMIT and (row := oldest.fetchone())[0] != new:
        surplus.append(row[:1])
        held -= row[1]
    oldest.close()
    connection.executemany(_DELETE, surplus)


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Check that the file is one of ours, or make it one."""
    if not _known(connection, path):
        connection.execute(_PAGE)
        _set_wal(connection)
        try:
            connection.executescript(_SCHEMA)
        except sqlite3.OperationalError:
            # Another process was quicker.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if not _known(connection, path):
                raise
    _set_wal(connection)


def _known(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file has our tables; raises `StorageFailure` if it is not for us."""
    version, tables = connection.execute(_STATE).fetchone()
    if version > VERSION:
        raise StorageFailure(
            f"{path} is of version {version}, newer than the {VERSION} known here:"
            " use a newer slapos.networkcache"
        )
    if version == 0 and tables:
        raise StorageFailure(f"{path} is a database of another program; it is left alone")
    return bool(version)


def _set_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite does not wait here for others that do the same, so we do."""
    end = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _failure(doing: str, path: str, error: sqlite3.Error) -> StorageFailure:
    # Not by `sqlite_errorcode`, which Python 3.10 does not have.
    kind = StorageFull if "is full" in str(error) else StorageFailure
    return kind(f"cannot {doing} {path}: {error}")
