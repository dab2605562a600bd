"""Contents that are not here: fetched once, however many ask, over all workers.

The first process that asks for one fetches it, in a task of its own that runs to its end
whoever leaves; all others read along, see `claim`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress

from ...digest import Digest
from ...errors import Code, NetworkcacheError, NotFound, Refusal, SourceFailure
from ...storage import Content, ContentStore
from ...storage.durable import disk_faults, make_folder
from ...storage.folder import remove_leftovers
from ..growing import Fill, Interrupted
from ..http.answers import refusal_of
from ..monitoring.tally import Tally
from ..threads import Threads
from .background import Background
from .claim import WELL, Claim, overheard
from .fetching import Fetching, MakeWriter, too_large
from .following import follow
from .watched import Watched

TRIES = 5
"""Times that a content is asked for whose fetching ended before anybody could read it:
with its process, in the middle, or removed in that moment. An upstream that is at fault is
left alone by then."""


AT_ONCE = 64
"""Contents that one process fetches at a time; others wait, in order."""
PATIENCE = 3.5
"""Seconds for which they wait: less than our clients wait for us, who then go on to the
next source."""


class Fills:
    """Fills `contents` from `upstreams`, nearest first.

    `folder` is where all workers see who fetches what, `make_writer` makes the writer of
    a content, `limit` is the size in bytes of the longest one that is taken. Raises
    `StorageFailure` where the folder cannot be made.
    """

    def __init__(
        self,
        folder: str,
        contents: ContentStore,
        make_writer: MakeWriter,
        upstreams: Sequence[Watched],
        limit: int,
        threads: Threads,
        tally: Tally,
        background: Background,
    ):
        self._folder = folder
        self._contents = contents
        self._make_writer = make_writer
        self._upstreams = upstreams
        self._limit = limit
        self._threads = threads
        self._tally = tally
        self._background = background
        self._running: dict[Digest, Fill] = {}
        self._claims: set[Claim] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)
        with disk_faults(f"make the folder {folder}"):
            make_folder(folder)
        remove_leftovers(folder)

    @property
    def running(self) -> bool:
        """Whether any goes on."""
        return bool(self._running)

    @property
    def followed(self) -> bool:
        """Whether any goes on that other processes read along."""
        return any(claim.followed for claim in self._claims)

    async def open(self, digest: Digest) -> Content:
        """The content, opened as soon as some of it can be read.

        Raises `NotFound` where an upstream says that it has none and none has, `Refusal`
        where none could be asked, or for what is too long, and `StorageFull`.
        """
        for _ in range(TRIES):
            fill = self._running.get(digest) or self._start(digest)
            while not (fill.growing or fill.ended):
                await fill.news()
            if not fill.ended:
                return fill.open()
            if fill.error is None:
                with suppress(NotFound):  # removed in this moment
                    return self._contents.open(digest)
            elif not isinstance(fill.error, Interrupted):
                raise fill.error
        raise Refusal(Code.UPSTREAM, "no upstream gave the whole content")

    async def size(self, digest: Digest) -> int:
        """How many bytes it has, as whoever fetches it was told, or as an upstream says;
        otherwise as `open`."""
        if known := self._size_on_its_way(digest):
            return known
        missing = too_long = False
        for upstream in self._upstreams:
            try:
                with upstream.asking(digest):
                    size = await upstream.door.length(digest)
            except NotFound:
                missing = True
            except (Refusal, SourceFailure):
                continue
            else:
                if size is None:
                    with await self.open(digest) as content:
                        return content.size
                if size <= self._limit:
                    return size
                too_long = True  # or so it says
        if too_long:
            raise too_large(self._limit)
        if missing:
            raise NotFound(f"neither here nor upstream is the content {digest}")
        raise Refusal(Code.UPSTREAM, "no upstream could be asked for the content")

    def _size_on_its_way(self, digest: Digest) -> int:
        """That of a content that grows, in this process or another one; else 0."""
        fill = self._running.get(digest)
        if fill is not None and fill.growing:
            return fill.size
        with disk_faults(f"read in {self._folder}"):
            return overheard(self._claim_of(digest)).size

    def _claim_of(self, digest: Digest) -> str:
        return os.path.join(self._folder, digest.hex)

    def _start(self, digest: Digest) -> Fill:
        fill = self._running[digest] = Fill()
        self._background.start(self._run(digest, fill))
        return fill

    async def _run(self, digest: Digest, fill: Fill) -> None:
        try:
            with disk_faults(f"fill {digest} in {self._folder}"):
                await self._fetch_or_follow(digest, fill)
            fill.finish()
        except Exception as error:
            if not isinstance(error, NetworkcacheError):
                traceback.print_exception(error, file=sys.stderr)
            fill.fail(error)
        finally:
            del self._running[digest]
            if not fill.ended:
                fill.fail(Interrupted("the server ends"))

    async def _fetch_or_follow(self, digest: Digest, fill: Fill) -> None:
        async with self._turn():
            # After its turn came: whoever holds the claim is expected to go on.
            claim = Claim(self._claim_of(digest))
            if claim.mine:
                with closing(claim):
                    await self._fetch(digest, fill, claim)
                return
        with closing(claim):
            await follow(fill, claim)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Raises `Refusal` where it does not come in time."""
        try:
            await asyncio.wait_for(self._turns.acquire(), PATIENCE)
        except asyncio.TimeoutError:
            # Not `busy`: it can be asked for anything else.
            message = f"{AT_ONCE} contents are on their way already"
            raise Refusal(Code.UPSTREAM, message) from None
        try:
            yield
        finally:
            self._turns.release()

    async def _fetch(self, digest: Digest, fill: Fill, claim: Claim) -> None:
        if self._contents.has(digest):  # somebody was quicker
            return
        fetching = Fetching(
            digest,
            fill,
            claim,
            self._make_writer,
            self._limit,
            self._threads,
            self._tally,
        )
        self._claims.add(claim)
        try:
            await fetching.fetch(self._upstreams)
        except NetworkcacheError as error:
            refusal = refusal_of(error)
            if refusal is not None and not fill.growing:
                claim.end(refusal.code.value)
            raise
        finally:
            self._claims.remove(claim)
        claim.end(WELL)
