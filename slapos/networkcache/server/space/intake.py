"""The way in for contents: room is taken, and what has come is recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from ...digest import Digest
from ...storage import ContentStore, Writer
from ...storage.catalogue import Catalogue
from ..accounts.account import Account
from ..log import record
from .room import Room, Transfer

Intake = Callable[[Account, "Digest | None", "int | None"], Writer]
"""Makes the writer of a content that an account uploads, of a digest and a size in bytes
where they are known. Raises `QuotaExceeded` and `StorageFull`."""


def unlimited(contents: ContentStore) -> Intake:
    """The way in to a store of which nothing else is known."""
    return lambda account, digest, size: contents.writer(digest, size)


class LimitedIntake:
    """The way in to a store with a catalogue: an `Intake`."""

    def __init__(self, contents: ContentStore, catalogue: Catalogue, room: Room):
        self._contents = contents
        self._catalogue = catalogue
        self._room = room

    def __call__(
        self,
        account: Account,
        digest: Digest | None = None,
        size: int | None = None,
        *,
        fetched: bool = False,
    ) -> Writer:
        """A writer; `fetched` says that an upstream gives it, and nobody puts it here."""
        transfer = self._take(account, digest, size)
        try:
            writer = self._contents.writer(digest, size)
        except BaseException:
            transfer.end()
            raise
        return _Recorded(writer, transfer, self._catalogue, account.name, fetched)

    def _take(self, account: Account, digest: Digest | None, size: int | None) -> Transfer:
        known = digest and self._catalogue.get(digest)
        if known and (known.size != size or not known.stored):
            known = None  # it may be anything, and as long as it likes
        if known and not known.fetched:
            # It is charged to whoever put it; to put it again costs nothing.
            return self._room.take_again(account.name, size)
        return self._room.take(account.name, size, account.quota)


class _Recorded(Writer):
    """Writes through to `writer`, within the room that `transfer` took."""

    def __init__(
        self,
        writer: Writer,
        transfer: Transfer,
        catalogue: Catalogue,
        account: str,
        fetched: bool,
    ):
        self.path = writer.path
        self._writer = writer
        self._transfer = transfer
        self._catalogue = catalogue
        self._account = account
        self._fetched = fetched
        self._size = 0

    def write(self, piece: bytes) -> None:
        try:
            self._transfer.goes_on(len(piece))
        except BaseException:
            self.abort()
            raise
        self._writer.write(piece)
        self._size += len(piece)

    def commit(self) -> Digest:
        digest = self._writer.commit()
        self._catalogue.store(
            digest,
            self._size,
            self._account,
            fetched=self._fetched,
            transfer=self._transfer.number,
            also=lambda connection: self._log(connection, digest),
        )
        self._transfer.number = None
        return digest

    def _log(self, connection: sqlite3.Connection, digest: Digest) -> None:
        if not self._fetched:
            record(connection, self._account, "upload", digest.hex, f"{self._size} bytes")

    def abort(self) -> None:
        self._writer.abort()
        self._transfer.end()
