"""What a run used, in the order in which it was asked for: what its record will say."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..key import Key
    from ..record import Used


def worth_recording(
    used: Sequence[Used], recorded: Sequence[Used], *, complete: bool
) -> Sequence[Used]:
    """What a new record says after a run that `used` this, where the last record said
    `recorded`.

    A run that found parts or eggs already there is not `complete`: it adds to what was
    recorded. The same use gives the same record, whatever its order.
    """
    keys = {one.key for one in used}
    names = {(one.key, one.digest) for one in used}
    known = {(one.key, one.digest) for one in recorded}
    if names == known or (names < known and not complete):
        return recorded
    rest = () if complete else (one for one in recorded if one.key not in keys)
    return [*used, *rest]


class Usage:
    """Filled by several threads. What is published in the background has its place from
    when it is offered on."""

    def __init__(self) -> None:
        self._used: dict[Hashable, Used | None] = {}
        self._published: set[Key] = set()
        self._lock = threading.Lock()

    def expect(self, offer: Hashable) -> None:
        """Keep a place for what `offer` will turn out to be."""
        with self._lock:
            self._used.setdefault(offer, None)

    def published(self, offer: Hashable, used: Used) -> None:
        """It is in the network cache now, or will be."""
        with self._lock:
            self._used[offer] = used
            self._published.add(used.key)

    def taken(self, used: Used) -> None:
        """It came from a cache."""
        with self._lock:
            self._used.setdefault((used.key, used.digest), used)

    def has_published(self, key: Key) -> bool:
        with self._lock:
            return key in self._published

    def all(self) -> list[Used]:
        with self._lock:
            return [used for used in self._used.values() if used is not None]
