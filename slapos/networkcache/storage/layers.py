"""Stores made of stores.

`ReadThrough` keeps near what was read from afar, `FirstOf` asks several stores in turn,
`ReadOnlyContents` and `ReadOnlyEntries` refuse to write, and `MergedEntries` shows the
pairs of several stores as one list. For entries there is no first-of: the pairs of a
first store would hide those of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from ..digest import Digest
from ..entry import Key, Pair
from ..errors import NotFound, StorageReadOnly
from . import Content, ContentStore, EntryStore, Stored, Writer


class ReadThrough(ContentStore):
    """`near`, filled from `far` by every miss of `open`.

    `far` is only ever opened and measured: what is put, deleted and listed is near. A
    content from afar is served after it was stored, and so verified: `open` raises
    `WrongContent` for one that is not what its name says. Threads that miss the same
    content at once each fill it.
    """

    def __init__(self, near: ContentStore, far: ContentStore):
        self._near = near
        self._far = far

    def open(self, digest: Digest) -> Content:
        try:
            return self._near.open(digest)
        except NotFound:
            self._fill(digest)
        return self._near.open(digest)

    def size(self, digest: Digest) -> int:
        try:
            return self._near.size(digest)
        except NotFound:
            return self._far.size(digest)

    def writer(self, digest: Digest | None = None, size: int | None = None) -> Writer:
        return self._near.writer(digest, size)

    def delete(self, digest: Digest) -> None:
        self._near.delete(digest)

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._near)

    def close(self) -> None:
        _close(self._near, self._far)

    def _fill(self, digest: Digest) -> None:
        with (
            self._far.open(digest) as content,
            self._near.writer(digest, content.size) as writer,
        ):
            for piece in content.pieces():
                writer.write(piece)
            writer.commit()


class FirstOf(ContentStore):
    """Several stores: the first that has a content serves it; the first is written.

    What is deleted is deleted from all of them.
    """

    def __init__(self, first: ContentStore, *others: ContentStore):
        self._first = first
        self._stores = (first, *others)

    def open(self, digest: Digest) -> Content:
        for store in self._stores:
            try:
                return store.open(digest)
            except NotFound:
                continue
        raise NotFound(f"no content {digest.hex[:16]}…")

    def size(self, digest: Digest) -> int:
        for store in self._stores:
            try:
                return store.size(digest)
            except NotFound:
                continue
        raise NotFound(f"no content {digest.hex[:16]}…")

    def writer(self, digest: Digest | None = None, size: int | None = None) -> Writer:
        return self._first.writer(digest, size)

    def delete(self, digest: Digest) -> None:
        holders = [store for store in self._stores if store.has(digest)]
        if not holders:
            raise NotFound(f"no content {digest.hex[:16]}…")
        for store in holders:
            store.delete(digest)

    def __iter__(self) -> Iterator[Digest]:
        for place, store in enumerate(self._stores):
            for digest in store:
                if not any(earlier.has(digest) for earlier in self._stores[:place]):
                    yield digest

    def close(self) -> None:
        _close(*self._stores)


class ReadOnlyContents(ContentStore):
    """A store of contents that is only read; writes raise `StorageReadOnly`."""

    def __init__(self, store: ContentStore):
        self._store = store

    def open(self, digest: Digest) -> Content:
        return self._store.open(digest)

    def size(self, digest: Digest) -> int:
        return self._store.size(digest)

    def writer(self, digest: Digest | None = None, size: int | None = None) -> Writer:
        raise StorageReadOnly("cannot store a content: this store is only read")

    def delete(self, digest: Digest) -> None:
        raise StorageReadOnly("cannot delete a content: this store is only read")

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._store)

    def close(self) -> None:
        self._store.close()


class ReadOnlyEntries(EntryStore):
    """A store of entries that is only read; writes raise `StorageReadOnly`."""

    def __init__(self, store: EntryStore):
        self._store = store

    def get(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Stored]]:
        return self._store.get(keys)

    def put(self, key: Key, stored: Stored, content: Digest | None = None) -> None:
        raise StorageReadOnly("cannot store an entry: this store is only read")

    def remove(self, key: Key, pair: Pair) -> None:
        raise StorageReadOnly("cannot remove an entry: this store is only read")

    def naming(self, content: Digest) -> Sequence[tuple[Key, Stored]]:
        return self._store.naming(content)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._store)

    def close(self) -> None:
        self._store.close()


class MergedEntries(EntryStore):
    """Several stores: a key has the pairs of all, those of the first store first.

    A pair that several have is shown as the first of them has it. The first store is
    the one that is written; a pair is removed from all.
    """

    def __init__(self, first: EntryStore, *others: EntryStore):
        self._first = first
        self._stores = (first, *others)

    def get(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Stored]]:
        merged: dict[Key, dict[Pair, Stored]] = {}
        for store in self._stores:
            for key, found in store.get(keys).items():
                pairs = merged.setdefault(key, {})
                for stored in found:
                    pairs.setdefault(stored.pair, stored)
        return {key: list(pairs.values()) for key, pairs in merged.items()}

    def put(self, key: Key, stored: Stored, content: Digest | None = None) -> None:
        self._first.put(key, stored, content)

    def remove(self, key: Key, pair: Pair) -> None:
        holders = [store for store in self._stores if _holds(store, key, pair)]
        if not holders:
            raise NotFound(f"no such pair under {key}")
        for store in holders:
            store.remove(key, pair)

    def naming(self, content: Digest) -> Sequence[tuple[Key, Stored]]:
        found: dict[tuple[Key, Pair], Stored] = {}
        for store in self._stores:
            for key, stored in store.naming(content):
                found.setdefault((key, stored.pair), stored)
        return [(key, stored) for (key, _), stored in found.items()]

    def __iter__(self) -> Iterator[Key]:
        for place, store in enumerate(self._stores):
            for key in store:
                if not any(earlier.get([key]) for earlier in self._stores[:place]):
                    yield key

    def close(self) -> None:
        _close(*self._stores)


def _holds(store: EntryStore, key: Key, pair: Pair) -> bool:
    return any(stored.pair == pair for stored in store.get([key]).get(key, ()))


def _close(*stores: ContentStore | EntryStore) -> None:
    """Close all, even where closing one fails."""
    with ExitStack() as stack:
        for store in reversed(stores):
            stack.callback(store.close)
