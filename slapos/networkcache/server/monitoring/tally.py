"""What this process counts, and adds to the database every few seconds.

Counts cost a dictionary look-up each. What was not written yet is lost when a process is
killed: counts and the times of last use are nothing that anybody was promised.

The names of counts, `label` being a `Code`, the number of an upstream from 1, or empty:

========================  =========================================================
``content-hits``          contents that were here, or a part of one
``content-filled``        contents that an upstream gave meanwhile
``content-misses``        contents that nobody has
``entry-hits``            keys under which there was something, in batches too
``entry-misses``          keys under which there was nothing
``content-uploads``       contents that were put
``entry-uploads``         pairs that were put
``bytes-sent``            bytes of bodies of answers
``bytes-received``        bytes of bodies of requests
``bytes-filled``          bytes that upstreams gave
``refused:CODE``          refusals
``upstream-asked:N``      requests to an upstream
``upstream-failed:N``     those that gave nothing
========================  =========================================================
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from contextlib import suppress

from ...digest import Digest
from ...entry import Key
from ...errors import StorageFailure
from ...storage.catalogue import Catalogue
from ...storage.database import Database

EVERY = 5.0
"""Seconds between two writes."""
_MANY = 100_000
"""Keys and contents whose use is remembered between two writes, of each."""


class Tally:
    """Counts, uses of contents and look-ups of keys; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._contents: Counter[Digest] = Counter()
        self._keys: Counter[Key] = Counter()

    def count(self, name: str, number: int = 1) -> None:
        """Add `number` to the count `name`; see the top of this module."""
        with self._lock:
            self._counts[name] += number

    def downloaded(self, digest: Digest) -> None:
        """Somebody began to download a content."""
        with self._lock:
            if len(self._contents) < _MANY:
                self._contents[digest] += 1

    def looked_up(self, key: Key) -> None:
        """Somebody asked for a key that has something."""
        with self._lock:
            if len(self._keys) < _MANY:
                self._keys[key] += 1

    def write(self, database: Database, catalogue: Catalogue) -> None:
        """Add all to the database and begin anew.

        Where it cannot be written it is kept for the next time; raises nothing.
        """
        with self._lock:
            counts, contents, keys = self._counts, self._contents, self._keys
            self._counts, self._contents, self._keys = Counter(), Counter(), Counter()
        now = int(time.time())
        try:
            if counts:
                database.change(lambda connection: _add(connection, counts, now))
                counts = Counter()
            catalogue.use(contents, keys, now)
        except StorageFailure:
            with self._lock, suppress(MemoryError):
                self._counts += counts
                self._contents += contents
                self._keys += keys


def _add(connection: sqlite3.Connection, counts: Counter[str], now: int) -> None:
    connection.executemany(
        "INSERT INTO counter VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET value = value + excluded.value",
        list(counts.items()),
    )
    connection.executemany(
        "INSERT INTO traffic VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(now // 3600, name, value) for name, value in counts.items()],
    )
