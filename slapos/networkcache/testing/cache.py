"""A network cache in memory that records every request, and can lie, cut and delay."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..config import Source
from ..storage.memory import MemoryContents, MemoryEntries
from .faults import Answer, EarlyFault, Fault, head_of

if TYPE_CHECKING:
    from ..server.app import App

_PIECE = 1 << 16


@dataclass(frozen=True)
class Asked:
    """One request as it came: `size` is the ``Content-Length`` of its body, `headers`
    have lower-case names, `connection` numbers the connections from 0, and
    `certificate` is the client's in DER, where it showed one."""

    method: str
    path: str
    headers: Mapping[str, str]
    size: int
    connection: int
    certificate: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class _Planned:
    fault: Fault
    on: str
    times: int | None


class NetworkCache:
    """A real server over stores in memory, on loopback, in a thread of its own::

        with NetworkCache() as cache:
            cache.plan(faults.cut(100), "GET /shacache", times=1)
            ...
            assert [str(asked) for asked in cache.requests] == [...]

    `contents` and `entries` are its stores, `requests` what was asked so far, and
    `connections` how many were made. `tls` makes it speak https. Needs the extra
    ``slapos.networkcache[server]``.
    """

    def __init__(self, tls: ssl.SSLContext | None = None):
        self.contents = MemoryContents()
        self.entries = MemoryEntries()
        self.requests: list[Asked] = []
        self.connections = 0
        self._planned: list[_Planned] = []
        self._tls = tls
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="cache", daemon=True)

    def __enter__(self) -> NetworkCache:
        """Returns once it answers; raises what kept it from that."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def source(self) -> Source:
        """Where it is, as a configuration says it."""
        return Source(f"{self.url}/shacache", f"{self.url}/shadir")

    @property
    def cache_url(self) -> str:
        """Of its SHACACHE, as the process of a server has it."""
        return self.source.cache_url

    @property
    def dir_url(self) -> str:
        """Of its SHADIR."""
        return self.source.dir_url

    def plan(self, fault: Fault, on: str = "", times: int | None = None) -> None:
        """Do `fault` to requests that begin with `on`, such as ``GET /shadir``; only
        `times` times, where that is given. Of several, the first one counts."""
        self._planned.append(_Planned(fault, on, times))

    def heal(self) -> None:
        """Forget all that is planned."""
        self._planned.clear()

    # -- in the thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.is_set():
                raise
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            app = self._app(stack)
            stack.push_async_callback(_cancel_others)  # once no server makes new ones
            real = await self._loop.create_server(app.connections(), "127.0.0.1", 0)
            stack.callback(real.close)
            self._real_port = real.sockets[0].getsockname()[1]
            front = await asyncio.start_server(
                self._connected, "127.0.0.1", 0, ssl=self._tls, limit=1 << 20
            )
            stack.callback(front.close)
            self.port: int = front.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stop.wait()

    def _app(self, stack: AsyncExitStack) -> App:
        """The real server, whose log nobody reads; `stack` closes what it needs."""
        from ..server.accounts.authorisation import anonymous_nearby
        from ..server.app import make_app
        from ..server.http.access_log import AccessLog
        from ..server.threads import Threads

        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        return make_app(
            self.contents,
            self.entries,
            threads=stack.enter_context(closing(Threads(4))),
            log=stack.enter_context(closing(AccessLog(nowhere))),
            authorise=anonymous_nearby,
        )

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        number = self.connections
        self.connections += 1
        try:
            # Cancelled at the end: asyncio would log it as an error of ours.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer, number):
                    pass
        finally:
            writer.close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        """One request and its answer; whether another one may follow."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, fields = _parse(head)
        method, path, _ = first.split(" ", 2)
        size = int(fields.get("content-length", 0))
        secure: Any = writer.get_extra_info("ssl_object")
        shown = secure.getpeercert(True) if secure else None
        asked = Asked(method, path, fields, size, number, shown)
        self.requests.append(asked)
        fault = self._fault_for(asked)
        if isinstance(fault, EarlyFault):
            if fault.body_read:
                await reader.readexactly(size)
            answer = fault.answer
        else:
            answer = await self._ask_server(head, reader, asked)
            answer = fault(answer) if fault else answer
        await _send(writer, answer, bodiless=method == "HEAD")
        if answer.held is not None:
            await self._stop.wait()
        return answer.cut is None and "close" not in fields.get("connection", "")

    def _fault_for(self, asked: Asked) -> Fault | None:
        for planned in self._planned:
            if str(asked).startswith(planned.on) and planned.times != 0:
                planned.times = planned.times and planned.times - 1
                return planned.fault
        return None

    async def _ask_server(
        self, head: bytes, reader: asyncio.StreamReader, asked: Asked
    ) -> Answer:
        """What the real server says; the body of the request streams through."""
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._real_port)
        try:
            ours.write(head)
            left = asked.size
            while left and (piece := await reader.read(min(left, _PIECE))):
                left -= len(piece)
                ours.write(piece)
                await ours.drain()
            first, fields = _parse(await theirs.readuntil(b"\r\n\r\n"), titles=True)
            length = 0 if asked.method == "HEAD" else int(fields.get("Content-Length", 0))
            body = await theirs.readexactly(length)
            return Answer(int(first.split(" ")[1]), fields, body)
        finally:
            ours.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _parse(head: bytes, *, titles: bool = False) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name if titles else name.lower()] = value.strip()
    return first, fields


async def _send(writer: asyncio.StreamWriter, answer: Answer, *, bodiless: bool) -> None:
    body = b"" if bodiless else answer.body[: answer.cut]
    data = (head_of(answer) if answer.status else b"") + body + answer.after
    if answer.rate:
        step = max(1, int(answer.rate / 50))
        for position in range(0, len(data), step):
            writer.write(data[position : position + step])
            await writer.drain()
            await asyncio.sleep(step / answer.rate)
    else:
        writer.write(data[: answer.held])
        await writer.drain()
    while answer.endless:
        writer.write(answer.endless)
        await writer.drain()
