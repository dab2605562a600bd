"""What a server has of its upstreams, without its processes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wire import old

from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.server.configuration.options import Options, UpstreamUrls
from slapos.networkcache.server.monitoring.tally import Tally
from slapos.networkcache.server.threads import Threads
from slapos.networkcache.server.upstream.entries import Found
from slapos.networkcache.server.upstream.exchange import Limits
from slapos.networkcache.server.upstream.fetching import MakeWriter
from slapos.networkcache.server.upstream.upstreams import (
    Upstreams,
    after_put,
    open_upstreams,
)
from slapos.networkcache.storage import ContentStore, Stored
from slapos.networkcache.storage.database import Database
from slapos.networkcache.storage.folder import FolderContents
from slapos.networkcache.storage.sqlite import SQLiteEntries
from slapos.networkcache.testing import NetworkCache

KEY = Key("pypi:six=1.17.0")
KEYS = [Key(f"key-{number}") for number in range(30)]
A, B, C = (Pair(*old("0" * 128, n=number)) for number in range(3))
LARGE = os.urandom(3 << 20)
SMALL = os.urandom(100_000)


@dataclass
class Near:
    """The server."""

    upstreams: Upstreams
    contents: ContentStore
    database: Database
    threads: Threads

    async def settle(self) -> None:
        """Wait until what was learned is written down."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def states(self) -> dict[str, str]:
        """The state of each upstream of which something is written down."""
        await self.settle()
        return dict(self.database.rows("SELECT name, state FROM upstream"))

    async def make_older(self, seconds: float) -> None:
        """Let so much time pass since upstreams were asked."""
        await self.settle()
        self.database.change(
            lambda c: c.execute("UPDATE answer SET taken = taken - ?", (seconds,))
        )

    def put(self, key: Key, pair: Pair, **options: Any) -> None:
        """Put a pair here."""
        entries = SQLiteEntries(self.database, after=after_put(options_of(**options)))
        entries.put(key, Stored(pair), None)


def options_of(*fars: NetworkCache, **options: Any) -> Options:
    urls = tuple(UpstreamUrls(far.cache_url, far.dir_url) for far in fars)
    return Options(Path("nowhere"), upstreams=urls, **options)


def near(
    folder: Path,
    work: Callable[[Near], Awaitable[Any]],
    *fars: NetworkCache,
    limits: Limits | None = None,
    make_writer: MakeWriter | None = None,
    contents: ContentStore | None = None,
    check_room: Callable[[int], None] = lambda size: None,
    **options: Any,
) -> Any:
    """What ``work(near)`` gives, of a server in `folder` whose upstreams are `fars`."""

    async def run() -> Any:
        store = contents or FolderContents(folder)
        with (
            closing(Database(folder / "entries.sqlite")) as database,
            closing(Threads(4)) as threads,
        ):
            upstreams = open_upstreams(
                options_of(*fars, **options),
                database,
                store,
                make_writer or store.writer,
                Tally(),
                threads,
                folder,
                limits,
                check_room,
            )
            try:
                return await work(Near(upstreams, store, database, threads))
            finally:
                await upstreams.close()

    return asyncio.run(run())


def put(cache: NetworkCache, *pairs: Pair, key: Key = KEY) -> None:
    for pair in pairs:
        cache.entries.put(key, Stored(pair))


def pairs_of(found: Found, key: Key = KEY) -> list[Pair]:
    return [stored.pair for stored in found.rows.get(key, ())]
