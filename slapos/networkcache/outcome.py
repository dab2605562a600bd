"""What a look-up learned, from the single pair to the sentence that says why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .binding import Request
from .config import Source
from .digest import Digest
from .entry import Entry, Pair
from .errors import (
    Code,
    InvalidEntry,
    NetworkcacheError,
    NotBelieved,
    NotFound,
    Reason,
    Refusal,
    SourceFailure,
)
from .trust import TrustedEntry, Vouching, Weighed


@dataclass(frozen=True)
class Verdict:
    """What became of one pair: the `vouching` it gave, or why it does not count, and
    whether ``signature-legacy = accept`` is all that it lacks."""

    pair: Pair | None
    vouching: Vouching | None = None
    refusal: NotBelieved | None = None
    only_legacy: bool = False

    @property
    def entry(self) -> Entry | None:
        """What the pair says, whether it is believed or not; None where it is no entry."""
        if self.vouching is not None:
            return self.vouching.entry
        try:
            return Entry.parse(self.pair.entry) if self.pair else None
        except InvalidEntry:
            return None

    @property
    def signer(self) -> str | None:
        """The fingerprint of who signed it, or is only said to have signed it, if it does
        not count."""
        if self.vouching is not None:
            return self.vouching.certificate.fingerprint
        entry = self.entry
        return entry.signer if entry else None


@dataclass(frozen=True)
class Answer:
    """What one source said of a request; `failure` where it said nothing."""

    source: Source
    verdicts: Sequence[Verdict] = ()
    failure: NotFound | Refusal | SourceFailure | None = None


@dataclass(frozen=True)
class Outcome:
    """All that a look-up learned.

    `trusted` is what may be fetched, if anything; else `refusal` says why there is
    nothing. `answers` holds what each source said, in the order they were asked, and
    `weighed` all that is believed of it.
    """

    request: Request
    answers: Sequence[Answer] = ()
    trusted: TrustedEntry | None = None
    refusal: NetworkcacheError = field(default_factory=lambda: NotFound("nobody has it"))
    weighed: Weighed = field(default_factory=Weighed)

    @property
    def reason(self) -> Reason | Code | None:
        """Why nothing may be fetched; None where something may."""
        return self.refusal.reason if self.trusted is None else None

    @property
    def refused(self) -> list[NotBelieved]:
        """Why each pair that does not count does not, by itself; see `weighed` for the
        statements that pairs vouch for."""
        return [
            verdict.refusal
            for answer in self.answers
            for verdict in answer.verdicts
            if verdict.refusal is not None
        ]

    @property
    def only_legacy(self) -> int:
        """How many pairs are refused only because they are signed in the old way."""
        return sum(v.only_legacy for answer in self.answers for v in answer.verdicts)

    def nearest_with(self, digest: Digest) -> int:
        """The place of the nearest source that named that content."""
        for place, answer in enumerate(self.answers):
            if any(v.entry.sha512 == digest for v in vouchings([answer])):
                return place
        return 0


def vouchings(answers: Sequence[Answer]) -> Iterator[Vouching]:
    for answer in answers:
        for verdict in answer.verdicts:
            if verdict.vouching is not None:
                yield verdict.vouching


def most_telling(answers: Sequence[Answer]) -> NetworkcacheError | None:
    """Of all that kept a look-up from success, what says most: a pair that does not
    count before a source that did not answer, and both before "not found"."""
    for answer in answers:
        for verdict in answer.verdicts:
            if verdict.refusal is not None:
                return verdict.refusal
    for answer in answers:
        if answer.failure is not None and not isinstance(answer.failure, NotFound):
            return answer.failure
    return None
