"""A folder that holds so many bytes and not more: the least recently used give way.

What is in it is estimated, not counted. Whoever puts something in adds its bytes to the
file ``usage``; only when the estimate passes the bound, or after a week, is all counted
and room made. The estimate errs on the large side, but for what a process was killed over:
the week is for that.

``usage`` is locked for the moment in which it is changed, the file ``counting`` while one
process counts. Nobody waits for that: the others leave it to the one.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .errors import StorageFull
from .storage.durable import disk_faults

LEFT_OVER = 24 * 3600
"""Seconds after which a file that is not finished belongs to nobody who still lives."""
_ANEW = 7 * 24 * 3600
"""Seconds after which all is counted anew."""
_ENOUGH = 0.9
"""What is kept of the bound when room is made, so that it is not made again at once."""


class Held(NamedTuple):
    """Something in the folder: its name, bytes, when it was last `used` (POSIX seconds),
    and how to `remove` it, which tells whether it is gone."""

    name: str
    size: int
    used: float
    remove: Callable[[], bool] = lambda: False


class BoundedFolder:
    """Keeps `folder` at `size` bytes, but for what is being put in at the moment.

    `held` lists what is there, and removes left-overs on the way. Raises `StorageFull`
    and `StorageFailure`. Safe to use from many threads and processes.
    """

    def __init__(self, folder: str, size: int, held: Callable[[], Iterable[Held]]):
        self.folder = folder
        self.size = size
        self._held = held
        self._usage = os.path.join(folder, "usage")
        self._counting = os.path.join(folder, "counting")

    def check(self, size: int) -> None:
        """Raise `StorageFull` where `size` bytes alone are too many."""
        if size > self.size:
            raise StorageFull(
                f"cannot keep {size} bytes in {self.folder}: it holds at most {self.size}"
            )

    def added(self, name: str, size: int) -> None:
        """Something of that name and of `size` bytes was put in. Makes room where it is
        needed, but not of this."""
        with disk_faults(f"count what is in {self.folder}"):
            with _usage(self._usage) as usage:
                usage.write(usage.bytes + size, usage.counted_at)
            age = time.time() - usage.counted_at
            if usage.bytes > self.size or not 0 <= age < _ANEW:
                self._count(name)

    def _count(self, newcomer: str) -> None:
        while True:
            with claimed(self._counting, make=True) as ours:
                if not ours:
                    return
                with _usage(self._usage) as usage:
                    before = usage.bytes
                total = self._make_room(newcomer)
                with _usage(self._usage) as usage:
                    # What came meanwhile may have been seen too: then it counts twice.
                    usage.write(total + usage.bytes - before, int(time.time()))
            # Whoever came while this one counted has left it to this one.
            with _usage(self._usage) as usage:
                if usage.bytes <= self.size or usage.bytes == total:
                    return

    def _make_room(self, newcomer: str) -> int:
        """Count, remove what is too much, and return how many bytes stay."""
        held = sorted(self._held(), key=lambda one: one.used)
        total = sum(one.size for one in held)
        if total <= self.size:
            return total
        for one in held:
            if total <= self.size * _ENOUGH:
                break
            if one.name != newcomer and one.remove():
                total -= one.size
        return total


class _Usage:
    """The estimate: how many `bytes`, on the ground of what was `counted_at` a POSIX time;
    0 where nobody knows."""

    def __init__(self, fd: int):
        self._fd = fd
        try:
            text = os.pread(fd, 100, 0).decode("ascii")
            self.bytes, self.counted_at = map(int, text.split())
        except ValueError:
            self.bytes, self.counted_at = 0, 0

    def write(self, size: int, counted_at: int) -> None:
        self.bytes, self.counted_at = size, counted_at
        # Of one width, so that nothing of an older text is left behind it.
        os.pwrite(self._fd, b"%020d %020d\n" % (size, counted_at), 0)


@contextmanager
def _usage(path: str) -> Iterator[_Usage]:
    fd = _open(path, os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield _Usage(fd)
    finally:
        os.close(fd)


@contextmanager
def claimed(path: str, *, make: bool = False) -> Iterator[bool]:
    """Whether the file at `path` is this block's alone, among all threads and processes.
    It is not where the file is gone. With `make`, it is made."""
    try:
        fd = _open(path, os.O_CREAT if make else 0)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            ours = False
        else:
            # It may have been removed by who had it until now.
            ours = os.fstat(fd).st_nlink > 0
        yield ours
    finally:
        os.close(fd)


def _open(path: str, how: int) -> int:
    # To write: over NFS, a lock that shuts others out needs that.
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | how, 0o600)


def files_in(folder: str) -> Iterator[os.DirEntry[str]]:
    """All files in the folder and in those that it holds; links count as files."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files_in(entry.path)
            else:
                yield entry


def remove(path: str) -> bool:
    """Remove the file where that is possible, and say whether it is gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
