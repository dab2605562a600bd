"""Distance between a client and a server, as a process: ``python -m benchmarks.distance``.

A proxy for TCP through which every byte is on its way for some time, in both directions,
and through which as many go as the computer bears. What a client sends first waits as
long as its connection would take to come about: once there and back.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CONNECTED = "connected"
_PIECE = 1 << 16
_REQUEST = re.compile(rb"([A-Z]+ \S+) HTTP/1\.1\r\n")


@dataclass
class Distance:
    """A proxy that runs, at `url`; use `distance`."""

    url: str
    log: Path

    @property
    def cache_url(self) -> str:
        return f"{self.url}/shacache"

    @property
    def dir_url(self) -> str:
        return f"{self.url}/shadir"

    def lines(self) -> list[str]:
        """What went through: a line for each connection, `CONNECTED`, and for each
        request, such as ``GET /shadir/KEY``, in the order in which clients sent them."""
        return self.log.read_text().splitlines()


@contextmanager
def distance(url: str, milliseconds: int, log: Path) -> Iterator[Distance]:
    """Be so many milliseconds away from the server of `url`, each way, in the block."""
    command = [sys.executable, "-m", "benchmarks.distance", url, str(milliseconds)]
    with log.open("w") as lines:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=lines, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"the proxy broke down:\n{log.read_text()}")
        yield Distance(address, log)
    finally:
        process.terminate()
        process.communicate(timeout=60)


async def _serve(host: str | None, port: int | None, seconds: float) -> None:
    async def handle(near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        _say(CONNECTED)
        established = asyncio.get_running_loop().time() + 2 * seconds
        far, far_end = await asyncio.open_connection(host, port)
        await asyncio.gather(
            _carry(near, far_end, seconds, established), _carry(far, near_end, seconds)
        )
        near_end.close()
        far_end.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def _carry(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    seconds: float,
    not_before: float = 0.0,
) -> None:
    """Bring all of `source` to `sink`: each piece arrives `seconds` after it came, and
    after `not_before`, the time of the loop at which it could first be sent."""
    now = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    arriving = asyncio.create_task(_arrive(under_way, sink))
    piece = None
    while piece != b"":
        piece = b""
        with suppress(ConnectionError):
            piece = await source.read(_PIECE)
        if request := _REQUEST.match(piece):
            _say(request[1].decode("latin-1"))
        under_way.put_nowait((max(now(), not_before) + seconds, piece))
    await arriving


async def _arrive(
    under_way: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
) -> None:
    now = asyncio.get_running_loop().time
    with suppress(ConnectionError):
        while True:
            due, piece = await under_way.get()
            await asyncio.sleep(due - now())
            if not piece:
                break
            sink.write(piece)
            await sink.drain()
        sink.write_eof()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.distance", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("milliseconds", type=int)
    arguments = parser.parse_args()
    server = urlsplit(arguments.url)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(server.hostname, server.port, arguments.milliseconds / 1000))


if __name__ == "__main__":
    main()
