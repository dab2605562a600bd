"""What is done at once about a content that is bad: it is set aside."""

from __future__ import annotations

import errno
import itertools
import os
import sqlite3
from typing import NamedTuple

from ...digest import Digest
from ...errors import StorageFailure
from ...storage.durable import disk_faults, make_folder
from ..log import CHECK, record
from ..root import ASIDE, Root

_LASTING = {errno.EIO, errno.EISDIR, errno.ELOOP, errno.EBADMSG, errno.EUCLEAN}
"""What is wrong with a file, and not with who reads it."""


class Identity(NamedTuple):
    """What tells a file from another one that has its name, and from itself when it was
    written to; `size` is bytes."""

    device: int
    number: int
    size: int
    modified: int


def identity(path: str) -> Identity | None:
    """Of the file at `path`; None where there is none. Raises `StorageFailure`."""
    with disk_faults(f"read {path}"):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        except OSError:
            status = os.lstat(path)  # of a link that leads nowhere
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def is_lasting(error: StorageFailure) -> bool:
    """Whether a file cannot be read because of what it is, or of the disk below it."""
    return _number(error) in _LASTING


def cannot_be_moved(error: StorageFailure) -> bool:
    """Whether that concerns this file, or where it was to go, and no other work."""
    return _number(error) in {errno.EXDEV, *_LASTING}


def _number(error: StorageFailure) -> int | None:
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None


def set_aside(root: Root, digest: Digest, seen: Identity, what: str) -> bool:
    """Move a bad content away, so that it is not served; whether it was still the file
    that was `seen`. `what` is wrong with it.

    Its row stays, for when it comes again: it says whose it is. Nothing of it is read.
    Raises `StorageFailure`.
    """
    aside = os.path.join(root.folder, ASIDE)
    path = root.contents.path(digest)
    with disk_faults(f"make the folder {aside}"):
        make_folder(aside)

    def change(connection: sqlite3.Connection) -> bool:
        # In a transaction, since what was uploaded anew is acknowledged within one, too.
        if identity(path) != seen:
            return False
        with disk_faults(f"move {path} to {aside}"):
            os.rename(path, _free(os.path.join(aside, digest.hex)))
        record(connection, CHECK, "set aside", digest.hex, what)
        return True

    return root.database.change(change, alone=True)


def _free(path: str) -> str:
    """`path`, or one like it where something is there: what was set aside stays."""
    names = itertools.chain([path], (f"{path}.{n}" for n in itertools.count(2)))
    return next(name for name in names if not os.path.lexists(name))
