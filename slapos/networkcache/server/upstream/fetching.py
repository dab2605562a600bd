"""Fetching one content from the upstreams, into the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from ...digest import Digest
from ...errors import (
    Code,
    NotFound,
    Reason,
    Refusal,
    SourceFailure,
    StorageFull,
    WrongContent,
)
from ...storage import Writer
from ..growing import SMALL, Fill, Interrupted
from ..monitoring.tally import Tally
from ..threads import Threads
from .claim import Claim
from .door import Incoming
from .exchange import Nonsense
from .watched import Watched

MakeWriter = Callable[[Digest, "int | None"], Writer]
"""Makes the writer of a content that an upstream gives, of a size in bytes where that is
known; called in a thread. Raises `StorageFull`."""


class Fetching:
    """Fetches the content `digest` of at most `limit` bytes.

    `fill` and `claim` are told how far it is, so that others read along; but not of a
    small one: that may still come from another upstream when this one lies.
    """

    def __init__(
        self,
        digest: Digest,
        fill: Fill,
        claim: Claim,
        make_writer: MakeWriter,
        limit: int,
        threads: Threads,
        tally: Tally,
    ):
        self._digest = digest
        self._fill = fill
        self._claim = claim
        self._make_writer = make_writer
        self._limit = limit
        self._threads = threads
        self._tally = tally
        self._writer: Writer | None = None
        self._size: int | None = None
        self._count = 0
        self._giver: Watched | None = None  # of the beginning
        self._missing = False
        self._refused: Refusal | StorageFull | None = None

    async def fetch(self, upstreams: Sequence[Watched]) -> None:
        """Store the content, from the first of `upstreams` that gives it.

        What one does not bring to its end it is asked for once more, and then the others
        are, for the rest. Raises `NotFound` where one says that it has none, `Refusal`
        where none could say anything, or for what is too long, `Interrupted` where
        somebody may have begun to read, and `StorageFailure`.
        """
        try:
            for upstream in upstreams:
                if await self._fetch_from(upstream) and await self._commit(upstream):
                    return
        finally:
            await self._abort()
        if self._fill.growing:
            raise Interrupted("no upstream gives the rest of the content")
        if self._refused is not None:
            raise self._refused
        if self._missing:
            raise NotFound(f"neither here nor upstream is the content {self._digest}")
        raise Refusal(Code.UPSTREAM, "no upstream could be asked for the content")

    async def _fetch_from(self, upstream: Watched) -> bool:
        """Whether all of it came; what is cut is asked for once more."""
        for last in (False, True):
            before = self._count
            async with AsyncExitStack() as stack:
                try:
                    opening = upstream.open(self._digest, self._count)
                    incoming = await stack.enter_async_context(opening)
                except NotFound:
                    self._missing = True
                    return False
                except (Refusal, SourceFailure):
                    return False
                if self._writer is None and not await self._begin(incoming.size):
                    return False
                try:
                    cut = await self._take(incoming, upstream)
                except WrongContent as error:
                    await self._blame(error, upstream)
                    return False
            if cut is None:
                return True
            # Where the connection is cut, the library may lose what had come.
            stuck = cut.reason is not Reason.UNREACHABLE and self._count == before
            if last or stuck:
                upstream.failed(cut, self._digest)
                break
        return False

    async def _take(self, incoming: Incoming, upstream: Watched) -> SourceFailure | None:
        """Write what comes; why that is not all, or None."""
        if None not in (incoming.size, self._size) and incoming.size != self._size:
            if upstream is not self._giver:
                raise Interrupted("upstreams say different sizes, and one of them lies")
            return Nonsense(f"it has {incoming.size} bytes of what has {self._size}")
        if not self._count:
            self._giver = upstream
        position = incoming.start
        try:
            async for piece in incoming.pieces:
                await self._write(piece[max(0, self._count - position) :])
                position += len(piece)
        except SourceFailure as failure:
            return failure
        if self._size is None or self._count == self._size:
            return None
        return SourceFailure(
            Reason.UNREACHABLE, f"it ends after {self._count} of {self._size} bytes"
        )

    async def _begin(self, size: int | None) -> bool:
        """Whether there is room for so many bytes; another upstream may say fewer."""
        try:
            if size is not None and size > self._limit:
                raise too_large(self._limit)
            self._writer = await self._threads.run(self._make_writer, self._digest, size)
        except (Refusal, StorageFull) as error:
            self._refused = error
            return False
        self._size = size
        if size is not None and size > SMALL and self._writer.path is not None:
            self._fill.grow_in(self._writer.path, size)
            self._claim.announce(size, self._writer.path)
        return True

    async def _write(self, piece: bytes) -> None:
        assert self._writer is not None
        if self._count + len(piece) > self._limit:
            # Which is no lie: it said no length, or `_begin` would have refused it.
            raise too_large(self._limit)
        await self._threads.run(self._writer.write, piece)
        self._claim.touch()
        self._count += len(piece)
        self._fill.has(self._count)
        self._tally.count("bytes-filled", len(piece))

    async def _commit(self, upstream: Watched) -> bool:
        """Whether what came, to its end from `upstream`, is the content."""
        assert self._writer is not None
        self._claim.touch()  # to sync it may take long
        try:
            await self._threads.run(self._writer.commit)
        except WrongContent as error:
            await self._blame(error, upstream)
            return False
        except Refusal as error:  # it was removed in that moment
            raise Interrupted(str(error)) from None
        for giver in {upstream, self._giver or upstream}:
            giver.was_right(self._digest)
        return True

    async def _blame(self, error: WrongContent, last: Watched) -> None:
        """Go on without who gave the beginning. Who gave the `last` part, where that is
        another one, is asked for all of it next time, and shows then whether it lies."""
        first = self._giver or last
        first.failed(error, self._digest)
        await self._abort()
        if self._fill.growing or first is not last:
            raise Interrupted("an upstream gave wrong bytes")
        self._size, self._count, self._giver = None, 0, None

    async def _abort(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await self._threads.run(writer.abort)


def too_large(limit: int) -> Refusal:
    """The answer about a content of more than `limit` bytes."""
    return Refusal(Code.TOO_LARGE, f"a content may have {limit} bytes at most here")
