"""A content on its way to a file: nothing stands at its place before it is right.

`take_near` and `take_far` bring it there: from the node's own store, or from the sources,
nearest first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from typing import IO

from .config import Source
from .digest import PIECE, Check, ChecksumCheck
from .errors import (
    NetworkcacheError,
    NotBelieved,
    NotFound,
    Reason,
    Refusal,
    SourceFailure,
    StorageFailure,
    WrongContent,
)
from .localstore import LocalStore
from .transport import Incoming, Transport
from .trust import TrustedEntry
from .urls import Checksum

logger = logging.getLogger("slapos.networkcache")

Progress = Callable[[int, "int | None"], None]
"""Told the bytes that are there, and how many there will be where that is known."""
Failed = Callable[[Source, NetworkcacheError], None]
"""Told a source that did not give a content, and why."""

_CUTS = 20
"""How often a content may be cut at one source without a mebibyte in between."""


class Received:
    """What has come so far of a content, in an open `file` that is written and read.

    `checksums` are those of the request that no entry could be compared with: they are
    checked against the bytes.
    """

    def __init__(
        self,
        file: IO[bytes],
        trusted: TrustedEntry,
        checksums: Sequence[Checksum] = (),
        progress: Progress | None = None,
    ):
        self._file = file
        self._trusted = trusted
        self._checksums = checksums
        self._progress = progress
        self.restart()

    @property
    def count(self) -> int:
        """How many bytes have come."""
        return self._check.count

    def restart(self) -> None:
        """Throw away what has come."""
        self._file.seek(0)
        self._file.truncate()
        trusted = self._trusted
        self._check = Check(trusted.digest, trusted.size, trusted.limit)
        self._checksum_check = ChecksumCheck(self._checksums)

    def take(self, incoming: Incoming) -> None:
        """Add what arrives, up to the end. Raises `WrongContent` where it is not right,
        and `NotBelieved` where only a checksum of the request says so."""
        if incoming.start != self.count:
            self.restart()
        expected = self._trusted.size
        if None not in (incoming.size, expected) and incoming.size != expected:
            raise WrongContent(
                f"{expected} bytes are signed, and {incoming.size} are announced"
            )
        for piece in incoming.pieces:
            self._check.update(piece)
            self._checksum_check.update(piece)
            self._file.write(piece)
            if self._progress is not None:
                self._progress(self.count, expected or incoming.size)
        self._check.finish()
        if wrong := self._checksum_check.mismatch():
            raise NotBelieved(Reason.CHECKSUM, wrong)


class Partial:
    """The temporary file beside `path` that a content is `received` into; the others are
    as for `Received`. Use it in ``with``; unless `commit` was called, nothing remains.
    """

    def __init__(
        self,
        path: str,
        trusted: TrustedEntry,
        checksums: Sequence[Checksum] = (),
        progress: Progress | None = None,
    ):
        self._path = path
        # The name of the content itself may be as long as names can be.
        self._temporary = os.path.join(
            os.path.dirname(path), f".networkcache-{secrets.token_hex(8)}.part"
        )
        # Not a file of `tempfile`, whose mode is private: what is downloaded gets the
        # mode that any new file of this user has.
        self._file = open(self._temporary, "xb")  # noqa: SIM115 - closed at the end
        self.received = Received(self._file, trusted, checksums, progress)

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)

    def commit(self) -> None:
        """Put the content into its place."""
        self._file.close()
        os.replace(self._temporary, self._path)


def take_near(local: LocalStore, trusted: TrustedEntry, received: Received) -> bool:
    """Whether the local store had it, right in every byte. What is wrong there is thrown
    away. Raises as `Received.take` where only a checksum of the request does not match."""
    try:
        with local.open(trusted.digest) as content:
            received.take(Incoming(0, content.size, content.pieces()))
        return True
    except NotFound:
        return False
    except WrongContent:
        with contextlib.suppress(StorageFailure):
            local.discard(trusted.digest)
    except StorageFailure as error:
        logger.debug("the local store: %s", error)
    received.restart()
    return False


def take_far(
    transports: Sequence[Transport],
    trusted: TrustedEntry,
    received: Received,
    failed: Failed | None = None,
) -> Source:
    """Bring what is `received` to its end from the first source that can, and say which.

    `failed` is told of each that did not. Raises `NotBelieved` (a checksum of the request
    does not match), `NotFound` where nobody has it, else what the last source gave that
    may: `WrongContent`, `Refusal` or `SourceFailure`.
    """
    failure: NetworkcacheError = NotFound("no source has the content")
    for transport in transports:
        try:
            _download(transport, trusted, received)
        except (NotFound, Refusal, SourceFailure, WrongContent) as error:
            failure = failure if isinstance(error, NotFound) else error
            if failed is not None:
                failed(transport.source, error)
            continue
        return transport.source
    raise failure


def _download(transport: Transport, trusted: TrustedEntry, received: Received) -> None:
    """Bring what is `received` to its end from one source.

    What is cut is resumed as long as it gets further; what is wrong is asked for once
    more, past any mirror in between, and then the source is left alone for the run.
    """
    anew = False
    cuts = 0
    while cuts < _CUTS:
        begun_at = received.count
        try:
            with transport.open(trusted.digest, received.count, anew=anew) as incoming:
                received.take(incoming)
            return
        except SourceFailure:
            if received.count <= begun_at:
                raise
            cuts = cuts + 1 if received.count < begun_at + PIECE else 0
        except WrongContent as error:
            received.restart()
            if anew:
                # Whoever asks for something else is told this, too.
                transport.ban(f"it gave wrong content: {error}")
                raise
            anew = True
    raise SourceFailure(Reason.UNREACHABLE, "the transfer was cut again and again")
