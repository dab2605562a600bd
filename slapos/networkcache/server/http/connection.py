"""One connection of a client: when it is stalled, half closed, malformed or drained.

aiohttp's own handler drops the bodies of running uploads as soon as it is told to shut
down, answers a client that closed its writing side by closing too, and has no limit for
a body that stalls. This one has, and it knows which request is being answered.
"""

from __future__ import annotations

import asyncio
import math
import sys
import traceback
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from ...errors import Code, Refusal
from .answers import Answer, refused

IDLE = 75.0
"""Seconds for which a connection without a request is kept."""

LETTING_GO = 10.0
"""Seconds that requests which were dropped may take to throw away what they wrote."""


class ClientGone(ConnectionError):
    """The other end left, or was dropped, before the end of its body."""


Malformed = Callable[[web.BaseRequest, Answer], web.StreamResponse]
"""Makes the response, and the log line, of something that is not even HTTP."""


class Connection(web.RequestHandler):
    """What is known of one connection beside aiohttp's own state.

    `request` is the one being answered and `sent` the bytes of the answer's body that
    are on their way, `ended` whether the client has closed its writing side, `deadline`
    the time of the loop's clock at which it is dropped.
    """

    def __init__(
        self,
        manager: Connections,
        *,
        loop: asyncio.AbstractEventLoop,
        stall: float,
        malformed: Malformed,
    ):
        super().__init__(
            manager,
            loop=loop,
            auto_decompress=False,
            keepalive_timeout=2 * IDLE,
            access_log=None,  # type: ignore[arg-type]  # the application writes its own
        )
        self.request: web.BaseRequest | None = None
        self._answered: web.BaseRequest | None = None
        self.sent = 0
        self.ended = False
        self._task: asyncio.Task[Any] | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._unread = False
        self._now = loop.time
        self._stall = stall
        self._malformed = malformed
        self.expect_progress()

    # -- where the request is, as the application tells it

    def begin(self, request: web.BaseRequest) -> None:
        """`request` is being answered from now on, by the current task."""
        self.request = request
        self.sent = 0
        self._task = asyncio.current_task()
        self._unread = False
        self.rest()
        if self.ended:
            self._cut(request)

    def end(self) -> None:
        """The answer has been sent, or could not be."""
        self._answered, self.request, self._task = self.request, None, None
        self.deadline = self._now() + IDLE

    def expect_progress(self) -> None:
        """Drop the client unless something moves within the stall limit."""
        self.deadline = self._now() + self._stall

    def rest(self) -> None:
        """Nothing is expected of the client: we are the ones who work."""
        self.deadline = math.inf

    # -- what the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if data and self.request is None and not self._unread:
            self._unread = True
            self.expect_progress()
        super().data_received(data)
        # aiohttp queues what it could not parse as the next message, and leaves whoever
        # reads the body waiting. While a body is being read nothing else can be queued.
        if self.request is not None and getattr(self, "_messages", None):
            self._cut(self.request)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client closed its writing side; its answer is still sent."""
        self.ended = True
        if self.request is not None:
            self._cut(self.request)
        elif not self._unread:
            return None
        transport = self.transport
        return transport is not None and transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        # aiohttp still waits for the rest of a body that was refused.
        if self.request is None and self._answered is not None:
            self._cut(self._answered)

    def _cut(self, request: web.BaseRequest) -> None:
        if not request.content.is_eof():
            request.content.set_exception(ClientGone("the body ends before its end"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp itself could not read as a request."""
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise exc if isinstance(exc, ConnectionError) else ClientGone("cut") from exc
        if status >= 500:
            self.log_exception("unexpected error", exc_info=exc)
            return self._malformed(request, refused(Refusal(Code.INTERNAL, "see the log")))
        text = (message or str(exc) or "not HTTP").partition("\n")[0]
        # Nobody knows what it asked for, and an answer about a content has no body.
        refusal = Refusal(Code.BAD_REQUEST, text[:200])
        return self._malformed(request, refused(refusal, silent=True))

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Our own faults go to standard error, a client that left is none."""
        error = kw.get("exc_info")
        clients = (ConnectionError, web.RequestPayloadError)
        if isinstance(error, BaseException) and not isinstance(error, clients):
            traceback.print_exception(error, file=sys.stderr)

    # -- the end

    @property
    def idle(self) -> bool:
        """Whether no request is being answered, nor any bytes of one have come."""
        return self.request is None and not self._unread

    def drop(self) -> None:
        """Cut the connection, and what was being done for it."""
        self.rest()
        if self._task is None:
            self._abort()
            return
        # In this order: asyncio complains of a sendfile whose transport goes first.
        self._task.add_done_callback(self._abort)
        self._task.cancel()

    def _abort(self, _: object = None) -> None:
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()


class Connections(web.Server):
    """All connections of this process; `stall` is the limit in seconds for new ones."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Any],
        *,
        stall: float,
        malformed: Malformed,
    ):
        super().__init__(handler)
        self.stall = stall
        self._malformed = malformed

    def __call__(self) -> Connection:
        loop = asyncio.get_running_loop()
        return Connection(self, loop=loop, stall=self.stall, malformed=self._malformed)

    @property
    def all(self) -> list[Connection]:
        return cast("list[Connection]", self.connections)

    async def drop_stalled(self) -> None:
        """Look after the time limits, for ever."""
        while True:
            await asyncio.sleep(min(5.0, self.stall / 4))
            now = asyncio.get_running_loop().time()
            for connection in self.all:
                if connection.deadline < now:
                    connection.drop()

    async def drain(self, limit: float, grace: float = 0.2) -> None:
        """Close what is idle at once, the others when they are done, at most `limit`
        seconds later. A request whose first bytes have come gets `grace` to begin."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while self.all and loop.time() < begun + limit:
            late = loop.time() > begun + grace
            for connection in self.all:
                if connection.idle or (late and connection.request is None):
                    connection.force_close()
            await asyncio.sleep(0.02)
        for connection in self.all:
            connection.drop()
        while self.all and loop.time() < begun + limit + LETTING_GO:
            await asyncio.sleep(0.02)


def connection_of(request: web.BaseRequest) -> Connection:
    """The connection over which `request` came."""
    return cast(Connection, request.protocol)
