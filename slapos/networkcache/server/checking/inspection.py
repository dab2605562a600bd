"""Whether all that is kept is right: every content re-hashed, every pair's content there.

An `Inspection` goes on in short steps, while the server serves. What it finds wrong it
looks at again before it says so: contents come and go meanwhile, and a removal deletes a
content before the rows that know of it are seen to be gone, so that the second look is
within a transaction. What is to be repaired is, as it goes; else it changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence

from ...digest import PIECE, Digest
from ...entry import Pair
from ...errors import NotFound, StorageFailure
from ...storage import Stored
from ...storage.database import Row
from ...storage.folder import leftovers, remove_leftovers
from ..directory import named_content
from ..root import Root
from ..space.rules import GRACE
from .aside import Identity, cannot_be_moved, identity, is_lasting, set_aside
from .findings import Findings

_STEP = 500
_MARK_EVERY = 100
"""Contents after which it is written down that they were right."""
_COST = 4096
"""Bytes that the smallest content counts for: to open a file takes time, too."""

_ALL = "SELECT id, id, digest FROM content WHERE true"
# A time to come was written by a clock that was wrong.
_NOT_SINCE = """
SELECT checked, id, digest FROM content
WHERE (checked < :began OR checked > strftime('%s') + 86400)
"""
_PAIRS = """
SELECT id, key, entry, signature FROM entry WHERE hidden = 0 AND id > ? ORDER BY id LIMIT ?
"""
_PAIR_STAYS = "SELECT 1 FROM entry WHERE id = ? AND hidden = 0"
_HAS_ROW = "SELECT 1 FROM content WHERE digest = ?"
_ROWS = """
SELECT digest, fetched = 0 AND max(stored, used) < :settled
    AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.content = content.number)
