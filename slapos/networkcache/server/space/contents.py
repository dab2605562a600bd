"""Contents that go: those that no pair names, and, where there is a limit, those that an
upstream gave and that were used least.

What was put here is not taken by a limit: it may be nowhere else.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from ...digest import Digest
from ...entry import Pair
from ...storage import Stored
from ...storage.catalogue import Known
from ...storage.database import Database
from ..directory import named_content
from ..log import COLLECTION, record
from ..root import Root
from .pairs import STAYS, moments
from .rules import GRACE, Gone, Rules, Why

SLACK = 20
"""Where room is made, a part of this many of all contents stays free beyond it, so that it
is not made again at once."""
_STEP = 100
_DIGESTS = (b"", b"\xff" * 64)

_UNNAMED = """
SELECT digest FROM content WHERE digest > :after AND digest <= :upto
AND used < :grace AND fetched <= :origin
AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.content = content.number{stays})
"""


def unnamed_go(
    root: Root, rules: Rules, now: float, dry_run: bool = False
) -> Iterator[Sequence[Gone]]:
    """Remove contents that no pair names, in steps, and give what went; or what would, in a
    `dry_run`: then those too that only such pairs name which would go before."""
    select = _UNNAMED.format(stays=f" AND {STAYS}" if dry_run else "")
    parameters = {**moments(rules, now), "origin": rules.origin}
    pinned = _pinned(root.database)
    for after, upto in root.database.stretches("content", "digest", _DIGESTS):
        found = root.database.rows(select, {**parameters, "after": after, "upto": upto})
        digests = (Digest(raw.hex()) for (raw,) in found)
        candidates = (digest for digest in digests if digest not in pinned)
        while some := list(islice(candidates, _STEP)):
            if dry_run:
                known = filter(None, map(root.catalogue.get, some))
                yield [_gone(Why.UNNAMED, each) for each in known]
            else:
                yield _remove(root, Why.UNNAMED, some, int(now - GRACE))


def least_used_go(
    root: Root, rules: Rules, wanted: int = 0, gone: int = 0, dry_run: bool = False
) -> Iterator[Sequence[Gone]]:
    """Remove what upstreams gave, least recently used first, until `wanted` bytes more are
    within the limits; in steps, as `unnamed_go`. In a `dry_run` `gone` bytes would be gone
    before.

    Where room for `wanted` bytes cannot be made in this way, nothing goes; nor for a disk
    that others fill.
    """
    over = _over(root, rules, wanted) - gone
    if over > 0 and not _can_go(root, over):
        if wanted:
            return
        rules = replace(rules, disk=None)
        over = _over(root, rules, wanted) - gone
    if over <= 0:
        return
    slack = root.catalogue.transfers.bytes_held() // SLACK
    over += slack
    candidates = _candidates(root)
    while over > 0 and (some := _enough(candidates, over)):
        went = (
            [_gone(Why.LEAST_USED, known) for known in some]
            if dry_run
            else _remove(
                root, Why.LEAST_USED, [known.digest for known in some], some[-1].used
            )
        )
        over -= sum(each.size for each in went)
        yield went
        if not dry_run and _over(root, rules, wanted) + slack <= 0:
            return  # another process makes room, too


def room_can_be_made(root: Root, rules: Rules, wanted: int) -> bool:
    """Whether `least_used_go` could make room for `wanted` bytes."""
    return _can_go(root, _over(root, rules, wanted))


def _over(root: Root, rules: Rules, wanted: int) -> int:
    """How many bytes `wanted` bytes more would be beyond the limits; negative for what is
    left."""
    over = []
    transfers = root.catalogue.transfers
    if rules.max_size is not None:
        over.append(transfers.bytes_held() + wanted - rules.max_size)
    if rules.disk is not None:
        over.append(wanted - transfers.disk_left(rules.disk))
    return max(over, default=0)


def _can_go(root: Root, size: int) -> bool:
    """Whether so many bytes can be made free by what may go."""
    if size <= 0:
        return True
    if size > root.catalogue.bytes_fetched():
        return False
    for known in _candidates(root):
        size -= known.size
        if size <= 0:
            return True
    return False


def _candidates(root: Root) -> Iterator[Known]:
    """What may go because of a limit, least recently used first."""
    pinned = _pinned(root.database)
    return (k for k in root.catalogue.least_used() if k.digest not in pinned)


def _enough(candidates: Iterator[Known], size: int) -> Sequence[Known]:
    """The next ones, until they have `size` bytes."""
    some = []
    for known in islice(candidates, _STEP):
        some.append(known)
        size -= known.size
        if size <= 0:
            break
    return some


def _pinned(database: Database) -> Set[Digest]:
    """The contents that upstreams name under pinned keys."""
    pinned: set[Digest] = set()
    for (text,) in database.rows(
        "SELECT pairs FROM answer JOIN pin ON pin.key = answer.key WHERE pairs != ''"
    ):
        with suppress(ValueError, TypeError):
            named = (named_content(Stored(Pair(*pair))) for pair in json.loads(text))
            pinned.update(digest for digest in named if digest is not None)
    return pinned


def _remove(
    root: Root, why: Why, digests: Sequence[Digest], unused_since: int
) -> Sequence[Gone]:
    def log(connection: sqlite3.Connection, went: Sequence[Known]) -> None:
        _log(connection, why, went)

    went = root.catalogue.remove(digests, unused_since=unused_since, also=log)
    return [_gone(why, known) for known in went]


def _log(connection: sqlite3.Connection, why: Why, went: Sequence[Known]) -> None:
    """A line for each that somebody put; what came without one goes without one, or the log
    would grow with every byte that is read through here."""
    for known in went:
        if not known.fetched:
            detail = f"{known.size} bytes, put by {known.account or 'anonymous'}: {why}"
            record(connection, COLLECTION, "remove", known.digest.hex, detail)
    if fetched := [known.size for known in went if known.fetched]:
        detail = f"{len(fetched)} contents of upstreams, {sum(fetched)} bytes: {why}"
        record(connection, COLLECTION, "remove", "", detail)


def _gone(why: Why, known: Known) -> Gone:
    return Gone(why, known.digest.hex, known.size)
