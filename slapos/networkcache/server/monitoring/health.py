"""``/healthz``: whether a server can do its work, tried by a write; ``/readyz``: whether
requests shall come to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from ...errors import NetworkcacheError, StorageFailure
from ...printable import printable
from ...storage import ContentStore
from ...storage.database import Database
from ..http.answers import TEXT, Answer
from ..threads import Threads

EVERY = 1.0
"""Seconds for which one trial counts for all who ask."""
PATIENCE = 10.0
"""Seconds after which a trial that does not end has failed."""

_TRIED = """
INSERT INTO counter VALUES ('health-trials', 1) ON CONFLICT DO UPDATE SET value = value + 1
"""
_OK = Answer(200, TEXT, b"ok\n")


class Health:
    """Answers ``/healthz``: something was written, durably, to the database, and a file
    among the contents, and nothing was met in the database that only a backup mends.
    However many ask, one trial is under way at a time."""

    def __init__(self, contents: ContentStore, database: Database, threads: Threads):
        self._contents = contents
        self._database = database
        self._threads = threads
        self._trial: asyncio.Task[Answer] | None = None

    def methods(self, name: str | None) -> tuple[str, ...]:
        return ("GET", "HEAD")

    async def answer(self, request: web.BaseRequest, name: str | None) -> Answer:
        trial = self._trial or self._begin()
        done, _ = await asyncio.wait([trial], timeout=PATIENCE)
        if not done:
            return _unwell(f"a write takes longer than {PATIENCE:.0f} s")
        return trial.result()

    def _begin(self) -> asyncio.Task[Answer]:
        self._trial = asyncio.create_task(self._try())
        self._trial.add_done_callback(self._ended)
        return self._trial

    def _ended(self, trial: asyncio.Task[Answer]) -> None:
        def forget() -> None:
            self._trial = None

        asyncio.get_running_loop().call_later(EVERY, forget)

    async def _try(self) -> Answer:
        try:
            await self._threads.run(self._write)
        except NetworkcacheError as error:
            return _unwell(str(error))
        return _OK

    def _write(self) -> None:
        with self._contents.writer() as writer:
            writer.write(b"healthz")
        self._database.change(lambda connection: connection.execute(_TRIED))
        if self._database.damage is not None:
            raise StorageFailure(self._database.damage)


class Readiness:
    """Answers ``/readyz``: the database can be read, and the server is not about to end,
    which `draining` tells."""

    def __init__(self, database: Database, threads: Threads, draining: Callable[[], bool]):
        self._database = database
        self._threads = threads
        self._draining = draining

    def methods(self, name: str | None) -> tuple[str, ...]:
        return ("GET", "HEAD")

    async def answer(self, request: web.BaseRequest, name: str | None) -> Answer:
        if self._draining():
            return _unwell("the server is about to end")
        try:
            await self._threads.read(self._database.rows, "SELECT 1 FROM entry LIMIT 1")
        except NetworkcacheError as error:
            return _unwell(str(error))
        return _OK


def _unwell(why: str) -> Answer:
    return Answer(503, TEXT, f"{printable(why)}\n".encode())
