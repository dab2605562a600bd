"""What an inspection found, and where that is remembered."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from ...digest import Digest
from ...storage.database import SOUND, Database

LISTED = 100
"""Findings that are named of many."""
KEPT = 100
"""Inspections that are remembered."""


@dataclass
class Findings:
    """What an inspection found.

    Looked at: `contents`, their `bytes`, `pairs`. Wrong: contents that are `bad`, and those
    that are `missing`, which pairs know of; each counts once. Of both, `LISTED` are named,
    by ``digest`` or ``key`` and ``what`` it is; `unlisted` are not. Told only: `orphans`
    that no pair names, contents `without_row`, rows without a content (`bare_rows`),
    `leftovers` of dead processes, `unknown_files`. Done: bad ones that were put `aside`,
    and how many of the wrong contents are `repaired`. It is not `finished` where something
    could not be read. `database` is `SOUND`, or what is damaged: then nothing else was
    looked at.
    """

    contents: int = 0
    bytes: int = 0
    pairs: int = 0
    bad: list[dict[str, str]] = field(default_factory=list)
    bad_count: int = 0
    missing: list[dict[str, str]] = field(default_factory=list)
    missing_count: int = 0
    orphans: int = 0
    without_row: int = 0
    bare_rows: int = 0
    leftovers: int = 0
    unknown_files: int = 0
    repaired: int = 0
    aside: int = 0
    unlisted: int = 0
    finished: bool = True
    database: str = SOUND

    @property
    def wrong(self) -> int:
        """How many contents were wrong, be they repaired by now or not."""
        return self.bad_count + self.missing_count

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def add_bad(self, digest: Digest, what: str) -> None:
        self.contents += 1
        self.bad_count += 1
        self._list(self.bad, {"digest": digest.hex, "what": what})

    def add_missing(self, name: str, of: str, what: str, *, again: bool) -> None:
        """`again` says that the content counts already."""
        self.missing_count += not again
        self._list(self.missing, {name: of, "what": what})

    def _list(self, findings: list[dict[str, str]], finding: dict[str, str]) -> None:
        if len(findings) < LISTED:
            findings.append(finding)
        else:
            self.unlisted += 1


def write(database: Database, began: float, found: Findings) -> None:
    """Remember what an inspection found that `began` then, in POSIX seconds, and has just
    ended."""
    row = (int(began), int(time.time()), json.dumps(found.plain()))

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO inspection (began, ended, found) VALUES (?, ?, ?)", row
        )
        connection.execute(
            "DELETE FROM inspection WHERE id <= (SELECT max(id) FROM inspection) - ?",
            (KEPT,),
        )

    database.change(change)
