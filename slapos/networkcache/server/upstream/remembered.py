"""What upstreams said of keys: the table ``answer``, which all workers share."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ...digest import Digest
from ...entry import Key, Pair
from ...errors import StorageFull
from ...protocol import encode_directory
from ...storage import Stored
from ...storage.database import Database

MISSING_TTL = 30
"""Seconds for which it is remembered that there is nothing, at most."""
UNUSED = 30 * 86400
"""Seconds after which an answer that nobody needed goes."""
COUNT = 1_000_000
BYTES = 1 << 30
"""Answers that are kept, about, and their bytes; the least used go, but for those of pinned
keys."""
_DAY = 86400

_GET = "SELECT upstream, taken, used, pairs FROM answer WHERE key = ?"
# That there is nothing is forgotten at a put; also at one since the upstream was asked.
# What is pinned stays when the upstream has it no more.
_PUT = """
INSERT INTO answer (key, upstream, taken, used, pairs) SELECT ?1, ?2, ?3, ?3, ?4
WHERE ?4 != '' OR NOT EXISTS (SELECT 1 FROM entry WHERE key = ?1 AND put >= ?3)
ON CONFLICT DO UPDATE SET taken = excluded.taken, used = excluded.used, pairs = CASE
    WHEN ?4 = '' AND EXISTS (SELECT 1 FROM pin WHERE pin.key = ?1) THEN pairs
    ELSE excluded.pairs END
"""
_USED = "UPDATE answer SET used = ? WHERE key = ?"
_SIZE = "SELECT coalesce(sum(size), 0) FROM answer WHERE key = ?"
_ALL = "SELECT count(*), coalesce(sum(size), 0) FROM answer"
_LEAST_USED = """
SELECT used, rowid AS id, size FROM answer
WHERE NOT EXISTS (SELECT 1 FROM pin WHERE pin.key = answer.key)
"""
_DELETE = "DELETE FROM answer WHERE rowid = ? AND used = ?"


class Answer(NamedTuple):
    """What an upstream said at `taken`, in its order; `used` is when somebody was last
    known to need it. Both are POSIX seconds."""

    taken: int
    used: int
    pairs: Sequence[Pair]

    def fresh(self, now: int, ttl: float) -> bool:
        """Whether it holds without asking again. `ttl` is seconds."""
        lives = ttl if self.pairs else min(ttl, MISSING_TTL)
        return self.taken <= now < self.taken + lives

    def needs_mark(self, now: int) -> bool:
        """Whether a use at `now` is worth writing down: once a day is enough."""
        return bool(self.pairs) and self.used < now - _DAY


class Remembered:
    """The answers in a `Database`. `upstream` is everywhere the name of one.

    `check_room` raises `StorageFull` where the disk has no room for so many bytes more:
    then nothing is remembered.
    """

    def __init__(
        self, database: Database, check_room: Callable[[int], None] = lambda size: None
    ):
        self._database = database
        self._check_room = check_room

    def sizes(self, keys: Sequence[Key]) -> Sequence[int]:
        """How many bytes what is known of each of `keys` has, without reading that."""
        with self._database.reading() as reader:
            return [reader.execute(_SIZE, (key.text,)).fetchone()[0] for key in keys]

    def get(self, keys: Sequence[Key]) -> Mapping[tuple[Key, str], Answer]:
        """What is known of `keys`."""
        found = {}
        with self._database.reading() as reader:
            for key in keys:
                for upstream, taken, used, pairs in reader.execute(_GET, (key.text,)):
                    found[key, upstream] = Answer(taken, used, _decode(pairs))
        return found

    def put(self, upstream: str, answers: Mapping[Key, Sequence[Pair]], now: int) -> None:
        """Remember what an upstream said at `now`, POSIX seconds."""
        rows = [(key.text, upstream, now, _encode(pairs)) for key, pairs in answers.items()]
        try:
            self._check_room(sum(len(row[-1]) for row in rows))
        except StorageFull:
            return
        self._database.change(lambda connection: connection.executemany(_PUT, rows))

    def use(self, keys: Sequence[Key], now: int) -> None:
        """Somebody was answered with what was said of `keys`, however old."""
        rows = [(now, key.text) for key in keys]
        self._database.change(lambda connection: connection.executemany(_USED, rows))

    def tidy(self, now: int) -> None:
        """Let go of what nobody needs any more."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM answer WHERE pairs = '' AND taken < ?", (now - MISSING_TTL,)
            )
            connection.execute(
                "DELETE FROM answer WHERE used < ? AND key NOT IN (SELECT key FROM pin)",
                (now - UNUSED,),
            )

        self._database.change(change)
        if surplus := self._surplus():
            self._database.change(lambda c: c.executemany(_DELETE, surplus))

    def _surplus(self) -> list[tuple[int, int]]:
        """The row and the last use of the least used ones, so that the others are not too
        many."""
        ((count, size),) = self._database.rows(_ALL)
        surplus: list[tuple[int, int]] = []
        for rows in self._database.walk(_LEAST_USED, "used", {}):
            for used, row, size_of_row in rows:
                if count <= COUNT and size <= BYTES:
                    return surplus
                surplus.append((row, used))
                count, size = count - 1, size - size_of_row
        return surplus


def forget_missing(
    connection: sqlite3.Connection, key: Key, stored: Stored, content: Digest | None
) -> None:
    """Within the transaction of a put: that there is nothing under `key` is not believed
    any more, in any worker."""
    connection.execute("DELETE FROM answer WHERE key = ? AND pairs = ''", (key.text,))


def _encode(pairs: Sequence[Pair]) -> str:
    return encode_directory(pairs).decode() if pairs else ""


def _decode(pairs: str) -> list[Pair]:
    return [Pair(*pair) for pair in json.loads(pairs)] if pairs else []
