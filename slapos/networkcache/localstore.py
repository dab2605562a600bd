"""The node's own store of contents: ``<folder>/v1/ab/cd/<digest>``, shared by the runs of
a user.

It only saves transfers, so nothing in it is synced to the disk, and nothing in it is
believed: whoever reads a content hashes it, and says so where it is wrong. What is being
read when it gives way to something newer stays readable.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import platformdirs

from .bounded_folder import LEFT_OVER, BoundedFolder, Held, files_in, remove
from .config import Config
from .digest import Digest
from .errors import NotFound
from .private_folder import make_folders, make_private_folder
from .storage import Content
from .storage.durable import disk_faults, failure
from .storage.folder import FileContent

_DIGEST = re.compile(r"[0-9a-f]{128}\Z")
_USED_AGAIN = 3600
"""Seconds in which the time of use is noted once."""


class LocalStore:
    """Contents in `folder`, `size` bytes of them, but for what arrives at the moment.

    The folder is made where it is not there, for this user alone. Raises `StorageFailure`
    where it is another user's, others may write in it, or a link leads there. Safe to use
    from many threads and processes.
    """

    def __init__(self, folder: Path, size: int):
        make_private_folder(folder)
        self.folder = folder
        self.size = size
        self._top = os.path.join(os.path.abspath(folder), "v1")
        self._bound = BoundedFolder(os.path.dirname(self._top), size, self._held)

    def path(self, digest: Digest) -> str:
        """Where the content is, or would be."""
        hex = digest.hex
        return f"{self._top}/{hex[:2]}/{hex[2:4]}/{hex}"

    def has(self, digest: Digest) -> bool:
        """Whether there is something that should be the content."""
        return os.path.isfile(self.path(digest))

    def open(self, digest: Digest) -> Content:
        """Open what should be the content: whoever reads it hashes it, and throws away
        what is wrong with `discard`. Raises `NotFound` and `StorageFailure`."""
        path = self.path(digest)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFound(f"no content {digest.hex[:16]}…") from None
        except OSError as error:
            raise failure(f"open {path}", error) from error
        content = FileContent(fd, path)
        with suppress(OSError):  # it then gives way a little early
            if abs(time.time() - os.fstat(fd).st_mtime) > _USED_AGAIN:
                os.utime(fd)
        return content

    def discard(self, digest: Digest) -> None:
        """Throw away what was not the content. Raises `StorageFailure`."""
        path = self.path(digest)
        with disk_faults(f"remove {path}"), suppress(FileNotFoundError):
            os.unlink(path)

    @contextmanager
    def incoming(self, digest: Digest, size: int | None) -> Iterator[str]:
        """The path at which the block puts the finished content, renaming it from beside.

        `size` is what is announced, in bytes. Raises `StorageFull` and `StorageFailure`;
        an OSError of the block becomes one of them.
        """
        path = self.path(digest)
        self._bound.check(size or 0)
        with disk_faults(f"write in {self._bound.folder}"):
            make_folders(os.path.dirname(path))
            before = _identity(path)
            yield path
            after = _identity(path)
            if after is not None and after != before:
                self._count(path, after.size)

    def _count(self, path: str, size: int) -> None:
        if size > self.size:  # nobody had announced it
            remove(path)
        self._bound.check(size)
        self._bound.added(path, size)

    def add(self, digest: Digest, path: str) -> None:
        """Copy the file at `path` in, which the caller found right. One of its length that
        is there already stays. Raises `StorageFull` and `StorageFailure`."""
        with disk_faults(f"read {path}"):
            size = os.stat(path).st_size
        with self.incoming(digest, size) as place:
            there = _identity(place)
            if there is not None and there.size == size:
                return
            temporary = os.path.join(
                os.path.dirname(place), f".networkcache-{secrets.token_hex(8)}.part"
            )
            try:
                shutil.copyfile(path, temporary)
                os.replace(temporary, place)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise

    def new_folder(self) -> str:
        """A folder of the caller's own for files that are to be published: what it forgets
        there is removed some day."""
        with disk_faults(f"write in {self._top}"):
            make_folders(self._top)
            return tempfile.mkdtemp(prefix="outgoing-", dir=self._top)

    def _held(self) -> Iterator[Held]:
        """All that is there, less the left-overs, which are removed."""
        for entry in files_in(self._top):
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if _DIGEST.match(entry.name):
                    give_way = partial(remove, entry.path)
                    yield Held(entry.path, status.st_size, status.st_mtime, give_way)
                elif time.time() - status.st_mtime < LEFT_OVER or not remove(entry.path):
                    yield Held(entry.path, status.st_size, status.st_mtime)


def folder_of(config: Config) -> Path:
    """Where the store of a node is, be it there or not."""
    return Path(config.local_store) if config.local_store else _default_folder()


def _default_folder() -> Path:
    """``store`` in the user's cache folder."""
    return Path(platformdirs.user_cache_dir("slapos.networkcache")) / "store"


class _Identity(NamedTuple):
    inode: int
    size: int


def _identity(path: str) -> _Identity | None:
    """Which file is at `path`, if any."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return _Identity(status.st_ino, status.st_size)
