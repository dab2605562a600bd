"""What the sources said of many keys at once, before anybody asked for one of them.

A source is asked in batches; one that knows no batches is asked key by key, over all the
connections that are kept to it. What a source said is not judged here: that hangs on the
request, which comes later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from .config import Source
from .entry import Key, Pair
from .errors import InvalidEntry, NotFound, Refusal, SourceFailure
from .protocol import BATCH_LIMIT, Batch
from .transport import CONNECTIONS, Transport

Pairs = Sequence[Pair | InvalidEntry]


class Foreseen:
    """The answers of `transports`, nearest first, for one run. Safe to use from several
    threads."""

    def __init__(self, transports: Sequence[Transport]):
        self._transports = transports
        self._said: dict[tuple[Source, Key], Pairs] = {}

    def ask(
        self, keys: Iterable[Key], *, pooled: bool, only_in_batches: bool = False
    ) -> None:
        """Ask the sources for `keys`, as far as they were not asked before.

        `pooled` says that the words of all sources count together; else a source is asked
        only for what no nearer one has. `only_in_batches` leaves out those that know
        none. Never raises for what a source says or does.
        """
        wanted = list(dict.fromkeys(keys))
        for transport in self._transports:
            source = transport.source
            unasked = [key for key in wanted if (source, key) not in self._said]
            with suppress(Refusal, SourceFailure):
                self._ask(transport, unasked, only_in_batches)
            if not pooled:
                wanted = [key for key in wanted if not self._said.get((source, key))]

    def look_up(self, transport: Transport, key: Key, *, ask: bool = True) -> Pairs:
        """What a source said of `key`, or, with `ask`, says now. Raises as
        `Transport.look_up`."""
        pairs = self._said.get((transport.source, key))
        if pairs is None and ask:
            return transport.look_up(key)
        if not pairs:
            raise NotFound("the key has no entry")
        return pairs

    def forget(self, key: Key) -> None:
        """Let `key` be asked for anew."""
        for transport in self._transports:
            self._said.pop((transport.source, key), None)

    def _ask(
        self, transport: Transport, keys: Sequence[Key], only_in_batches: bool
    ) -> None:
        for start in range(0, len(keys), BATCH_LIMIT):
            asked: Sequence[Key] = keys[start : start + BATCH_LIMIT]
            while asked:
                answer = transport.batch(Batch(asked))
                if answer is None:
                    if not only_in_batches:
                        self._ask_singly(transport, [*asked, *keys[start + BATCH_LIMIT :]])
                    return
                later = set(answer.later)
                for key in asked:
                    if key not in later:
                        self._said[transport.source, key] = answer.entries.get(key, ())
                # A server that never comes to the end is not asked for ever.
                ended = len(later) == len(asked)
                asked = () if ended else [key for key in asked if key in later]

    def _ask_singly(self, transport: Transport, keys: Sequence[Key]) -> None:
        def ask(key: Key) -> None:
            try:
                self._said[transport.source, key] = transport.look_up(key)
            except NotFound:
                self._said[transport.source, key] = ()
            except (Refusal, SourceFailure):
                pass  # whoever needs it asks again

        with ThreadPoolExecutor(CONNECTIONS, "look-up") as pool:
            list(pool.map(ask, keys))
