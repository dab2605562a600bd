"""Weighing many words: which statements enough signers vouch for, and which is the best.

A **statement** is what an entry says, less what differs between signers. It is believed
where enough different public keys vouch for it, where nobody signed another size of the
same content, where it agrees with the checksums that were asked for, and where nothing
newer was believed before. Whether a word counts by itself is for `trust` to say.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .binding import Request
from .certificates import Certificate
from .digest import Digest
from .entry import Entry
from .errors import NotBelieved, NotFound, Reason

_NOT_STATED = frozenset({"created", "expires", "signer", "salt", "transport"})


@dataclass(frozen=True)
class Vouching:
    """One signer's word for one entry, good by itself.

    `certificate` is that of the signer, `legacy` whether it was believed only because
    of ``signature-legacy = accept``.
    """

    entry: Entry
    certificate: Certificate
    legacy: bool = False

    @property
    def statement(self) -> str:
        """See `statement_of`."""
        return statement_of(self.entry)


def statement_of(entry: Entry) -> str:
    """What is vouched for: every member but those that differ between signers."""
    return json.dumps(
        {name: value for name, value in entry.members.items() if name not in _NOT_STATED},
        sort_keys=True,
    )


_seal = object()


@dataclass(frozen=True)
class TrustedEntry:
    """An entry that may be acted upon. Only `weigh` and `without_entry`, of which
    `trust.Policy` asks it, make one, and only one of these can be downloaded.

    `digest` and `size` (bytes; None where nobody signed it) name the content, `limit`
    bounds what is read, `members` is what the entry says, `vouchings` who said so,
    `created` the age of the statement in POSIX seconds, and `legacy` whether it was
    believed in the old way.
    """

    digest: Digest
    size: int | None
    limit: int
    members: Mapping[str, Any] = field(default_factory=dict)
    vouchings: tuple[Vouching, ...] = ()
    created: int | None = None
    legacy: bool = False
    seal: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _seal:
            raise TypeError("a TrustedEntry is made by the trust policy alone")

    @property
    def signers(self) -> tuple[Certificate, ...]:
        """Who vouched, the newest word first."""
        return tuple(vouching.certificate for vouching in self.vouchings)


def without_entry(digest: Digest, limit: int) -> TrustedEntry:
    """What somebody names by its digest who needs no entry to be believed; `limit` is in
    bytes."""
    return TrustedEntry(digest, None, limit, seal=_seal)


@dataclass(frozen=True)
class Weighed:
    """What became of every statement: those that are `believed`, the best first, and
    why each other is not, by its `Vouching.statement`."""

    believed: tuple[TrustedEntry, ...] = ()
    refused: Mapping[str, NotBelieved] = field(default_factory=dict)

    def best(self) -> TrustedEntry:
        """What may be acted upon. Raises `NotFound` where nobody vouched for anything,
        else `NotBelieved` with the reason that kept the best statement out."""
        if self.believed:
            return self.believed[0]
        if not self.refused:
            raise NotFound("nobody vouches for it")
        raise min(self.refused.values(), key=lambda r: _CLOSEST.index(r.reason))


def weigh(
    vouchings: Iterable[Vouching],
    request: Request,
    threshold: int,
    unsized_limit: int,
    newest_believed: int | None = None,
) -> Weighed:
    """Weigh all vouchings for `request` that any source gave.

    `threshold` is how many different public keys must vouch for a statement,
    `unsized_limit` bounds the bytes of what nobody signed a size of, `newest_believed`
    is the newest `created` that was believed for this request before.
    """
    candidates = {s: _Candidate.of(g, threshold) for s, g in _by_statement(vouchings)}
    conflicting = _conflicting_digests(candidates.values())
    refused: dict[str, NotBelieved] = {}
    believed: list[_Candidate] = []
    for statement, candidate in candidates.items():
        if candidate.digest in conflicting:
            refused[statement] = NotBelieved(
                Reason.CONFLICT,
                f"the same content {candidate.digest.hex[:16]}… is signed with"
                " different sizes",
            )
        elif refusal := candidate.refusal(threshold, request, newest_believed):
            refused[statement] = refusal
        else:
            believed.append(candidate)
    believed.sort(key=lambda candidate: candidate.rank(request), reverse=True)
    return Weighed(tuple(c.trusted(unsized_limit) for c in believed), refused)


_CLOSEST = (Reason.CONFLICT, Reason.ROLLBACK, Reason.CHECKSUM, Reason.BELOW_THRESHOLD)


def _by_statement(vouchings: Iterable[Vouching]) -> Iterable[tuple[str, list[Vouching]]]:
    groups: dict[str, list[Vouching]] = defaultdict(list)
    for vouching in vouchings:
        groups[vouching.statement].append(vouching)
    return groups.items()


@dataclass(frozen=True)
class _Candidate:
    """A statement, and who vouches for it: the newest word of each public key."""

    entry: Entry
    vouchings: tuple[Vouching, ...]
    created: int | None
    legacy: bool

    @classmethod
    def of(cls, group: list[Vouching], threshold: int) -> _Candidate:
        newest: dict[str, Vouching] = {}
        # The last one counts: the newest, and of two the one signed as today.
        for vouching in sorted(group, key=lambda v: (_created(v), not v.legacy)):
            newest[vouching.certificate.fingerprint] = vouching
        vouchings = sorted(newest.values(), key=_created, reverse=True)
        # A stolen key can only re-date its own word: the age is that of the vouching
        # that completes the threshold.
        decisive = vouchings[min(threshold, len(vouchings)) - 1]
        today = sum(not vouching.legacy for vouching in vouchings)
        return cls(
            decisive.entry,
            tuple(vouchings),
            decisive.entry.created,
            today < threshold,
        )

    @property
    def digest(self) -> Digest:
        return self.entry.sha512

    def refusal(
        self, threshold: int, request: Request, newest_believed: int | None
    ) -> NotBelieved | None:
        if len(self.vouchings) < threshold:
            return NotBelieved(
                Reason.BELOW_THRESHOLD,
                f"{len(self.vouchings)} of the {threshold} signers needed vouch for it",
            )
        agrees = request.agrees(self.entry)
        if agrees is False:
            return NotBelieved(
                Reason.CHECKSUM, "the signed content has another checksum than asked for"
            )
        if (
            newest_believed is not None
            and not agrees
            and _age(self.created) < newest_believed
        ):
            return NotBelieved(
                Reason.ROLLBACK,
                "it is older than what was believed here before for the same request",
            )
        return None

    def rank(self, request: Request) -> tuple[bool, int, Digest]:
        return request.agrees(self.entry) is True, _age(self.created), self.digest

    def trusted(self, unsized_limit: int) -> TrustedEntry:
        size = self.entry.size
        return TrustedEntry(
            self.digest,
            size,
            unsized_limit if size is None else size,
            self.entry.members,
            self.vouchings,
            self.created,
            self.legacy,
            seal=_seal,
        )


def _age(created: int | None) -> int:
    """Sorts what has no date last."""
    return -1 if created is None else created


def _created(vouching: Vouching) -> int:
    return _age(vouching.entry.created)


def _conflicting_digests(candidates: Iterable[_Candidate]) -> set[Digest]:
    sizes = {(c.digest, c.entry.size) for c in candidates if c.entry.size is not None}
    return {digest for digest, n in Counter(d for d, _ in sizes).items() if n > 1}
