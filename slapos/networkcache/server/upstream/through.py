"""Local uploads on their way to the first upstream: ``--upload-through``.

A pair is queued in the transaction that puts it here, and one process sends them in that
order: the content first, unless it is there, then the pair. The upload was stored here
and answered long before.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import NamedTuple

from ...digest import PIECE, Check, Digest
from ...entry import Key, Pair
from ...errors import (
    NetworkcacheError,
    NotFound,
    Refusal,
    SourceFailure,
    StorageFailure,
    WrongContent,
)
from ...printable import readable
from ...storage import Content, ContentStore, Stored
from ...storage.database import Database
from ..directory import named_content
from ..leader import Job
from ..threads import Threads
from .background import Background
from .exchange import Nonsense
from .watched import Watched

POLL = 1.0
"""Seconds between two looks at what is to be sent."""
FORGET_EVERY = 60.0
"""Seconds between two looks for what another process queued by earlier options."""
LONGEST_PAUSE = 600
"""Seconds up to which the pause doubles after each try in vain."""
REFUSED_PAUSE = 3600
"""Seconds after which what was refused for good is tried again all the same."""
SEVERAL = 3
"""Pairs in a row that it says it cannot take, after which it is given some rest."""
REST = 10.0
"""Seconds of that, after each further one."""
_FOR_GOOD = frozenset({400, 401, 403, 413})

_QUEUE = "INSERT INTO outgoing (key, entry, signature, since) VALUES (?, ?, ?, ?)"
_NEXT = """
SELECT id, key, entry, signature, tries FROM outgoing
WHERE due NOT BETWEEN ?1 + 1 AND ?1 + ?2 ORDER BY id LIMIT 1
"""
# What is due later than it can be was put off before the clock was set back.
_DONE = "DELETE FROM outgoing WHERE id = ?"
_FAILED = "UPDATE outgoing SET tries = tries + 1, error = ?, due = ? WHERE id = ?"


def queue(
    connection: sqlite3.Connection, key: Key, stored: Stored, content: Digest | None
) -> None:
    """Within the transaction of a put: send the pair upstream, too."""
    row = (key.text, stored.pair.entry, stored.pair.signature, int(time.time()))
    connection.execute(_QUEUE, row)


def forgetting(database: Database, threads: Threads) -> Job:
    """Forgets what is queued, so that it keeps no pair from going: a `Job` where uploads
    are not sent on any more."""

    def forget() -> None:
        if database.rows("SELECT 1 FROM outgoing LIMIT 1"):
            database.change(lambda connection: connection.execute("DELETE FROM outgoing"))

    async def job() -> None:
        while True:
            await threads.run(forget)
            await asyncio.sleep(FORGET_EVERY)

    return job


class _Outgoing(NamedTuple):
    number: int
    key: Key
    pair: Pair
    tries: int


class Through:
    """Sends what is queued to `upstream`, with the contents of `contents`."""

    def __init__(
        self,
        upstream: Watched,
        database: Database,
        contents: ContentStore,
        background: Background,
        clock: Callable[[], float] = time.time,
    ):
        self._upstream = upstream
        self._database = database
        self._contents = contents
        self._background = background
        self._clock = clock
        self._unable = 0  # times in a row

    async def run(self) -> None:
        """Send for ever; for one process alone."""
        while True:
            await asyncio.sleep(POLL if self._upstream.left_alone else await self.send())

    async def send(self) -> float:
        """Send the first pair that is due; the seconds after which to go on.

        What only this pair is refused for does not keep back the others.
        """
        outgoing = self._next()
        if outgoing is None:
            return POLL
        try:
            await self._send(outgoing)
        except (NotFound, Refusal, SourceFailure, WrongContent, StorageFailure) as error:
            pause = _pause(error, outgoing.tries)
            alone = not isinstance(error, SourceFailure) or isinstance(error, Nonsense)
            due = int(self._clock()) + pause if alone else 0
            said = readable(error)[:300]
            await self._change(_FAILED, said, due, outgoing.number)
            self._unable = self._unable + 1 if _is_unable(error) else 0
            return pause if not alone else REST if self._unable >= SEVERAL else 0
        await self._change(_DONE, outgoing.number)
        self._unable = 0
        return 0

    def _next(self) -> _Outgoing | None:
        rows = self._database.rows(_NEXT, (int(self._clock()), REFUSED_PAUSE))
        for number, key, entry, signature, tries in rows:
            return _Outgoing(number, Key(key), Pair(entry, signature), tries)
        return None

    async def _send(self, outgoing: _Outgoing) -> None:
        digest = named_content(Stored(outgoing.pair))
        if digest is not None:
            await self._send_content(digest)
        with self._upstream.asking(outgoing.pair):
            await self._upstream.door.put(outgoing.key, outgoing.pair)

    async def _send_content(self, digest: Digest) -> None:
        with suppress(NotFound), self._upstream.asking(digest):
            await self._upstream.door.length(digest)
            return
        with self._contents.open(digest) as content:
            # Or the upstream would be blamed for what is wrong with this disk.
            await self._background.read(_check, content, digest)
            with self._upstream.asking(digest):
                pieces = self._pieces(content)
                await self._upstream.door.store(digest, content.size, pieces)

    async def _pieces(self, content: Content) -> AsyncIterator[bytes]:
        for start in range(0, content.size, PIECE):
            yield await self._background.read(content.read, start, PIECE)

    async def _change(self, statement: str, *parameters: object) -> None:
        await self._background.run(
            self._database.change,
            lambda connection: connection.execute(statement, parameters),
        )


def _check(content: Content, digest: Digest) -> None:
    """Raise `WrongContent` where these are not the bytes that were stored."""
    check = Check(digest, content.size)
    for start in range(0, content.size, PIECE):
        check.update(content.read(start, PIECE))
    check.finish()


def _is_unable(error: NetworkcacheError) -> bool:
    """Whether the upstream may take nothing at all, if it says so of several."""
    return isinstance(error, Refusal) and (error.status or 0) >= 500


def _pause(error: NetworkcacheError, tries: int) -> int:
    """Seconds until the next try."""
    if isinstance(error, Refusal) and error.status in _FOR_GOOD:
        return REFUSED_PAUSE
    return min(LONGEST_PAUSE, 1 << min(tries, 10))
