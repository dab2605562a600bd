"""200 readers and 20 writers for five minutes, or for ``SECONDS`` of the environment: no
error, flat memory, and how long answers took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from .processes import memory
from .rows import Row
from .servers import our_server

READERS, WRITERS, WORKERS = 200, 20, 2
GROWTH = 1.1
"""What memory may be in the last fifth of the time, for each of the second fifth: in the
first one the server warms up. Up to 40 threads begin by and by, each with something of its
own; forty bytes kept of each request would be more than that."""


def run(folder: Path) -> list[Row]:
    seconds = float(os.environ.get("SECONDS", 300))
    said = folder / "said"
    with our_server(folder / "server", "--workers", str(WORKERS)) as server:
        asked = (server.url, str(seconds), str(READERS), str(WRITERS))
        with said.open("w") as out:
            load = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.soaking", *asked], stdout=out
            )
        held = _watch(server.pid, load)
    if load.returncode:
        raise RuntimeError("the load broke down")
    found = json.loads(said.read_text())
    for wrong in found["wrong"][:5]:
        print(wrong, file=sys.stderr)
    answers = sum(map(len, found["times"].values()))
    count = f"{answers:,} in {seconds:.0f} s, {READERS} readers, {WRITERS} writers"
    return [
        Row("soak: errors", None, len(found["wrong"]), "", count, limit=0),
        *_memory_rows(held),
        *(row for kind in sorted(found["times"]) for row in _times(kind, found["times"])),
    ]


def _watch(pid: int, load: subprocess.Popen[bytes]) -> list[float]:
    """MiB of all processes of the server, each second."""
    held = []
    while load.poll() is None:
        held.append(memory(pid))
        time.sleep(1)
    return held


def _memory_rows(held: Sequence[float]) -> list[Row]:
    fifth = len(held) // 5
    second, last = median(held[fifth : 2 * fifth]), median(held[-fifth:])
    what = "soak: memory, last fifth for the second"
    count = f"{len(held)} seconds, {WORKERS} workers"
    return [
        Row("soak: memory at most", None, max(held), "MiB", count),
        Row(what, None, last / second, "x", f"{second:.0f}, {last:.0f} MiB", limit=GROWTH),
    ]


def _times(kind: str, times: dict[str, list[float]]) -> list[Row]:
    count = f"{len(times[kind]):,}"
    cuts = quantiles(times[kind], n=100)
    return [
        Row(f"soak: {kind}, {name}", None, cuts[place], "ms", count)
        for name, place in (("half within", 49), ("99 % within", 98))
    ]
