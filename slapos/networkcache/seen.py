"""What a node remembers against roll-back: the newest `created` it believed per request.

A small database of the user's own that nothing evicts. It keeps whose words a statement
was believed on, and a word counts only while its signer is still listed: removing a
stolen key from the list undoes what the thief dated into the future, and what an honest
signer said beside it counts as old as that signer said.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import platformdirs

from .binding import Request
from .errors import StorageFailure

Words = Mapping[str, int]
"""Who vouched for a statement, by fingerprint, and the `created` of their own word."""


class Seen(Protocol):
    """The door of rollback."""

    def newest(
        self, request: Request, listed: Collection[str], threshold: int = 1
    ) -> int | None:
        """The newest age, in POSIX seconds, of what was believed for `request` on the
        word of at least `threshold` of the `listed` fingerprints."""

    def remember(self, request: Request, created: int, words: Words) -> None:
        """Note that a statement of the age `created` was believed on these `words`."""

    def close(self) -> None: ...


class SeenInMemory:
    """What one process remembers."""

    def __init__(self) -> None:
        self._believed: dict[str, dict[str, tuple[int, Words]]] = defaultdict(dict)
        self._lock = threading.Lock()

    def newest(
        self, request: Request, listed: Collection[str], threshold: int = 1
    ) -> int | None:
        with self._lock:
            known = list(self._believed.get(_name(request), {}).values())
        return _newest((words for _, words in known), listed, threshold)

    def remember(self, request: Request, created: int, words: Words) -> None:
        with self._lock:
            known = self._believed[_name(request)]
            before = known.get(_signers(words))
            if before is None or before[0] <= created:
                known[_signers(words)] = created, dict(words)

    def close(self) -> None:
        pass


_SCHEMA = """
CREATE TABLE IF NOT EXISTS believed (
    request TEXT NOT NULL, signers TEXT NOT NULL, created INTEGER NOT NULL,
    words TEXT NOT NULL, PRIMARY KEY (request, signers)
) WITHOUT ROWID
"""
_REMEMBER = """
INSERT INTO believed VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET created = excluded.created, words = excluded.words
WHERE created <= excluded.created
"""


class SeenOnDisk:
    """The memory of a user, shared by all runs.

    `path` is made where it is not there. Raises `StorageFailure` where it cannot be
    used; a fault later on only loses what was to be remembered.
    """

    def __init__(self, path: Path):
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            os.chmod(path, 0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StorageFailure(f"{path} cannot be used: {error}") from None

    def newest(
        self, request: Request, listed: Collection[str], threshold: int = 1
    ) -> int | None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            rows = self._db.execute(
                "SELECT words FROM believed WHERE request = ?", (_name(request),)
            ).fetchall()
            return _newest((json.loads(words) for (words,) in rows), listed, threshold)
        return None

    def remember(self, request: Request, created: int, words: Words) -> None:
        row = (_name(request), _signers(words), created, json.dumps(dict(words)))
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.execute(_REMEMBER, row)

    def close(self) -> None:
        with self._lock:
            self._db.close()


def open_seen() -> tuple[Seen, list[str]]:
    """The memory of this user, and what its user should know: where it cannot be used,
    it is one of this process."""
    try:
        return SeenOnDisk(default_path()), []
    except StorageFailure as error:
        return SeenInMemory(), [f"roll-back is noticed within this run only: {error}"]


def default_path() -> Path:
    """``seen.sqlite`` in the user's cache folder."""
    return Path(platformdirs.user_cache_dir("slapos.networkcache")) / "seen.sqlite"


def _name(request: Request) -> str:
    name = f"{request.key} {request.url or ''}"
    return name.encode("utf-8", "backslashreplace").decode()  # it may hold surrogates


def _signers(words: Words) -> str:
    return " ".join(sorted(words))


def _newest(
    believed: Iterable[Words], listed: Collection[str], threshold: int
) -> int | None:
    """As the policy weighs: a statement is as old as the word that completes the
    threshold, of those whose signers are still listed."""
    ages = []
    for words in believed:
        counted = sorted((words[s] for s in words if s in listed), reverse=True)
        ages += counted[threshold - 1 : threshold]
    return max(ages, default=None)
