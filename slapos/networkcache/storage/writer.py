"""What every writer of contents does: hash, count, and leave nothing on a failure."""

from __future__ import annotations

import hashlib
from abc import abstractmethod

from ..digest import Digest
from ..errors import WrongContent
from . import Writer


class CheckedWriter(Writer):
    """A writer that compares what it takes with what was announced.

    A kind of store says how to `_take` a piece, to `_publish` the whole and to
    `_discard` it. Whatever `_take` or `_publish` raises, `_discard` follows.
    """

    def __init__(self, digest: Digest | None, size: int | None):
        self._announced = digest
        self._size = size
        self._count = 0
        self._hash = hashlib.sha512()
        self._open = True

    @abstractmethod
    def _take(self, piece: bytes) -> None:
        """Keep the next bytes, unseen by readers."""

    @abstractmethod
    def _publish(self, digest: Digest) -> None:
        """Make it durable and visible under `digest`, and let go of all resources."""

    @abstractmethod
    def _discard(self) -> None:
        """Remove what was taken. Called once, and never raises."""

    def write(self, piece: bytes) -> None:
        self._check_open()
        try:
            self._count += len(piece)
            if self._size is not None and self._count > self._size:
                raise WrongContent(
                    f"the content goes on after the {self._size} bytes announced"
                )
            self._hash.update(piece)
            self._take(piece)
        except BaseException:
            self.abort()
            raise

    def commit(self) -> Digest:
        self._check_open()
        try:
            digest = Digest(self._hash.hexdigest())
            self._compare(digest)
            self._publish(digest)
        except BaseException:
            self.abort()
            raise
        self._open = False
        return digest

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._discard()

    def _compare(self, digest: Digest) -> None:
        if self._size is not None and self._count != self._size:
            raise WrongContent(
                f"the content ends after {self._count} of the {self._size} bytes announced"
            )
        if self._announced is not None and digest != self._announced:
            raise WrongContent(
                f"the {self._count} bytes received have the digest {digest.hex[:16]}…,"
                f" not {self._announced.hex[:16]}… as announced"
            )

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError("this writer was committed or aborted already")
