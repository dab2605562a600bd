"""What a run will ask for, before it does: the record of an earlier run, or at least the
URLs and versions in the profile.

The record of an earlier run of the same root profile is asked for with the first request.
Its keys are looked up together, and the contents that are believed come into the local
store ahead of buildout. A record only names keys, so it is bounded here and nothing in it
is believed; see `record`.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from ..binding import Request
from ..config import Source
from ..errors import NetworkcacheError
from ..key import Key, Kind
from ..printable import readable

if TYPE_CHECKING:
    from ..client import Client
    from ..digest import Digest
    from ..outcome import Outcome
    from ..prefetch import Prefetch
    from ..record import Used
    from ..trust import TrustedEntry

logger = logging.getLogger("slapos.networkcache")

_CHUNK = 32
"""Entries that are verified before the first of them is fetched."""


class Ahead:
    """What is foreseen of one run, through one client.

    `profile` names the root profile as `Key.for_run` does, or is None where it has no
    name that may be looked up; `expected` are the keys that the profile is known to need.
    """

    def __init__(self, client: Client, profile: str | None):
        self._client = client
        self._profile = profile
        self._prefetch: Prefetch | None = None
        self._looked = False
        self._lock = threading.Lock()
        self._used: list[Used] = []
        self._record: dict[Key, list[Used]] = {}
        self._asked: set[Key] = set()
        self._left = 0 if client.local is None else client.local.size // 2

    @property
    def recorded(self) -> list[Used]:
        """What the record names, in its order."""
        return self._used

    def look(self, expected: Iterable[Key], guessed: Iterable[Key]) -> None:
        """Ask for the record, the first time, and then for what is `expected` and was not
        asked for yet; for what is only `guessed` where there is no record."""
        expected = list(expected)
        with self._lock:  # whoever comes meanwhile gains by waiting
            if not self._looked:
                self._looked = True
                first = Request.for_run(self._profile).key if self._profile else None
                if first is not None:
                    self._ask([first, *expected])
                    self._follow_record()
            self._ask(expected)
            if not self._record:
                self._ask(guessed, only_in_batches=True)

    def _ask(self, keys: Iterable[Key], *, only_in_batches: bool = False) -> None:
        new = [key for key in dict.fromkeys(keys) if key not in self._asked]
        if new:
            self._asked.update(new)
            self._client.foresee(new, only_in_batches=only_in_batches)

    def claim(self, digest: Digest) -> Source | NetworkcacheError | None:
        """Where a content came from ahead of time, or why not; see `Prefetch.claim`."""
        return None if self._prefetch is None else self._prefetch.claim(digest)

    def origin_seconds(self, key: Key, digest: Digest) -> float | None:
        """How long the origin took for a content, as the record has it."""
        for used in self._record.get(key, ()):
            if used.digest == digest and used.milliseconds is not None:
                return used.milliseconds / 1000
        return None

    def close(self) -> None:
        """Stop what is under way."""
        if self._prefetch is not None:
            self._prefetch.close()

    # -- the record

    def _follow_record(self) -> None:
        assert self._profile is not None
        outcome = self._client.look_up(Request.for_run(self._profile))
        if outcome.trusted is None:
            logger.debug("there is no record of an earlier run: %s", outcome.refusal)
            return
        used = self._used = self._read(outcome)
        logger.debug("an earlier run used %d contents", len(used))
        for one in used:
            self._record.setdefault(one.key, []).append(one)
        self._ask(self._record)
        if used and self._client.local is not None:
            self._fetch(used)

    def _read(self, outcome: Outcome) -> list[Used]:
        """What the record names; nothing where it cannot be had."""
        from ..record import RECORD_LIMIT, decode_record

        trusted = outcome.trusted
        assert trusted is not None
        if trusted.size is None or trusted.size > RECORD_LIMIT:
            return []
        with tempfile.TemporaryDirectory(prefix="networkcache-") as folder:
            path = os.path.join(folder, "record")
            try:
                self._client.fetch(outcome, path)
                with open(path, "rb") as file:
                    return decode_record(file.read())
            except (NetworkcacheError, OSError) as error:
                logger.info("the record of an earlier run: %s", readable(error))
                return []

    def _fetch(self, used: Iterable[Used]) -> None:
        from ..prefetch import Prefetch

        self._prefetch = Prefetch(self._client)
        doubted: list[Used] = []
        self._want(self._believed(used, doubted))
        # What the nearest source says of these is not believed: the others may know more.
        self._client.foresee({one.key for one in doubted}, everywhere=True)
        self._want(self._believed(doubted, []))

    def _want(self, entries: Iterator[tuple[TrustedEntry, int]]) -> None:
        assert self._prefetch is not None
        while chunk := list(islice(entries, _CHUNK)):
            self._prefetch.want(chunk)

    def _believed(
        self, used: Iterable[Used], doubted: list[Used]
    ) -> Iterator[tuple[TrustedEntry, int]]:
        """What is believed of it, by what was foreseen, as long as it fills no more than
        half of the store; the rest goes to `doubted`."""
        for one in used:
            outcome = self._client.look_up(Request(one.key), remember=False, ask=False)
            fits = (
                trusted
                for trusted in outcome.weighed.believed
                if (trusted.digest, trusted.size) == (one.digest, one.size)
            )
            if (trusted := next(fits, None)) is None:
                doubted.append(one)
            elif one.key.kind is not Kind.RUN:
                self._left -= one.size
                if self._left < 0:
                    return
                yield trusted, outcome.nearest_with(trusted.digest)
