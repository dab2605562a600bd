"""Publish: sign what was fetched or built here, and send what the server lacks.

A `Publisher` asks what is missing and sends only that, the content before the entry,
streamed. It signs whatever it is given: that this came from its origin in this run, or
was built here, is for the caller to see to.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any, NamedTuple

from .binding import Request
from .certificates import Certificate, CertificateList, Signer
from .config import Config, Source
from .digest import Digests
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
from .transport import Budget, Limits, Transport
from .trust import Policy, Vouching
from .urls import has_secret
from .weighing import statement_of

CLOCK_LIMIT = 300
"""Seconds that this machine's clock may be off the server's."""


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


class Uploader:
    """Sends contents to one network cache, for one run. It signs nothing, and so needs
    no key.

    `config` names the upload URLs and the files for https; `upload` another target.
    Raises `InvalidConfiguration` where there is none.
    """

    def __init__(
        self,
        config: Config,
        *,
        upload: Source | None = None,
        budget: Budget | None = None,
        limits: Limits | None = None,
    ):
        target = upload or config.upload
        if target is None:
            raise InvalidConfiguration(
                "uploading needs upload-cache-url and upload-dir-url"
            )
        self.budget = budget or Budget(config.time_budget)
        self.transport = Transport(
            target,
            self.budget,
            cache_tls=config.cache_tls,
            dir_tls=config.dir_tls,
            limits=limits or Limits(),
        )

    def close(self) -> None:
        self.transport.close()

    def store(self, file: IO[bytes], content: Digests) -> bool:
        """Upload a content that the server lacks; whether it had to be sent.

        Raises `NotPublished`, `Refusal` and `SourceFailure`.
        """
        missing = not self.transport.has(content.sha512)
        self.check_clock()
        if missing:
            self.send(file, content)
        return missing

    def send(self, file: IO[bytes], content: Digests) -> None:
        """Upload a content, be it there or not."""

        def rewind() -> IO[bytes]:
            file.seek(0)
            return file

        self.transport.store(content.sha512, content.size, rewind)

    def check_clock(self) -> None:
        """Raise `NotPublished` where the server's last answer tells another time."""
        offset = self.transport.clock_offset
        if offset is not None and abs(offset) > CLOCK_LIMIT:
            raise NotPublished(
                Reason.CLOCK,
                f"this clock is {abs(offset):.0f} s off the server's: nothing is published",
            )


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
        if target is None or config.private_key_file is None:
            raise InvalidConfiguration(
                "publishing needs upload-cache-url, upload-dir-url and"
                " signature-private-key-file"
            )
        self.config = config
        self.target = target
        self._signer = read_signer(config.private_key_file)
        self._clock = clock
        self._check_key()
        listed = CertificateList.parse(config.certificate_list).certificates
        self.warnings = tuple(self._warn(config.private_key_file, listed))
        # Its own word counts for itself, be it listed or not.
        self._policy = Policy(
            (self._signer.certificate, *listed),
            accept_legacy=config.accept_legacy or config.publish_legacy,
        )
        self._uploader = Uploader(config, upload=target, budget=budget, limits=limits)
        self._transport = self._uploader.transport
        self._budget = self._uploader.budget

    def close(self) -> None:
        self._uploader.close()

    def _check_key(self) -> None:
        if self.config.publish_legacy and not self._signer.signs_legacy:
            raise InvalidConfiguration(
                "signature-legacy = publish needs an RSA signature-private-key-file: older"
                " programs know no other"
            )
        if not self._signer.signs and not self.config.publish_legacy:
            raise InvalidConfiguration(
                "the RSA key in signature-private-key-file has less than 2048 bits, and"
                " nobody would believe it: make a new one with generate-signature-key"
            )

    def _warn(self, path: str, listed: Sequence[Certificate]) -> list[str]:
        warnings = []
        if self._signer.fingerprint not in {c.fingerprint for c in listed}:
            warnings.append(
                "the certificate of signature-private-key-file is not in"
                " signature-certificate-list: this node would publish again and again what"
                " it will never believe"
            )
        if os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            warnings.append(f"others may read {path}: chmod 600 {path}")
        return warnings

    def hindrance(self, url: str) -> NotPublished | None:
        """Why what `url` fetches is never published, if so."""
        if has_secret(url):
            return NotPublished(Reason.SECRET_URL, "the URL carries a secret")
        if prefix := self.config.upload_blacklist.match(url):
            return NotPublished(
                Reason.BLACKLISTED_URL, f"{prefix} is in upload-to-cache-url-blacklist"
            )
        return None

    def publish(
        self,
        key: Key,
        file: IO[bytes],
        content: Digests,
        members: Mapping[str, Any],
        *,
        expires: int | None = None,
    ) -> Published:
        """Make `key` mean the content of `file`, whose digests are `content`.

        `members` is what the kind of key asks for; see `members_of_file` and
        `members_of_distribution`. `expires` in POSIX seconds bounds how long it is
        believed. Raises `NotPublished`, `Refusal` and `SourceFailure`.
        """
        if hindrance := self.hindrance(str(members.get("url", ""))):
            raise hindrance
        make = self._maker(key, content, members, expires)
        entry = make()
        missing, pairs = self._ask(key, content)
        self._uploader.check_clock()
        if missing:
            self._uploader.send(file, content)
        if self._stands(entry, key, pairs):
            return Published(entry, missing, False)
        for pair in self._sign(entry, make):
            body = encode_put(pair)
            try:
                self._transport.put(key, body)
            except Refusal as error:
                if error.code is not Code.MISSING_CONTENT:
                    raise
                self._uploader.send(file, content)
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

    def _sign(self, entry: Entry, make: Callable[..., Entry]) -> list[Pair]:
        """The pairs to put, in that order: an old server keeps only the last."""
        pairs = []
        if self._signer.signs:
            pairs.append(Pair(entry.text, self._signer.sign(entry.text)))
        if self.config.publish_legacy:
            # SHA-1 falls to chosen prefixes: what nobody can predict stands first.
            old = make(salt=secrets.token_hex(16)).text
            pairs.append(Pair(old, self._signer.sign_legacy(old)))
        return pairs

    def _ask(
        self, key: Key, content: Digests
    ) -> tuple[bool, Sequence[Pair | InvalidEntry]]:
        """Whether the content is missing there, and the pairs that the key has."""
        answer = self._transport.batch(Batch((key,), (content.sha512,)))
        if answer is not None:
            return content.sha512 in answer.missing_content, answer.entries.get(key, ())
        try:
            pairs = self._transport.look_up(key)
        except NotFound:
            pairs = []
        return not self._transport.has(content.sha512), pairs

    def _stands(self, entry: Entry, key: Key, pairs: Sequence[Pair | InvalidEntry]) -> bool:
        """Whether this signer says the same already, for good, and nobody who is
        believed said anything newer."""
        newest, ours = -1, {False: -1, True: -1}
        for found in self._vouchings(key, pairs):
            created = -1 if found.entry.created is None else found.entry.created
            newest = max(newest, created)
            if (
                found.certificate.fingerprint == self._signer.fingerprint
                and found.entry.expires is None
                and found.statement == statement_of(entry)
                and found.entry.transport in (None, entry.transport)
            ):
                ours[found.legacy] = max(ours[found.legacy], created)
        wanted = [False] * self._signer.signs + [True] * self.config.publish_legacy
        return entry.expires is None and all(0 <= ours[old] >= newest for old in wanted)

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


def members_of_file(url: str, *, checked: bool) -> dict[str, Any]:
    """What an entry for the URL of a file says.

    `checked` tells that it came over verified https, or had the checksum that the
    profile or the URL asked for.
    """
    return {"url": url, **_transport_of(checked)}


def members_of_distribution(
    url: str, basename: str, name: str, version: str, *, checked: bool
) -> dict[str, Any]:
    """The same for a Python distribution."""
    return {
        "url": url,
        "basename": basename,
        "name": name,
        "version": version,
        **_transport_of(checked),
    }


def _transport_of(checked: bool) -> dict[str, str]:
    return {} if checked else {"transport": "http"}
