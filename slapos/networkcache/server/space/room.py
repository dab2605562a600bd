"""Room for what is on its way: quotas, the limit of all contents, and the free space that
is left to the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ...entry import PAIR_LIMIT
from ...errors import QuotaExceeded, StorageFull
from ...storage.disk import UNPROMISED, Disk
from ...storage.transfers import Limits, Promise, Transfers

FIRST = 1 << 20
AT_ONCE = 64 << 20
"""Bytes that are set aside at a time for a transfer that does not say how long it is: at
first, and at most. In between it is as much again as has come."""

Result = TypeVar("Result")


class Room:
    """Decides what may come.

    `total` is the bytes that all contents may have together; None is no limit. `make` is
    asked to make room of so many bytes where there is none.
    """

    def __init__(
        self,
        transfers: Transfers,
        *,
        total: int | None = None,
        disk: Disk | None = None,
        make: Callable[[int], object] = lambda size: None,
    ):
        self.transfers = transfers
        self._total = total
        self._disk = disk
        self._make = make

    def take(self, account: str, size: int | None, quota: int | None = None) -> Transfer:
        """Set `size` bytes aside for `account`, or a first part where that is not known.

        Raises `QuotaExceeded` and `StorageFull`.
        """
        return Transfer(self, account, Limits(quota, self._total, self._disk), size)

    def take_again(self, account: str, size: int | None) -> Transfer:
        """The same for a content that is there: only the disk may lack room for it."""
        return Transfer(self, account, Limits(disk=self._disk), size)

    def check_disk(self, size: int = PAIR_LIMIT) -> None:
        """Raise `StorageFull` unless `size` bytes more, those of a pair where nothing is
        said, leave enough of the disk free."""
        if self._disk is not None:
            self.check("", size, Limits(disk=self._disk))

    def check(self, account: str, size: int, limits: Limits) -> None:
        """Raise as `promise` would."""
        self._or_make(size, lambda: self.transfers.check(account, size, limits))

    def promise(
        self, account: str, least: int, most: int, limits: Limits, number: int | None
    ) -> Promise:
        """As `Transfers.promise`, once room was made where there was none."""
        return self._or_make(
            least,
            lambda: self.transfers.promise(account, least, most, limits, number),
        )

    def _or_make(self, size: int, attempt: Callable[[], Result]) -> Result:
        try:
            return attempt()
        except QuotaExceeded:
            raise
        except StorageFull:
            self._make(size)
        return attempt()


class Transfer:
    """Room that is taken by something on its way. `end` it, or let `Catalogue.store` do
    that with its `number`, which is None as long as nothing is set aside."""

    def __init__(self, room: Room, account: str, limits: Limits, size: int | None):
        self.number: int | None = None
        self._room = room
        self._account = account
        self._limits = limits
        self._size = size
        self._come = 0
        self._taken = 0
        self._begin()

    def _begin(self) -> None:
        exact = self._limits.quota is not None or self._limits.total is not None
        if self._size is not None and (exact or self._size > UNPROMISED):
            self._take(self._size, self._size)
        elif exact:
            self._take(1, FIRST)
        else:
            self._taken = UNPROMISED if self._size is None else self._size
            self._room.check(self._account, self._taken, self._limits)

    def goes_on(self, size: int) -> None:
        """`size` bytes more have come. Raises `QuotaExceeded` and `StorageFull`."""
        self._come += size
        if self._size is None and self._come > self._taken:
            if self.number is None:
                self._taken = 0
            least = self._come - self._taken
            self._take(least, max(least, min(self._come, AT_ONCE)))

    def _take(self, least: int, most: int) -> None:
        if self._limits == Limits():
            self._taken += most
            return
        promise = self._room.promise(self._account, least, most, self._limits, self.number)
        self.number = promise.number
        self._taken += promise.size

    def end(self) -> None:
        """Nothing is set aside any more. Harmless where it ended."""
        if self.number is not None:
            self._room.transfers.end(self.number)
            self.number = None
