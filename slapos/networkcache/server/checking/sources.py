"""Other network caches, from which a check fetches what is bad or missing here."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from ...digest import Digest
from ...errors import NotFound, Refusal, SourceFailure, StorageFailure, WrongContent
from ...printable import readable
from ...storage.catalogue import Known
from ..configuration.options import Options, UpstreamUrls
from ..log import CHECK, record
from ..root import Root
from ..space.room import Room
from ..threads import Threads
from ..upstream.breaker import Breaker
from ..upstream.door import Upstream, client_tls
from ..upstream.fetching import too_large


class Sources:
    """Other network caches that contents are fetched from into `root`, nearest first.

    `doors` are by the URLs of their SHACACHE; `room` is what may come, and `limit` the
    bytes of the longest content.
    """

    def __init__(
        self,
        root: Root,
        room: Room,
        limit: int,
        doors: Mapping[str, Upstream],
        threads: Threads,
    ):
        self._root = root
        self._room = room
        self._limit = limit
        self._doors = doors
        self._threads = threads
        self._breakers: dict[str, Breaker] = {}
        self._lying: set[str] = set()

    def begin(self) -> None:
        """Another check begins, in which one that lied is asked again."""
        self._lying.clear()

    async def fetch(self, digest: Digest) -> bool:
        """Store a content, verified; whether any of them gave it. One that does not answer
        is left alone for a while, and one that lies for the rest of the check."""
        for url, door in self._doors.items():
            breaker = self._breakers.get(url, Breaker())
            if url in self._lying or breaker.left_alone(time.time()):
                continue
            try:
                async with door.open(digest) as incoming:
                    await self._store(digest, incoming.size, incoming.pieces, url)
                return True
            except SourceFailure as error:
                self._breakers[url] = breaker.failed(time.time(), str(error))
            except WrongContent:
                self._lying.add(url)
            except (NotFound, Refusal, StorageFailure):
                continue
        return False

    async def _store(
        self, digest: Digest, size: int | None, pieces: AsyncIterator[bytes], url: str
    ) -> None:
        if size is not None and size > self._limit:
            raise too_large(self._limit)
        run = self._threads.run
        known = await run(self._root.catalogue.get, digest)
        if size is None and known is not None:
            size = known.size
        # What has a row is charged to whoever put it.
        take = self._room.take_again if known is not None else self._room.take
        transfer = await run(take, "", size)
        try:
            writer = await run(self._root.contents.writer, digest, size)
            count = 0
            try:
                async for piece in pieces:
                    count += len(piece)
                    if count > self._limit:
                        raise WrongContent("it does not end")
                    await run(transfer.goes_on, len(piece))
                    await run(writer.write, piece)
                await run(writer.commit)
            finally:
                await run(writer.abort)
            await run(self._record, digest, count, known, url)
        finally:
            await run(transfer.end)

    def _record(self, digest: Digest, size: int, known: Known | None, url: str) -> None:
        fetched = known is not None and known.fetched
        self._root.catalogue.store(digest, size, fetched=fetched)
        detail = f"{size} bytes, from {url}"
        self._root.database.change(
            lambda connection: record(connection, CHECK, "fetch", digest.hex, detail)
        )


@asynccontextmanager
async def open_sources(
    root: Root,
    room: Room,
    options: Options,
    upstreams: Iterable[UpstreamUrls],
    threads: Threads,
) -> AsyncIterator[Sources]:
    """The network caches `upstreams`, with the TLS of `options`.

    Raises `InvalidConfiguration`.
    """
    tls = client_tls(
        options.upstream_ca_file, options.upstream_cert_file, options.upstream_key_file
    )
    doors = {readable(urls.cache): Upstream(urls, tls) for urls in upstreams}
    try:
        yield Sources(root, room, options.content_limit, doors, threads)
    finally:
        for door in doors.values():
            await door.close()
