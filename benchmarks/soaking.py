"""``python -m benchmarks.soaking URL SECONDS READERS WRITERS``: many clients of one server,
each at its own pace, for so long.

Says as JSON what went wrong, and the milliseconds that answers took by their kind.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import defaultdict
from urllib.parse import urlsplit

from slapos.networkcache.certificates import generate
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.protocol import Batch, BatchAnswer, decode_directory, encode_put

from .entries import pair_for

READER_PAUSE, WRITER_PAUSE = 0.1, 2.0
"""Seconds between two requests of a client, in the mean."""
SMALLEST, LARGEST = 1 << 10, 4 << 20
ALL = 2 << 30
"""Bytes of contents, after which nothing is put any more."""
SMALL = 64 << 10
BATCH = 50
FILL = 5_000
"""Keys that are there at the beginning: more than SQLite's caches hold, or these would grow
with what is put."""


class Wrong(Exception):
    """An answer that is not the one expected."""


class Client:
    """One connection, which is kept."""

    def __init__(self, host: str, port: int):
        self._place = (host, port)
        self._host = f"{host}:{port}"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """The status and the body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place, limit=1 << 20)
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
        if method != "GET":
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}\r\n".encode() + body)
        await writer.drain()
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        fields = dict(line.lower().partition(b": ")[::2] for line in lines)
        return int(status.split()[1]), await reader.readexactly(
            int(fields[b"content-length"])
        )

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Soak:
    """What all clients know: what is there, and how it went."""

    def __init__(self, host: str, port: int, seconds: float):
        self.times: dict[str, list[float]] = defaultdict(list)
        self.wrong: list[str] = []
        self._place = (host, port)
        self._seconds = seconds
        self._end = 0.0
        self._signer = generate("ed25519")
        self._put: list[tuple[Key, Pair, Digest, int]] = []
        self._bytes = 0

    async def run(self, readers: int, writers: int) -> None:
        """All clients, until the end."""
        await asyncio.gather(*(self._fill(n, writers) for n in range(writers)))
        self.times.clear()
        self._end = time.monotonic() + self._seconds
        clients = [self.write() for _ in range(writers)]
        await asyncio.gather(*clients, *(self.read() for _ in range(readers)))

    async def _fill(self, number: int, writers: int) -> None:
        """One of many shares of the keys that are there at the beginning."""
        client = Client(*self._place)
        for n in range(number, FILL, writers):
            await self._put_one(client, f"http://example.com/{n}.tar.gz", b"x" * SMALLEST)
        client.close()

    async def read(self) -> None:
        """A reader, until the end."""
        await self._go_on(READER_PAUSE, self._read_one)

    async def write(self) -> None:
        """A writer, until the end."""
        await self._go_on(WRITER_PAUSE, self._write_one)

    async def _go_on(self, pause, act) -> None:
        client = Client(*self._place)
        while time.monotonic() < self._end:
            await asyncio.sleep(random.expovariate(1 / pause))
            try:
                await act(client)
            except (Wrong, OSError, ValueError, EOFError) as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
                client.close()
        client.close()

    async def _timed(self, kind, client, method, path, body=b"", status=200) -> bytes:
        begun = time.perf_counter()
        said, answer = await client.ask(method, path, body)
        self.times[kind].append((time.perf_counter() - begun) * 1000)
        if said != status:
            raise Wrong(f"{method} {path}: {said} {answer[:200]!r}")
        return answer

    async def _read_one(self, client: Client) -> None:
        if not self._put:
            return
        key, pair, digest, size = random.choice(self._put)
        chance = random.random()
        if chance < 0.6:
            answer = await self._timed("look-ups", client, "GET", f"/shadir/{key}")
            right = pair in decode_directory(answer)
        elif chance < 0.65:
            right = await self._read_batch(client)
        else:
            if size > SMALL and chance < 0.98:
                return
            kind = "small contents" if size <= SMALL else "large contents"
            answer = await self._timed(kind, client, "GET", f"/shacache/{digest}")
            right = Digest.of(answer) == digest
        if not right:
            raise Wrong(f"something else under {key} than was put")

    async def _read_batch(self, client: Client) -> bool:
        some = random.choices(self._put, k=BATCH)
        asked = Batch([key for key, *_ in some], [])
        answer = await self._timed("batches", client, "POST", "/shadir", asked.encode())
        found = BatchAnswer.decode(answer, asked).entries
        return all(pair in found.get(key, ()) for key, pair, *_ in some)

    async def _write_one(self, client: Client) -> None:
        size = int(SMALLEST * (LARGEST / SMALLEST) ** random.random())
        if self._bytes + size > ALL:
            return
        data = os.urandom(size)
        url = f"http://example.com/{Digest.of(data)}.tar.gz"
        for _ in range(random.choice((1, 1, 1, 2))):  # some send it again
            await self._put_one(client, url, data)
        self._bytes += size

    async def _put_one(self, client: Client, url: str, data: bytes) -> None:
        pair, key = pair_for(url, data, self._signer), Key.for_file(url)
        said = await self._timed("uploads", client, "POST", "/shacache", data, 201)
        path, body = f"/shadir/{key}", encode_put(pair)
        await self._timed("puts", client, "PUT", path, body, 201)
        self._put.append((key, pair, Digest.parse(said.decode()), len(data)))


async def soak(url: str, seconds: float, readers: int, writers: int) -> Soak:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    state = Soak(parts.hostname, parts.port, seconds)
    await state.run(readers, writers)
    return state


if __name__ == "__main__":
    url, seconds, readers, writers = sys.argv[1:]
    state = asyncio.run(soak(url, float(seconds), int(readers), int(writers)))
    print(json.dumps({"wrong": state.wrong, "times": state.times}))
