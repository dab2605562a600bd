"""Whether the clock is to be believed, and what one that was wrong left behind.

One that is far ahead, as before a computer was told the time, makes all that is kept look
old, and what goes because of that does not come back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timezone

from ...storage.database import Database
from .rules import Gone

FAR = 30 * 86400
"""Seconds by which a clock may go on between two looks at it."""
NEAR = 86400
"""Seconds by which it may go back, and after which one is believed that was doubted, since
nobody set it right."""

_BELIEVED, _DOUBTED = "clock-believed", "clock-doubted"
_SEEN = "SELECT name, value FROM counter WHERE name IN (?, ?)"
_REMEMBER = """
INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_FORGET = "DELETE FROM counter WHERE name = ?"
_LAST_LINE = "SELECT CAST(time AS INTEGER) FROM log ORDER BY id DESC LIMIT 1"
_USED = (
    ("content", "digest", (b"", b"\xff" * 64)),
    ("key_use", "key", ("", "~" * 256)),
)


def doubt(database: Database, now: int) -> str | None:
    """What is strange about `now`, POSIX seconds; None where it may be believed.

    It may from a day before to 30 days after it last was, or after the log ends where it
    never was; else once it was doubted for a day.
    """

    def change(connection: sqlite3.Connection) -> str | None:
        seen = dict(connection.execute(_SEEN, (_BELIEVED, _DOUBTED)).fetchall())
        last = seen.get(_BELIEVED) or _last_line(connection) or now
        since = now - seen.get(_DOUBTED, now)
        if -NEAR <= now - last <= FAR or NEAR <= since <= FAR:
            connection.execute(_REMEMBER, (_BELIEVED, now))
            connection.execute(_FORGET, (_DOUBTED,))
            return None
        connection.execute(_REMEMBER, (_BELIEVED, last))
        if not 0 < since <= FAR:
            connection.execute(_REMEMBER, (_DOUBTED, now))
        return (
            f"the clock says {_time(now)}, and last said {_time(last)}: set it right, or"
            " wait for a day, after which it is believed"
        )

    return database.change(change)


def _last_line(connection: sqlite3.Connection) -> int:
    row = connection.execute(_LAST_LINE).fetchone()
    return int(row[0]) if row else 0


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def lower(database: Database, now: int) -> Iterator[list[Gone]]:
    """Let nothing have been used more than a day after `now`, in steps: a clock that was
    ahead wrote that, and it would stay until then."""
    for table, column, ends in _USED:
        ahead = f"{column} > :after AND {column} <= :upto AND used > :now + {NEAR}"
        for after, upto in database.stretches(table, column, ends):
            stretch = {"after": after, "upto": upto, "now": now}
            if database.rows(f"SELECT 1 FROM {table} WHERE {ahead} LIMIT 1", stretch):
                _set(database, f"UPDATE {table} SET used = :now WHERE {ahead}", stretch)
            yield []


def _set(database: Database, update: str, stretch: dict[str, object]) -> None:
    database.change(lambda connection: connection.execute(update, stretch))
