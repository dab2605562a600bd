"""Carrying out an inspection: by hand, and in the background, at a chosen rate."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import StorageFailure
from ..configuration.options import Options
from ..leader import Job
from ..root import Root
from ..space.room import Room
from ..threads import Threads
from .findings import Findings, write
from .inspection import Inspection

if TYPE_CHECKING:
    from .sources import Sources

PAUSE = 600.0
"""Seconds between the end of a check in the background and the next one."""


class Pace:
    """How long to wait so that what is read stays within `rate` bytes a second; 0 is no
    limit."""

    def __init__(self, rate: int):
        self._rate = rate
        self._due = 0.0

    def wait(self, size: int, now: float) -> float:
        """The seconds to wait at `now`, a time in seconds, after `size` bytes more."""
        if not self._rate:
            return 0.0
        self._due = max(self._due, now) + size / self._rate
        return self._due - now


async def carry_out(
    inspection: Inspection,
    threads: Threads,
    *,
    sources: Sources | None = None,
    rate: int = 0,
    progress: Callable[[Findings], None] = lambda found: None,
) -> Findings:
    """All steps of an inspection, `rate` bytes a second; `sources` give what it wants.

    Raises `StorageFailure`.
    """
    pace = Pace(rate)
    now = asyncio.get_running_loop().time
    steps = inspection.steps()
    while (size := await threads.run(next, steps, None)) is not None:
        for digest in list(inspection.wanted):
            there = sources is not None and await sources.fetch(digest)
            settle = inspection.came if there else inspection.did_not_come
            await threads.run(settle, digest)
        progress(inspection.found)
        await asyncio.sleep(pace.wait(size, now()))
    return inspection.found


def background(root: Root, room: Room, options: Options, threads: Threads) -> Job:
    """Checks all contents again and again, ``check_rate`` bytes a second, and repairs what
    it can; a `Job`."""
    from .sources import open_sources

    async def job() -> None:
        async with open_sources(root, room, options, options.upstreams, threads) as sources:
            while True:
                began = time.time()
                sources.begin()
                inspection = Inspection(
                    root, repair=True, began=began, least_recent_first=True
                )
                try:
                    found = await carry_out(
                        inspection, threads, sources=sources, rate=options.check_rate
                    )
                    await threads.run(write, root.database, began, found)
                except StorageFailure as error:
                    print(f"networkcache server: not checked: {error}", file=sys.stderr)
                await asyncio.sleep(PAUSE)

    return job