FROM content WHERE digest > :last ORDER BY digest LIMIT :step
"""


class Inspection:
    """An inspection of `root`, begun at the POSIX seconds `began`, which is to `repair`
    what it can, or not. The `least_recent_first` goes on where one before was interrupted.

    `wanted` are contents that are to be fetched; whoever goes on with it says of them,
    after each step, whether they `came`.
    """

    def __init__(
        self,
        root: Root,
        *,
        repair: bool,
        began: float,
        least_recent_first: bool = False,
    ):
        self.found = Findings()
        self.wanted: set[Digest] = set()
        self._root = root
        self._repair = repair
        self._walk = (_NOT_SINCE, "checked") if least_recent_first else (_ALL, "id")
        self._began = int(began)
        self._settled = began - GRACE
        self._right: list[Digest] = []
        self._wrong: set[Digest] = set()
        self._nowhere: set[Digest] = set()

    def steps(self) -> Iterator[int]:
        """Go on by a short step, and give what it took, in bytes read.

        Raises `StorageFailure` for what concerns more than one content.
        """
        cost = 0
        for took in self._all():
            cost += took
            if cost >= PIECE or self.wanted:
                yield cost
                cost = 0
        yield cost

    def came(self, digest: Digest) -> None:
        """A wanted content is there again."""
        self.wanted.remove(digest)
        self.found.repaired += 1

    def did_not_come(self, digest: Digest) -> None:
        """Nobody has it: its row goes. All is well where no pair names it."""
        self._nowhere.add(digest)
        self._lacks(digest, remove=True)
        self.wanted.remove(digest)
        self.found.repaired += not self._root.entries.naming(digest)

    def _want(self, digest: Digest) -> None:
        if self._repair and digest not in self._nowhere:
            self.wanted.add(digest)

    def _all(self) -> Iterator[int]:
        contents = self._root.contents
        tidy = remove_leftovers if self._repair else _count_leftovers
        self.found.leftovers = tidy(contents.temporary)
        yield from self._files()
        yield from self._contents()
        yield from self._pairs()
        yield from self._rows()

    # -- contents

    def _files(self) -> Iterator[int]:
        """What is no content, and contents without a row."""
        for path, digest in self._root.contents.files():
            yield _COST // 16  # no bytes of it are read
            if digest is None:
                self.found.unknown_files += 1
            elif self._root.catalogue.get(digest) is None:
                yield from self._without_row(path, digest)

    def _without_row(self, path: str, digest: Digest) -> Iterator[int]:
        try:
            if os.stat(path).st_mtime > self._settled:
                return
        except FileNotFoundError:
            return
        except OSError:
            return (yield from self._content(digest))  # which says what it is
        self.found.without_row += 1
        if self._repair:
            self._root.catalogue.adopt([digest])
        else:
            yield from self._content(digest)

    def _contents(self) -> Iterator[int]:
        """Those that have a row."""
        parameters = {"began": self._began}
        for rows in self._root.database.walk(*self._walk, parameters, _MARK_EVERY):
            for _, _, raw in rows:
                yield from self._content(Digest(raw.hex()))
            self._mark()

    def _mark(self) -> None:
        if self._right:
            now = max(self._began, int(time.time()))
            self._root.catalogue.checked(self._right, now)
            self._right.clear()

    def _content(self, digest: Digest) -> Iterator[int]:
        path = self._root.contents.path(digest)
        seen = what = None
        try:
            while (now := identity(path)) != seen:  # it was replaced while it was read
                seen = now
                if (yield from self._is_right(digest)):
                    self.found.contents += 1
                    return self._right.append(digest)
        except NotFound:
            return  # it was removed: where it should be there, a row or a pair says so
        except StorageFailure as error:
            what = str(error)
            if seen is None or not self._repair or not is_lasting(error):
                self.found.finished = False
                return self._add_bad(digest, what)
        if seen is not None:
            self._bad(digest, seen, what or self._what_is_wrong(digest, seen))
            yield 0  # for it to be fetched before somebody misses it

    def _is_right(self, digest: Digest) -> Generator[int, None, bool]:
        """Whether its bytes have that digest. Raises `NotFound` and `StorageFailure`."""
        hash = hashlib.sha512()
        with self._root.contents.open(digest) as content:
            for piece in content.pieces():
                hash.update(piece)
                self.found.bytes += len(piece)
                yield max(len(piece), _COST)
        return hash.hexdigest() == digest.hex

    def _what_is_wrong(self, digest: Digest, seen: Identity) -> str:
        known = self._root.catalogue.get(digest)
        if known is not None and known.size != seen.size:
            return f"it has {seen.size} bytes, and had {known.size}"
        return f"its {seen.size} bytes have another digest"

    def _bad(self, digest: Digest, seen: Identity, what: str) -> None:
        try:
            if self._repair and not set_aside(self._root, digest, seen, what):
                return  # it came again meanwhile
        except StorageFailure as error:
            if not cannot_be_moved(error):
                raise
            self._add_bad(digest, f"{what}; {error}")
            return
        self._add_bad(digest, what)
        if self._repair:
            self.found.aside += 1
            self._want(digest)

    def _add_bad(self, digest: Digest, what: str) -> None:
        self._wrong.add(digest)
        self.found.add_bad(digest, what)

    # -- what knows of contents

    def _pairs(self) -> Iterator[int]:
        """Pairs that everybody is shown, and whose content is not there."""
        last = 0
        while rows := self._root.database.rows(_PAIRS, (last, _STEP)):
            doubtful = [row for row in rows if self._is_missing(row)]
            for row in self._still_missing(doubtful) if doubtful else ():
                digest = _named_by(row)
                assert digest is not None
                what = f"its content {digest.hex} is not here"
                self._add_missing(digest, "key", row[1], what)
            self.found.pairs += len(rows)
            last = rows[-1][0]
            yield len(rows) * _COST // 4

    def _add_missing(self, digest: Digest, name: str, of: str, what: str) -> None:
        self.found.add_missing(name, of, what, again=digest in self._wrong)
        self._wrong.add(digest)
        self._want(digest)

    def _is_missing(self, row: Row) -> bool:
        digest = _named_by(row)
        return digest is not None and self._is_absent(digest)

    def _is_absent(self, digest: Digest) -> bool:
        """Whether it is certain that there are no bytes of it."""
        try:
            return not self._root.contents.has(digest)
        except StorageFailure:
            self.found.finished = False
            return False

    def _still_missing(self, rows: Sequence[Row]) -> Sequence[Row]:
        return self._root.database.change(
            lambda connection: [
                row
                for row in rows
                if connection.execute(_PAIR_STAYS, row[:1]).fetchone()
                and self._is_missing(row)
            ]
        )

    def _rows(self) -> Iterator[int]:
        """Rows without a content, and contents that no pair names."""
        last = b""
        while rows := self._root.database.rows(
            _ROWS, {"last": last, "step": _STEP, "settled": self._settled}
        ):
            for raw, orphaned in rows:
                digest = Digest(raw.hex())
                if not self._is_absent(digest):
                    self.found.orphans += orphaned
                else:
                    self._row_alone(digest)
            last = rows[-1][0]
            yield len(rows) * _COST // 16

    def _row_alone(self, digest: Digest) -> None:
        """A content that is named is missing, unless that was said; of others the row is
        what a removal left that was interrupted."""
        named = bool(self._root.entries.naming(digest))
        if not self._lacks(digest, remove=self._repair and not named):
            return
        if not named:
            self.found.bare_rows += 1
        elif digest not in self._wrong:
            what = "it is known here, and its bytes are not here"
            self._add_missing(digest, "digest", digest.hex, what)

    def _lacks(self, digest: Digest, *, remove: bool) -> bool:
        """Whether a content has a row and no bytes; to `remove` that."""

        def change(connection: sqlite3.Connection) -> bool:
            row = connection.execute(_HAS_ROW, (digest.raw,)).fetchone()
            if row is None or not self._is_absent(digest):
                return False
            if remove:
                connection.execute("DELETE FROM content WHERE digest = ?", (digest.raw,))
            return True

        return self._root.database.change(change)


def _count_leftovers(folder: str) -> int:
    return len(leftovers(folder))


def _named_by(row: Row) -> Digest | None:
    return named_content(Stored(Pair(*row[2:4])))
