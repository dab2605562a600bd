"""A copy of a server's folder, made while it serves: whole, and itself the folder of a
server.

The database is copied as it is at one moment, and then every content that is there: one
that came before that moment is there still, unless somebody removed it meanwhile. Where
that was one that the copied entries name, all is done once more, for by then they name it
no longer. So in a backup no entry is without its content.

Contents never change, so the next backup in the same place copies only those that are new.
Until its database takes the place of the older one, at once, the older backup is whole.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ..digest import Digest
from ..errors import InvalidInput, NotFound, StorageFailure, WrongContent
from ..storage import ContentStore
from ..storage.database import Database, failure
from ..storage.durable import disk_faults, make_folder, sync_folder
from ..storage.folder import FolderContents
from ..storage.locks import taken
from ..storage.schema import content_number
from .accounts.authority import FOLDER
from .root import BACKUP, ENTRIES, LOCK, VERSION_FILE, Root

ROUNDS = 5
"""How often it is begun anew for what was removed meanwhile."""
_THREADS = 8
"""Contents that are made durable at once: 12 times as many a second as one by one."""
_NAMED = "SELECT DISTINCT content FROM entry WHERE content IS NOT NULL"
_SHOWN = f"{_NAMED} AND hidden = 0"


class BackedUp(NamedTuple):
    """What became of a backup: how many `contents` it has, how many of them are `new` and
    the `size` of those in bytes, and how many it has no longer. `spoilt` are those whose
    bytes are wrong or cannot be read, `missing` is how many contents entries name that are
    nowhere."""

    contents: int
    new: int
    size: int
    gone: int
    spoilt: tuple[Digest, ...]
    missing: int


def back_up(root: Root, folder: Path) -> BackedUp:
    """Make `folder` a backup of `root`, or bring the one that is there up to date.

    Raises `InvalidInput` where something else is in `folder`, `StorageFailure` where it
    cannot be read or written.
    """
    with _taken(folder):
        with closing(FolderContents(folder)) as contents, disk_faults(f"write {folder}"):
            new = folder / f"{ENTRIES}.new"
            copied = _Copied(root.contents, contents)
            missing: set[int] = set()
            for _ in range(ROUNDS):
                before = missing
                _copy_database(root.database, new)
                copied.copy()
                have = {content_number(digest.raw) for digest in contents}
                missing = _numbers(new, _SHOWN) - have
                if missing == before:
                    break  # nothing is, or it was lost long ago
            named = _numbers(new, _NAMED)
            _copy_rest(root.folder, folder)
            _take_place(new, folder / ENTRIES)
            gone = copied.remove_others(named)
        spoilt = tuple(sorted(copied.spoilt, key=str))
        count = len(have) - gone
        return BackedUp(count, copied.new, copied.size, gone, spoilt, len(missing))


class _Unreadable(Exception):
    """A content of the source; what concerns the backup itself ends it."""


class _Copied:
    """The contents of `source`, copied to `target`."""

    def __init__(self, source: ContentStore, target: ContentStore):
        self._source = source
        self._target = target
        self.new = self.size = 0
        self.spoilt: set[Digest] = set()

    def copy(self) -> None:
        """Copy what is not there yet. A content that is spoilt, or cannot be read, is left
        out."""
        digests = iter(self._source)
        with ThreadPoolExecutor(_THREADS) as pool:
            while some := list(islice(digests, 1000)):
                sizes = [size for size in pool.map(self._copy, some) if size is not None]
                self.new += len(sizes)
                self.size += sum(sizes)

    def _copy(self, digest: Digest) -> int | None:
        """The bytes that were copied; None where there is nothing to copy."""
        if not self._is_copied(digest):
            try:
                self._target.put(self._pieces(digest), digest)
                self.spoilt.discard(digest)
                return self._target.size(digest)
            except NotFound:
                return None
            except (WrongContent, _Unreadable):
                self.spoilt.add(digest)
        return None

    def _is_copied(self, digest: Digest) -> bool:
        """Whether it is there, as long as it is in the source."""
        if not self._target.has(digest):
            return False
        try:
            return self._target.size(digest) == self._source.size(digest)
        except (NotFound, StorageFailure):
            return True  # the copy may be the last

    def _pieces(self, digest: Digest) -> Iterator[bytes]:
        try:
            with self._source.open(digest) as content:
                yield from content.pieces()
        except StorageFailure as error:
            raise _Unreadable(str(error)) from error

    def remove_others(self, named: set[int]) -> int:
        """Remove what the source has no longer, unless an entry names it; how many."""
        gone = [
            digest
            for digest in self._target
            if content_number(digest.raw) not in named and self._is_gone(digest)
        ]
        for digest in gone:
            self._target.delete(digest)
        return len(gone)

    def _is_gone(self, digest: Digest) -> bool:
        try:
            return not self._source.has(digest)
        except StorageFailure:
            return False  # it cannot be read: the copy may be the last


@contextmanager
def _taken(folder: Path) -> Iterator[None]:
    """The folder, for this backup alone."""
    with disk_faults(f"write in {folder}"):
        make_folder(str(folder))
        if os.listdir(folder) and not (folder / BACKUP).exists():
            raise InvalidInput(
                f"{folder} has something in it that is no backup: give an empty folder"
            )
        (folder / BACKUP).touch()
    lock = taken(folder / LOCK)
    if lock is None:
        raise StorageFailure(f"a server or another backup uses {folder}")
    try:
        yield
    finally:
        os.close(lock)


def _copy_database(database: Database, path: Path) -> None:
    """As it is at this moment: in WAL mode nobody who writes waits for that."""
    with suppress(FileNotFoundError):
        path.unlink()
    with database.reading() as reader, closing(sqlite3.connect(path)) as copy:
        try:
            reader.backup(copy)
        except sqlite3.Error as error:
            raise failure("write", str(path), error) from error


def _numbers(path: Path, select: str) -> set[int]:
    """The numbers of the contents that pairs in a copy of the database name."""
    with closing(sqlite3.connect(path)) as copy:
        return {number for (number,) in copy.execute(select)}


def _copy_rest(root: Path, folder: Path) -> None:
    """The version, and the authority with the modes that its files have."""
    _copy_file(str(root / VERSION_FILE), str(folder / VERSION_FILE))
    if (root / FOLDER).exists():
        copy = folder / FOLDER
        os.makedirs(copy, 0o700, exist_ok=True)
        copy.chmod(0o700)
        for name in os.listdir(root / FOLDER):
            _copy_file(str(root / FOLDER / name), str(copy / name))
        sync_folder(str(copy))


def _copy_file(source: str, target: str) -> None:
    """By one rename, so that an older copy is whole until then; and nobody else may read it
    before it has the mode of `source`."""
    new = f"{target}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    with open(source, "rb") as original, open(new, "xb", opener=_for_this_user) as file:
        shutil.copyfileobj(original, file)
        file.flush()
        shutil.copystat(source, new)
        os.fsync(file.fileno())
    os.replace(new, target)


def _for_this_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _take_place(new: Path, path: Path) -> None:
    """By one rename; what SQLite keeps beside a database that was in use is of that."""
    with open(new, "rb") as file:
        os.fsync(file.fileno())
    for beside in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + beside).unlink()
    os.replace(new, path)
    sync_folder(str(path.parent))
