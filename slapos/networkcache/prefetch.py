"""Contents that come ahead of those who will ask for them, over several connections.

Nothing here is needed: whoever asks for a content that has not come yet brings it by
itself, and whatever goes wrong ahead of time goes wrong again when it is asked for, where
it is told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable

from .client import Client
from .config import Source
from .digest import Digest
from .errors import NetworkcacheError
from .transport import CONNECTIONS
from .trust import TrustedEntry

logger = logging.getLogger("slapos.networkcache")

_PATIENCE = 2.0
"""Seconds that transfers get to notice that they are not wanted any more."""


class _Stopped(Exception):
    """Nobody will ask for it any more."""


class Prefetch:
    """Brings contents into the local store of `client`, in the order in which they are
    wanted, in threads that end with the process."""

    def __init__(self, client: Client):
        self._client = client
        self._lock = threading.Condition()
        self._wanted: deque[tuple[TrustedEntry, int]] = deque()
        self._running: set[Digest] = set()
        self._came: dict[Digest, Source | NetworkcacheError] = {}
        self._threads: list[threading.Thread] = []
        self._stopping = False

    def want(self, entries: Iterable[tuple[TrustedEntry, int]]) -> None:
        """Bring these too; each with the place of the source that is asked first."""
        with self._lock:
            known = {trusted.digest for trusted, _ in self._wanted} | self._running
            known.update(self._came)
            for trusted, first in entries:
                if trusted.digest not in known:
                    known.add(trusted.digest)
                    self._wanted.append((trusted, first))
            for _ in range(min(CONNECTIONS, len(self._wanted)) - len(self._threads)):
                thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
                self._threads.append(thread)
                thread.start()

    def claim(self, digest: Digest) -> Source | NetworkcacheError | None:
        """Where the content came from, or why it did not come, told once; waits for one
        that is on its way, and leaves one that has not begun to who asks."""
        with self._lock:
            self._wanted = deque(w for w in self._wanted if w[0].digest != digest)
            self._lock.wait_for(lambda: digest not in self._running)
            return self._came.pop(digest, None)

    def close(self) -> None:
        """Stop, and wait for what is under way to notice."""
        with self._lock:
            self._stopping = True
            self._wanted.clear()
            self._lock.notify_all()
        end = time.monotonic() + _PATIENCE
        for thread in tuple(self._threads):
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        while (wanted := self._next()) is not None:
            trusted, first = wanted
            came: Source | NetworkcacheError | None = None
            try:
                came = self._client.fetch_ahead(trusted, self._go_on, first)
            except NetworkcacheError as error:
                came = error
            except Exception as error:  # whatever it is, who asks for it will be told
                logger.debug("%s… does not come ahead: %s", trusted.digest.hex[:16], error)
            finally:
                with self._lock:
                    if came is not None:
                        self._came[trusted.digest] = came
                    self._running.discard(trusted.digest)
                    self._lock.notify_all()

    def _next(self) -> tuple[TrustedEntry, int] | None:
        with self._lock:
            if self._stopping or not self._wanted:
                self._threads.remove(threading.current_thread())
                return None
            wanted = self._wanted.popleft()
            self._running.add(wanted[0].digest)
            return wanted

    def _go_on(self, count: int, total: int | None) -> None:
        if self._stopping:
            raise _Stopped
