"""One exchange with another network cache: sending a request, judging how the answer
went, and how long anything may take. Only here does the server open connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from ...errors import Code, NotFound, Reason, SourceFailure
from ...printable import readable
from ...protocol import DIRECTORY_LIMIT, ERROR_HEADER, refusal

SLOWEST = 1024
"""Bytes per second that a transfer must keep."""
AT_ONCE = 256
"""Connections of one process to another network cache; who needs one more waits, which is
no fault of the other end."""
_ERROR_LIMIT = 64 << 10
_BUFFER = 256 << 10
_NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Limits:
    """Seconds: until the `head` of an answer is there, connecting included, less than
    our clients wait for ours; for the `whole` of a short one; for the `window` over which
    a transfer must keep `SLOWEST` bytes a second; and for an answer to what was `sent`."""

    head: float = 4.0
    whole: float = 30.0
    window: float = 10.0
    sent: float = 60.0


class Nonsense(SourceFailure):
    """It answered, but not as a network cache does."""

    def __init__(self, message: str):
        super().__init__(Reason.WRONG_CONTENT, message)


class Exchange:
    """A kept session; make it within a running event loop.

    Raises `NotFound` and `Refusal` for what the other end says, `Nonsense` and other
    `SourceFailure` for what is no answer, or none in time.
    """

    def __init__(self, tls: ssl.SSLContext, limits: Limits):
        self._limits = limits
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            headers={"Accept-Encoding": "identity", "User-Agent": "slapos.networkcache"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=_BUFFER,
        )
        self._now = asyncio.get_running_loop().time

    async def close(self) -> None:
        await self._session.close()

    async def read(
        self,
        method: str,
        url: str,
        body: bytes | Body = b"",
        headers: Mapping[str, str] = _NO_HEADERS,
        *,
        created: bool = False,
    ) -> bytes:
        """The whole of a short answer; `created` says that only a 201 means success."""
        async with self.ask(method, url, body, headers, created=created) as response:
            return await self._bounded(response, DIRECTORY_LIMIT)

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        body: bytes | Body = b"",
        headers: Mapping[str, str] = _NO_HEADERS,
        *,
        created: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that says success; its body is still to be read, by `pieces`."""
        async with self._turns:
            response = await self._send(method, url, body, headers)
            try:
                await self._check(response, created)
                yield response
            finally:
                response.close()

    async def _send(
        self, method: str, url: str, body: bytes | Body, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        small = isinstance(body, bytes)
        limit = self._limits.head if small else self._limits.sent
        request: Any = self._session.request(
            method,
            URL(url, encoded=True),
            data=body or None,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                sock_connect=self._limits.head,
                sock_read=self._limits.window if small else limit,
            ),
        )
        with _faults():
            if isinstance(body, Body):
                return await body.sent_by(request, limit)
            response: aiohttp.ClientResponse = await asyncio.wait_for(request, limit)
            return response

    async def _check(self, response: aiohttp.ClientResponse, created: bool) -> None:
        """Raise what an answer other than success says."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Nonsense("its answer is compressed, which nobody asked for")
        if 300 <= response.status < 400:
            raise SourceFailure(Reason.UNREACHABLE, "it redirects, which nobody asked for")
        if response.status == 201 or (response.status in (200, 206) and not created):
            return
        body = await self._bounded(response, _ERROR_LIMIT)
        error = refusal(response.status, response.headers.get(ERROR_HEADER), body)
        raise NotFound(str(error)) if error.code is Code.NOT_FOUND else error

    async def _bounded(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        async def read() -> bytes:
            body = bytearray()
            async for piece in self.pieces(response):
                body += piece
                if len(body) > limit:
                    raise Nonsense(f"its answer is longer than {limit} bytes")
            return bytes(body)

        with _faults():
            return await asyncio.wait_for(read(), self._limits.whole)

    async def pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The body as it comes; raises `SourceFailure` where it is cut or too slow."""
        count, waited = 0, 0.0
        with _faults():
            while True:
                begun = self._now()
                piece = await response.content.readany()
                waited += self._now() - begun
                if not piece:
                    return
                count += len(piece)
                if waited > self._limits.window:
                    if count < SLOWEST * waited:
                        raise SourceFailure(
                            Reason.TOO_SLOW, f"it gives less than {SLOWEST} bytes a second"
                        )
                    count, waited = 0, 0.0
                yield piece


class Body:
    """The `pieces` of a body that is sent, as long as the other end takes some."""

    def __init__(self, pieces: AsyncIterator[bytes]):
        self._pieces = pieces
        self._taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            self._taken += 1
            yield piece

    async def sent_by(
        self, request: Awaitable[aiohttp.ClientResponse], window: float
    ) -> aiohttp.ClientResponse:
        """The answer to `request`, which sends this; raises `TimeoutError` where none of
        it is taken, and nothing comes, within `window` seconds."""
        sending = asyncio.ensure_future(request)
        try:
            taken = -1
            while taken != self._taken:
                taken = self._taken
                if (await asyncio.wait([sending], timeout=window))[0]:
                    return await sending
            raise asyncio.TimeoutError
        finally:
            sending.cancel()


def was_dropped(failure: SourceFailure) -> bool:
    """Whether the other end closed the connection without an answer."""
    return isinstance(failure.__cause__, aiohttp.ServerDisconnectedError)


@contextmanager
def _faults() -> Iterator[None]:
    """Turn what the HTTP library raises into `SourceFailure`."""
    try:
        yield
    except asyncio.TimeoutError as error:
        raise SourceFailure(Reason.TOO_SLOW, "no answer in time") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        said = readable(str(error) or type(error).__name__)[:300]
        raise SourceFailure(Reason.UNREACHABLE, said) from error
