"""SHACACHE: contents by their digest, read in ranges and uploaded as a stream."""

from __future__ import annotations

from contextlib import ExitStack

from aiohttp import web

from ..digest import Digest
from ..errors import Refusal
from ..ranges import Range, parse_range
from ..storage import Content, ContentStore, Writer
from . import body
from .answers import OCTETS, Answer, created, etag_matches, refused
from .authorisation import Authorise
from .threads import Threads

SMALL = 256 << 10
"""Bytes up to which a content is read at once, in the loop: for contents of 10 KiB, 3.2
times as many answers a second as with sendfile."""

_FOR_EVER = "public, max-age=31536000, immutable, no-transform"


class Shacache:
    """Answers requests about contents.

    `limit` is the size in bytes of the longest content that is taken.
    """

    def __init__(
        self, contents: ContentStore, authorise: Authorise, threads: Threads, limit: int
    ):
        self._contents = contents
        self._authorise = authorise
        self._threads = threads
        self._limit = limit

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
        return self._read(request, digest)

    # -- reading

    def _read(self, request: web.BaseRequest, digest: Digest) -> Answer:
        etag = f'"{digest}"'
        headers = {**OCTETS, "Cache-Control": _FOR_EVER, "ETag": etag}
        asked = request.headers
        if request.method == "HEAD":
            size = self._contents.size(digest)
            if etag_matches(asked.get("If-None-Match"), etag):
                return Answer(304, headers)
            return Answer(200, headers, length=size)
        with ExitStack() as stack:
            content = stack.enter_context(self._contents.open(digest))
            if etag_matches(asked.get("If-None-Match"), etag):
                return Answer(304, headers)
            wanted = asked.get("Range") if asked.get("If-Range", etag) == etag else None
            try:
                part = parse_range(wanted, content.size)
            except Refusal as error:
                whole = {"Content-Range": f"bytes */{content.size}"}
                return refused(error, silent=True, headers=whole)
            answer = _part_of(content, part, headers)
            if answer.content:
                stack.pop_all()  # it stays open until it is sent
            return answer

    # -- uploading

    async def _upload(self, request: web.BaseRequest, digest: Digest | None) -> Answer:
        self._authorise(request)
        size = body.announced(request, self._limit)
        writer = await self._threads.run(self._contents.writer, digest, size)
        try:
            await self._write(request, writer)
            return created(await self._threads.run(writer.commit))
        finally:
            await self._threads.run(writer.abort)

    async def _write(self, request: web.BaseRequest, writer: Writer) -> None:
        async for pieces in body.pieces(request, self._limit):
            await self._threads.run(_write_all, writer, pieces)


def _write_all(writer: Writer, pieces: list[bytes]) -> None:
    for piece in pieces:
        writer.write(piece)


def _part_of(content: Content, part: Range | None, headers: dict[str, str]) -> Answer:
    """The answer with `part` of `content`, or all of it: a small one read at once."""
    status = 200
    start, stop = 0, content.size
    if part is not None:
        status = 206
        start, stop = part
        headers["Content-Range"] = part.header(content.size)
    if stop - start > SMALL:
        return Answer(status, headers, content=content, part=Range(start, stop))
    return Answer(status, headers, content.read(start, stop - start))
