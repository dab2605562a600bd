"""Locks between processes: files that the kernel lets go of when their holder dies."""

from __future__ import annotations

import fcntl
import os

from .durable import disk_faults


def taken(path: str | os.PathLike[str], *, shared: bool = False) -> int | None:
    """A descriptor that holds the lock on the file at `path`, which is made where there is
    none, until it is closed; None where another process holds it.

    One that is `shared` keeps away only who does not share it. Raises `StorageFailure`.
    """
    with disk_faults(f"lock {path}"):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
    return fd
