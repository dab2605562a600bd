"""What an inspection found, and where that is remembered."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from ...digest import Digest
from ...storage.database import Database

LISTED = 100
"""Findings that are named of many."""
KEPT = 100
"""Inspections that are remembered."""


@dataclass
class Found:
    """What an inspection found.

    Looked at: `contents`, their `bytes`, `pairs`. Wrong: `bad` contents, and what is
    `missing`: contents that pairs or rows know of. Of both, `LISTED` are named, each by
    ``digest`` or ``key`` and ``what`` it is. Told only: `orphans` that no pair names,
    contents `without_row`, `leftovers` of dead processes, `unknown_files`. Done: bad ones
    that were put `aside`, and how much of what was wrong is `repaired`. It is not
    `finished` where something could not be read.
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
    leftovers: int = 0
    unknown_files: int = 0
    repaired: int = 0
    aside: int = 0
    finished: bool = True

    @property
    def wrong(self) -> int:
        """How much was wrong, be it repaired by now or not."""
        return self.bad_count + self.missing_count

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def add_bad(self, digest: Digest, what: str) -> None:
        self.contents += 1
        self.bad_count += 1
        if self.bad_count <= LISTED:
            self.bad.append({"digest": digest.hex, "what": what})

    def add_missing(self, name: str, of: str, what: str) -> None:
        self.missing_count += 1
        if self.missing_count <= LISTED:
            self.missing.append({name: of, "what": what})


def write(database: Database, began: float, found: Found) -> None:
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
