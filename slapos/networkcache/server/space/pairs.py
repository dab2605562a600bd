"""Pairs that go: expired ones, those whose content never came, and, where the operator
says how long to keep them, those that nobody asks for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from ...digest import Digest
from ...entry import Pair
from ...storage import ContentStore, Stored
from ...storage.database import Database, Row
from ..directory import named_content
from ..log import COLLECTION, record
from ..root import Root
from .rules import GRACE, Gone, Rules, Why

FORGOTTEN = 30 * 86400.0
"""Seconds after which the use of a key is forgotten under which there is nothing."""
_STEP = 500
_KEYS = ("", "~" * 256)

_PINNED = "EXISTS (SELECT 1 FROM pin WHERE pin.key = entry.key)"
# Or still to be sent on to an upstream.
_KEPT = f"""({_PINNED}
    OR EXISTS (SELECT 1 FROM outgoing WHERE outgoing.key = entry.key))"""
_EXPIRED = "(expires IS NOT NULL AND expires < :expired)"
_UNASKED = """(put < :unasked AND NOT EXISTS (
    SELECT 1 FROM key_use WHERE key_use.key = entry.key AND used >= :unasked))"""
STAYS = f"({_KEPT} OR NOT ({_EXPIRED} OR {_UNASKED}))"
"""A pair whose content is here stays; with the parameters of `moments`."""
# Each pair is of one kind, so that a dry run counts it once.
_CONDITIONS = {
    Why.EXPIRED: f"{_EXPIRED} AND NOT {_KEPT}",
    Why.UNASKED: f"{_UNASKED} AND NOT {_EXPIRED} AND NOT {_KEPT}",
    # When those of version 1 were put is not known: 0. There is nothing to be sent on.
    Why.NEVER_CAME: "hidden = 1 AND put > 0 AND put < :grace"
    f" AND NOT ({_PINNED} OR ({_EXPIRED} OR {_UNASKED}) AND NOT {_KEPT})",
}
_COLUMNS = "id, key, account, size, entry, signature"
SEND_NO_MORE = "DELETE FROM outgoing WHERE key = ? AND entry = ? AND signature = ?"


def moments(rules: Rules, now: float) -> Mapping[str, int]:
    """The POSIX seconds before which things are old enough."""
    unasked = 0 if rules.keep is None else int(now - rules.keep)
    old = int(now - GRACE)
    return {"expired": old, "grace": old, "unasked": unasked}


def pairs_go(
    root: Root, rules: Rules, now: float, dry_run: bool = False
) -> Iterator[Sequence[Gone]]:
    """Remove pairs, in steps, and give what went; or what would, in a `dry_run`."""
    parameters = moments(rules, now)
    for why, rows in _candidates(root.database, rules, parameters):
        if dry_run:
            yield [
                _gone(why, row)
                for row in rows
                if why is not Why.NEVER_CAME or not _came(root.contents, row)
            ]
            continue
        for start in range(0, len(rows), _STEP):
            yield _remove(root, why, rows[start : start + _STEP], parameters)
        yield ()  # where nothing goes, to look took time, too


def _candidates(
    database: Database, rules: Rules, parameters: Mapping[str, int]
) -> Iterator[tuple[Why, Sequence[Row]]]:
    for why, column in ((Why.EXPIRED, "expires"), (Why.NEVER_CAME, "put")):
        select = f"SELECT {column}, {_COLUMNS} FROM entry WHERE {_CONDITIONS[why]}"
        for rows in database.walk(select, column, parameters, _STEP):
            yield why, [row[1:] for row in rows]
    if rules.keep is None:
        return
    select = (
        f"SELECT {_COLUMNS} FROM entry WHERE key > :after AND key <= :upto"
        f" AND {_CONDITIONS[Why.UNASKED]}"
    )
    for after, upto in database.stretches("entry", "key", _KEYS, _STEP):
        yield (
            Why.UNASKED,
            database.rows(select, {**parameters, "after": after, "upto": upto}),
        )


def _remove(
    root: Root, why: Why, rows: Sequence[Row], parameters: Mapping[str, int]
) -> Sequence[Gone]:
    """Remove those of `rows` of which it still holds. One whose content came is shown: what
    becomes of that later is no reason for it to go."""
    delete = f"DELETE FROM entry WHERE id = :id AND {_CONDITIONS[why]}"

    def change(connection: sqlite3.Connection) -> Sequence[Gone]:
        gone = []
        for row in rows:
            if why is Why.NEVER_CAME and (digest := _came(root.contents, row)):
                root.catalogue.show(connection, digest)
                continue
            if connection.execute(delete, {**parameters, "id": row[0]}).rowcount:
                connection.execute(SEND_NO_MORE, (row[1], *row[4:6]))
                record(connection, COLLECTION, "remove", row[1], _detail(why, row))
                gone.append(_gone(why, row))
        return gone

    return root.database.change(change)


def _came(contents: ContentStore, row: Row) -> Digest | None:
    """The content that a pair names, where it is there."""
    digest = named_content(_stored(row))
    return digest if digest is not None and contents.has(digest) else None


def _stored(row: Row) -> Stored:
    return Stored(Pair(*row[4:6]), row[2])


def _gone(why: Why, row: Row) -> Gone:
    return Gone(why, row[1], row[3])


def _detail(why: Why, row: Row) -> str:
    digest = named_content(_stored(row))
    return f"{digest.hex if digest else ''}, put by {row[2] or 'anonymous'}: {why}"


def forget_keys(root: Root, rules: Rules, now: float) -> Iterator[Sequence[Gone]]:
    """Forget when keys were asked for under which there is nothing here, in steps."""
    before = int(now - max(rules.keep or 0, FORGOTTEN))
    old = (
        "key > :after AND key <= :upto AND used < :before"
        " AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.key = key_use.key)"
    )
    for after, upto in root.database.stretches("key_use", "key", _KEYS):
        stretch = {"after": after, "upto": upto, "before": before}
        if root.database.rows(f"SELECT 1 FROM key_use WHERE {old} LIMIT 1", stretch):
            _forget(root.database, f"DELETE FROM key_use WHERE {old}", stretch)
        yield ()


def _forget(database: Database, delete: str, stretch: Mapping[str, object]) -> None:
    database.change(lambda connection: connection.execute(delete, stretch))
