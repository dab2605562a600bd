"""Bytes that are promised to contents on their way, by all processes of a server.

Who begins a transfer sets aside what it will need, so that two which fit one by one and
not together are not both begun.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import NamedTuple

from ..errors import QuotaExceeded, StorageFailure, StorageFull
from ..quantities import readable_size
from .database import Database
from .disk import Disk
from .durable import disk_faults, make_folder
from .folder import locked_file, remove_leftovers

_HELD = "SELECT coalesce(sum(bytes), 0) FROM held WHERE account = ?"
_HELD_PAIRS = "SELECT coalesce(sum(bytes), 0) FROM held_pairs WHERE account = ?"
_PROMISED_TO = "SELECT coalesce(sum(size), 0) FROM transfer WHERE account = ?"
_PROMISED = "SELECT coalesce(sum(size), 0) FROM transfer"
_ALL = f"SELECT coalesce(sum(bytes), 0) + ({_PROMISED}) FROM held"
_NEW = "INSERT INTO transfer (owner, account, size) VALUES (?, ?, ?)"
_MORE = "UPDATE transfer SET size = size + ? WHERE id = ?"
_END = "DELETE FROM transfer WHERE id = ? AND owner = ?"


class Limits(NamedTuple):
    """`quota` is the bytes that the account may keep, `total` those of all contents
    together; None is no limit."""

    quota: int | None = None
    total: int | None = None
    disk: Disk | None = None


class Promise(NamedTuple):
    """`size` bytes that were set aside for the transfer `number`."""

    number: int
    size: int


class Transfers:
    """What is promised, in the table ``transfer``.

    In `folder` a file stays locked as long as this process has transfers on their way;
    those of processes that died are forgotten here.
    """

    def __init__(self, database: Database, folder: str):
        self._database = database
        with disk_faults(f"write in {folder}"):
            make_folder(folder)
            self._lock, self._path = locked_file(folder)
        self._owner = os.path.basename(self._path)
        self._ended: set[int] = set()
        self._forget_the_dead(folder)

    def close(self) -> None:
        """End this process' transfers."""
        if self._lock < 0:
            return
        with suppress(StorageFailure):
            self._database.change(
                lambda c: c.execute("DELETE FROM transfer WHERE owner = ?", (self._owner,))
            )
        with suppress(OSError):
            os.unlink(self._path)
        os.close(self._lock)
        self._lock = -1

    def _forget_the_dead(self, folder: str) -> None:
        remove_leftovers(folder)

        def change(connection: sqlite3.Connection) -> None:
            alive = set(os.listdir(folder))
            owners = connection.execute("SELECT DISTINCT owner FROM transfer").fetchall()
            dead = [owner for owner in owners if owner[0] not in alive]
            connection.executemany("DELETE FROM transfer WHERE owner = ?", dead)

        if self._database.rows("SELECT 1 FROM transfer LIMIT 1"):
            self._database.change(change)

    def promise(
        self,
        account: str,
        least: int,
        most: int,
        limits: Limits,
        number: int | None = None,
    ) -> Promise:
        """Set `most` bytes aside for a new transfer of `account`, or for the one of that
        `number`; less where less is left, but `least`.

        Raises `QuotaExceeded` and `StorageFull`.
        """

        def change(connection: sqlite3.Connection) -> Promise:
            size = min(most, _left(connection, account, least, limits))
            if number is not None:
                connection.execute(_MORE, (size, number))
                return Promise(number, size)
            new = connection.execute(_NEW, (self._owner, account, size)).lastrowid
            return Promise(new or 0, size)

        return self._database.change(change)

    def check(self, account: str, size: int, limits: Limits) -> None:
        """Raise as `promise` would for `size` bytes, and promise nothing."""
        with self._database.reading() as reader:
            _left(reader, account, size, limits)

    def end(self, number: int) -> None:
        """Nothing is promised to that transfer any more. Harmless where it ended.

        Where that cannot be written, it is when the next one ends.
        """
        self._ended.add(number)
        ended = list(self._ended)
        rows = [(number, self._owner) for number in ended]
        with suppress(StorageFailure):
            self._database.change(lambda c: c.executemany(_END, rows))
            self._ended.difference_update(ended)

    def bytes_held(self) -> int:
        """Bytes of all contents, and of what is promised."""
        held: int = self._database.rows(_ALL)[0][0]
        return held

    def disk_left(self, disk: Disk) -> int:
        """Bytes of `disk` that are not promised yet."""
        promised: int = self._database.rows(_PROMISED)[0][0]
        return disk.left() - promised


def check_quota(connection: sqlite3.Connection, account: str, size: int, quota: int) -> int:
    """The bytes that `account` may keep beside what it has and its transfers take. Raises
    `QuotaExceeded` where those are less than `size`."""
    questions = (_HELD, _HELD_PAIRS, _PROMISED_TO)
    held: int = sum(connection.execute(q, (account,)).fetchone()[0] for q in questions)
    if held + size > quota:
        raise QuotaExceeded(
            f"the account {account} may keep {readable_size(quota)}, and has"
            f" {readable_size(held)} here or on their way: {readable_size(size)} more do"
            " not fit"
        )
    return quota - held


def _left(connection: sqlite3.Connection, account: str, size: int, limits: Limits) -> int:
    """The bytes that may be promised; raises where those are less than `size`."""
    left = [1 << 62]
    if limits.quota is not None:
        left.append(check_quota(connection, account, size, limits.quota))
    if limits.total is not None:
        left.append(limits.total - connection.execute(_ALL).fetchone()[0])
        if left[-1] < size:
            raise StorageFull(
                f"this server keeps {readable_size(limits.total)} of contents at most:"
                f" {readable_size(size)} more do not fit"
            )
    if limits.disk is not None:
        left.append(limits.disk.left() - connection.execute(_PROMISED).fetchone()[0])
        if left[-1] < size:
            raise StorageFull(
                f"{readable_size(size)} more would leave less than"
                f" {readable_size(limits.disk.free)} of the disk free"
            )
    return min(left)
