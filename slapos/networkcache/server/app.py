"""The application: from a request to its answer, its refusal, its line in the log."""

from __future__ import annotations

import asyncio
import sys
import traceback
from typing import Protocol

from aiohttp import web

from ..errors import Code, NetworkcacheError, Refusal
from ..storage import ContentStore, EntryStore
from .access_log import AccessLog, Line
from .answers import TEXT, Answer, Headers, refusal_of, refused
from .authorisation import Authorise, nobody
from .connection import Connections, connection_of
from .options import CONTENT_LIMIT, STALL
from .sending import send
from .shacache import Shacache
from .shadir import Shadir
from .threads import Threads

CACHE = "/shacache"
DIRECTORY = "/shadir"

_GREETING = Answer(
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
    """

    def __init__(self, services: dict[str, Service], threads: Threads, log: AccessLog):
        self.draining = False
        self._services = services
        self._threads = threads
        self._log = log

    def connections(self, stall: float = STALL) -> Connections:
        """The protocol factory for the loop's servers: all connections to this."""
        return Connections(self.handle, stall=stall, malformed=self.malformed)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer `request`, send the answer and log it."""
        connection = connection_of(request)
        begun = asyncio.get_running_loop().time()
        connection.begin(request)
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
            self._log.add(_line(request, answer, cut, connection.sent, seconds))
            connection.end()

    def malformed(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """The response to what is not a request at all."""
        response = web.Response(
            status=answer.status, headers=answer.headers, body=answer.body
        )
        response.force_close()
        self._log.add(_line(request, answer, False, len(answer.body), 0))
        return response

    async def _answer(self, request: web.BaseRequest) -> Answer:
        service, name = split(request.raw_path)
        silent = service == CACHE and request.method in ("GET", "HEAD")
        headers: Headers = {}
        try:
            allowed = self._methods(service, name)
            if request.method not in allowed:
                headers = {"Allow": ", ".join(allowed)}
                raise Refusal(Code.BAD_METHOD, f"{' and '.join(allowed)} can be done here")
            if service == "/":
                return _GREETING
            return await self._services[service].answer(request, name)
        except NetworkcacheError as error:
            refusal = refusal_of(error) or _internal(error)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            refusal = _internal(error)
        return refused(refusal, silent=silent, headers=headers)

    def _methods(self, service: str, name: str | None) -> tuple[str, ...]:
        if service == "/" and name is None:
            return ("GET", "HEAD")
        if service in self._services:
            return self._services[service].methods(name)
        raise Refusal(Code.NOT_FOUND, f"there are {CACHE} and {DIRECTORY} here")


def make_app(
    contents: ContentStore,
    entries: EntryStore,
    *,
    threads: Threads,
    log: AccessLog,
    authorise: Authorise = nobody,
    content_limit: int = CONTENT_LIMIT,
) -> App:
    """The application over two stores.

    `authorise` decides who uploads, `content_limit` is the most bytes of a content.
    """
    services: dict[str, Service] = {
        CACHE: Shacache(contents, authorise, threads, content_limit),
        DIRECTORY: Shadir(contents, entries, authorise, threads),
    }
    return App(services, threads, log)


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
    traceback.print_exception(error, file=sys.stderr)
    return Refusal(Code.INTERNAL, "the server could not do it; its log says why")


def _line(
    request: web.BaseRequest, answer: Answer | None, cut: bool, sent: int, seconds: float
) -> Line:
    return Line(
        remote=request.remote or "",
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
