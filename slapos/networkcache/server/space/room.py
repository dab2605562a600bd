"""Room for what is on its way: quotas, the limit of all contents, and the free space that
is left to the disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ...entry import PAIR_LIMIT
from ...errors import QuotaExceeded, StorageFull
from ...storage.disk import UNPROMISED, Disk
from ...storage.transfers import Limits, Transfers

FIRST = 1 << 20
AT_ONCE = 64 << 20
"""Bytes that are set aside at a time for a transfer that does not say how long it is: at
first, and at most. In between it is as much again as has come."""

Result = TypeVar("Result")


class Room:
    """Decides what may come.

    `total` is the bytes that all contents may have together; None is no limit. `make` is
    asked to make room of so many bytes where there is none, `can_make` whether it could.
    """

    def __init__(
        self,
        transfers: Transfers,
        *,
        total: int | None = None,
        disk: Disk | None = None,
        make: Callable[[int], object] = lambda size: None,
        can_make: Callable[[int], bool] = lambda size: False,
    ):
        self.transfers = transfers
        self._total = total
        self._disk = disk
        self._make = make
        self._can_make = can_make

    def take(self, account: str, size: int | None, quota: int | None = None) -> Transfer:
        """Set `size` bytes aside for `account`, or a first part where that is not known.

        Where there is room only once others went, those go as bytes come. Raises
        `QuotaExceeded` and `StorageFull`.
        """
        return Transfer(self, account, Limits(quota, self._total, self._disk), size)

    def take_again(self, account: str, size: int | None) -> Transfer:
        """The same for a content that is there: only the disk may lack room for it."""
        return Transfer(self, account, Limits(disk=self._disk), size)

    def check_disk(self, size: int = PAIR_LIMIT) -> None:
        """Raise `StorageFull` unless `size` bytes more, those of a pair where nothing is
        said, leave enough of the disk free."""
        if self._disk is not None:
            limits = Limits(disk=self._disk)
            self.or_make(size, lambda: self.transfers.check("", size, limits))

    def can_take(self, size: int, attempt: Callable[[], object]) -> bool:
        """Make an `attempt` to set something aside for `size` bytes; False where room for
        that can be made, and nothing went yet. Raises what the attempt does where it cannot
        be made."""
        try:
            attempt()
        except QuotaExceeded:
            raise
        except StorageFull:
            if not self._can_make(size):
                raise
            return False
        return True

    def or_make(self, size: int, attempt: Callable[[], Result]) -> Result:
        """The result of an `attempt` that may need room of `size` bytes made for it."""
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
        self._in_parts = False
        self._come = 0
        self._taken = 0
        self._begin()

    def _begin(self) -> None:
        attempt: Callable[[], None]
        exact = self._limits.quota is not None or self._limits.total is not None
        size = self._size
        self._in_parts = size is None
        if size is not None and (exact or size > UNPROMISED):
            least, attempt = size, partial(self._take, size, size)
        elif exact:
            least, attempt = 1, partial(self._take, 1, FIRST)
        else:
            least = UNPROMISED if size is None else size
            attempt = partial(self._check, least)
        # To say how long it is costs nothing: nothing goes for that alone.
        if not self._room.can_take(least, attempt):
            self._in_parts = True

    def goes_on(self, size: int) -> None:
        """`size` bytes more have come. Raises `QuotaExceeded` and `StorageFull`."""
        self._come += size
        if self._in_parts and self._come > self._taken:
            if self.number is None:
                self._taken = 0
            least = self._come - self._taken
            announced = AT_ONCE if self._size is None else self._size - self._taken
            most = max(least, min(self._come, AT_ONCE, announced))
            self._room.or_make(least, partial(self._take, least, most))

    def _take(self, least: int, most: int) -> None:
        if self._limits == Limits():
            self._taken += most
            return
        transfers = self._room.transfers
        promise = transfers.promise(self._account, least, most, self._limits, self.number)
        self.number = promise.number
        self._taken += promise.size

    def _check(self, size: int) -> None:
        self._room.transfers.check(self._account, size, self._limits)
        self._taken = size

    def end(self) -> None:
        """Nothing is set aside any more. Harmless where it ended."""
        if self.number is not None:
            self._room.transfers.end(self.number)
            self.number = None
