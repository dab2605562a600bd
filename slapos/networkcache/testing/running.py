"""What the contracts share: errors that are expected, and many threads at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TypeVar

_Result = TypeVar("_Result")


@contextmanager
def raises(kind: type[Exception]) -> Iterator[None]:
    """Fail unless the block raises `kind`."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def in_threads(count: int, work: Callable[[int], _Result]) -> list[_Result]:
    """Call `work` with 0 to `count` - 1, each in a thread, all beginning at once."""
    barrier = Barrier(count)

    def start(number: int) -> _Result:
        barrier.wait(timeout=60)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))
