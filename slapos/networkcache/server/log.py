"""Who did what, and when: a table that is only ever appended to.

A line is written in the transaction of what it tells, so that neither is there without
the other.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from typing import NamedTuple

from ..storage.database import Database

OPERATOR = "operator"
"""Whose doing it is, where somebody did it with a command on the server itself."""
COLLECTION, CHECK, IMPORT = "collection", "check", "import"
"""The same for what the server does by itself, and for what came in a file."""
RESERVED = frozenset({OPERATOR, COLLECTION, CHECK, IMPORT})
"""Names that no account may have."""
_STEP = 1000


class Line(NamedTuple):
    """What was done: `time` in POSIX seconds, `account` whose doing it was, `action` a word
    or two such as ``put`` or ``account revoke``, `subject` what it was done to (a key, a
    digest, the name of an account), `detail` what else there is to say."""

    number: int
    time: float
    account: str
    action: str
    subject: str
    detail: str


def record(
    connection: sqlite3.Connection,
    account: str,
    action: str,
    subject: str,
    detail: str = "",
) -> None:
    """Append a line within a transaction; the members are those of `Line`."""
    connection.execute(
        "INSERT INTO log (time, account, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        (time.time(), account, action, subject, detail),
    )


class Log:
    """The lines, oldest first."""

    def __init__(self, database: Database):
        self._database = database

    def lines(
        self,
        *,
        since: float = 0,
        account: str | None = None,
        action: str | None = None,
        subject: str | None = None,
    ) -> Iterator[Line]:
        """Those at `since`, POSIX seconds, or later, that agree with all that is given."""
        wanted = {"account": account, "action": action, "subject": subject}
        chosen = {name: value for name, value in wanted.items() if value is not None}
        condition = "".join(f" AND {name} = ?" for name in chosen)
        last = 0
        while rows := self._database.rows(
            "SELECT id, time, account, action, subject, detail FROM log"
            f" WHERE id > ? AND time >= ?{condition} ORDER BY id LIMIT {_STEP}",
            (last, since, *chosen.values()),
        ):
            yield from (Line(*row) for row in rows)
            last = rows[-1][0]
