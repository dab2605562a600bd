"""What a server knows of itself, in numbers: read from its database, for pages and metrics.

`Statistics` is asked by whoever looks, as often as they like: no statement here goes
through all contents or all pairs, and what takes longer is remembered for some seconds.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from ...entry import Key, Pair
from ...storage import Stored
from ...storage.database import Database
from ...storage.disk import space_of
from .overview import Check, Outgoing, Overview, Recent, Share, Span, UpstreamState
from .samples import SAMPLED

HOURS = 48
DAYS = 90
"""How far back traffic and space are shown."""
RECENT = 60
"""Pairs that were put last, of which the hidden ones are left out."""
CHECKS = 10

_COUNTS = "SELECT name, value FROM counter"
_HELD = "SELECT account, fetched, contents, bytes FROM held"
_HELD_PAIRS = "SELECT account, pairs, bytes FROM held_pairs"
_PROMISED = "SELECT coalesce(sum(size), 0) FROM transfer"
# One by one: the smallest of an index is found at once, that of two places of it is not.
_LEAST_USED = "SELECT min(used) FROM content WHERE fetched = ?"
_UPSTREAMS = "SELECT name, state, since, until, error FROM upstream"
# Counted in indexes, without a look at the pairs; the first of them is the oldest one.
_OUTGOING = """
SELECT (SELECT count(*) FROM outgoing),
    (SELECT since FROM outgoing ORDER BY id LIMIT 1),
    (SELECT count(*) FROM outgoing WHERE tries > 0)
"""
_CHECKS = f"SELECT began, ended, found FROM inspection ORDER BY id DESC LIMIT {CHECKS}"
_RECENT = f"""
SELECT key, put, entry, signature, account, hidden FROM entry
ORDER BY id DESC LIMIT {RECENT}
"""
_HOURS = "SELECT hour, name, value FROM traffic WHERE hour > ?"
# Beside a max(), SQLite gives the other columns of the row that has it.
_DAYS = """
SELECT hour / 24, name, sum(value), value, max(hour) FROM traffic WHERE hour >= ?
GROUP BY 1, 2
"""
_QUOTAS = "SELECT name, quota FROM account WHERE quota IS NOT NULL"
_USE_OF_KEY = "SELECT used, reads FROM key_use WHERE key = ?"

Value = TypeVar("Value")


class Cached(Generic[Value]):
    """What `ask` gives, for so many seconds; one thread at a time asks anew."""

    def __init__(self, ask: Callable[[], Value], seconds: float):
        self._ask = ask
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: tuple[float, Value] | None = None

    def __call__(self) -> Value:
        with self._lock:
            now = time.monotonic()
            if self._known is None or now - self._known[0] > self._seconds:
                self._known = now, self._ask()
            return self._known[1]


class Statistics:
    """The numbers of the server whose database this is, in `folder`; `upstreams` are the
    names of these in the database, nearest first.

    Each of its questions blocks on the disk, and raises `StorageFailure`.
    """

    def __init__(
        self,
        database: Database,
        folder: str | os.PathLike[str],
        upstreams: Sequence[str] = (),
    ):
        self._database = database
        self._folder = folder
        self._names = upstreams
        self.overview = Cached(self._overview, 1.0)
        self.hours = Cached(self._hours, 5.0)
        """The last 48 hours, this one last; those in which nothing was counted, too."""
        self.days = Cached(self._days, 60.0)
        """The same of 90 days, as they are in UTC."""
        self.recent = Cached(self._recent, 1.0)
        """The pairs that were put last, latest first, hidden ones too."""
        self.checks = Cached(self._checks, 1.0)
        """The last checks, latest first."""

    def use_of(self, key: Key) -> tuple[int, int] | None:
        """When a key was last asked for, in POSIX seconds, and how often."""
        rows = self._database.rows(_USE_OF_KEY, (key.text,))
        return rows[0] if rows else None

    def quotas(self) -> dict[str, int]:
        """The bytes that accounts may keep, of those that have such a limit."""
        return dict(self._database.rows(_QUOTAS))

    def _overview(self) -> Overview:
        rows = self._database.rows
        shares, fetched = _shares(rows(_HELD), rows(_HELD_PAIRS))
        used = [rows(_LEAST_USED, (fetched,))[0][0] for fetched in (0, 1)]
        checks = self.checks()
        return Overview(
            counts=dict(rows(_COUNTS)),
            shares=shares,
            fetched=fetched,
            promised=rows(_PROMISED)[0][0],
            least_used=min((each for each in used if each is not None), default=None),
            disk=space_of(self._folder),
            upstreams=self._upstreams(),
            outgoing=Outgoing(*rows(_OUTGOING)[0]),
            check=checks[0] if checks else None,
        )

    def _upstreams(self) -> list[UpstreamState]:
        """Those that are asked now; of one that never failed nothing is known."""
        known = {name: row for name, *row in self._database.rows(_UPSTREAMS)}
        return [
            UpstreamState(number, name, *known.get(name, ()))
            for number, name in enumerate(self._names, 1)
        ]

    def _checks(self) -> Sequence[Check]:
        return [
            Check(began, ended, json.loads(found))
            for began, ended, found in self._database.rows(_CHECKS)
        ]

    def _recent(self) -> Sequence[Recent]:
        return [
            Recent(Key(key), put, Stored(Pair(entry, signature), account, bool(hidden)))
            for key, put, entry, signature, account, hidden in self._database.rows(_RECENT)
        ]

    def _hours(self) -> Sequence[Span]:
        now = int(time.time()) // 3600
        counts: dict[int, dict[str, int]] = defaultdict(dict)
        for hour, name, value in self._database.rows(_HOURS, (now - HOURS,)):
            counts[hour][name] = value
        return _spans(counts, range(now - HOURS + 1, now + 1), 3600)

    def _days(self) -> Sequence[Span]:
        now = int(time.time()) // 86400
        first = now - DAYS + 1
        counts: dict[int, dict[str, int]] = defaultdict(dict)
        for day, name, total, last, _ in self._database.rows(_DAYS, (first * 24,)):
            counts[day][name] = last if name in SAMPLED else total
        return _spans(counts, range(first, now + 1), 86400)


def _shares(held: Sequence[Any], pairs: Sequence[Any]) -> tuple[list[Share], Share]:
    """The shares of accounts that keep something, and what was fetched."""
    shares: dict[str, Share] = {}
    fetched = Share("")
    for account, was_fetched, contents, size in held:
        if was_fetched:
            fetched = Share("", fetched.contents + contents, fetched.content_bytes + size)
        else:
            shares[account] = Share(account, contents, size)
    for account, count, size in pairs:
        share = shares.get(account, Share(account))
        shares[account] = share._replace(pairs=count, pair_bytes=size)
    kept = [share for share in shares.values() if share.contents or share.pairs]
    return sorted(kept, key=lambda share: (-share.bytes, share.account)), fetched


def _spans(
    counts: Mapping[int, Mapping[str, int]], numbers: range, seconds: int
) -> list[Span]:
    """All of them in order; where nobody looked, the space is that of before."""
    spans: list[Span] = []
    held: dict[str, int] = {}
    for number in numbers:
        known = counts.get(number, {})
        held.update({name: known[name] for name in SAMPLED if name in known})
        spans.append(Span(number * seconds, {**known, **held}))
    return spans
