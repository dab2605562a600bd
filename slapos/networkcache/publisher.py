"""Publish: sign what was fetched or built here, and send what the server lacks.

A `Publisher` signs a `Publication`, asks what of it is missing and sends only that, the
content before the entry, streamed. It signs whatever it is given: that this came from its
origin in this run, or was built here, is for the caller to see to.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, NamedTuple

from .binding import Request
from .certificates import CertificateList, Signer
from .config import Config, Source
from .digest import Digest, Digests
from .entry import Entry, Key, Pair
from .errors import (
    Code,
    InvalidConfiguration,
    InvalidEntry,
    NotBelieved,
    NotFound,
    NotPublished,
    Reason,
    Refusal,
)
from .protocol import Batch, encode_put
from .transport import Budget, Limits
from .trust import Policy, Vouching
from .uploader import Uploader
from .urls import has_secret
from .weighing import statement_of

_NEEDS = "publishing needs upload-cache-url, upload-dir-url and signature-private-key-file"


@dataclass(frozen=True)
class Publication:
    """What is ready to be sent: a content, named by `digest` and `size` in bytes, and the
    signed `pairs` that name it under `key`, in the order in which they are put."""

    key: Key
    digest: Digest
    size: int
    pairs: tuple[Pair, ...]

    @property
    def entry(self) -> Entry:
        """What it says. Raises `InvalidEntry` where the pairs were read and are none."""
        return Entry.parse(self.pairs[0].entry)

    @property
    def legacy(self) -> tuple[bool, ...]:
        """For each pair, whether it is signed in the old way: `Publisher` gives such a one
        a salt."""
        return tuple(Entry.parse(p.entry).string("salt") is not None for p in self.pairs)


class Published(NamedTuple):
    """The `entry` that now stands for the content, and what had to be sent for that."""

    entry: Entry
    content_sent: bool
    entry_sent: bool


def read_signer(path: str) -> Signer:
    """The signing key in a file. Raises `InvalidConfiguration` with what to do."""
    try:
        with open(path, "rb") as file:
            return Signer.parse(file.read())
    except (OSError, InvalidConfiguration) as error:
        what = error.strerror if isinstance(error, OSError) else error
        if isinstance(error, FileNotFoundError):
            what = f"{what}: make one with generate-signature-key"
        raise InvalidConfiguration(f"signature-private-key-file {path}: {what}") from None


def open_signer(config: Config) -> tuple[Signer, list[str]]:
    """The signing key of a node, and what its user should know before the first upload,
    in sentences.

    Raises `InvalidConfiguration` where nothing could be signed that anybody would
    believe.
    """
    path = config.private_key_file
    if path is None:
        raise InvalidConfiguration(_NEEDS)
    signer = read_signer(path)
    if config.publish_legacy and not signer.signs_legacy:
        raise InvalidConfiguration(
            "signature-legacy = publish needs an RSA signature-private-key-file: older"
            " programs know no other"
        )
    if not signer.signs and not config.publish_legacy:
        raise InvalidConfiguration(
            "the RSA key in signature-private-key-file has less than 2048 bits, and"
            " nobody would believe it: make a new one with generate-signature-key"
        )
    warnings = []
    listed = CertificateList.parse(config.certificate_list).certificates
    if signer.fingerprint not in {c.fingerprint for c in listed}:
        warnings.append(
            "the certificate of signature-private-key-file is not in"
            " signature-certificate-list: this node would publish again and again what"
            " it will never believe"
        )
    if os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.append(f"others may read {path}: chmod 600 {path}")
    return signer, warnings


def hindrance_of(config: Config, url: str) -> NotPublished | None:
    """Why what `url` fetches is never published, if so."""
    if has_secret(url):
        return NotPublished(Reason.SECRET_URL, "the URL carries a secret")
    if prefix := config.upload_blacklist.match(url):
        return NotPublished(
            Reason.BLACKLISTED_URL, f"{prefix} is in upload-to-cache-url-blacklist"
        )
    return None


class Publisher:
    """Signs and sends, for one run.

    `config` names the key, the certificates and the upload URLs; `upload` another
    target than that of the download cache. `warnings` are sentences that its user
    should see before the first upload. Raises `InvalidConfiguration` where nothing
    could be signed that anybody would believe.
    """

    def __init__(
        self,
        config: Config,
        *,
        upload: Source | None = None,
        clock: Callable[[], float] = time.time,
        budget: Budget | None = None,
        limits: Limits | None = None,
    ):
        target = upload or config.upload
        if target is None:
            raise InvalidConfiguration(_NEEDS)
        self.config = config
        self.target = target
        self._signer, warnings = open_signer(config)
        self.warnings = tuple(warnings)
        self._clock = clock
        listed = CertificateList.parse(config.certificate_list).certificates
        # Its own word counts for itself, be it listed or not.
        self._policy = Policy(
            (self._signer.certificate, *listed),
            accept_legacy=config.accept_legacy or config.publish_legacy,
        )
        self._uploader = Uploader(config, upload=target, budget=budget, limits=limits)
        self._transport = self._uploader.transport
        self._budget = self._uploader.budget

    @property
    def fingerprint(self) -> str:
        """Of the certificate whose key signs."""
        return self._signer.fingerprint

    def close(self) -> None:
        self._uploader.close()

    def hindrance(self, url: str) -> NotPublished | None:
        """Why what `url` fetches is never published, if so."""
        return hindrance_of(self.config, url)

    def publish(
        self,
        key: Key,
        file: IO[bytes],
        content: Digests,
        members: Mapping[str, Any],
        *,
        expires: int | None = None,
        for_old_programs: bool = True,
    ) -> Published:
        """Make `key` mean the content of `file`, whose digests are `content`.

        The others are as for `sign`. Raises `NotPublished`, `Refusal` and
        `SourceFailure`.
        """
        publication = self.sign(
            key, content, members, expires=expires, for_old_programs=for_old_programs
        )
        return self.send(publication, file)

    def sign(
        self,
        key: Key,
        content: Digests,
        members: Mapping[str, Any],
        *,
        expires: int | None = None,
        for_old_programs: bool = True,
    ) -> Publication:
        """Say, signed, that `key` means a content.

        `members` is what the kind of key asks for, see the module `members`; `expires`
        in POSIX seconds bounds how long it is believed. What is not `for_old_programs` is
        not signed in the old way, whatever is configured. Raises `NotPublished`.
        """
        if hindrance := self.hindrance(_subject(members)):
            raise hindrance
        if any(has_secret(value) for value in members.values() if isinstance(value, str)):
            raise NotPublished(Reason.SECRET_URL, "the entry would carry a secret")
        make = self._maker(key, content, members, expires)
        pairs = self._pairs(make, self.config.publish_legacy and for_old_programs)
        if not pairs:
            raise NotPublished(
                Reason.WEAK_SIGNATURE,
                "the key in signature-private-key-file signs in the old way only, and"
                " older programs could not use it",
            )
        return Publication(key, content.sha512, content.size, pairs)

    def send(self, publication: Publication, file: IO[bytes]) -> Published:
        """Send what the server lacks of a publication whose content is in `file`.

        Raises `NotPublished`, `Refusal` and `SourceFailure`.
        """
        key, entry = publication.key, publication.entry
        missing, pairs = self._ask(publication)
        self._uploader.check_clock()
        if missing:
            self._uploader.send(file, publication.digest, publication.size)
        if self._stands(publication, pairs):
            return Published(entry, missing, False)
        for pair in publication.pairs:
            body = encode_put(pair)
            try:
                self._transport.put(key, body)
            except Refusal as error:
                if error.code is not Code.MISSING_CONTENT:
                    raise
                self._uploader.send(file, publication.digest, publication.size)
                self._transport.put(key, body)
                missing = True
        return Published(entry, missing, True)

    def _maker(
        self, key: Key, content: Digests, members: Mapping[str, Any], expires: int | None
    ) -> Callable[..., Entry]:
        """Makes the entry, and its twins that only have a `salt` more, all of this
        moment."""
        now = int(self._clock())
        if self.config.entry_expires is not None:
            latest = now + self.config.entry_expires
            expires = latest if expires is None else min(expires, latest)
        signer = self._signer.fingerprint
        return partial(
            Entry.make, key, content, now, members, expires=expires, signer=signer
        )

    def _pairs(self, make: Callable[..., Entry], legacy: bool) -> tuple[Pair, ...]:
        """The pairs to put, in that order: an old server keeps only the last."""
        pairs = []
        if self._signer.signs:
            text = make().text
            pairs.append(Pair(text, self._signer.sign(text)))
        if legacy:
            # SHA-1 falls to chosen prefixes: what nobody can predict stands first.
            old = make(salt=secrets.token_hex(16)).text
            pairs.append(Pair(old, self._signer.sign_legacy(old)))
        return tuple(pairs)

    def _ask(self, publication: Publication) -> tuple[bool, Sequence[Pair | InvalidEntry]]:
        """Whether the content is missing there, and the pairs that the key has."""
        key, digest = publication.key, publication.digest
        answer = self._transport.batch(Batch((key,), (digest,)))
        if answer is not None:
            return digest in answer.missing_content, answer.entries.get(key, ())
        try:
            pairs = self._transport.look_up(key)
        except NotFound:
            pairs = []
        return not self._transport.has(digest), pairs

    def _stands(
        self, publication: Publication, pairs: Sequence[Pair | InvalidEntry]
    ) -> bool:
        """Whether this signer says the same already, for at least half as long, and
        nobody who is believed said anything newer."""
        entry, key = publication.entry, publication.key
        newest, ours = -1, {False: -1, True: -1}
        for found in self._vouchings(key, pairs):
            created = -1 if found.entry.created is None else found.entry.created
            newest = max(newest, created)
            if (
                found.certificate.fingerprint == self._signer.fingerprint
                and self._lasts(found.entry, entry)
                and found.statement == statement_of(entry)
                and found.entry.transport in (None, entry.transport)
            ):
                ours[found.legacy] = max(ours[found.legacy], created)
        return all(0 <= ours[old] >= newest for old in publication.legacy)

    def _lasts(self, there: Entry, new: Entry) -> bool:
        """Whether what stands there is believed long enough to spare what is new."""
        if there.expires is None or new.expires is None:
            return there.expires == new.expires
        now = self._clock()
        return there.expires - now >= (new.expires - now) / 2

    def _vouchings(
        self, key: Key, pairs: Sequence[Pair | InvalidEntry]
    ) -> Iterator[Vouching]:
        """Those of `pairs` that count, as long as the budget bears the others."""
        request = Request(key, any_kind=True)
        for pair in pairs:
            begin = self._budget.clock()
            if isinstance(pair, InvalidEntry) or self._budget.left <= 0:
                continue
            try:
                yield self._policy.examine(pair, request, self._clock())
            except NotBelieved:
                self._budget.charge(self._budget.clock() - begin)


def _subject(members: Mapping[str, Any]) -> str:
    """The URL that an entry is about: it may be blacklisted, or hold a secret."""
    names = ("url", "repository", "profile", "software_url")
    return next((str(members[name]) for name in names if name in members), "")
