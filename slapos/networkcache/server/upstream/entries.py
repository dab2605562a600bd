"""Look-ups: what upstreams say of keys, asked for where it is not known, or too old.

An upstream that is away, or does not answer in time, counts with what it said last,
however old; but that there is nothing is not remembered for long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import NamedTuple

from ...digest import Digest
from ...entry import Key, Pair
from ...protocol import DIRECTORY_LIMIT
from ...storage import Stored
from .asking import Asking
from .background import Background
from .remembered import Answer, Remembered
from .watched import Watched

PATIENCE = 3.5
"""Seconds for which an asker waits for upstreams: less than our clients wait for us."""
_IN_THE_LOOP = 20
_SHORT = 64 << 10
"""Keys, and bytes of what is remembered of them, that are read without a thread."""


class Found(NamedTuple):
    """What upstreams say.

    `rows` are the pairs by key, nearest upstream first. Of the keys `unknown` no upstream
    said anything; those `later` may have something when they are asked for again. `held`
    are contents, of those that were asked for, that an upstream has; `missing` those that
    one says its pairs name, and it has not. At the keys `put_off` nobody looked, since what
    was found of the others is enough for one answer.
    """

    rows: Mapping[Key, Sequence[Stored]]
    unknown: Set[Key] = frozenset()
    later: Set[Key] = frozenset()
    held: Set[Digest] = frozenset()
    missing: Set[Digest] = frozenset()
    put_off: Set[Key] = frozenset()


Known = Mapping[tuple[Key, str], Answer]
Asked = Mapping[int, "set[Asking]"]
"""Who was asked, by the number of the upstream."""


class UpstreamEntries:
    """The pairs of `upstreams`, nearest first; `ttl` is seconds for which what one said
    is not asked for again."""

    def __init__(
        self,
        upstreams: Sequence[Watched],
        remembered: Remembered,
        background: Background,
        ttl: float,
        clock: Callable[[], float] = time.time,
    ):
        self._upstreams = upstreams
        self._remembered = remembered
        self._background = background
        self._ttl = ttl
        self._clock = clock
        self._asking: dict[tuple[int, Key], Asking] = {}

    async def look_up(self, keys: Sequence[Key], contents: Sequence[Digest] = ()) -> Found:
        """What upstreams say of `keys`, and which of `contents` they have."""
        now = int(self._clock())
        wanted, sizes = keys, await self._sizes(keys)
        keys = [key for key in wanted if key in sizes]
        known = await self._known(keys, sum(sizes.values()))
        asked = {}
        for upstream in self._upstreams:
            old = [
                key
                for key in keys
                if not self._is_fresh(known.get((key, upstream.name)), now)
            ]
            asked[upstream.number] = self._ask(upstream, old, contents)
        await self._wait([asking for some in asked.values() for asking in some])
        marked = [key for (key, _), answer in known.items() if answer.needs_mark(now)]
        if marked:
            self._background.start(self._background.run(self._remembered.use, marked, now))
        cut = {key for some in asked.values() for asking in some for key in asking.left}
        if len(cut & set(keys)) < len(keys):
            keys = [key for key in keys if key not in cut]
        found = self._merge(keys, known, asked, now)
        return found._replace(put_off=set(wanted).difference(keys))

    async def _sizes(self, keys: Sequence[Key]) -> Mapping[Key, int]:
        """The keys of which what is remembered fits into one answer, and one of them in any
        case; how many bytes that has."""
        if len(keys) <= _IN_THE_LOOP:
            sizes = self._remembered.sizes(keys)
        else:
            sizes = await self._background.read(self._remembered.sizes, keys)
        fitting: dict[Key, int] = {}
        left = DIRECTORY_LIMIT
        for key, size in zip(keys, sizes, strict=True):
            if size <= left or not fitting:
                fitting[key] = size
                left -= size
        return fitting

    async def _known(self, keys: Sequence[Key], size: int) -> Known:
        if len(keys) <= _IN_THE_LOOP and size <= _SHORT:
            return self._remembered.get(keys)
        return await self._background.read(self._remembered.get, keys)

    def _is_fresh(self, answer: Answer | None, now: int) -> bool:
        return answer is not None and answer.fresh(now, self._ttl)

    def _ask(
        self, upstream: Watched, keys: Sequence[Key], contents: Sequence[Digest]
    ) -> set[Asking]:
        """Ask for what nobody asks for yet."""
        if upstream.left_alone:
            return set()
        number = upstream.number
        keys = [key for key in keys if not upstream.doubted(key)]
        running = {a for key in keys if (a := self._asking.get((number, key)))}
        new = [key for key in keys if (number, key) not in self._asking]
        if new or contents:
            asking = Asking(upstream, self._background)
            self._asking.update({(number, key): asking for key in new})
            self._background.start(self._hear(upstream, asking, new, contents))
            running.add(asking)
        return running

    async def _wait(self, everybody: Sequence[Asking]) -> None:
        """Wait until all have ended, or for so long as an asker does."""
        for asking in everybody:
            asking.waiting += 1
        try:
            if everybody:
                ends = [asking.ended for asking in everybody]
                await asyncio.wait(ends, timeout=PATIENCE)
        finally:
            for asking in everybody:
                asking.waiting -= 1

    async def _hear(
        self,
        upstream: Watched,
        asking: Asking,
        keys: Sequence[Key],
        contents: Sequence[Digest],
    ) -> None:
        now = int(self._clock())
        try:
            await asking.hear(keys, contents)
            for key in set(keys).difference(asking.pairs):
                del self._asking[upstream.number, key]  # to be asked for anew
            if asking.pairs:
                await self._background.run(
                    self._remembered.put, upstream.name, asking.pairs, now
                )
        finally:
            for key in keys:
                if self._asking.get((upstream.number, key)) is asking:
                    del self._asking[upstream.number, key]

    def _merge(self, keys: Sequence[Key], known: Known, asked: Asked, now: int) -> Found:
        rows: dict[Key, Sequence[Stored]] = {}
        silent = set()
        for key in keys:
            merged: dict[Pair, Stored] = {}
            said = False
            for upstream in self._upstreams:
                answer = known.get((key, upstream.name))
                heard = [a.pairs[key] for a in asked[upstream.number] if key in a.pairs]
                said |= bool(heard) or self._is_fresh(answer, now)
                for pair in heard[0] if heard else answer.pairs if answer else ():
                    merged.setdefault(pair, Stored(pair, f"upstream {upstream.number}"))
            if merged:
                rows[key] = list(merged.values())
            elif not said:
                silent.add(key)
        everybody = [asking for some in asked.values() for asking in some]
        held = {digest for asking in everybody for digest in asking.held}
        missing = {digest for asking in everybody for digest in asking.missing}
        found = Found(rows, held=held, missing=missing - held)
        # Whoever is to ask again must have learned something this time.
        if len(silent) < len(keys) and not all(a.ended.done() for a in everybody):
            return found._replace(later=silent)
        return found._replace(unknown=silent)
