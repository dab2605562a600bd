"""The space that a server takes over time: measured by the one process that leads, and kept
with what was counted by the hour."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import suppress

from ...errors import StorageFailure
from ...storage.database import Database
from ..threads import Threads

EVERY = 300.0
"""Seconds between two looks: the last one of an hour stays."""
KEPT = 100 * 24
"""Hours after which what was counted is forgotten."""
BYTES, CONTENTS = "held-bytes", "held-contents"
SAMPLED = frozenset({BYTES, CONTENTS})
"""Names in the table ``traffic`` that are no counts: of several, the last one is right."""

_SAMPLE = """
INSERT INTO traffic
SELECT ?1, ?2, coalesce(sum(bytes), 0) FROM held WHERE true
UNION ALL SELECT ?1, ?3, coalesce(sum(contents), 0) FROM held WHERE true
ON CONFLICT DO UPDATE SET value = excluded.value
"""


def sample(connection: sqlite3.Connection, now: float) -> None:
    """Keep what is held at `now`, POSIX seconds, and forget what is too old to be shown."""
    hour = int(now) // 3600
    connection.execute(_SAMPLE, (hour, BYTES, CONTENTS))
    connection.execute("DELETE FROM traffic WHERE hour < ?", (hour - KEPT,))


async def keep_sampling(database: Database, threads: Threads) -> None:
    """For the leader: look again and again."""
    while True:
        # Where it fails others say so; what was not measured is missing in a plot.
        with suppress(StorageFailure):
            await threads.run(database.change, lambda c: sample(c, time.time()))
        await asyncio.sleep(EVERY)
