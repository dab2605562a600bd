"""What is on each page: from what was asked to a template and its values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from ...binding import Request
from ...entry import Key
from ...errors import InvalidKey, NotFound
from ...storage import ContentStore, Stored
from ...storage.catalogue import Catalogue
from ..directory import fit, visible
from ..monitoring.overview import Span
from ..monitoring.statistics import Statistics
from ..shadir import key_of
from ..threads import Threads
from . import timelines
from .rendering import Page
from .state import worries
from .statements import KINDS, Statement, statement_of, title_of

RECENT = 20
"""Entries on the first page."""
PAIRS = 50
"""Pairs of one key that are shown, of those that a reader gets."""
QUESTION = 4000
"""Characters of a search."""
ROWS = 500
"""Accounts in a table, at most."""

LookUp = Callable[[Sequence[Key]], Awaitable[Mapping[Key, Sequence[Stored]]]]
"""The pairs of each key as SHADIR answers, less those that are hidden."""


@dataclass(frozen=True)
class Asked:
    """A request for a page: what follows in its path, its query, where this cache is
    reached, and whether names are shown; `now` in POSIX seconds."""

    name: str
    query: Mapping[str, str]
    base: str
    names: bool
    now: float


class Listed(NamedTuple):
    """A pair in a list of many."""

    key: Key
    kind: str
    title: str
    put: int


class Kept(NamedTuple):
    """What is known of the content of a pair, where it is here."""

    reads: int
    stored: int


def _total(spans: Sequence[Span], *names: str) -> int:
    return sum(span.of(name) for span in spans for name in names)


class Views:
    """The pages of one server."""

    def __init__(
        self,
        statistics: Statistics,
        look_up: LookUp,
        contents: ContentStore,
        catalogue: Catalogue,
        threads: Threads,
    ):
        self._statistics = statistics
        self._look_up = look_up
        self._contents = contents
        self._catalogue = catalogue
        self._threads = threads

    async def home(self, asked: Asked) -> Page:
        """What this is, how it is, how to use it, and what came last."""
        return await self._threads.read(self._home, asked)

    def _home(self, asked: Asked) -> Page:
        overview, hours = self._statistics.overview(), self._statistics.hours()
        return Page(
            "home.html",
            {
                "overview": overview,
                "worries": list(worries(overview, asked.now, names=asked.names)),
                "sent": _total(hours, "bytes-sent"),
                "served": _total(hours, "content-hits", "content-filled"),
                "asked_for": _total(
                    hours, "content-hits", "content-filled", "content-misses"
                ),
                "recent": self._recent(),
                "plots": timelines.in_short(hours),
            },
        )

    def _recent(self) -> list[Listed]:
        """As `directory.visible` shows them: what is hidden stays so."""
        shown = (
            Listed(each.key, KINDS[each.key.kind], title_of(each), each.put)
            for each in self._statistics.recent()
            if visible([each.stored], self._contents.has)
        )
        return list(islice(shown, RECENT))

    async def search(self, asked: Asked) -> Page:
        """Keys that may be meant, of which something is known."""
        what = asked.query.get("q", "").strip()[:QUESTION]
        if not what:
            return Page("search.html", {"what": "", "found": (), "keys": ()})
        try:
            keys = [request.key for request in Request.meant_by(what)]
        except InvalidKey:
            keys = []
        known = await self._look_up(keys)
        return await self._threads.read(self._search, what, keys, known)

    def _search(
        self, what: str, keys: Sequence[Key], known: Mapping[Key, Sequence[Stored]]
    ) -> Page:
        found = [
            {"key": key, "kind": KINDS[key.kind], "entries": len(rows)}
            for key in keys
            if (rows := fit(known.get(key, ())))
        ]
        return Page("search.html", {"what": what, "found": found, "keys": keys})

    async def entry(self, asked: Asked) -> Page:
        """All that a reader gets for a key. Raises `NotFound` and `InvalidKey`."""
        key = key_of(asked.name)
        known = await self._look_up([key])
        return await self._threads.read(self._entry, key, known.get(key, ()))

    def _entry(self, key: Key, rows: Sequence[Stored]) -> Page:
        given = set(fit(rows))
        if not given:
            raise NotFound(f"nothing is known under {key}")
        shown = islice((row for row in rows if row.pair in given), PAIRS)
        statements = [statement_of(key, row) for row in shown]
        return Page(
            "entry.html",
            {
                "key": key,
                "kind": KINDS[key.kind],
                "pairs": [(statement, self._kept(statement)) for statement in statements],
                "more": len(given) - len(statements),
                "use": self._statistics.use_of(key),
            },
        )

    def _kept(self, statement: Statement) -> Kept | None:
        if statement.digest is None or not self._contents.has(statement.digest):
            return None
        known = self._catalogue.get(statement.digest)
        return Kept(known.reads, known.stored) if known else Kept(0, 0)

    async def traffic(self, asked: Asked) -> Page:
        """Traffic and space over time."""
        return await self._threads.read(self._traffic)

    def _traffic(self) -> Page:
        hours, days = self._statistics.hours(), self._statistics.days()
        return Page(
            "traffic.html",
            {
                "periods": [
                    ("The last 48 hours", timelines.in_full(hours)),
                    ("The last 90 days", timelines.in_full(days)),
                ],
                "overview": self._statistics.overview(),
            },
        )

    async def accounts(self, asked: Asked) -> Page:
        """What each account keeps here."""
        return await self._threads.read(self._accounts)

    def _accounts(self) -> Page:
        overview = self._statistics.overview()
        return Page(
            "accounts.html",
            {
                "overview": overview,
                "shares": overview.shares[:ROWS],
                "quotas": self._statistics.quotas(),
            },
        )

    async def upstreams(self, asked: Asked) -> Page:
        """How each upstream is doing, and what is to go there."""
        overview = await self._threads.read(self._statistics.overview)
        return Page(
            "upstreams.html",
            {
                "overview": overview,
                "asked_of": overview.labelled("upstream-asked"),
                "failed": overview.labelled("upstream-failed"),
            },
        )

    async def check(self, asked: Asked) -> Page:
        """What the last check found."""
        checks = await self._threads.read(self._statistics.checks)
        return Page("check.html", {"checks": checks})
