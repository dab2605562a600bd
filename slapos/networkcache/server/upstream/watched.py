"""An upstream of which all workers know how it is doing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from ...digest import Digest
from ...errors import Code, NotFound, Reason, Refusal, SourceFailure, WrongContent
from ...printable import readable
from ...storage.database import Database
from ..configuration.options import UpstreamUrls
from ..monitoring.tally import Tally
from .background import Background
from .breaker import Breaker, State
from .door import Incoming, Upstream
from .doubts import Doubts, Subject
from .exchange import Nonsense

FRESH = 1.0
"""Seconds for which what other workers wrote is not read again."""

_READ = "SELECT state, since, until, pause, error FROM upstream WHERE name = ?"
_WRITE = """
INSERT INTO upstream (name, state, since, until, pause, error) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET state = excluded.state, since = excluded.since,
    until = excluded.until, pause = excluded.pause, error = excluded.error
"""
_ABOUT_ONE = frozenset({Code.UPSTREAM, Code.STORAGE_FULL, Code.QUOTA})
"""Refusals beyond 500 of another server of ours that say nothing about all the rest."""


def name_of(urls: UpstreamUrls) -> str:
    """What the tables of the database call an upstream."""
    return readable(urls.directory)


class Watched:
    """The upstream `door`, left alone as its breaker says.

    `number` counts upstreams from 1, nearest first.
    """

    def __init__(
        self,
        number: int,
        urls: UpstreamUrls,
        door: Upstream,
        database: Database,
        tally: Tally,
        background: Background,
        clock: Callable[[], float] = time.time,
    ):
        self.number = number
        self.name = name_of(urls)
        self.door = door
        self._database = database
        self._tally = tally
        self._background = background
        self._clock = clock
        self._breaker = Breaker()
        self._doubts = Doubts()
        self._read = -FRESH
        self._unwritten = 0

    @property
    def left_alone(self) -> bool:
        """Whether it is not to be asked now."""
        return self._known().left_alone(self._clock())

    def doubted(self, subject: Subject) -> bool:
        """Whether it is not to be asked for `subject`, of which it said what is wrong."""
        return self._doubts.about(subject, self._clock())

    @contextmanager
    def asking(self, subject: Subject) -> Iterator[None]:
        """Count a request about `subject`, and remember how it went. Raises
        `SourceFailure` where the upstream is left alone."""
        now = self._clock()
        breaker = self._known()
        if breaker.left_alone(now):
            raise SourceFailure(Reason.LEFT_ALONE, f"{self.name} {breaker.error}")
        self._take(breaker.tried(now))
        self._tally.count(f"upstream-asked:{self.number}")
        try:
            yield
        except NotFound:
            self._answered(subject)
            raise
        except (Refusal, SourceFailure, WrongContent) as error:
            self.failed(error, subject)
            raise
        self._answered(subject)

    def was_right(self, subject: Subject) -> None:
        """Remember that what it gave is right."""
        self._doubts.was_right(subject)

    def failed(
        self, error: Refusal | SourceFailure | WrongContent, subject: Subject
    ) -> None:
        """Remember what it did, and leave it alone if that is worth it."""
        self._tally.count(f"upstream-failed:{self.number}")
        now, said = self._clock(), readable(error)[:300]
        # One that is tried after it was left alone is not given so many chances.
        tried = self._breaker.state is not State.WELL
        if isinstance(error, (Nonsense, WrongContent)):
            if self._doubts.lied(subject, now) or tried:
                self._take(self._breaker.lied(now, said))
        elif isinstance(error, Refusal) and _about_this_one(error):
            self._answered(subject)
        elif not isinstance(error, Refusal) or self._doubts.refused(subject) or tried:
            self._take(self._breaker.failed(now, said))

    def _answered(self, subject: Subject) -> None:
        self._doubts.answered(subject)
        self._take(self._breaker.answered(self._clock()))

    @asynccontextmanager
    async def open(self, digest: Digest, start: int = 0) -> AsyncIterator[Incoming]:
        """Begin to read a content as `Upstream.open` does; what happens after the head of
        the answer is for the caller to judge."""
        if self.doubted(digest):
            raise SourceFailure(Reason.LEFT_ALONE, f"{self.name} gave wrong bytes of it")
        incoming = self.door.open(digest, start)
        with self.asking(digest):
            entered = await incoming.__aenter__()
        try:
            yield entered
        finally:
            await incoming.__aexit__(None, None, None)

    def _known(self) -> Breaker:
        """As all workers know it: what one of them wrote is seen within `FRESH`."""
        now = time.monotonic()
        if not self._unwritten and now - self._read >= FRESH:
            self._read = now
            rows = self._database.rows(_READ, (self.name,))
            if rows:
                state, *others = rows[0]
                self._breaker = Breaker(State(state), *others)
        return self._breaker

    def _take(self, breaker: Breaker) -> None:
        if breaker != self._breaker:
            self._breaker = breaker
            self._unwritten += 1
            self._background.start(self._write())

    async def _write(self) -> None:
        try:
            b = self._breaker
            row = (self.name, b.state.value, b.since, b.until, b.pause, b.error)
            await self._background.run(
                self._database.change, lambda connection: connection.execute(_WRITE, row)
            )
        finally:
            self._unwritten -= 1


def _about_this_one(error: Refusal) -> bool:
    """Whether the server is well, and only this request was refused."""
    return error.status is None or error.status < 500 or error.code in _ABOUT_ONE
