"""A tree on disk, always in the same order, and what is in its files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap

from .prefixes import Data

_MAPPED = 32 << 20
"""Bytes from which a file is mapped and not read into memory."""
_SMALL = 1 << 20


def entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in one folder, sorted."""
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: os.fsencode(entry.name))


@contextmanager
def content(path: str) -> Iterator[tuple[Data, os.stat_result]]:
    """What is in a file, and how it is, for as long as this lasts."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size < _MAPPED:
            yield file.read(), status
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            yield data, status


def is_program(status: os.stat_result) -> bool:
    """Of a file."""
    return bool(status.st_mode & stat.S_IXUSR)


def read_small(path: str, *, over_links: bool = False) -> bytes:
    """What is in a file that somebody else may have put there: the first MiB, and nothing
    but a file. Raises `OSError`."""
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if over_links else os.O_NOFOLLOW)
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "expected a file", path)
        return file.read(_SMALL)
