"""One SQLite file for all that a server knows beside contents, in WAL mode with
``synchronous=FULL``.

Changes are committed in groups, see `groups`; reads never wait for them. What tables
there are is in `schema`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from ..errors import StorageBusy, StorageFailure, StorageFull, StorageReadOnly
from .durable import check_writable, disk_faults, make_folder
from .groups import GroupCommit
from .schema import MIGRATIONS, VERSION

BUSY_TIMEOUT = 10.0
"""Seconds to wait for another process that writes. A change may wait twice as long, behind
one that waits already."""

# Pages of 8 KiB waste less on rows of a kilobyte than SQLite's 4 KiB: with three pairs of
# 1 KiB under each, a million keys take 3.4 GiB instead of 4.0.
_PAGE = "PRAGMA page_size = 8192"
# There may be a reader for each thread. What SQLite does not keep, the system does: with
# 256 KiB in place of 2 MiB each, a look-up takes half a microsecond more.
_SMALL_CACHE = "PRAGMA cache_size = -256"
_INDEX = 32 << 10
"""Bytes that SQLite needs for the index of its log before it reads anything."""
_STATE = """
SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version
"""

Result = TypeVar("Result")
Bound = TypeVar("Bound")
Row = tuple[Any, ...]


class Database:
    """The file `path`, which is made where it is not there yet, and upgraded where it is
    of an earlier version.

    Several processes may use one file, each after opening it for itself: it must not be
    carried over a fork. `damage` is what was first met that only a backup mends. Raises
    `StorageFailure` where the file is not one of ours, is of a newer version, or cannot be
    written.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.path.abspath(os.fspath(path))
        self.damage: str | None = None
        folder = os.path.dirname(self.path)
        with disk_faults(f"make the folder {folder}"):
            make_folder(folder)
        check_writable(folder)
        if not _is_writable(self.path):
            raise StorageReadOnly(
                f"cannot write {self.path}: give this user the right to write it"
            )
        self._writing = self._connect()
        try:
            with self._faults("open"):
                _prepare(self._writing, self.path)
        except BaseException:
            self._writing.close()
            raise
        self._reading: deque[sqlite3.Connection] = deque()
        self._groups = GroupCommit(self._writing)

    def rows(
        self, statement: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[Row]:
        """All rows of one query."""
        with self.reading() as reader:
            return reader.execute(statement, parameters).fetchall()

    def check(self) -> str:
        """What SQLite finds wrong in the file, all of which it reads, or `SOUND`."""
        try:
            return "; ".join(str(said) for (said,) in self.rows("PRAGMA quick_check(10)"))
        except StorageFailure:
            if self.damage is None:
                raise
            return self.damage

    def walk(
        self, select: str, column: str, parameters: Mapping[str, object], step: int = 1000
    ) -> Iterator[list[Row]]:
        """The rows of `select` in steps, ordered by `column` and by ``id``, which are its
        first two; `column` holds integers from 0 on, and `select` ends in a condition.

        In steps, since a long read keeps SQLite from emptying its log.
        """
        same = f"{select} AND {column} = :value AND id > :last ORDER BY id LIMIT {step}"
        next_ = f"{select} AND {column} > :value ORDER BY {column}, id LIMIT {step}"
        value, last = -1, 0
        # Not as ``(column, id) > (:value, :last)``: of that SQLite uses an index for the
        # column alone, and reads all rows of one value again at every step.
        while rows := (
            self.rows(same, {**parameters, "value": value, "last": last})
            or self.rows(next_, {**parameters, "value": value})
        ):
            yield rows
            value, last = rows[-1][:2]

    def stretches(
        self, table: str, column: str, ends: tuple[Bound, Bound], size: int = 5000
    ) -> Iterator[tuple[Bound, Bound]]:
        """Cut `table` by `column`, which has an index, into stretches of `size` rows: the
        value before each and its last, from one of `ends` to the other. Rows of one value
        stay together."""
        select = f"SELECT {column} FROM {table} WHERE {column} > ? ORDER BY {column}"
        after, end = ends
        while rows := self.rows(f"{select} LIMIT 1 OFFSET {size}", (after,)):
            yield after, rows[0][0]
            after = rows[0][0]
        yield after, end

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with, for one thread at a time, so that no reader waits
        for another.

        They are kept, since each remembers its prepared statements.
        """
        try:
            reader = self._reading.pop()
        except IndexError:
            reader = self._connect()
            reader.execute(_SMALL_CACHE)
        try:
            yield reader
        except sqlite3.Error as error:
            raise self._failure("read", error) from error
        finally:
            if reader.in_transaction:
                reader.rollback()
            self._reading.append(reader)

    def change(
        self, change: Callable[[sqlite3.Connection], Result], *, alone: bool = False
    ) -> Result:
        """Have `change` committed, and return what it returned once that is on the disk.

        Others may share its transaction unless it is to be `alone`: then all that it sees
        is on the disk. Raises what `change` raised; then nothing of it is there.
        """
        with self._faults("write"):
            return self._groups.commit(change, alone=alone)

    def close(self) -> None:
        self._groups.close()
        while self._reading:
            self._reading.pop().close()
        self._writing.close()

    def _connect(self) -> sqlite3.Connection:
        with self._faults("open"):
            # Autocommit: the transactions below are the only ones.
            connection = sqlite3.connect(
                self.path,
                timeout=BUSY_TIMEOUT,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA synchronous = FULL")
            return connection

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._failure(doing, error) from error

    def _failure(self, doing: str, error: sqlite3.Error) -> StorageFailure:
        named = failure(doing, self.path, error)
        if str(named).endswith(_DAMAGED):
            self.damage = self.damage or str(named)
        return named


def failure(doing: str, path: str, error: sqlite3.Error) -> StorageFailure:
    """What `error` is called by the contract of stores; `doing` completes "cannot ..."."""
    text = f"cannot {doing} {path}: {error}"
    # Not by `sqlite_errorcode`, which Python 3.10 does not have.
    for words, kind, advice in _FAILURES:
        if words in str(error):
            return kind(text + advice)
    if "disk I/O error" in str(error):  # be it full, only read or broken
        if not _is_writable(path):
            return StorageReadOnly(f"{text}: it is read-only now")
        if _is_full(os.path.dirname(path)):
            return StorageFull(f"{text}: the disk is full")
    return StorageFailure(text)


SOUND = "ok"
"""What `Database.check` says where nothing is wrong."""

_DAMAGED = ": it is damaged, restore it from a backup"
_FAILURES = (
    ("is full", StorageFull, ""),
    ("is locked", StorageBusy, f", for {BUSY_TIMEOUT:.0f} s, by another process"),
    ("readonly database", StorageReadOnly, ""),
    ("malformed", StorageFailure, _DAMAGED),
    ("not a database", StorageFailure, _DAMAGED),
)


def _is_writable(path: str) -> bool:
    files = (path, f"{path}-wal")
    return all(os.access(file, os.W_OK) for file in files if os.path.exists(file))


def _is_full(folder: str) -> bool:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize < _INDEX


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Check that the file is one of ours, or make it one, and bring it up to date."""
    if not _version(connection, path):
        connection.execute(_PAGE)
    if _version(connection, path) < VERSION:
        if not _version(connection, path):
            _set_wal(connection)
        _upgrade(connection, path)
    _set_wal(connection)


def _upgrade(connection: sqlite3.Connection, path: str) -> None:
    """Run the migrations that are missing, in one transaction: all of them or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been quicker.
        for migrate in MIGRATIONS[_version(connection, path) :]:
            migrate(connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: str) -> int:
    """The version of our tables in the file, 0 for none; raises `StorageFailure` if it is
    not for us."""
    version: int
    version, tables = connection.execute(_STATE).fetchone()
    if version > VERSION:
        raise StorageFailure(
            f"{path} is of version {version}, newer than the {VERSION} known here:"
            " use a newer slapos.networkcache"
        )
    if version == 0 and tables:
        raise StorageFailure(f"{path} is a database of another program; it is left alone")
    return version


def _set_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite does not wait here for others that do the same, so we do."""
    end = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
