"""The name of a content, and streams that check themselves while they are read.

A content is named by its SHA-512. MD5 and SHA-256 are computed beside it when a
content is published, so that a checksum written in a profile can choose an entry.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from .errors import InvalidDigest, WrongContent
from .urls import Checksum

PIECE = 1 << 20
"""Bytes read at a time where nothing else is said: large enough that SHA-512 and
not Python is the bottleneck."""

_HEX = re.compile(r"[0-9a-f]{128}\Z")


@dataclass(frozen=True, order=True)
class Digest:
    """The SHA-512 of a content, as 128 lower-case hexadecimal digits."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read the 128 hexadecimal digits, in either case.

        Raises `InvalidDigest` for anything else.
        """
        hex = text.lower() if isinstance(text, str) and text.isascii() else ""
        if not _HEX.match(hex):
            raise InvalidDigest(
                f"expected a SHA-512 as 128 hexadecimal digits, got {text!r:.200}"
            )
        return cls(hex)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of `data`."""
        return cls(hashlib.sha512(data).hexdigest())

    @classmethod
    def of_pieces(cls, pieces: Iterable[bytes]) -> Digest:
        """The digest of the concatenation of `pieces`."""
        hash = hashlib.sha512()
        for piece in pieces:
            hash.update(piece)
        return cls(hash.hexdigest())

    @property
    def raw(self) -> bytes:
        """The 64 bytes themselves."""
        return bytes.fromhex(self.hex)

    def __str__(self) -> str:
        return self.hex


@dataclass(frozen=True)
class Digests:
    """All that is computed of a content in one pass: `size` in bytes, `sha512`, and
    `md5` and `sha256` in hexadecimal."""

    size: int
    sha512: Digest
    sha256: str
    md5: str

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Digests:
        """Hash the concatenation of `pieces`."""
        hasher = Hasher()
        for piece in pieces:
            hasher.update(piece)
        return hasher.digests()


class Hasher:
    """Computes `Digests` from what it is fed."""

    def __init__(self) -> None:
        self.size = 0
        self._sha512 = hashlib.sha512()
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        self.size += len(piece)
        self._sha512.update(piece)
        self._sha256.update(piece)
        self._md5.update(piece)

    def digests(self) -> Digests:
        return Digests(
            size=self.size,
            sha512=Digest(self._sha512.hexdigest()),
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest(),
        )


class Check:
    """The question "are these the promised bytes?", asked while they go by.

    `digest`
        what the bytes must hash to
    `size`
        how many bytes there must be, or None where nobody signed a size
    `limit`
        the most bytes that are taken where `size` is None
    """

    def __init__(self, digest: Digest, size: int | None, limit: int | None = None):
        self.digest = digest
        self.size = size
        self.limit = size if size is not None else limit
        self.count = 0
        self._hash = hashlib.sha512()

    def update(self, piece: bytes) -> None:
        """Take the next bytes; raises `WrongContent` as soon as there are too many."""
        self.count += len(piece)
        if self.limit is not None and self.count > self.limit:
            raise WrongContent(
                f"content {self.digest.hex[:16]}… goes on after the {self.limit} bytes"
                " that were expected"
            )
        self._hash.update(piece)

    def finish(self) -> None:
        """Say that no more bytes come; raises `WrongContent` if they are not right."""
        if self.size is not None and self.count != self.size:
            raise WrongContent(
                f"content {self.digest.hex[:16]}… ends after {self.count} of"
                f" {self.size} bytes"
            )
        if self._hash.hexdigest() != self.digest.hex:
            raise WrongContent(
                f"the {self.count} bytes received do not have the digest"
                f" {self.digest.hex[:16]}…"
            )


class ChecksumCheck:
    """The question "do the bytes have these checksums?", asked while they go by."""

    def __init__(self, checksums: Iterable[Checksum]):
        # Whoever names a checksum chooses its algorithm, MD5 included: nothing is
        # believed for it alone, so a system that keeps to FIPS must not refuse it.
        self._hashes = [
            (checksum, hashlib.new(checksum.algorithm, usedforsecurity=False))
            for checksum in checksums
        ]

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        for _, hash in self._hashes:
            hash.update(piece)

    def mismatch(self) -> str | None:
        """What is wrong with the bytes so far, as a sentence; None where nothing is."""
        for checksum, hash in self._hashes:
            if hash.hexdigest() != checksum.value:
                return (
                    f"its {checksum.algorithm} is {hash.hexdigest()}, not {checksum.value}"
                )
        return None


def mismatch(checksums: Iterable[Checksum], pieces: Iterable[bytes]) -> str | None:
    """The same for the concatenation of `pieces`."""
    check = ChecksumCheck(checksums)
    for piece in pieces:
        check.update(piece)
    return check.mismatch()


def pieces_of(file: IO[bytes], piece: int = PIECE) -> Iterator[bytes]:
    """What is left of `file`, in pieces of at most `piece` bytes."""
    while data := file.read(piece):
        yield data
