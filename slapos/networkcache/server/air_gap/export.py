"""From a server into a file, while it serves: no pair without its content."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import IO

from ...digest import PIECE, Digest
from ...entry import Key, Pair
from ...errors import NotFound, StorageFailure
from ...protocol import content_url, directory_url, encode_directory
from ...storage import ACCOUNT_LIMIT, Content, Stored
from ..directory import fit, named_content, visible
from ..root import Root
from . import CONTENTS, END, ENTRIES, FORMAT, HEAD, SUFFIX
from .choosing import Asked

_TOGETHER = 100
"""Keys whose contents come before the pairs of any of them: so whoever takes them makes
many contents durable at once."""


@dataclass
class Exported:
    """What went into a file: `keys`, `pairs`, `contents` and the `bytes` of these; and
    what did not, though it was asked for: `missing`, a key and why."""

    keys: int = 0
    pairs: int = 0
    contents: int = 0
    bytes: int = 0
    missing: list[tuple[Key, str]] = field(default_factory=list)


def export(
    root: Root,
    chosen: Iterable[Asked],
    file: IO[bytes],
    words: Sequence[str],
    progress: Callable[[Exported], None] = lambda exported: None,
) -> Exported:
    """Write what is under the `chosen` keys to `file`; `words` say how they were chosen.

    Raises `StorageFailure`, and `OSError` where it cannot be written.
    """
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        tar.copybufsize = PIECE  # type: ignore[attr-defined]
        writing = _Export(root, tar, progress)
        writing.head(words)
        chosen = iter(chosen)
        while some := list(islice(chosen, _TOGETHER)):
            writing.some(some)
        return writing.end()


class _Export:
    def __init__(
        self, root: Root, tar: tarfile.TarFile, progress: Callable[[Exported], None]
    ):
        self._root = root
        self._tar = tar
        self._progress = progress
        self._exported = Exported()
        self._written: set[bytes] = set()

    def head(self, words: Sequence[str]) -> None:
        head = {"format": FORMAT, "created": int(time.time()), "asked": list(words)}
        self._add(HEAD, json.dumps(head).encode())

    def end(self) -> Exported:
        done = self._exported
        self._add(END, json.dumps({"contents": done.contents, "keys": done.keys}).encode())
        return done

    def some(self, chosen: Sequence[Asked]) -> None:
        """Write what is under these keys."""
        known = self._root.entries.get([each.key for each in chosen])
        found = {
            each.key: list(self._with_contents(each, known.get(each.key, ())))
            for each in chosen
        }
        for key, pairs in found.items():
            if pairs:
                name = directory_url(ENTRIES, key) + SUFFIX
                self._add(name, encode_directory(reversed(pairs)))
                self._exported.keys += 1
                self._exported.pairs += len(pairs)

    def _with_contents(self, asked: Asked, known: Sequence[Stored]) -> Iterator[Pair]:
        """The pairs that are shown of those `known`, once their contents are written."""
        key = asked.key
        rows = visible(known, self._root.contents.has)
        if asked.expected and not rows:
            self._exported.missing.append((key, "nothing was put here under it"))
        # Whoever takes them keeps no more: its oldest would give way, whoever put them.
        pairs = fit(rows, ACCOUNT_LIMIT)
        if len(pairs) < len(rows):
            surplus = f"{len(rows) - len(pairs)} of its pairs are too many"
            self._exported.missing.append((key, surplus))
        for pair in pairs:
            digest = named_content(Stored(pair))
            if digest is None:
                self._exported.missing.append((key, "an entry names no content"))
                continue
            why = self._content(digest)
            if why is None:
                yield pair
            elif self._is_still_there(key, pair):
                self._exported.missing.append((key, f"the content {digest.hex} {why}"))

    def _is_still_there(self, key: Key, pair: Pair) -> bool:
        """Whether it did not go with its content. One that is just being removed is seen
        until that is committed: what is written waits for that."""
        self._root.database.change(lambda connection: None)
        return pair in {row.pair for row in self._root.entries.get([key]).get(key, ())}

    def _content(self, digest: Digest) -> str | None:
        """Write a content, unless it was; why that could not be done."""
        if digest.raw in self._written:
            return None
        try:
            with self._root.contents.open(digest) as content:
                if not _is_right(content, digest):
                    return "is bad: networkcache server check --repair"
                self._add(content_url(CONTENTS, digest), content)
        except NotFound:
            return "is not here"
        self._written.add(digest.raw)
        self._exported.contents += 1
        self._exported.bytes += content.size
        self._progress(self._exported)
        return None

    def _add(self, name: str, data: bytes | Content) -> None:
        member = tarfile.TarInfo(name)
        if isinstance(data, bytes):
            member.size = len(data)
            self._tar.addfile(member, BytesIO(data))
        else:
            member.size = data.size
            self._tar.addfile(member, _Reader(data))  # type: ignore[arg-type]
        self._tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all


def _is_right(content: Content, digest: Digest) -> bool:
    """Read it once before it is written: a reader far away could only refuse it."""
    return Digest.of_pieces(content.pieces()) == digest


class _Reader:
    """A content as a stream."""

    def __init__(self, content: Content):
        self._content = content
        self._position = 0

    def read(self, size: int) -> bytes:
        data = self._content.read(self._position, size)
        self._position += len(data)
        if not data and size:
            raise StorageFailure("a content became shorter while it was read")
        return data
