"""One question to one upstream, and what it said so far, to whoever asked for the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from ...digest import Digest
from ...entry import Key, Pair
from ...errors import InvalidEntry, NotFound, Refusal, SourceFailure
from ...protocol import DIRECTORY_LIMIT, Batch
from ..directory import accept
from .background import Background
from .watched import Watched

AT_ONCE = 8
"""Keys that are asked for at a time of one that knows no batches."""
ROUNDS = 10
"""Batches that one is asked for the same keys, which it puts off."""


class Asking:
    """What `upstream` says: `pairs` of the keys of which it said anything, which of the
    contents asked for are `held`, and which `missing` of those that its pairs name.
    `left` are keys for which it is not asked any more, since what it said of the others is
    enough for one answer. `ended` is done once no more comes. `waiting` is how many wait
    for that: for nobody, no key is asked for singly."""

    def __init__(self, upstream: Watched, background: Background):
        self.pairs: dict[Key, Sequence[Pair]] = {}
        self.held: set[Digest] = set()
        self.missing: set[Digest] = set()
        self.left: set[Key] = set()
        self.waiting = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._upstream = upstream
        self._background = background
        self._heard = 0

    @property
    def _is_enough(self) -> bool:
        return self._heard >= DIRECTORY_LIMIT

    async def hear(self, keys: Sequence[Key], contents: Sequence[Digest]) -> None:
        """Ask, in one round trip where it knows how, and take what it says."""
        try:
            with suppress(Refusal, SourceFailure):
                if len(keys) > 1 or contents:
                    keys, contents = await self._ask_batch(keys, contents)
                await self._ask_singly(keys, contents)
        finally:
            self.ended.set_result(None)

    async def _ask_batch(
        self, keys: Sequence[Key], contents: Sequence[Digest]
    ) -> tuple[Sequence[Key], Sequence[Digest]]:
        """What is left to ask for singly: all, of one that knows no batches."""
        for _ in range(ROUNDS):
            with self._upstream.asking(keys[0] if keys else contents[0]):
                answer = await self._upstream.door.batch(Batch(keys, contents))
            if answer is None:
                return keys, contents
            self.missing |= answer.missing_content
            self.held |= set(contents) - answer.missing_content
            later = set(answer.later)
            said = {key: answer.entries.get(key, ()) for key in keys if key not in later}
            await self._take(said)
            # One that never comes to the end is not asked for ever.
            if not later or len(later) == len(keys):
                return (), ()
            keys, contents = [key for key in keys if key in later], ()
            if self._is_enough:
                break
        self.left.update(keys)
        return (), ()

    async def _ask_singly(self, keys: Sequence[Key], contents: Sequence[Digest]) -> None:
        questions: list[Callable[[], Awaitable[None]]] = []
        questions += [partial(self._look_up, key) for key in keys]
        questions += [partial(self._measure, digest) for digest in contents]
        left = iter(questions)

        async def ask() -> None:
            with suppress(SourceFailure):
                while self.waiting and (question := next(left, None)):
                    with suppress(Refusal):
                        await question()

        await asyncio.gather(*(ask() for _ in range(min(AT_ONCE, len(questions)))))

    async def _look_up(self, key: Key) -> None:
        if self._is_enough:
            self.left.add(key)
            return
        pairs: Sequence[Pair] = ()
        with suppress(NotFound), self._upstream.asking(key):
            pairs = await self._upstream.door.look_up(key)
        await self._take({key: pairs})

    async def _take(self, said: Mapping[Key, Sequence[Pair | InvalidEntry]]) -> None:
        taken = await self._background.read(_acceptable, said)
        self.pairs |= taken
        self._heard += sum(pair.size for pairs in taken.values() for pair in pairs)

    async def _measure(self, digest: Digest) -> None:
        with suppress(NotFound), self._upstream.asking(digest):
            await self._upstream.door.length(digest)
            self.held.add(digest)


def _acceptable(
    said: Mapping[Key, Iterable[Pair | InvalidEntry]],
) -> dict[Key, Sequence[Pair]]:
    """The pairs that are taken from those who put them here, too, each once."""
    return {
        key: [
            pair
            for pair in dict.fromkeys(pairs)
            if isinstance(pair, Pair) and _is_taken(key, pair)
        ]
        for key, pairs in said.items()
    }


def _is_taken(key: Key, pair: Pair) -> bool:
    with suppress(Refusal):
        accept(key, pair)
        return True
    return False
