"""Who is believed: the policy that turns pairs into a `TrustedEntry`.

A pair counts for a `Request` if it parses, if its signature verifies with a listed
certificate, if it is about the request, if it is neither expired nor from the future,
if its digest is not blacklisted, and if enough different signers vouch for the same
statement. `Policy.examine` judges one pair by itself and gives a `Vouching`;
`Policy.decide` weighs all vouchings that were received; see `weighing`. Both are
functions of values: the caller brings the pairs, the time, and the newest `created`
believed before.

The kind of key in the certificate decides how a signature is verified, so there is
nothing to downgrade: RSA (2048 bits or more) PKCS#1 v1.5 over SHA-512, Ed25519, or
ECDSA P-256/P-384 over SHA-512 with low s. Older programs sign with RSA over SHA-1; that
is believed only where the configuration asks for it (``signature-legacy = accept``).

A certificate is a container for a public key: its dates and issuer decide nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from .binding import Request, check_binding
from .certificates import Certificate, Strength
from .digest import Digest
from .entry import Entry, Pair
from .errors import InvalidEntry, NotBelieved, Reason
from .weighing import TrustedEntry as TrustedEntry
from .weighing import Vouching as Vouching
from .weighing import Weighed as Weighed
from .weighing import weigh, without_entry

CLOCK_TOLERANCE = 600
"""Seconds that an entry may come from the future."""
UNSIZED_LIMIT = 4 << 30
"""Bytes read at most of a content whose size nobody signed: legacy entries, and
contents that a profile names by their SHA-512."""


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
        return without_entry(digest, self.unsized_limit)

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
        if self.require_checked_origin and entry.transport == "http":
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
        return self.weigh(vouchings, request, newest_believed).best()

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
        return weigh(
            vouchings, request, self.threshold, self.unsized_limit, newest_believed
        )
