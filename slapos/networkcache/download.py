"""A content on its way to a file: nothing stands at its place before it is right."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Sequence

from .digest import Check, ChecksumCheck
from .errors import NotBelieved, Reason, WrongContent
from .transport import Incoming
from .trust import TrustedEntry
from .urls import Checksum

Progress = Callable[[int, "int | None"], None]
"""Told the bytes that are there, and how many there will be where that is known."""


class Partial:
    """What has come so far of a content, in a temporary file beside `path`.

    `checksums` are those of the request that no entry could be compared with: they are
    checked against the bytes. Use it in ``with``; unless `commit` was called, nothing
    remains.
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
        self._trusted = trusted
        self._checksums = checksums
        self._progress = progress

    def __enter__(self) -> Partial:
        # Not a file of `tempfile`, whose mode is private: what is downloaded gets the
        # mode that any new file of this user has.
        self._file = open(self._temporary, "xb")
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)

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

    def commit(self) -> None:
        """Put the content into its place."""
        self._file.close()
        os.replace(self._temporary, self._path)
