"""What may go, and what went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from ...storage.disk import Disk

GRACE = 86400.0
"""Seconds for which nothing goes by reference: the pair of a new content, or the content of
a new pair, is still to come."""


class Why(str, Enum):
    """Why something goes."""

    EXPIRED = "expired"
    NEVER_CAME = "its content never came"
    UNASKED = "nobody asks for it"
    UNNAMED = "no pair names it"
    LEAST_USED = "least recently used"

    def __str__(self) -> str:
        return self.value

    @property
    def what(self) -> str:
        """What it is the reason for: a pair or a content."""
        return "content" if self in (Why.UNNAMED, Why.LEAST_USED) else "pair"


@dataclass(frozen=True)
class Rules:
    """What the operator says about space.

    `keep` is the seconds for which a pair stays that nobody asks for, `max_size` the bytes
    of all contents together; None is no limit. `origin` says that there is no upstream, so
    that contents are here for the sake of pairs alone.
    """

    keep: float | None = None
    max_size: int | None = None
    disk: Disk | None = None
    origin: bool = False


class Gone(NamedTuple):
    """A pair under the key `name`, or the content of the digest `name`, `size` bytes."""

    why: Why
    name: str
    size: int


@dataclass
class Sum:
    """How many there were, and how many bytes together."""

    count: int = 0
    size: int = 0


@dataclass
class Collected:
    """All that went, or would."""

    sums: dict[Why, Sum] = field(default_factory=dict)

    def add(self, gone: Iterable[Gone]) -> None:
        for each in gone:
            total = self.sums.setdefault(each.why, Sum())
            total.count += 1
            total.size += each.size

    @property
    def content_bytes(self) -> int:
        """Bytes of contents."""
        return sum(each.size for why, each in self.sums.items() if why.what == "content")
