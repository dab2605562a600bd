"""From a file into a server, while it serves: everything is verified, without a network."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from urllib.parse import unquote

from ...certificates import Certificate
from ...digest import Digest
from ...entry import Key, Pair
from ...errors import (
    Code,
    InvalidArchive,
    InvalidDigest,
    InvalidEntry,
    InvalidKey,
    NotFound,
    Refusal,
    WrongContent,
)
from ...protocol import DIRECTORY_LIMIT, content_url, decode_directory, directory_url
from ...storage import Stored
from ...storage.catalogue import Known
from ...unpacking import as_invalid
from ...unpacking.decompression import Readable
from ...unpacking.tar import read_tar
from ...unpacking.tree import refused
from ..accounts.account import Account
from ..directory import accept
from ..log import IMPORT, record
from ..root import Root
from ..space.intake import LimitedIntake
from ..space.room import Room
from . import CONTENTS, END, ENTRIES, FORMAT, HEAD, SUFFIX

THREADS = 8
"""Contents, or keys, that are made durable at once: each waits for the disk."""
SMALL = 1 << 20
"""Bytes up to which a content is kept in memory until a thread has time for it."""
_WAITING = 32
_HEAD_LIMIT = 1 << 20


@dataclass
class Taken:
    """What came out of a file: `contents` and their `bytes`, of which so many were `there`
    before; `pairs`, and those that were `left_out`, each with its key and why."""

    contents: int = 0
    bytes: int = 0
    there: int = 0
    pairs: int = 0
    left_out: list[tuple[Key, str]] = field(default_factory=list)


def take(
    root: Root,
    room: Room,
    stream: Readable,
    signers: Sequence[Certificate] = (),
    progress: Callable[[Taken], None] = lambda taken: None,
) -> Taken:
    """Take what is in a file: of pairs, where there are `signers`, only what one of them
    signed.

    Raises `InvalidArchive` for what no export wrote, or what is damaged, and
    `StorageFailure`. What was taken until then stays, and is whole.
    """
    with ThreadPoolExecutor(THREADS, thread_name_prefix="import") as threads:
        taking = _Taking(root, room, threads, tuple(signers), progress)
        with as_invalid():
            read_tar(stream, taking)
        return taking.finish()


class _Taking:
    """Takes the members of a file, in their order."""

    def __init__(
        self,
        root: Root,
        room: Room,
        threads: ThreadPoolExecutor,
        signers: tuple[Certificate, ...],
        progress: Callable[[Taken], None],
    ):
        self._root = root
        self._room = room
        self._intake = LimitedIntake(root.contents, root.catalogue, room)
        self._threads = threads
        self._account = Account(IMPORT, signers=signers)
        self._progress = progress
        self._taken = Taken()
        self._members: set[bytes] = set()
        self._contents = self._keys = self._settled = 0
        self._ended = False
        self._unnamed: dict[bytes, int] = {}  # and in which second they came
        self._waiting: deque[Future[None]] = deque()

    def file(
        self,
        name: str,
        size: int,
        mode: int,
        pieces: Iterable[bytes],
        modified: float | None = None,
    ) -> None:
        self._check_place(name)
        folder, slash, rest = name.partition("/")
        if folder == CONTENTS and slash:
            self._content(name, rest, size, pieces)
        elif folder == ENTRIES and slash:
            self._entries(name, _whole(name, size, pieces, DIRECTORY_LIMIT))
        elif name == HEAD:
            _check_head(_whole(name, size, pieces, _HEAD_LIMIT))
        elif name == END:
            self._end(_whole(name, size, pieces, _HEAD_LIMIT))
        else:
            raise refused(name, "is nothing that an export has in it")
        self._progress(self._taken)

    def folder(self, name: str) -> None:
        raise refused(name, "is a folder, and an export has none in it")

    def link(self, name: str, target: str) -> None:
        raise refused(name, "is a link, and an export has none in it")

    def hard_link(self, name: str, target: str) -> None:
        self.link(name, target)

    def _check_place(self, name: str) -> None:
        if (name == HEAD) == bool(self._members):
            raise refused(name, f"is where an export has {HEAD}, or twice")
        if self._ended:
            raise refused(name, "comes after its end")
        # Of millions of names, this is what fits into memory.
        mark = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=16)
        if mark.digest() in self._members:
            raise refused(name, "is there twice")
        self._members.add(mark.digest())

    def finish(self) -> Taken:
        """Wait for what is on its way to the disk; what is there then, of what came."""
        self._wait()
        if not self._ended:
            raise InvalidArchive("it is cut: its end is missing")
        # What was signed by nobody who counts brought contents along.
        # Not all of it together, since all who write wait for that.
        for second, some in groupby(self._unnamed.items(), lambda each: each[1]):
            self._remove([Digest(raw.hex()) for raw, _ in some], second)
        return self._taken

    def _remove(self, digests: Sequence[Digest], came: int) -> None:
        """Remove contents that came then, unless somebody put or used them since."""
        gone = self._root.catalogue.remove(digests, unused_since=came, also=_log_removed)
        self._taken.contents -= len(gone)
        self._taken.bytes -= sum(known.size for known in gone)

    def _end(self, body: bytes) -> None:
        self._ended = True
        if json.loads(body) != {"contents": self._contents, "keys": self._keys}:
            raise refused(END, "counts other members than there are")

    def _do(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have `work` done in a thread, once there are not too many that wait."""
        if len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._threads.submit(work, *arguments))

    def _wait(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()

    # -- contents

    def _content(self, name: str, rest: str, size: int, pieces: Iterable[bytes]) -> None:
        try:
            digest = Digest.parse(rest)
        except InvalidDigest as error:
            raise refused(name, f"is named after no content: {error}") from None
        if name != content_url(CONTENTS, digest):
            raise refused(name, "is not named as an export does")
        self._contents += 1
        if self._has(digest, size):
            if Digest.of_pieces(pieces) != digest:
                raise refused(name, "is damaged: its bytes are those of another content")
            self._taken.there += 1
            self._do(self._root.catalogue.store, digest, size, IMPORT)
            return
        if size <= SMALL:
            self._do(self._store, name, digest, size, [b"".join(pieces)])
        else:
            self._store(name, digest, size, pieces)
        self._taken.contents += 1
        self._taken.bytes += size

    def _has(self, digest: Digest, size: int) -> bool:
        try:
            return self._root.contents.size(digest) == size
        except NotFound:
            return False

    def _store(self, name: str, digest: Digest, size: int, pieces: Iterable[bytes]) -> None:
        try:
            with self._intake(self._account, digest, size) as writer:
                for piece in pieces:
                    writer.write(piece)
                writer.commit()
            self._unnamed[digest.raw] = int(time.time())
        except WrongContent as error:
            raise refused(name, f"is damaged: {error}") from None

    # -- pairs

    def _entries(self, name: str, body: bytes) -> None:
        key = _key_of(name)
        self._keys += 1
        if self._contents != self._settled:
            self._wait()
            self._settled = self._contents
        pairs = []
        for pair in decode_directory(body):
            try:
                pairs.append(self._accepted(name, key, pair))
            except (InvalidEntry, Refusal) as error:
                self._taken.left_out.append((key, str(error)))
        self._do(self._put, key, pairs)
        self._taken.pairs += len(pairs)

    def _accepted(
        self, name: str, key: Key, pair: Pair | InvalidEntry
    ) -> tuple[Pair, Digest]:
        """A pair that may be put, and the content that it names."""
        if isinstance(pair, InvalidEntry):
            raise pair
        digest, _ = accept(key, pair)
        try:
            self._account.check_pair(key, pair)
        except Refusal:
            raise Refusal(
                Code.FORBIDDEN, "it is signed by none of the certificates that were given"
            ) from None
        if not self._root.contents.has(digest):
            raise refused(
                name, f"names the content {digest}, which does not come before it"
            )
        self._unnamed.pop(digest.raw, None)
        return pair, digest

    def _put(self, key: Key, pairs: Sequence[tuple[Pair, Digest]]) -> None:
        self._room.check_disk()
        known = {s.pair for s in self._root.entries.get([key]).get(key, ())}
        for pair, digest in pairs:
            if pair not in known:
                self._root.entries.put(key, Stored(pair, IMPORT), digest)


def _whole(name: str, size: int, pieces: Iterable[bytes], limit: int) -> bytes:
    if size > limit:
        raise refused(name, f"has {size} bytes, more than the {limit} allowed")
    return b"".join(pieces)


def _check_head(body: bytes) -> None:
    head = json.loads(body)
    format = head.get("format") if isinstance(head, dict) else None
    if type(format) is not int or format < 1:
        raise refused(HEAD, "does not say which format this is")
    if format > FORMAT:
        raise refused(
            HEAD,
            f"says that this is of format {format}, newer than the {FORMAT} known here:"
            " use a newer slapos.networkcache",
        )


def _key_of(name: str) -> Key:
    quoted = name.partition("/")[2].removesuffix(SUFFIX)
    try:
        key = Key.parse(unquote(quoted, "latin-1"))
    except InvalidKey as error:
        raise refused(name, f"is named after no key: {error}") from None
    if name != directory_url(ENTRIES, key) + SUFFIX:
        raise refused(name, "is not named as an export does")
    return key


def _log_removed(connection: sqlite3.Connection, gone: Sequence[Known]) -> None:
    for known in gone:
        record(
            connection,
            IMPORT,
            "remove",
            known.digest.hex,
            f"{known.size} bytes: no pair that was taken names it",
        )
