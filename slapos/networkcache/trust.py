"""Who is believed: signing, and the policy that turns pairs into a `TrustedEntry`.

A pair counts for a `Request` if it parses, if its signature verifies with a listed
certificate, if it is about the request, if it is neither expired nor from the future,
if its digest is not blacklisted, and if enough different signers vouch for the same
statement. `Policy.examine` judges one pair by itself and gives a `Vouching`;
`Policy.decide` weighs all vouchings that were received. Both are functions of values:
the caller brings the pairs, the time, and the newest `created` believed before.

The kind of key in the certificate decides how a signature is made, so there is nothing
to downgrade: RSA (2048 bits or more) PKCS#1 v1.5 over SHA-512, Ed25519, or ECDSA
P-256/P-384 over SHA-512 with low s. Older programs sign with RSA over SHA-1; that is
believed, and done, only where the configuration asks for it (`signature-legacy`).

A certificate is a container for a public key: its dates and issuer decide nothing.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .binding import Request, check_binding
from .certificates import Certificate, Strength
from .digest import Digest
from .entry import Entry, Pair
from .errors import InvalidEntry, NotBelieved, NotFound, Reason

CLOCK_TOLERANCE = 600
"""Seconds that an entry may come from the future."""
UNSIZED_LIMIT = 4 << 30
"""Bytes read at most of a content whose size nobody signed: legacy entries, and
contents that a profile names by their SHA-512."""

_NOT_STATED = frozenset({"created", "expires", "signer", "salt", "transport"})


@dataclass(frozen=True)
class Vouching:
    """One signer's word for one entry, good by itself.

    `fingerprint` is the SHA-256 of the signer's public key, `legacy` whether it was
    believed only because of ``signature-legacy = accept``.
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
    """An entry that may be acted upon. Only `Policy`, in `decide` and `named_by_profile`,
    make one, and only one of these can be downloaded.

    `digest` and `size` (bytes; None where nobody signed it) name the content, `limit`
    bounds what is read, `members` is what the entry says, `signers` who vouched,
    `created` the age of the statement in POSIX seconds, and `legacy` whether it was
    believed in the old way.
    """

    digest: Digest
    size: int | None
    limit: int
    members: Mapping[str, Any] = field(default_factory=dict)
    signers: tuple[Certificate, ...] = ()
    created: int | None = None
    legacy: bool = False
    seal: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _seal:
            raise TypeError("a TrustedEntry is made by the trust policy alone")


