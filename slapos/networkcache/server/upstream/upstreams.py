"""All upstreams of a server, as one that is asked."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection

from ...digest import Digest
from ...entry import Key
from ...errors import NotFound, Refusal, StorageFailure
from ...storage import Content, ContentStore, Stored
from ...storage.database import Database
from ...storage.sqlite import Within
from ..configuration.options import Options
from ..growing import Growing
from ..leader import Job
from ..monitoring.tally import Tally
from ..root import FILLS
from ..threads import Threads
from .background import Background
from .door import Upstream, client_tls
from .entries import Found, UpstreamEntries
from .exchange import Limits
from .fetching import MakeWriter
from .fills import Fills
from .remembered import Remembered, forget_missing
from .through import Through, queue
from .watched import Watched

TIDY_EVERY = 60.0
"""Seconds between two looks for answers that nobody needs any more."""


class Upstreams:
    """What other network caches have; make it with `open_upstreams`."""

    def __init__(
        self,
        upstreams: Sequence[Watched],
        entries: UpstreamEntries,
        fills: Fills,
        remembered: Remembered,
        through: Through | None,
        background: Background,
    ):
        self._upstreams = upstreams
        self._entries = entries
        self._fills = fills
        self._remembered = remembered
        self._through = through
        self._background = background

    async def look_up(self, keys: Sequence[Key], contents: Sequence[Digest] = ()) -> Found:
        """See `UpstreamEntries.look_up`."""
        return await self._entries.look_up(keys, contents)

    async def open(self, digest: Digest) -> Content:
        """See `Fills.open`."""
        return await self._fills.open(digest)

    @property
    def fetching(self) -> bool:
        """Whether a content is on its way."""
        return self._fills.running

    @property
    def followed(self) -> bool:
        """Whether one is that other processes read along."""
        return self._fills.followed

    async def bring(self, digest: Digest) -> bool:
        """Whether the content is here, now that upstreams were asked for it."""
        with suppress(NotFound, Refusal, StorageFailure):
            with await self._fills.open(digest) as content:
                if isinstance(content, Growing):
                    await content.there(content.size - 1)
            return True
        return False

    async def size(self, digest: Digest) -> int:
        """See `Fills.size`."""
        return await self._fills.size(digest)

    def tasks(self) -> Sequence[Job]:
        """What one process of all does."""
        return [self._tidy, *([self._through.run] if self._through else [])]

    async def _tidy(self) -> None:
        while True:
            await self._background.run(self._remembered.tidy, int(time.time()))
            await asyncio.sleep(TIDY_EVERY)

    async def close(self) -> None:
        """End what is on its way, and close all connections."""
        await self._background.close()
        for upstream in self._upstreams:
            await upstream.door.close()


def open_upstreams(
    options: Options,
    database: Database,
    contents: ContentStore,
    make_writer: MakeWriter,
    tally: Tally,
    threads: Threads,
    root: Path,
    limits: Limits | None = None,
    check_room: Callable[[int], None] = lambda size: None,
) -> Upstreams:
    """The upstreams of `options`, within a running event loop.

    `make_writer` makes the writers of contents that they give, `root` is the folder that
    all workers share, `check_room` raises `StorageFull` where the disk has no room for so
    many bytes of answers. Raises `InvalidConfiguration` and `StorageFailure`.
    """
    tls = upstream_tls(options)
    background = Background(threads)
    upstreams = [
        Watched(number, urls, Upstream(urls, tls, limits), database, tally, background)
        for number, urls in enumerate(options.upstreams, 1)
    ]
    remembered = Remembered(database, check_room)
    through = None
    if options.upload_through:
        through = Through(upstreams[0], database, contents, background)
    return Upstreams(
        upstreams,
        UpstreamEntries(upstreams, remembered, background, options.upstream_ttl),
        Fills(
            os.path.join(root, FILLS),
            contents,
            make_writer,
            upstreams,
            options.content_limit,
            threads,
            tally,
            background,
        ),
        remembered,
        through,
        background,
    )


def upstream_tls(options: Options) -> ssl.SSLContext:
    """TLS towards upstreams. Raises `InvalidConfiguration`."""
    return client_tls(
        options.upstream_ca_file, options.upstream_cert_file, options.upstream_key_file
    )


def after_put(options: Options) -> Within:
    """What belongs to the transaction of each new pair of a server with upstreams."""
    if not options.upload_through:
        return forget_missing

    def forget_and_queue(
        connection: Connection, key: Key, stored: Stored, content: Digest | None
    ) -> None:
        forget_missing(connection, key, stored, content)
        queue(connection, key, stored, content)

    return forget_and_queue
