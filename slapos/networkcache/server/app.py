"""The application: from a request to its answer, its refusal, its line in the log."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Protocol

from aiohttp import web

from ..errors import Code, NetworkcacheError, Refusal, StorageFailure
from ..printable import printable
from ..storage import ContentStore, EntryStore
from .accounts.authorisation import Authorise, nobody
from .configuration.options import CONTENT_LIMIT, STALL
from .http.access_log import AccessLog, Line
from .http.answers import TEXT, Answer, Headers, refusal_of, refused
from .http.connection import Connections, connection_of
from .http.front import client_of
from .http.sending import send
from .monitoring.tally import Tally
from .shacache import Shacache
from .shadir import Shadir
from .space.intake import Intake, unlimited
from .threads import Threads
from .upstream.upstreams import Upstreams

CACHE = "/shacache"
DIRECTORY = "/shadir"

GREETING = Answer(
    200,
    TEXT,
    b"A network cache for buildout: contents at /shacache, signed entries at /shadir.\n",
)


class Service(Protocol):
    """One of the two services, or what else answers below a first path segment."""

    def methods(self, name: str | None) -> tuple[str, ...]:
        """The methods that it knows for `name`."""

    async def answer(self, request: web.BaseRequest, name: str | None) -> Answer:
        """Answer `request` about `name`: what follows in the path, undecoded."""


class App:
    """Answers every request of one process; make it with `make_app`.

    `draining` is set once the process is to end: every answer ends its connection.
    `running` is how many requests are being answered.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        threads: Threads,
        log: AccessLog,
        tally: Tally,
    ):
        self.draining = False
        self.running = 0
        self._services = services
        self._threads = threads
        self._log = log
        self._tally = tally

    def connections(self, stall: float = STALL) -> Connections:
        """The protocol factory for the loop's servers: all connections to this."""
        return Connections(self.handle, stall=stall, malformed=self.malformed)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer `request`, send the answer and log it."""
        connection = connection_of(request)
        begun = asyncio.get_running_loop().time()
        connection.begin(request)
        self.running += 1
        answer: Answer | None = None
        cut = True
        try:
            answer = await self._answer(request)
            close = self.draining or connection.ended or not request.content.is_eof()
            response = await send(request, answer, self._threads, close=close)
            cut = False
            return response  # aiohttp finds it sent and leaves it alone
        finally:
            if answer and answer.content:
                answer.content.close()
            seconds = asyncio.get_running_loop().time() - begun
            line = _line(request, answer, cut, connection.sent, seconds)
            self._log.add(line)
            self._count(line)
            self.running -= 1
            connection.end()

    def malformed(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """The response to what is not a request at all."""
        response = web.Response(
            status=answer.status, headers=answer.headers, body=answer.body
        )
        response.force_close()
        self._log.add(_line(request, answer, False, len(answer.body), 0))
        return response

    def _count(self, line: Line) -> None:
        self._tally.count("bytes-sent", line.sent)
        self._tally.count("bytes-received", line.received)
        if line.error:
            self._tally.count(f"refused:{line.error}")

    async def _answer(self, request: web.BaseRequest) -> Answer:
        service, name = split(request.raw_path)
        silent = service == CACHE and request.method in ("GET", "HEAD")
        headers: Headers = {}
        try:
            allowed = self._methods(service, name)
            if request.method not in allowed:
                headers = {"Allow": ", ".join(allowed)}
                raise Refusal(Code.BAD_METHOD, f"{' and '.join(allowed)} can be done here")
            if service == "/" and service not in self._services:
                return GREETING
            return await self._services[service].answer(request, name)
        except NetworkcacheError as error:
            refusal = refusal_of(error) or _internal(error)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            refusal = _internal(error)
        return refused(refusal, silent=silent, headers=headers)

    def _methods(self, service: str, name: str | None) -> tuple[str, ...]:
        if service in self._services:
            return self._services[service].methods(name)
        if service == "/" and name is None:
            return ("GET", "HEAD")
        raise Refusal(Code.NOT_FOUND, f"there are {CACHE} and {DIRECTORY} here")


def make_app(
    contents: ContentStore,
    entries: EntryStore,
    *,
    threads: Threads,
    log: AccessLog,
    intake: Intake | None = None,
    authorise: Authorise = nobody,
    content_limit: int = CONTENT_LIMIT,
    accel_redirect: str | None = None,
    upstream: Upstreams | None = None,
    tally: Tally | None = None,
    services: Mapping[str, Service] | None = None,
    check_room: Callable[[], None] = lambda: None,
) -> App:
    """The application over two stores.

    `intake` is the way in for contents, `authorise` decides who uploads, `content_limit`
    is the most bytes of a content, `accel_redirect` the path below which a server in front
    has them, `upstream` has what is not here; `services` are what else is
    here, by their first path segment; `check_room` raises `StorageFull` where the disk has
    no room for a pair.
    """
    tally = tally or Tally()
    intake = intake or unlimited(contents)
    own: dict[str, Service] = {
        CACHE: Shacache(
            contents,
            intake,
            authorise,
            threads,
            content_limit,
            tally,
            accel_redirect,
            upstream,
        ),
        DIRECTORY: Shadir(
            contents, entries, authorise, threads, tally, upstream, check_room
        ),
    }
    return App({**(services or {}), **own}, threads, log, tally)


def split(target: str) -> tuple[str, str | None]:
    """A request target as the service, ``/shacache``, and what follows, or None.

    Nothing is decoded or tidied: ``..`` and ``%2F`` are for the service to refuse, and
    a query stays with what it follows.
    """
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, mark, query = target.partition("?")
    service, _, name = path[1:].partition("/")
    return "/" + service, name + mark + query if name else None


def _internal(error: Exception) -> Refusal:
    """What a disk does is no fault of the program: one sentence says it."""
    if isinstance(error, StorageFailure):
        print(f"networkcache server: {printable(str(error))}", file=sys.stderr, flush=True)
    else:
        traceback.print_exception(error, file=sys.stderr)
    return Refusal(Code.INTERNAL, "the server could not do it; its log says why")


def _line(
    request: web.BaseRequest, answer: Answer | None, cut: bool, sent: int, seconds: float
) -> Line:
    return Line(
        remote=client_of(request),
        method=request.method,
        path=request.raw_path,
        status=answer.status if answer else 0,
        error=answer.code.value if answer and answer.code else None,
        cut=cut,
        received=request.content.total_bytes,
        sent=sent,
        seconds=seconds,
        agent=request.headers.get("User-Agent", ""),
    )
