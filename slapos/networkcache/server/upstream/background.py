"""What goes on while nobody waits for it."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ...errors import StorageFailure
from ..threads import Threads

Result = TypeVar("Result")


class Background:
    """Tasks that are kept until they end, and blocking calls in `threads`."""

    def __init__(self, threads: Threads):
        self._threads = threads
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, call: Callable[..., Result], *arguments: object) -> Result:
        """The result of a blocking call."""
        return await self._threads.run(call, *arguments)

    async def read(self, call: Callable[..., Result], *arguments: object) -> Result:
        """The same for one that only reads."""
        return await self._threads.read(call, *arguments)

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Do `work` on its own, whoever waits for it and leaves."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """A cache that cannot write down what it learned goes on; what else fails unseen
        is our own fault, and is said."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StorageFailure):
            traceback.print_exception(error, file=sys.stderr)

    async def close(self) -> None:
        """End what still goes on."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
