"""What is kept under a key, and how somebody ends it: `networkcache server entry`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...digest import Digest
from ...entry import Key, Pair
from ...errors import NotFound
from ...storage import Stored
from ...storage.database import Row
from ..directory import named_content
from ..log import OPERATOR, record
from ..root import Root
from .pairs import SEND_NO_MORE
from .pins import Pins

_SELECT = """
SELECT id, entry, signature, account, hidden, put FROM entry WHERE key = ? ORDER BY id DESC
"""
_DELETE = "DELETE FROM entry WHERE id = ? AND key = ? AND entry = ? AND signature = ?"
_FORGET = "DELETE FROM answer WHERE key = ?"


@dataclass(frozen=True)
class Held:
    """A pair as it is kept. `signer` and `created` are what the entry says of itself, None
    where it says nothing; `put` is POSIX seconds, 0 where it is not known; `size` the bytes
    of its content, None where that is not here; until it comes, a pair is `hidden` that an
    old client put."""

    number: int
    pair: Pair
    account: str
    put: int
    signer: str | None
    created: int | None
    digest: Digest | None
    size: int | None
    hidden: bool
    pinned: bool


@dataclass(frozen=True)
class Removed:
    """The pairs that were removed, and of how many upstreams an answer was forgotten."""

    pairs: Sequence[Held]
    answers: int


def held_under(root: Root, key: Key) -> Sequence[Held]:
    """Every pair under `key`, hidden ones too, latest put first."""
    pinned = Pins(root.database).has(key)
    return [_held(root, row, pinned) for row in root.database.rows(_SELECT, (key.text,))]


def _held(root: Root, row: Row, pinned: bool) -> Held:
    number, entry, signature, account, hidden, put = row
    pair = Pair(entry, signature)
    digest = named_content(Stored(pair))
    size = None if digest is None else _size(root, digest)
    signer, created = _said(entry)
    return Held(
        number=number,
        pair=pair,
        account=account,
        put=put,
        signer=signer,
        created=created,
        digest=digest,
        size=size,
        hidden=bool(hidden) and size is None,
        pinned=pinned,
    )


def _size(root: Root, digest: Digest) -> int | None:
    try:
        return root.contents.size(digest)
    except NotFound:
        return None


def _said(entry: str) -> tuple[str | None, int | None]:
    """The signer and the time that an entry names; nobody has verified either."""
    try:
        members: Any = json.loads(entry)
        signer, created = members.get("signer"), members.get("created")
    except (ValueError, AttributeError, RecursionError):
        return None, None
    return (
        signer if isinstance(signer, str) else None,
        created if type(created) is int else None,
    )


def remove(root: Root, key: Key, pairs: Sequence[Held]) -> Removed:
    """Remove `pairs` from under `key`, and forget what upstreams said of it, so that they
    are asked again. A pair is not sent on to an upstream any more."""

    def change(connection: sqlite3.Connection) -> Removed:
        gone = [each for each in pairs if _remove(connection, key, each)]
        return Removed(gone, connection.execute(_FORGET, (key.text,)).rowcount)

    return root.database.change(change)


def _remove(connection: sqlite3.Connection, key: Key, held: Held) -> bool:
    pair = (key.text, held.pair.entry, held.pair.signature)
    # The number of the last row that went may be that of another pair by now.
    if not connection.execute(_DELETE, (held.number, *pair)).rowcount:
        return False
    connection.execute(SEND_NO_MORE, pair)
    digest = held.digest.hex if held.digest else ""
    detail = f"{digest}, put by {held.account or 'anonymous'}"
    record(connection, OPERATOR, "entry remove", key.text, detail)
    return True