@dataclass(frozen=True)
class Policy:
    """Whom and what a node believes.

    `certificates`
        who may vouch. None of them: nobody is believed
    `threshold`
        how many different public keys must vouch for the same statement
    `blacklist`
        digests never accepted, whoever signed
    `accept_legacy`
        believe SHA-1 signatures of RSA keys of 1024 bits or more, and entries that
        have no `format`
    `require_checked_origin`
        refuse what its signer fetched over plain http without a checksum
    `unsized_limit`
        bytes read of a content whose size nobody signed
    """

    certificates: Sequence[Certificate] = ()
    threshold: int = 1
    blacklist: Collection[Digest] = frozenset()
    accept_legacy: bool = False
    require_checked_origin: bool = False
    unsized_limit: int = UNSIZED_LIMIT

    def named_by_profile(self, digest: Digest) -> TrustedEntry:
        """What a profile itself names by its SHA-512: no entry is needed to believe it.

        Raises `NotBelieved` where the digest is blacklisted.
        """
        self._check_blacklist(digest)
        return TrustedEntry(digest, None, self.unsized_limit, seal=_seal)

    def examine(self, pair: Pair, request: Request, now: float) -> Vouching:
        """Judge one pair by itself, at the POSIX time `now`.

        Raises `NotBelieved` with the reason.
        """
        try:
            entry = Entry.parse(pair.entry)
            signature = pair.signature_bytes()
        except InvalidEntry as error:
            raise NotBelieved(error.reason, str(error)) from None
        certificate, legacy = self._verify(entry, signature)
        if entry.legacy and not self.accept_legacy:
            raise NotBelieved(
                Reason.UNKNOWN_FORMAT,
                "the entry has no format: it was made by an older program;"
                " signature-legacy = accept believes it",
            )
        check_binding(entry, request)
        self._check_time(entry, now)
        self._check_blacklist(entry.sha512)
        if self.require_checked_origin and entry.members.get("transport") == "http":
            raise NotBelieved(
                Reason.UNCHECKED_ORIGIN,
                "its signer fetched it over http, without a checksum",
            )
        return Vouching(entry, certificate, legacy or entry.legacy)

    def _verify(self, entry: Entry, signature: bytes) -> tuple[Certificate, bool]:
        """Whose signature it is, and whether it was made in the old way."""
        data = entry.text.encode()
        candidates: Sequence[Certificate] = self.certificates if signature else ()
        if entry.signer is not None:
            candidates = [c for c in candidates if c.fingerprint == entry.signer]
        weak = False
        # As we sign, with any of them, before SHA-1 is tried with any.
        for verify in (Certificate.verify, Certificate.verify_legacy):
            for certificate in candidates:
                strength = verify(certificate, signature, data)
                if strength is Strength.STRONG:
                    return certificate, False
                if strength is Strength.LEGACY and self.accept_legacy:
                    return certificate, True
                weak = weak or strength is not None
        if weak:
            raise NotBelieved(
                Reason.WEAK_SIGNATURE,
                "it is signed in the old way (SHA-1, or a key too small);"
                " signature-legacy = accept believes SHA-1 with RSA of 1024 bits or more",
            )
        if entry.signer is not None and candidates and signature:
            raise NotBelieved(
                Reason.BAD_SIGNATURE,
                f"the signature is not by {entry.signer[:16]}…, whom the entry names",
            )
        who = f" {entry.signer[:16]}…" if entry.signer else ""
        raise NotBelieved(
            Reason.UNKNOWN_SIGNER,
            f"signed by somebody{who} who is not in signature-certificate-list"
            if signature
            else "it is not signed",
        )

    def _check_blacklist(self, digest: Digest) -> None:
        if digest in self.blacklist:
            raise NotBelieved(
                Reason.BLACKLISTED_DIGEST, f"{digest.hex[:16]}… is in digest-blacklist"
            )

    def _check_time(self, entry: Entry, now: float) -> None:
        if entry.expires is not None and now > entry.expires:
            raise NotBelieved(Reason.EXPIRED, f"expired {now - entry.expires:.0f} s ago")
        if entry.created is not None and entry.created > now + CLOCK_TOLERANCE:
            raise NotBelieved(
                Reason.CLOCK,
                f"created {entry.created - now:.0f} s from now: a clock is wrong",
            )

    def decide(
        self,
        vouchings: Iterable[Vouching],
        request: Request,
        newest_believed: int | None = None,
    ) -> TrustedEntry:
        """The best of what `weigh` believes. Raises `NotFound` or `NotBelieved`."""
        return self.weigh(vouchings, request, newest_believed).best

    def weigh(
        self,
        vouchings: Iterable[Vouching],
        request: Request,
        newest_believed: int | None = None,
    ) -> Weighed:
        """Weigh all vouchings for `request` that any source gave.

        `newest_believed` is the newest `created` that was believed for this request
        before.
        """
        candidates = {s: _Candidate.of(g, self) for s, g in _by_statement(vouchings)}
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
            elif refusal := candidate.refusal(self.threshold, request, newest_believed):
                refused[statement] = refusal
            else:
                believed.append(candidate)
        believed.sort(key=lambda candidate: candidate.rank(request), reverse=True)
        return Weighed(tuple(c.trusted(self.unsized_limit) for c in believed), refused)


@dataclass(frozen=True)
class Weighed:
    """What became of every statement: those that are `believed`, the best first, and
    why each other is not, by its `Vouching.statement`."""

    believed: tuple[TrustedEntry, ...] = ()
    refused: Mapping[str, NotBelieved] = field(default_factory=dict)

    @property
    def best(self) -> TrustedEntry:
        """What may be acted upon. Raises `NotFound` where nobody vouched for anything,
        else `NotBelieved` with the reason that kept the best statement out."""
        if self.believed:
            return self.believed[0]
        if not self.refused:
            raise NotFound("nobody vouches for it")
        raise min(self.refused.values(), key=lambda r: _CLOSEST.index(r.reason))


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
    def of(cls, group: list[Vouching], policy: Policy) -> _Candidate:
        newest: dict[str, Vouching] = {}
        # The last one counts: the newest, and of two the one signed as today.
        for vouching in sorted(group, key=lambda v: (_created(v), not v.legacy)):
            newest[vouching.certificate.fingerprint] = vouching
        vouchings = sorted(newest.values(), key=_created, reverse=True)
        # A stolen key can only re-date its own word: the age is that of the vouching
        # that completes the threshold.
        decisive = vouchings[min(policy.threshold, len(vouchings)) - 1]
        today = sum(not vouching.legacy for vouching in vouchings)
        return cls(
            decisive.entry,
            tuple(vouchings),
            decisive.entry.created,
            today < policy.threshold,
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
            tuple(vouching.certificate for vouching in self.vouchings),
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
