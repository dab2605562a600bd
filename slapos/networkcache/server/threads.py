"""The threads in which stores write and sync, so that the loop goes on answering."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

COUNT = 32
"""Threads per process. Eight made 1,600 contents of 50 KiB durable in a second, one made
130; more than eight only wait for the commit that they share."""


class Threads:
    """Runs blocking calls one side of the loop."""

    def __init__(self, count: int = COUNT):
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="store")

    async def run(self, call: Callable[..., Result], *arguments: object) -> Result:
        """The result of ``call(*arguments)``.

        If whoever waits is cancelled, the call is still waited for: a thread cannot be
        stopped, and what it works on must not be taken from it.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, call, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    def close(self) -> None:
        """Wait for what is running."""
        self._pool.shutdown()
