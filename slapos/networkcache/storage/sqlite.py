"""Entries in the table ``entry`` of a `database`.

With three pairs of 1 KiB under each, a million keys take 3.4 GiB; the pairs alone are
2.9, the index is 0.2.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..digest import Digest
from ..entry import Key, Pair
from ..errors import NotFound
from . import ACCOUNT_LIMIT, EntryStore, Stored
from .database import Database
from .schema import content_number, expiry_of

_GET = """
SELECT entry, signature, account, hidden FROM entry WHERE key = ? ORDER BY id DESC
"""
_FIND = "SELECT id, hidden FROM entry WHERE key = ? AND signature = ? AND entry = ?"
_SHOW = "UPDATE entry SET hidden = 0 WHERE id = ?"
_INSERT = (
    "INSERT INTO entry"
    " (key, account, hidden, size, entry, signature, put, content, expires)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_HELD = "SELECT sum(size) FROM entry WHERE key = ? AND account = ?"
_OLDEST = "SELECT id, size FROM entry WHERE key = ? AND account = ? ORDER BY id"
_DELETE = "DELETE FROM entry WHERE id = ?"
_REMOVE = "DELETE FROM entry WHERE key = ? AND signature = ? AND entry = ?"
_KEYS = """
SELECT DISTINCT key FROM entry WHERE key >= ? AND key < ? AND key > ?
ORDER BY key LIMIT 1000
"""
_NAMING = """
SELECT key, entry, signature, account, hidden FROM entry WHERE content = ? ORDER BY id DESC
"""

Within = Callable[[sqlite3.Connection, Key, Stored, "Digest | None"], None]
"""What else belongs to the transaction of a put, a line of a log for one. What it raises
undoes the put."""


class SQLiteEntries(EntryStore):
    """Entries in a `Database`, or in one of its own at a path.

    `before` is called in the transaction of every put, and `after` only where that added
    a pair, or showed a hidden one; both may refuse it. Raises `StorageFailure` as
    `Database` does.
    """

    def __init__(
        self,
        database: Database | str | os.PathLike[str],
        *,
        before: Within | None = None,
        after: Within | None = None,
    ):
        self.database = database if isinstance(database, Database) else Database(database)
        self._before = before
        self._after = after

    @property
    def path(self) -> str:
        return self.database.path

    def get(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Stored]]:
        with self.database.reading() as reader:
            if len(keys) > 1:
                # All as they are at one moment. One statement for all keys together is
                # slower than one each, since it sorts the rows.
                reader.execute("BEGIN")
            return {key: found for key in keys if (found := _pairs(reader, key))}

    def put(self, key: Key, stored: Stored, content: Digest | None = None) -> None:
        def change(connection: sqlite3.Connection) -> None:
            if self._before is not None:
                self._before(connection, key, stored, content)
            if _put(connection, key, stored, content) and self._after is not None:
                self._after(connection, key, stored, content)

        self.database.change(change)

    def remove(self, key: Key, pair: Pair) -> None:
        def change(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(_REMOVE, (key.text, pair.signature, pair.entry))
            if not cursor.rowcount:
                raise NotFound(f"no such pair under {key}")

        self.database.change(change)

    def naming(self, content: Digest) -> Sequence[tuple[Key, Stored]]:
        return [
            (Key(key), Stored(Pair(entry, signature), account, bool(hidden)))
            for key, entry, signature, account, hidden in self.database.rows(
                _NAMING, (content_number(content.raw),)
            )
        ]

    def __iter__(self) -> Iterator[Key]:
        return self.beginning_with("")

    def beginning_with(self, prefix: str) -> Iterator[Key]:
        """Every key with that prefix, in order."""
        # In steps, since a long read keeps SQLite from emptying its log.
        last, end = "", prefix + "\x7f"  # no key is made of more than ASCII
        while rows := self.database.rows(_KEYS, (prefix, end, last)):
            yield from (Key(text) for (text,) in rows)
            last = rows[-1][0]

    def close(self) -> None:
        self.database.close()


def _pairs(reader: sqlite3.Connection, key: Key) -> list[Stored]:
    return [
        Stored(Pair(entry, signature), account, bool(hidden))
        for entry, signature, account, hidden in reader.execute(_GET, (key.text,))
    ]


def _put(
    connection: sqlite3.Connection, key: Key, stored: Stored, content: Digest | None
) -> bool:
    """Whether the pair is a new one, or hidden no more."""
    pair, account, hidden = stored
    known = connection.execute(_FIND, (key.text, pair.signature, pair.entry)).fetchone()
    if known is not None:
        shown = known[1] and not hidden
        if shown:
            connection.execute(_SHOW, (known[0],))
        return bool(shown)
    number = content and content_number(content.raw)
    now = int(time.time())
    row = (key.text, account, hidden, pair.size, pair.entry, pair.signature, now, number)
    new = connection.execute(_INSERT, (*row, expiry_of(pair.entry))).lastrowid
    _limit(connection, (key.text, account), new)
    return True


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
