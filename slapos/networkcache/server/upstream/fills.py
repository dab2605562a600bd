"""Contents that are not here: fetched once, however many ask, over all workers.

The first process that asks for one fetches it, in a task of its own that runs to its end
whoever leaves; all others read along, see `claim`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

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
from .claim import WELL, Claim
from .fetching import Fetching, MakeWriter, too_large
from .following import follow
from .watched import Watched

TRIES = 5
"""Times that a content is asked for whose fetching ended before anybody could read it:
with its process, in the middle, or removed in that moment. An upstream that is at fault is
left alone by then."""


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
        with disk_faults(f"make the folder {folder}"):
            make_folder(folder)
        remove_leftovers(folder)

    @property
    def running(self) -> bool:
        """Whether any goes on."""
        return bool(self._running)

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
        """How many bytes it has; otherwise as `open`."""
        missing = too_long = False
        for upstream in self._upstreams:
            try:
                with upstream.asking():
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

    def _start(self, digest: Digest) -> Fill:
        fill = self._running[digest] = Fill()
        self._background.start(self._run(digest, fill))
        return fill

    async def _run(self, digest: Digest, fill: Fill) -> None:
        try:
            with disk_faults(f"fill {digest} in {self._folder}"):
                claim = Claim(os.path.join(self._folder, digest.hex))
                try:
                    if claim.mine:
                        await self._fetch(digest, fill, claim)
                    else:
                        await follow(fill, claim)
                finally:
                    claim.close()
            fill.finish()
        except Exception as error:
            if not isinstance(error, NetworkcacheError):
                traceback.print_exception(error, file=sys.stderr)
            fill.fail(error)
        finally:
            del self._running[digest]
            if not fill.ended:
                fill.fail(Interrupted("the server ends"))

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
        try:
            await fetching.fetch(self._upstreams)
        except NetworkcacheError as error:
            refusal = refusal_of(error)
            if refusal is not None and not fill.growing:
                claim.end(refusal.code.value)
            raise
        claim.end(WELL)
