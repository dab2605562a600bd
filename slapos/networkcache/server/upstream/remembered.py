"""What upstreams said of keys: the table ``answer``, which all workers share."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...digest import Digest
from ...entry import Key, Pair
from ...protocol import encode_directory
from ...storage import Stored
from ...storage.database import Database

MISSING_TTL = 30
"""Seconds for which it is remembered that there is nothing, at most."""
UNUSED = 30 * 86400
"""Seconds after which an answer that nobody needed goes."""
COUNT = 1_000_000
"""Answers that are kept, about; the least used go."""
_DAY = 86400

_GET = "SELECT upstream, taken, used, pairs FROM answer WHERE key = ?"
# That there is nothing is forgotten at a put; also at one since the upstream was asked.
_PUT = """
INSERT INTO answer (key, upstream, taken, used, pairs) SELECT ?1, ?2, ?3, ?3, ?4
WHERE ?4 != '' OR NOT EXISTS (SELECT 1 FROM entry WHERE key = ?1 AND put >= ?3)
ON CONFLICT DO UPDATE SET
    taken = excluded.taken, used = excluded.used, pairs = excluded.pairs
"""
_USED = "UPDATE answer SET used = ? WHERE key = ?"
_SURPLUS = """
DELETE FROM answer WHERE rowid IN
    (SELECT rowid FROM answer ORDER BY used LIMIT max(0, (SELECT count(*) FROM answer) - ?))
"""


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
    """The answers in a `Database`. `upstream` is everywhere the name of one."""

    def __init__(self, database: Database):
        self._database = database

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
            connection.execute(_SURPLUS, (COUNT,))

        self._database.change(change)


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
