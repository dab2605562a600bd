"""What is done at once about a content that is bad: it is set aside."""

from __future__ import annotations

import os
import sqlite3
from typing import NamedTuple

from ...digest import Digest
from ...storage.durable import disk_faults, make_folder
from ..log import CHECK, record
from ..root import Root


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
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def set_aside(root: Root, digest: Digest, seen: Identity, what: str) -> bool:
    """Move a bad content away, so that it is not served; whether it was still the file
    that was `seen`. `what` is wrong with it.

    Its row stays, for when it comes again: it says whose it is.
    """
    aside = os.path.join(root.folder, "aside")
    path = root.contents.path(digest)
    with disk_faults(f"make the folder {aside}"):
        make_folder(aside)

    def change(connection: sqlite3.Connection) -> bool:
        # In a transaction, since what was uploaded anew is acknowledged within one, too.
        if identity(path) != seen:
            return False
        with disk_faults(f"move {path} to {aside}"):
            os.rename(path, os.path.join(aside, digest.hex))
        record(connection, CHECK, "set aside", digest.hex, what)
        return True

    return root.database.change(change, alone=True)
