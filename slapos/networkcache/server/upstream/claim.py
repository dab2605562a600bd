"""Who fills a content: one process of all, which holds a lock on a small file.

Its first line says how long the content will be, and in which file it grows; the second
one how that ended. How much is there, the growing file says itself. When it was last
changed says that it goes on, when it was last read that somebody follows. The kernel lets
go of the lock when the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import NamedTuple

WELL = "well"
"""How it ended where the content is whole, right and stored."""
FOLLOWED = 2.0
"""Seconds for which somebody who follows is believed to do so still."""
_LIMIT = 8192


class Said(NamedTuple):
    """A content of `size` bytes grows in the file `path`, which is empty as long as that
    is not known, or not to be read. `outcome` is `WELL`, a code, or empty."""

    size: int
    path: str
    outcome: str


class Claim:
    """The file at `path`, and whether this process holds the lock on it: `mine`."""

    def __init__(self, path: str):
        self._path = path
        self.mine = False
        while True:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            # Whoever held it may have removed its name since it was opened.
            if not self.lock() or self._named:
                break
            os.close(self._fd)
        if self.mine:
            os.ftruncate(self._fd, 0)  # what somebody left who was killed
            os.utime(self._fd, (0, time.time()))  # nobody follows yet

    @property
    def _named(self) -> bool:
        return os.fstat(self._fd).st_nlink > 0

    def lock(self) -> bool:
        """Whether nobody else holds it: then it is ours."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.mine = False
        else:
            self.mine = True
        return self.mine

    def announce(self, size: int, path: str) -> None:
        """Tell the others where the content grows; ours to do."""
        os.pwrite(self._fd, os.fsencode(f"{size} {path}\n"), 0)

    def touch(self) -> None:
        """Tell them that it goes on; ours to do."""
        # Where both write at a time, either is written again soon.
        read = os.fstat(self._fd).st_atime_ns
        os.utime(self._fd, ns=(read, time.time_ns()))

    @property
    def followed(self) -> bool:
        """Whether another process follows."""
        return time.time() - os.fstat(self._fd).st_atime < FOLLOWED

    def follow(self) -> int:
        """Tell whoever holds it that somebody follows; when they last told anything, in
        nanoseconds."""
        told = os.fstat(self._fd).st_mtime_ns
        os.utime(self._fd, ns=(time.time_ns(), told))
        return told

    def end(self, outcome: str) -> None:
        """Tell them how it ended; ours to do."""
        first = b"" if os.fstat(self._fd).st_size else b"0 \n"
        os.lseek(self._fd, 0, os.SEEK_END)
        os.write(self._fd, first + outcome.encode() + b"\n")

    def read(self) -> Said:
        """What was told so far."""
        return _parse(os.pread(self._fd, _LIMIT, 0))

    def close(self) -> None:
        """Let go of it. What it said stays for those who have it open."""
        if self.mine and self._named:
            os.unlink(self._path)
        os.close(self._fd)


def overheard(path: str) -> Said:
    """What was told in the file `path` so far, nothing where there is none; it is not
    claimed. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return _parse(file.read(_LIMIT))
    except FileNotFoundError:
        return Said(0, "", "")


def _parse(told: bytes) -> Said:
    lines = os.fsdecode(told).split("\n")
    # What follows the last line end is not all written yet.
    first, outcome = [*lines[:-1], "", ""][:2]
    size, _, path = first.partition(" ")
    return Said(int(size or 0), path, outcome)
