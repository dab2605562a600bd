"""Which sources hold a content, as they say themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .config import Source
from .digest import Digest
from .errors import Refusal, SourceFailure
from .protocol import BATCH_LIMIT, Batch
from .transport import Transport


@dataclass(frozen=True)
class Holding:
    """Which `digests`, of those that it was asked for, one source holds; `failure` where
    it did not say that of all of them."""

    source: Source
    digests: frozenset[Digest]
    failure: Refusal | SourceFailure | None = None


def held_at(transport: Transport, digests: Sequence[Digest]) -> Holding:
    """Ask one source in batches, or, where it knows none, content by content."""
    held: set[Digest] = set()
    failure: Refusal | SourceFailure | None = None
    try:
        for start in range(0, len(digests), BATCH_LIMIT):
            held |= _held(transport, digests[start : start + BATCH_LIMIT])
    except (Refusal, SourceFailure) as error:
        failure = error
    return Holding(transport.source, frozenset(held), failure)


def _held(transport: Transport, digests: Sequence[Digest]) -> set[Digest]:
    answer = transport.batch(Batch(contents=digests))
    if answer is None:
        return set(filter(transport.has, digests))
    return set(digests) - answer.missing_content
