"""The file system that contents are written to, and how much of it is to stay free."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from .durable import disk_faults

UNPROMISED = 1 << 20
"""Bytes of a transfer for which nothing is set aside, if nothing but the disk limits it:
for those `Disk.free` is room enough, and to promise is a sync of the disk."""


class Space(NamedTuple):
    """Bytes of a file system; `free` for us."""

    free: int
    total: int


def space_of(folder: str | os.PathLike[str]) -> Space:
    """That of the file system of `folder`. Raises `StorageFailure`."""
    with disk_faults(f"measure the free space of {folder}"):
        status = os.statvfs(folder)
    return Space(status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)


@dataclass(frozen=True)
class Disk:
    """The file system of the folder `temporary`, where contents on their way are written;
    `free` bytes of it are to stay free."""

    temporary: str
    free: int

    def left(self) -> int:
        """Bytes that may be promised to transfers; what those on their way wrote already
        is among them."""
        with disk_faults(f"measure the free space of {self.temporary}"):
            return self._available() - self.free + self._written()

    def _available(self) -> int:
        return space_of(self.temporary).free

    def _written(self) -> int:
        written = 0
        with os.scandir(self.temporary) as files:
            for file in files:
                with suppress(FileNotFoundError):  # it has arrived
                    size = file.stat().st_size
                    written += size if size > UNPROMISED else 0
        return written
