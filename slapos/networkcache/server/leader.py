"""One process of a server does what is done once: it holds a lock on a file.

The kernel lets go of the lock when the process dies, however it dies, and another one
takes it within `EVERY` seconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

EVERY = 2.0
"""Seconds between two tries to become the leader."""

Job = Callable[[], Awaitable[None]]
"""Work that goes on until it is cancelled."""


async def lead(path: Path, jobs: Sequence[Job]) -> None:
    """Run `jobs` in this process as long as it holds the lock on the file `path`; wait for
    that first. Ends when it is cancelled."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _taken(lock):
            await asyncio.sleep(EVERY)
        await asyncio.gather(*(_again_and_again(job) for job in jobs))
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


async def _again_and_again(job: Job) -> None:
    """A job that fails is our own fault: it is said, and begun anew after a while."""
    while True:
        try:
            return await job()
        except Exception:
            traceback.print_exc(file=sys.stderr)
            await asyncio.sleep(60)
