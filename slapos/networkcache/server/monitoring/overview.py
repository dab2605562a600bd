"""The state of a server, as values: what pages and metrics show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...entry import Key
from ...storage import Stored
from ...storage.disk import Space


class Share(NamedTuple):
    """What an account keeps here: contents that it put, and pairs."""

    account: str
    contents: int = 0
    content_bytes: int = 0
    pairs: int = 0
    pair_bytes: int = 0

    @property
    def bytes(self) -> int:
        return self.content_bytes + self.pair_bytes


WELL = "well"


class UpstreamState(NamedTuple):
    """How an upstream is doing: ``well``, or what else `upstream.breaker` says, `since`
    when, and `until` when it is left alone, in POSIX seconds. `number` counts from 1,
    `error` is what it did."""

    number: int
    name: str
    state: str = WELL
    since: float = 0
    until: float = 0
    error: str = ""


class Outgoing(NamedTuple):
    """Pairs that are to go on upstream: how many, `since` when the first of them waits, in
    POSIX seconds, and how many of them were tried in vain."""

    pairs: int
    since: int | None
    failed: int


class Check(NamedTuple):
    """A check of all contents; `found` is what `inspection` says, times POSIX seconds."""

    began: int
    ended: int
    found: Mapping[str, Any]

    @property
    def numbers(self) -> dict[str, int]:
        """What was counted."""
        return {k: value for k, value in self.found.items() if type(value) is int}

    @property
    def findings(self) -> list[Mapping[str, str]]:
        """What was wrong, each with a `digest` or a `key`, and `what` it is."""
        lists = (self.found.get(name, []) for name in ("bad", "missing"))
        return [finding for each in lists for finding in each]

    @property
    def wrong(self) -> int:
        """How much is still wrong after it."""
        found = self.numbers
        wrong = found.get("bad_count", 0) + found.get("missing_count", 0)
        return max(0, wrong - found.get("repaired", 0))


class Span(NamedTuple):
    """An hour or a day from `start`, POSIX seconds, and what was counted in it."""

    start: int
    counts: Mapping[str, int]

    def of(self, name: str) -> int:
        """One count."""
        return self.counts.get(name, 0)


class Recent(NamedTuple):
    """A pair, and when it was put under its key, in POSIX seconds."""

    key: Key
    put: int
    stored: Stored


@dataclass(frozen=True)
class Overview:
    """The state of a server at one moment.

    `counts` are those of `tally`, since the beginning. `shares` are of accounts, the
    largest first; `fetched` are contents that upstreams gave. `promised` bytes belong to
    transfers on their way; `least_used` is when the content that nobody asked for the
    longest was last used, in POSIX seconds.
    """

    counts: Mapping[str, int]
    shares: Sequence[Share]
    fetched: Share
    promised: int
    least_used: int | None
    disk: Space
    upstreams: Sequence[UpstreamState]
    outgoing: Outgoing
    check: Check | None

    @property
    def total(self) -> Share:
        """All that is kept, whoever it is from."""
        columns = zip(*(share[1:] for share in (self.fetched, *self.shares)), strict=True)
        return Share("", *map(sum, columns))

    def count(self, name: str) -> int:
        """One count."""
        return self.counts.get(name, 0)

    def labelled(self, name: str) -> dict[str, int]:
        """The counts of that name by their label."""
        return {
            label: value
            for full, value in sorted(self.counts.items())
            for base, colon, label in [full.partition(":")]
            if base == name and colon
        }
