"""SHACACHE: contents by their digest, read in ranges and uploaded as a stream."""

from __future__ import annotations

from contextlib import ExitStack

from aiohttp import web

from ..digest import Digest
from ..errors import NotFound, Refusal
from ..ranges import Range, parse_range
from ..storage import Content, ContentStore, Writer
from .accounts.authorisation import Authorise
from .growing import SMALL, Growing
from .http import body
from .http.answers import OCTETS, Answer, created, etag_matches, refused
from .http.front import hand_on
from .monitoring.tally import Tally
from .space.intake import Intake
from .threads import Threads
from .upstream.upstreams import Upstreams

_FOR_EVER = "public, max-age=31536000, immutable, no-transform"


class Shacache:
    """Answers requests about contents.

    `intake` makes the writer of an upload, `limit` is the size in bytes of the longest
    content that is taken, `accel_redirect` the path below which a server in front has the
    contents, `upstream` has what is not here.
    """

    def __init__(
        self,
        contents: ContentStore,
        intake: Intake,
        authorise: Authorise,
        threads: Threads,
        limit: int,
        tally: Tally,
        accel_redirect: str | None = None,
        upstream: Upstreams | None = None,
    ):
        self._contents = contents
        self._intake = intake
        self._authorise = authorise
        self._threads = threads
        self._limit = limit
        self._tally = tally
        self._accel_redirect = accel_redirect
        self._upstream = upstream

    def methods(self, name: str | None) -> tuple[str, ...]:
        """What may be done with the content `name`, or with the service itself."""
        return ("POST",) if name is None else ("GET", "HEAD", "PUT")

    async def answer(self, request: web.BaseRequest, name: str | None) -> Answer:
        """`name` is what follows the service in the path, undecoded."""
        if name is None:
            return await self._upload(request, None)
        digest = Digest.parse(name.partition("?")[0])
        if request.method == "PUT":
            return await self._upload(request, digest)
        try:
            answer = self._read(request, digest)
        except NotFound:
            if self._upstream is not None:
                return await self._read_upstream(request, digest, self._upstream)
            self._tally.count("content-misses")
            raise
        self._count("content-hits", request, digest)
        if self._accel_redirect is not None:
            return hand_on(request, digest, answer, self._accel_redirect)
        return answer

    def _count(self, what: str, request: web.BaseRequest, digest: Digest) -> None:
        self._tally.count(what)
        if request.method == "GET":
            self._tally.downloaded(digest)

    # -- reading

    def _read(self, request: web.BaseRequest, digest: Digest) -> Answer:
        if request.method == "HEAD":
            return _sized(request, digest, self._contents.size(digest))
        return _opened(request, digest, self._contents.open(digest))

    async def _read_upstream(
        self, request: web.BaseRequest, digest: Digest, upstream: Upstreams
    ) -> Answer:
        """The same for a content that is not here."""
        try:
            if request.method == "HEAD":
                answer = _sized(request, digest, await upstream.size(digest))
            else:
                answer = _opened(request, digest, await upstream.open(digest))
        except NotFound:
            self._tally.count("content-misses")
            raise
        self._count("content-filled", request, digest)
        return answer

    # -- uploading

    async def _upload(self, request: web.BaseRequest, digest: Digest | None) -> Answer:
        account = self._authorise(request)
        size = body.announced(request, self._limit)
        writer = await self._threads.run(self._intake, account, digest, size)
        try:
            await self._write(request, writer)
            self._authorise(request)  # it may have been revoked while this came
            stored = await self._threads.run(writer.commit)
            self._tally.count("content-uploads")
            return created(stored)
        finally:
            await self._threads.run(writer.abort)

    async def _write(self, request: web.BaseRequest, writer: Writer) -> None:
        async for pieces in body.pieces(request, self._limit):
            await self._threads.run(_write_all, writer, pieces)


def _write_all(writer: Writer, pieces: list[bytes]) -> None:
    for piece in pieces:
        writer.write(piece)


def _headers(digest: Digest) -> dict[str, str]:
    return {**OCTETS, "Cache-Control": _FOR_EVER, "ETag": f'"{digest}"'}


def _sized(request: web.BaseRequest, digest: Digest, size: int) -> Answer:
    """The answer to ``HEAD`` for a content of `size` bytes."""
    headers = _headers(digest)
    if etag_matches(request.headers.get("If-None-Match"), headers["ETag"]):
        return Answer(304, headers)
    return Answer(200, headers, length=size)


def _opened(request: web.BaseRequest, digest: Digest, opened: Content) -> Answer:
    """The answer with what is asked for of a content, which it takes over."""
    headers = _headers(digest)
    asked = request.headers
    with ExitStack() as stack:
        content = stack.enter_context(opened)
        if etag_matches(asked.get("If-None-Match"), headers["ETag"]):
            return Answer(304, headers)
        unchanged = asked.get("If-Range", headers["ETag"]) == headers["ETag"]
        wanted = asked.get("Range") if unchanged else None
        try:
            part = parse_range(wanted, content.size)
        except Refusal as error:
            whole = {"Content-Range": f"bytes */{content.size}"}
            return refused(error, silent=True, headers=whole)
        answer = _part_of(content, part, headers)
        if answer.content:
            stack.pop_all()  # it stays open until it is sent
        return answer


def _part_of(content: Content, part: Range | None, headers: dict[str, str]) -> Answer:
    """The answer with `part` of `content`, or all of it: a small one read at once."""
    status = 200
    start, stop = 0, content.size
    if part is not None:
        status = 206
        start, stop = part
        headers["Content-Range"] = part.header(content.size)
    if stop - start > SMALL or isinstance(content, Growing):
        return Answer(status, headers, content=content, part=Range(start, stop))
    return Answer(status, headers, content.read(start, stop - start))
