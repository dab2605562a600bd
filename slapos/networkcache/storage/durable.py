"""Folders that survive a crash, and what a fault of the disk is called.

A name is durable once its folder was synced, and a folder once its own name is: so a
folder that is made is followed by fsync of the folder it is made in.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..errors import StorageFailure, StorageFull, StorageReadOnly

_KINDS: Mapping[int, type[StorageFailure]] = {
    errno.ENOSPC: StorageFull,
    errno.EDQUOT: StorageFull,
    errno.EROFS: StorageReadOnly,
    errno.EPERM: StorageReadOnly,
}


@contextmanager
def disk_faults(doing: str) -> Iterator[None]:
    """Turn an OSError of the block into a `StorageFailure`.

    `doing` completes "cannot ...", for example ``write under /srv/cache``.
    """
    try:
        yield
    except OSError as error:
        raise failure(doing, error) from error


def failure(doing: str, error: OSError) -> StorageFailure:
    """`error` as the contract of stores names it; `doing` as for `disk_faults`."""
    kind = _KINDS.get(error.errno or 0, StorageFailure)
    return kind(f"cannot {doing}: {error.strerror or error}")


def sync_folder(path: str) -> None:
    """Make the names in the folder at `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: str) -> None:
    """Make the folder at `path` with its parents, each of them durable.

    One that is there already is left alone: whoever made it may not have synced its
    name yet, so a caller whose promise hangs on it syncs the parent.
    """
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(parent):
        make_folder(parent)
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    sync_folder(parent)


def check_writable(path: str) -> None:
    """Raise `StorageFailure` unless files can be made in the folder at `path`.

    Nothing is written, so that a store on a full disk can still be opened and read.
    """
    if not os.access(path, os.W_OK | os.X_OK):
        raise StorageFailure(
            f"cannot write in {path}: give this user the right to write there,"
            " or choose another folder"
        )
