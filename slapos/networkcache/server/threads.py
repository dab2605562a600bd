"""The threads in which stores work, so that the loop goes on answering."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

COUNT = 32
"""Threads per process that write and sync. Eight made 1,600 contents of 50 KiB durable in
a second, one made 130; more than eight only wait for the commit that they share."""
READING = 8
"""Threads per process for what only reads: it does not wait for those that write, who may
all wait for a disk or for another process."""


class Threads:
    """Runs blocking calls one side of the loop."""

    def __init__(self, count: int = COUNT):
        self._writing = ThreadPoolExecutor(count, thread_name_prefix="store")
        self._reading = ThreadPoolExecutor(READING, thread_name_prefix="read")

    async def run(self, call: Callable[..., Result], *arguments: object) -> Result:
        """The result of ``call(*arguments)``.

        If whoever waits is cancelled, the call is still waited for: a thread cannot be
        stopped, and what it works on must not be taken from it.
        """
        return await _result(self._writing, call, *arguments)

    async def read(self, call: Callable[..., Result], *arguments: object) -> Result:
        """The same for a call that neither writes nor waits for one who does."""
        return await _result(self._reading, call, *arguments)

    def close(self) -> None:
        """Wait for what is running."""
        self._writing.shutdown()
        self._reading.shutdown()


async def _result(
    pool: ThreadPoolExecutor, call: Callable[..., Result], *arguments: object
) -> Result:
    future = asyncio.get_running_loop().run_in_executor(pool, call, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
