"""One process of a server does what is done once: it holds a lock on a file.

The kernel lets go of the lock when the process dies, however it dies, and another one
takes it within `EVERY` seconds.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from ..errors import StorageFailure
from ..storage.locks import taken

EVERY = 2.0
"""Seconds between two tries to become the leader."""

Job = Callable[[], Awaitable[None]]
"""Work that goes on until it is cancelled."""


async def lead(path: Path, jobs: Sequence[Job]) -> None:
    """Run `jobs` in this process as long as it holds the lock on the file `path`; wait for
    that first. Ends when it is cancelled."""
    lock = await _lock(path)
    try:
        await asyncio.gather(*(_again_and_again(job) for job in jobs))
    finally:
        os.close(lock)


async def _lock(path: Path) -> int:
    """The lock, once nobody else holds it. What keeps this process from trying, such as
    too many open files, is said when it is something else than at the last try."""
    said = ""
    while True:
        try:
            if (lock := taken(path)) is not None:
                return lock
        except StorageFailure as error:
            if said != (said := str(error)):
                print(f"networkcache server: {said}", file=sys.stderr, flush=True)
        await asyncio.sleep(EVERY)


async def _again_and_again(job: Job) -> None:
    """A job that fails is our own fault: it is said, and begun anew after a while."""
    while True:
        try:
            return await job()
        except Exception:
            traceback.print_exc(file=sys.stderr)
            await asyncio.sleep(60)
