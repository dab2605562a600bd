"""A proximity cache, far from what it was asked for: many clients want the same content,
all at once. The incumbent's is left out: it fetches the whole into memory for each of
them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

from slapos.networkcache.digest import Digest

from .processes import peak_memory
from .rows import Row
from .servers import OurServer, our_server

CLIENTS, ROUNDS, SIZE = 50, 3, 100 << 20
PIECE = 1 << 20


@dataclass(frozen=True)
class _Round:
    """Seconds from the first request: until the `last_first` byte had come to the last of
    the clients, until the content was `filled`, until the last client had `all`; and the
    `fetches` that the far server saw."""

    last_first: float
    filled: float
    all: float
    fetches: int


def run(folder: Path) -> list[Row]:
    with our_server(folder / "far") as far:
        upstream = ("--upstream", far.cache_url, far.dir_url)
        with our_server(folder / "near", "--workers", "2", *upstream) as near:
            rounds = [_round(folder, far, near) for _ in range(ROUNDS)]
            memory = peak_memory(near.pid)
    count = f"{ROUNDS}x{CLIENTS} clients"
    share = median(each.last_first / each.filled for each in rounds)
    rate = CLIENTS * SIZE / (1 << 20) / median(each.all for each in rounds)
    fetches = max(each.fetches for each in rounds)
    what = "cold 100 MiB nearby: "
    return [
        Row(what + "fetches upstream", None, fetches, "", count, limit=1),
        Row(what + "last first byte / fill", None, share, "", count, limit=1),
        Row(what + "filled after", None, median(e.filled for e in rounds), "s", count),
        Row(what + "to all clients", None, rate, "MiB/s", count, higher_is_better=True),
        Row(what + "memory of a worker", None, memory, "MiB", count, limit=96),
    ]


def _round(folder: Path, far: OurServer, near: OurServer) -> _Round:
    data = os.urandom(SIZE)
    digest = Digest.of(data)
    with urlopen(Request(far.cache_url, data, method="POST")) as answer:
        answer.read()
    barrier = threading.Barrier(CLIENTS + 1)

    def ask(number: int) -> tuple[float, float]:
        barrier.wait()
        return _fetch(f"{near.cache_url}/{digest}", data if number == 0 else None)

    place = folder / "near" / "v1" / digest.hex[:2] / digest.hex[2:4] / digest.hex
    with ThreadPoolExecutor(CLIENTS) as pool, _appears(place) as filled:
        clients = [pool.submit(ask, number) for number in range(CLIENTS)]
        barrier.wait()
        start = time.perf_counter()
        times = [client.result() for client in clients]
    asked = (folder / "far" / "log").read_text().splitlines()
    return _Round(
        max(first for first, _ in times) - start,
        filled[0] - start,
        max(end for _, end in times) - start,
        sum('"GET"' in line and digest.hex in line for line in asked),
    )


def _fetch(url: str, expected: bytes | None) -> tuple[float, float]:
    """Read a content: when its first byte came, and its last one."""
    buffer = bytearray(SIZE if expected else PIECE)
    with urlopen(url) as answer:
        count = answer.readinto(memoryview(buffer)[:1])
        first = time.perf_counter()
        while count < SIZE:
            place = memoryview(buffer)[count:] if expected else buffer
            read = answer.readinto(place)
            if not read:
                raise RuntimeError(f"{url} ended after {count} bytes")
            count += read
    end = time.perf_counter()
    if expected is not None and buffer != expected:
        raise RuntimeError(f"{url} gave other bytes than were put")
    return first, end


@contextmanager
def _appears(path: Path) -> Iterator[list[float]]:
    """When `path` was there first, once the block is left."""
    seen: list[float] = []

    def look() -> None:
        while not path.exists():
            time.sleep(0.001)
        seen.append(time.perf_counter())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield seen
    thread.join(10)
