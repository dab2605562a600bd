"""Pins: keys whose pairs, and the contents that those name, no collection takes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...entry import Key
from ...storage.database import Database
from ..log import OPERATOR, record

_LIST = """
SELECT key, since, (SELECT count(*) FROM entry WHERE entry.key = pin.key)
FROM pin ORDER BY key
"""

_Do = Callable[[sqlite3.Connection, str], sqlite3.Cursor]


class Pin(NamedTuple):
    """A pinned key, since when in POSIX seconds, and how many pairs are under it."""

    key: Key
    since: int
    pairs: int


class Pins:
    """The pins of a server; a key may be pinned before anything is under it."""

    def __init__(self, database: Database):
        self._database = database

    def all(self) -> Sequence[Pin]:
        """Every pin, by key."""
        return [Pin(Key(key), *rest) for key, *rest in self._database.rows(_LIST)]

    def has(self, key: Key) -> bool:
        return bool(self._database.rows("SELECT 1 FROM pin WHERE key = ?", (key.text,)))

    def add(self, keys: Sequence[Key]) -> Sequence[Key]:
        """Pin all of `keys`; those that were not pinned before."""
        now = int(time.time())
        return self._change(
            "pin",
            keys,
            lambda connection, key: connection.execute(
                "INSERT INTO pin VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (key, now)
            ),
        )

    def remove(self, keys: Sequence[Key]) -> Sequence[Key]:
        """End the pins of `keys`; those that were pinned."""
        return self._change(
            "unpin",
            keys,
            lambda connection, key: connection.execute(
                "DELETE FROM pin WHERE key = ?", (key,)
            ),
        )

    def _change(self, action: str, keys: Sequence[Key], do: _Do) -> Sequence[Key]:
        def change(connection: sqlite3.Connection) -> Sequence[Key]:
            changed = [key for key in keys if do(connection, key.text).rowcount]
            for key in changed:
                record(connection, OPERATOR, action, key.text)
            return changed

        return self._database.change(change)
