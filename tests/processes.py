"""Processes of a running server: its workers, what they hold, and their end."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from wire import TIMEOUT


def wait_until(condition: Callable[[], bool]) -> None:
    """Until that is so; it must come to that."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def family(server) -> list[int]:
    """All processes of a server, its supervisor first."""
    return [server.process.pid, *children(server.process.pid)]


def kill_all(server) -> None:
    """``kill -9`` for every process of a server: none is left to tidy up."""
    os.kill(server.process.pid, signal.SIGSTOP)  # or it would make new workers
    for pid in children(server.process.pid):
        os.kill(pid, signal.SIGKILL)
    server.kill()


def memory(server) -> int:
    """Bytes that a server's processes hold, what they share counted once (Pss)."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in family(server)]
    return sum(int(re.search(r"\nPss: +(\d+) kB", text)[1]) << 10 for text in rollups)


def sockets(server) -> int:
    """Sockets that the first process of a server has open."""
    folder = Path(f"/proc/{server.process.pid}/fd")
    return sum(_target(file).startswith("socket:") for file in folder.iterdir())


def _target(file: Path) -> str:
    try:
        return os.readlink(file)
    except FileNotFoundError:
        return ""
