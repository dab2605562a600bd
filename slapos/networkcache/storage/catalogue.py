"""What is known of contents beside their bytes: size, owner, age and use.

A content is acknowledged once it has its row here. One that has none yet, since its
server was killed at that moment, gets it when it is next used, put or checked. One that is
used before whoever sends it could record it gets a row that says as much: it becomes that
of the first who records it. What an upstream gave becomes that of the first whose pair
names it: from then on it stays for their sake.

**Removing while serving.** All that adds a pair, records a content or removes one is a
transaction of the same `database`, and each looks at the folder within it: so nobody is
told that a content is there which another process just removed, and no content is removed
that a pair names meanwhile. A removal is alone in its transaction: no file comes back
when one is undone, so that a pair is gone must be on the disk before.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from ..digest import Digest
from ..entry import Key, Pair
from ..errors import Code, NotFound, Refusal
from . import ContentStore, Stored
from .database import Database
from .schema import content_number, named_in
from .sqlite import Within
from .transfers import Transfers

_STORED = """
INSERT INTO content (digest, number, size, account, fetched, stored, used)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET
    size = excluded.size, used = max(used, excluded.used),
    account = CASE WHEN stored = 0 OR fetched > excluded.fetched
        THEN excluded.account ELSE account END,
    fetched = CASE WHEN stored = 0 THEN excluded.fetched
        ELSE min(fetched, excluded.fetched) END,
    stored = CASE WHEN stored = 0 THEN excluded.stored ELSE stored END
