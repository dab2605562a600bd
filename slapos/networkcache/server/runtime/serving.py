"""What answers, made of the options, and made anew when they change.

The root, the threads, the log and the counts are those of the process; what is made of
options is a *generation*, and requests that an earlier one is answering are answered to
their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from ..accounts.account import ANONYMOUS
from ..accounts.authorisation import authorise_of
from ..app import App, make_app
from ..checking.check import background
from ..configuration.options import Options
from ..http.access_log import AccessLog
from ..http.answers import Answer
from ..http.connection import Connections
from ..leader import Job, lead
from ..monitoring.samples import keep_sampling
from ..monitoring.tally import Tally
from ..root import LEADER, Root
from ..space.collect import collecting, room_of, rules_of
from ..space.intake import LimitedIntake
from ..threads import Threads
from ..upstream.through import forgetting
from ..upstream.upstreams import Upstreams, open_upstreams
from .services import services_of


@dataclass
class _Generation:
    """What was made of one reading of the options."""

    app: App
    jobs: Sequence[Job]
    upstream: Upstreams | None = None

    @property
    def fetching(self) -> bool:
        """Whether a content is on its way from an upstream."""
        return self.upstream is not None and self.upstream.fetching

    @property
    def followed(self) -> bool:
        """Whether others read along what is on its way."""
        return self.upstream is not None and self.upstream.followed

    async def close(self) -> None:
        """Wait for what it is answering, and let go of what it holds."""
        while self.app.running:
            await asyncio.sleep(0.2)
        if self.upstream is not None:
            await self.upstream.close()


class Serving:
    """All requests of one process, by the generation that is there."""

    def __init__(self, root: Root, threads: Threads, log: AccessLog, tally: Tally):
        self._root = root
        self._threads = threads
        self._log = log
        self._tally = tally
        self._now: _Generation | None = None
        self._leading: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.draining = False
        self._over = False

    async def take(self, options: Options) -> None:
        """Answer by `options` from now on. Where it raises, by the earlier ones still."""
        before, self._now = self._now, self._make(options)
        await self._end_leading()
        loop = asyncio.get_running_loop()
        self._leading = loop.create_task(lead(self._root.folder / LEADER, self._now.jobs))
        if before is not None:
            closing = loop.create_task(self._retire(before))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _retire(self, generation: _Generation) -> None:
        """Let go of an earlier one, once what it fetches is there: later ones and other
        workers read that along."""
        while generation.fetching and not self.draining:
            await asyncio.sleep(0.2)
        await self._followed_to_its_end(generation)
        await generation.close()

    async def _followed_to_its_end(self, generation: _Generation) -> None:
        """Wait for what others read along; no longer than the server may take to end."""
        while generation.followed and not self._over:
            await asyncio.sleep(0.2)

    def _make(self, options: Options) -> _Generation:
        root = self._root
        rules = rules_of(options, root)
        room = room_of(root, rules)
        intake = LimitedIntake(root.contents, root.catalogue, room)
        authorise = authorise_of(options, root.database, root.folder)
        upstream = None
        if options.upstreams:
            upstream = open_upstreams(
                options,
                root.database,
                root.contents,
                partial(intake, ANONYMOUS, fetched=True),
                self._tally,
                self._threads,
                root.folder,
                check_room=room.check_disk,
            )
        app = make_app(
            root.contents,
            root.entries,
            threads=self._threads,
            log=self._log,
            tally=self._tally,
            intake=intake,
            authorise=authorise,
            content_limit=options.content_limit,
            accel_redirect=options.accel_redirect,
            upstream=upstream,
            check_room=room.check_disk,
            services=services_of(
                root,
                self._threads,
                options,
                upstream=upstream,
                draining=lambda: self.draining,
            ),
        )
        jobs: list[Job] = [
            collecting(root, rules, self._threads),
            partial(keep_sampling, root.database, self._threads),
        ]
        if not options.upload_through:
            jobs.append(forgetting(root.database, self._threads))
        if options.check_rate:
            jobs.append(background(root, room, options, self._threads))
        return _Generation(app, [*jobs, *(upstream.tasks() if upstream else ())], upstream)

    def connections(self, stall: float) -> Connections:
        """The protocol factory for the loop's servers."""
        return Connections(self._handle, stall=stall, malformed=self._malformed)

    def drain(self) -> None:
        """Every answer ends its connection from now on."""
        self.draining = self._generation.app.draining = True

    async def finish(self, limit: float) -> None:
        """Go on with what readers of other workers follow, at most `limit` seconds."""
        asyncio.get_running_loop().call_later(limit, self._end)
        await asyncio.gather(self._followed_to_its_end(self._generation), *self._closing)

    def _end(self) -> None:
        self.draining = self._over = True

    async def close(self) -> None:
        """End the leader's work, and let go of what generations hold."""
        self._end()
        await self._end_leading()
        if self._now is not None:
            self._closing.add(asyncio.get_running_loop().create_task(self._now.close()))
        await asyncio.gather(*self._closing)

    async def _end_leading(self) -> None:
        if self._leading is not None:
            self._leading.cancel()
            await asyncio.gather(self._leading, return_exceptions=True)

    @property
    def _generation(self) -> _Generation:
        assert self._now is not None
        return self._now

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._generation.app.handle(request)

    def _malformed(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        return self._generation.app.malformed(request, answer)
