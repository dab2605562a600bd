"""The only door of the server to other network caches.

Nothing of a client's request goes out with one of ours, and nothing of the head of an
answer comes in but what is read here. Redirects are not asked for, and none is followed;
neither netrc nor a proxy of the environment counts, and no cookie is kept.
"""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp

from ...digest import Digest
from ...entry import Key, Pair
from ...errors import (
    InvalidConfiguration,
    InvalidEntry,
    NotFound,
    Refusal,
    SourceFailure,
)
from ...protocol import (
    Batch,
    BatchAnswer,
    content_url,
    decode_directory,
    directory_url,
    encode_put,
)
from ..configuration.options import UpstreamUrls
from .exchange import Body, Exchange, Limits, Nonsense, was_dropped

Result = TypeVar("Result")

NO_BATCHES = 600.0
"""Seconds for which one that knows no batches is not asked for any."""
_SHORT = 64 << 10
_JSON = {"Content-Type": "application/json"}
_OCTETS = {"Content-Type": "application/octet-stream"}
_LENGTH = re.compile("[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/(?:([0-9]{1,18})|\*)\Z")


@dataclass(frozen=True)
class Incoming:
    """A content that begins to arrive, unchecked.

    `start` is the byte that it really begins with (0 where ranges are ignored), `size`
    that of the whole, where the other end says it, and `pieces` the bytes; they raise
    `SourceFailure` where they end too early or too slowly.
    """

    start: int
    size: int | None
    pieces: AsyncIterator[bytes]


def client_tls(
    authority: Path | None, certificate: Path | None, key: Path | None
) -> ssl.SSLContext:
    """TLS towards upstreams, with these files. Raises `InvalidConfiguration`."""
    try:
        context = ssl.create_default_context(cafile=authority and str(authority))
        if certificate is not None:
            context.load_cert_chain(str(certificate), key and str(key))
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(f) for f in (authority, certificate, key) if f is not None)
        raise InvalidConfiguration(
            f"cannot use {files} for TLS towards an upstream: {error}"
        ) from None
    return context


class Upstream:
    """The connections to one network cache; make it within a running event loop.

    Every call gives what was asked, raises `NotFound` or `Refusal` for what the other
    end said, `Nonsense` for what is no answer of a network cache, or another
    `SourceFailure` where there was none in time.
    """

    def __init__(
        self, urls: UpstreamUrls, tls: ssl.SSLContext, limits: Limits | None = None
    ):
        self._urls = urls
        self._exchange = Exchange(tls, limits or Limits())
        self._now = asyncio.get_running_loop().time
        self._no_batches_until = -math.inf

    async def close(self) -> None:
        await self._exchange.close()

    # -- SHADIR

    async def look_up(self, key: Key) -> list[Pair]:
        """The pairs of `key`, less what stood among them that is no pair.

        Raises `NotFound` where it has none.
        """
        url = directory_url(self._urls.directory, key)
        body = await self._exchange.read("GET", url)
        try:
            return await _parsed(body, _pairs)
        except InvalidEntry as error:
            raise Nonsense(str(error)) from None

    async def batch(self, batch: Batch) -> BatchAnswer | None:
        """Ask for many at once; None, for a while from then on, where it knows no
        batches."""
        if self._now() < self._no_batches_until:
            return None
        try:
            body = await self._post(batch.encode())
            return await _parsed(body, lambda body: BatchAnswer.decode(body, batch))
        except (NotFound, Refusal, Nonsense, InvalidEntry):
            pass
        except SourceFailure as failure:
            # So may one answer what it does not know.
            if not was_dropped(failure):
                raise
        self._no_batches_until = self._now() + NO_BATCHES
        return None

    async def _post(self, body: bytes) -> bytes:
        """Once more over another connection, where one was kept too long: the library
        does that only for what HTTP calls idempotent."""
        url = self._urls.directory
        try:
            return await self._exchange.read("POST", url, body, _JSON)
        except SourceFailure as failure:
            if not was_dropped(failure):
                raise
        return await self._exchange.read("POST", url, body, _JSON)

    async def put(self, key: Key, pair: Pair) -> None:
        """Add a pair under `key`. Raises `Refusal`."""
        url = directory_url(self._urls.directory, key)
        await self._exchange.read("PUT", url, encode_put(pair), _JSON, created=True)

    # -- SHACACHE

    async def length(self, digest: Digest) -> int | None:
        """The size of a content in bytes, None where it does not say. Raises `NotFound`."""
        url = content_url(self._urls.cache, digest)
        async with self._exchange.ask("HEAD", url) as response:
            return _announced(response)

    @asynccontextmanager
    async def open(self, digest: Digest, start: int = 0) -> AsyncIterator[Incoming]:
        """Begin to read a content at byte `start`. Raises `NotFound`."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        url = content_url(self._urls.cache, digest)
        async with self._exchange.ask("GET", url, headers=headers) as response:
            begin, size = _extent(response, start)
            yield Incoming(begin, size, self._exchange.pieces(response))

    async def store(self, digest: Digest, size: int, pieces: AsyncIterator[bytes]) -> None:
        """Upload a content of `size` bytes. Raises `Refusal`."""
        headers = {**_OCTETS, "Content-Length": str(size)}
        body = Body(pieces) if size else b""
        url = self._urls.cache
        answer = await self._exchange.read("POST", url, body, headers, created=True)
        if answer.strip() != digest.hex.encode():
            raise Nonsense("it stored other bytes than those that were sent")


async def _parsed(body: bytes, parse: Callable[[bytes], Result]) -> Result:
    """What `parse` makes of an answer; beside the loop, where that takes long."""
    return parse(body) if len(body) <= _SHORT else await asyncio.to_thread(parse, body)


def _pairs(body: bytes) -> list[Pair]:
    return [pair for pair in decode_directory(body) if isinstance(pair, Pair)]


def _extent(response: aiohttp.ClientResponse, start: int) -> tuple[int, int | None]:
    """Where the body of an answer begins, and how large the whole is."""
    if response.status != 206:
        return 0, _announced(response)
    extent = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if extent is None or int(extent[1]) != start:
        raise Nonsense("it sends another range than asked for")
    return start, int(extent[2]) if extent[2] else None


def _announced(response: aiohttp.ClientResponse) -> int | None:
    """How many bytes the head of an answer says that there are; None where it does not,
    or where their end says it."""
    length = response.headers.get("Content-Length", "")
    if "Transfer-Encoding" in response.headers or not _LENGTH.fullmatch(length):
        return None
    return int(length)
