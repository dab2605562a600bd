"""One process at a time works on a release."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

logger = logging.getLogger("slapos.networkcache")


@contextmanager
def locked(path: str, what: str) -> Iterator[int]:
    """Hold the lock file `path`, and wait for whoever holds it; `what` they are at is said
    then. The file is removed when it is let go.

    The lock ends with the last process that has the descriptor which is given: a child
    that goes on with the work alone has to inherit it.
    """
    with os.fdopen(_take(path, what), "wb") as file:
        try:
            yield file.fileno()
        finally:
            if _is_there(file.fileno(), path):
                os.unlink(path)


def _take(path: str, what: str) -> int:
    """A descriptor of the file that is locked, and still is the one of that name."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        _wait(file, what)
        if _is_there(file, path):
            os.truncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
            return file
        os.close(file)


def _wait(file: int, what: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file, 20, 0).decode(errors="replace").strip() or "?"
        logger.warning("process %s is at %s: waiting for it", holder, what)
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_there(file: int, path: str) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), os.stat(path))
    return False
