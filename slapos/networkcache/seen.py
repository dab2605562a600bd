"""What a node remembers against roll-back: the newest `created` it believed per request.

A small database of the user's own that nothing evicts. A memory counts only while the
signer that it came from is still listed: removing a stolen key from the list undoes what
the thief dated into the future.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

import platformdirs

from .binding import Request
from .errors import StorageFailure


class Seen(Protocol):
    """The door of rollback."""

    def newest(self, request: Request, listed: Collection[str]) -> int | None:
        """The newest `created`, in POSIX seconds, believed for `request` on the word of
        one of the `listed` fingerprints."""

    def remember(self, request: Request, created: int, signers: Iterable[str]) -> None:
        """Note that an entry of that age by those fingerprints was believed."""

    def close(self) -> None: ...


class SeenInMemory:
    """What one process remembers."""

    def __init__(self) -> None:
        self._newest: dict[str, dict[str, int]] = defaultdict(dict)
        self._lock = threading.Lock()

    def newest(self, request: Request, listed: Collection[str]) -> int | None:
        with self._lock:
            known = self._newest.get(_name(request), {})
            return max(
                (known[signer] for signer in known if signer in listed), default=None
            )

    def remember(self, request: Request, created: int, signers: Iterable[str]) -> None:
        with self._lock:
            known = self._newest[_name(request)]
            for signer in signers:
                known[signer] = max(created, known.get(signer, created))

    def close(self) -> None:
        pass


_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (
    request TEXT NOT NULL, signer TEXT NOT NULL, created INTEGER NOT NULL,
    PRIMARY KEY (request, signer)
) WITHOUT ROWID
"""
_REMEMBER = """
INSERT INTO seen VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET created = max(created, excluded.created)
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

    def newest(self, request: Request, listed: Collection[str]) -> int | None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            rows = self._db.execute(
                "SELECT signer, created FROM seen WHERE request = ?", (_name(request),)
            )
            return max(
                (created for signer, created in rows if signer in listed), default=None
            )
        return None

    def remember(self, request: Request, created: int, signers: Iterable[str]) -> None:
        name = _name(request)
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.executemany(_REMEMBER, [(name, signer, created) for signer in signers])

    def close(self) -> None:
        with self._lock:
            self._db.close()


def default_path() -> Path:
    """``seen.sqlite`` in the user's cache folder."""
    return Path(platformdirs.user_cache_dir("slapos.networkcache")) / "seen.sqlite"


def _name(request: Request) -> str:
    name = f"{request.key} {request.url or ''}"
    return name.encode("utf-8", "backslashreplace").decode()  # it may hold surrogates
