"""Contents and entries in memory: nothing survives the process.

They keep every promise of the contract but that of surviving a crash, and are what the
tests of everything above use.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

from ..digest import Digest
from ..entry import Key, Pair
from ..errors import NotFound
from . import ACCOUNT_LIMIT, Content, ContentStore, EntryStore, Stored
from .writer import CheckedWriter


class MemoryContent(Content):
    """A content whose bytes are at hand."""

    def __init__(self, data: bytes):
        self.size = len(data)
        self._data = data

    def read(self, start: int, length: int) -> bytes:
        return self._data[start : start + length]


class MemoryContents(ContentStore):
    """Contents in a dictionary. There is no limit but the machine's memory."""

    def __init__(self) -> None:
        self._contents: dict[Digest, bytes] = {}

    # One operation on a dictionary is atomic in Python: no lock is needed here.

    def open(self, digest: Digest) -> Content:
        return MemoryContent(self._get(digest))

    def size(self, digest: Digest) -> int:
        return len(self._get(digest))

    def writer(self, digest: Digest | None = None, size: int | None = None) -> _Writer:
        return _Writer(self._contents, digest, size)

    def delete(self, digest: Digest) -> None:
        if self._contents.pop(digest, None) is None:
            raise NotFound(f"no content {digest.hex[:16]}…")

    def __iter__(self) -> Iterator[Digest]:
        return iter(list(self._contents))

    def _get(self, digest: Digest) -> bytes:
        try:
            return self._contents[digest]
        except KeyError:
            raise NotFound(f"no content {digest.hex[:16]}…") from None


class _Writer(CheckedWriter):
    def __init__(
        self, contents: dict[Digest, bytes], digest: Digest | None, size: int | None
    ):
        super().__init__(digest, size)
        self._contents = contents
        self._data = bytearray()

    def _take(self, piece: bytes) -> None:
        self._data += piece

    def _publish(self, digest: Digest) -> None:
        self._contents.setdefault(digest, bytes(self._data))
        self._data.clear()

    def _discard(self) -> None:
        self._data.clear()


class MemoryEntries(EntryStore):
    """Entries in dictionaries that remember the order in which pairs were put."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[Key, dict[Pair, Stored]] = {}
        self._naming: dict[Digest, dict[tuple[Key, Pair], None]] = {}

    def get(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Stored]]:
        with self._lock:
            return {
                key: list(reversed(self._keys[key].values()))
                for key in keys
                if key in self._keys
            }

    def put(self, key: Key, stored: Stored, content: Digest | None = None) -> None:
        with self._lock:
            if content is not None:
                self._naming.setdefault(content, {})[key, stored.pair] = None
            pairs = self._keys.setdefault(key, {})
            known = pairs.get(stored.pair)
            if known is None:
                pairs[stored.pair] = stored
                _limit(pairs, stored.account)
            elif not stored.hidden:
                pairs[stored.pair] = known._replace(hidden=False)

    def remove(self, key: Key, pair: Pair) -> None:
        with self._lock:
            pairs = self._keys.get(key, {})
            if pairs.pop(pair, None) is None:
                raise NotFound(f"no such pair under {key}")
            if not pairs:
                del self._keys[key]

    def naming(self, content: Digest) -> Sequence[tuple[Key, Stored]]:
        with self._lock:
            return [
                (key, self._keys[key][pair])
                for key, pair in self._naming.get(content, {})
                if pair in self._keys.get(key, {})
            ]

    def __iter__(self) -> Iterator[Key]:
        with self._lock:
            return iter(list(self._keys))


def _limit(pairs: dict[Pair, Stored], account: str) -> None:
    """Drop the oldest of `account` until what it holds is within `ACCOUNT_LIMIT`."""
    own = [pair for pair, stored in pairs.items() if stored.account == account]
    held = sum(pair.size for pair in own)
    for oldest in own[:-1]:
        if held <= ACCOUNT_LIMIT:
            break
        held -= oldest.size
        del pairs[oldest]
