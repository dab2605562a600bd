"""One GiB up, by the same raw client: rate, CPU time and memory of the server."""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from .load import Connection
from .processes import cpu_seconds, peak_memory
from .rows import Row, take_turns
from .servers import Server, old_server, our_server

ROUNDS, SIZE = 3, 1 << 30
_number = count()


def run(folder: Path) -> list[Row]:
    file = gibibyte(folder)
    rates: dict[str, list[float]] = {"old": [], "ours": []}
    with old_server(folder / "old") as old, our_server(folder / "ours") as ours:
        old_cpu, our_cpu = take_turns(
            ROUNDS,
            partial(_post, old, file, rates["old"]),
            partial(_post, ours, file, rates["ours"]),
        )
        old_memory, our_memory = peak_memory(old.pid), peak_memory(ours.pid)
    old_rate, our_rate = median(rates["old"]), median(rates["ours"])
    count = str(ROUNDS)
    return [
        Row("1 GiB up, rate", old_rate, our_rate, "MiB/s", count, 2, higher_is_better=True),
        Row("1 GiB up, server CPU per GiB", old_cpu, our_cpu, "s", count, 2),
        Row("1 GiB up, server memory", old_memory, our_memory, "MiB", count, limit=96),
    ]


def gibibyte(folder: Path) -> Path:
    """A file of random bytes of that size."""
    file = folder / "gibibyte"
    block = os.urandom(1 << 20)
    with file.open("wb") as out:
        for _ in range(SIZE >> 20):
            out.write(block)
    return file


def change(file: Path) -> None:
    """Make it another content, so that no server has it already."""
    with file.open("r+b") as out:
        out.write(b"%016d" % next(_number))


def _post(server: Server, file: Path, rates: list[float]) -> float:
    """CPU seconds of the server; the rate of the transfer goes into `rates`."""
    change(file)
    connection = Connection(server.cache_url)
    cpu, start = cpu_seconds(server.pid), time.perf_counter()
    status = connection.ask("POST", "", file)
    rates.append((SIZE >> 20) / (time.perf_counter() - start))
    connection.close()
    if status != 201:
        raise RuntimeError(f"{server.cache_url} answered {status}")
    return cpu_seconds(server.pid) - cpu