"""
_ADOPTED = """
INSERT INTO content (digest, number, size, account, fetched, stored, used, reads)
VALUES (?, ?, ?, '', 0, ?, ?, ?)
ON CONFLICT (digest) DO NOTHING
"""
_PUT_BEFORE = "SELECT 1 FROM content WHERE digest = ? AND fetched <= ? AND stored > 0"
_USED = "UPDATE content SET used = max(used, ?), reads = reads + ? WHERE digest = ?"
_KEY_USED = """
INSERT INTO key_use VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    used = max(used, excluded.used), reads = reads + excluded.reads
"""
_COLUMNS = "digest, size, account, fetched, stored, used, reads, checked"
_GET = f"SELECT {_COLUMNS} FROM content WHERE digest = ?"
_NAMED = "SELECT account FROM entry WHERE content = ? ORDER BY id LIMIT 1"
_CLAIMED = "UPDATE content SET fetched = 0, account = ? WHERE digest = ? AND fetched = 1"
_WAITING = """
SELECT id, key, entry, signature, account FROM entry WHERE content = ? AND hidden = 1
"""
_SHOW = "UPDATE entry SET hidden = 0 WHERE id = ?"
_UNNAMED = "NOT EXISTS (SELECT 1 FROM entry WHERE entry.content = content.number)"
_STEP = 1000
_AT_ONCE = 4 << 30
"""Bytes of contents that go in one transaction: to delete files takes time, in which nobody
else writes."""


class Known(NamedTuple):
    """The row of a content. `size` is bytes, `account` who put it, `fetched` whether an
    upstream gave it and nobody put it here; `stored`, `used` and `checked` are POSIX
    seconds, `checked` 0 for never, `stored` 0 where nobody recorded it yet; `reads` is how
    often it was downloaded."""

    digest: Digest
    size: int
    account: str
    fetched: bool
    stored: int
    used: int
    reads: int
    checked: int


class Catalogue:
    """The rows of the contents of a store.

    `transfers` is what is promised to those on their way; `folder` is where that keeps
    its lock. `shown` belongs to the transaction in which a pair is hidden no more.
    """

    def __init__(
        self,
        database: Database,
        contents: ContentStore,
        folder: str,
        shown: Within | None = None,
    ):
        self._database = database
        self._contents = contents
        self._shown = shown
        self.transfers = Transfers(database, folder)

    def close(self) -> None:
        """End this process' transfers."""
        self.transfers.close()

    # -- what is there

    def store(
        self,
        digest: Digest,
        size: int,
        account: str = "",
        *,
        fetched: bool = False,
        transfer: int | None = None,
        also: Callable[[sqlite3.Connection], None] = lambda connection: None,
    ) -> None:
        """Record a content that was just put, and end its transfer.

        `also` belongs to the transaction where nobody had put it before. Raises
        `Refusal` (``busy``) where it was removed in that moment.
        """
        now = int(time.time())
        row = (*_name(digest), size, account, fetched, now, now)

        def change(connection: sqlite3.Connection) -> None:
            if not self._contents.has(digest):
                raise Refusal(Code.BUSY, "the content was removed just now: send it again")
            new = not connection.execute(_PUT_BEFORE, (digest.raw, fetched)).fetchone()
            connection.execute(_STORED, row)
            if new:
                self.show(connection, digest)
                also(connection)
            if fetched and (named := _naming(connection, digest)):
                claim(connection, digest, *named)
            if transfer is not None:
                connection.execute("DELETE FROM transfer WHERE id = ?", (transfer,))

        self._database.change(change)

    def use(
        self, contents: Mapping[Digest, int], keys: Mapping[Key, int], now: int
    ) -> None:
        """Add how often contents were downloaded and keys asked for, up to `now`."""

        def change(connection: sqlite3.Connection) -> None:
            for digest, reads in contents.items():
                done = connection.execute(_USED, (now, reads, digest.raw))
                if not done.rowcount:
                    self._adopt(connection, digest, 0, now, reads)
            connection.executemany(
                _KEY_USED, [(key.text, now, reads) for key, reads in keys.items()]
            )

        if contents or keys:
            self._database.change(change)

    def adopt(self, digests: Sequence[Digest]) -> int:
        """Give a row to contents that have none; how many those were."""
        now = int(time.time())
        return self._database.change(
            lambda c: sum(self._adopt(c, digest, now, now, 0) for digest in digests)
        )

    def _adopt(
        self,
        connection: sqlite3.Connection,
        digest: Digest,
        stored: int,
        used: int,
        reads: int,
    ) -> bool:
        try:
            size = self._contents.size(digest)
        except NotFound:
            return False
        done = connection.execute(_ADOPTED, (*_name(digest), size, stored, used, reads))
        if done.rowcount:
            self.show(connection, digest)
        return bool(done.rowcount)

    def show(self, connection: sqlite3.Connection, digest: Digest) -> None:
        """Within a transaction: a content is there, so no pair that names it is hidden."""
        waiting = connection.execute(_WAITING, (content_number(digest.raw),)).fetchall()
        for number, key, entry, signature, account in waiting:
            if named_in(entry) != digest.raw:
                continue
            connection.execute(_SHOW, (number,))
            if self._shown is not None:
                stored = Stored(Pair(entry, signature), account)
                self._shown(connection, Key(key), stored, digest)

    def get(self, digest: Digest) -> Known | None:
        """The row of a content, where it has one."""
        rows = self._database.rows(_GET, (digest.raw,))
        return _known(rows[0]) if rows else None

    def __iter__(self) -> Iterator[Known]:
        """All rows by digest, read in steps."""
        last = b""
        while rows := self._database.rows(
            f"SELECT {_COLUMNS} FROM content WHERE digest > ?"
            f" ORDER BY digest LIMIT {_STEP}",
            (last,),
        ):
            yield from map(_known, rows)
            last = rows[-1][0]

    def least_used(self) -> Iterator[Known]:
        """What an upstream gave and no pair here names, oldest use first."""
        select = (
            f"SELECT used, id, {_COLUMNS} FROM content WHERE fetched = 1 AND {_UNNAMED}"
        )
        for rows in self._database.walk(select, "used", {}, _STEP):
            yield from (_known(row[2:]) for row in rows)

    def bytes_fetched(self) -> int:
        """Bytes of what upstreams gave and nobody put here."""
        rows = self._database.rows("SELECT sum(bytes) FROM held WHERE fetched = 1")
        return rows[0][0] or 0

    # -- going

    def remove(
        self,
        digests: Sequence[Digest],
        *,
        unused_since: int | None = None,
        named: bool = False,
        also: Callable[[sqlite3.Connection, Sequence[Known]], None] = lambda *_: None,
    ) -> Sequence[Known]:
        """Remove contents and their rows; what was removed, which may have had no row.

        One stays where a pair names it, unless `named` allows that, and where it was used
        after `unused_since`, POSIX seconds. Large ones go one after the other, and `also`
        belongs to the transaction of each. A reader that has one open reads it to its end.
        """

        def change(
            connection: sqlite3.Connection, some: Sequence[Digest]
        ) -> Sequence[Known]:
            known = [self._known(connection, digest) for digest in some]
            gone = [
                each
                for each in known
                if each is not None
                and (unused_since is None or each.used <= unused_since)
                and (named or not _naming(connection, each.digest))
            ]
            rows = [(each.digest.raw,) for each in gone]
            connection.executemany("DELETE FROM content WHERE digest = ?", rows)
            also(connection, gone)
            for each in gone:
                with suppress(NotFound):
                    self._contents.delete(each.digest)
            return gone

        return [
            each
            for some in self._portions(digests)
            for each in self._database.change(partial(change, some=some), alone=True)
        ]

    def _portions(self, digests: Sequence[Digest]) -> Iterator[Sequence[Digest]]:
        """`digests`, cut where those before have enough bytes."""
        some: list[Digest] = []
        size = 0
        for digest in digests:
            known = self.get(digest)
            some.append(digest)
            size += known.size if known else 0
            if size >= _AT_ONCE:
                yield some
                some, size = [], 0
        if some:
            yield some

    def _known(self, connection: sqlite3.Connection, digest: Digest) -> Known | None:
        """The row of a content, or what it would be; None where it is nowhere."""
        row = connection.execute(_GET, (digest.raw,)).fetchone()
        if row is not None:
            return _known(row)
        with suppress(NotFound):
            return Known(digest, self._contents.size(digest), "", False, 0, 0, 0, 0)
        return None

    def checked(self, digests: Sequence[Digest], now: int) -> None:
        """Remember that contents were found right at `now`."""
        rows = [(now, digest.raw) for digest in digests]
        self._database.change(
            lambda c: c.executemany("UPDATE content SET checked = ? WHERE digest = ?", rows)
        )


def _name(digest: Digest) -> tuple[bytes, int]:
    return digest.raw, content_number(digest.raw)


def _naming(connection: sqlite3.Connection, digest: Digest) -> Sequence[str]:
    """The account of the first pair that names a content; empty where none does."""
    row = connection.execute(_NAMED, (content_number(digest.raw),)).fetchone()
    return row or ()


def claim(connection: sqlite3.Connection, digest: Digest, account: str) -> None:
    """Within a transaction: what an upstream gave is that of `account` from now on."""
    connection.execute(_CLAIMED, (account, digest.raw))


def _known(row: Sequence[Any]) -> Known:
    digest, size, account, fetched, *times = row
    return Known(Digest(digest.hex()), size, account, bool(fetched), *times)
