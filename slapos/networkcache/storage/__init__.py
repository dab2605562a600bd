"""Contents and entries at rest: the contract, and the table of kinds.

**Contents** (`ContentStore`) are bytes named by their digest. **Entries**
(`EntryStore`) are pairs under keys. The two know nothing of each other, of HTTP or of
trust: a server puts a content before the entry that names it, and shows a pair of an
old client only once its content is there.

What every store promises, and `testing.ContentStoreContract` and
`testing.EntryStoreContract` check:

- Synchronous, and safe to call from many threads, and for stores on disk from many
  processes at once.
- When `ContentStore.put`, `Writer.commit` or `EntryStore.put` has returned, what was
  put survives a crash of the process and of the machine (but in memory), and every
  reader sees it. At any moment a reader sees the whole of it or nothing.
- What is put again stays as it was: a content is never rewritten under a reader, and
  the same pair is kept once.
- A reader that has opened a content reads it to its end, even if it is deleted.
- `NotFound` is the normal miss. `StorageFull` means no space, `StorageFailure` any
  other fault of the disk; after both, nothing of what was being put remains.

The kinds are memory (`memory`), a folder of contents (`folder`), entries in SQLite
(`sqlite`), and stores made of stores (`layers`): read-through, first-of, read-only.
`kinds` opens one by its name. A kind of content store subclasses `writer.CheckedWriter`.

What a server knows beside them is in one `database` with the entries, whose tables are in
`schema`: the `catalogue` of its contents, and what is promised to `transfers` that are on
their way, within what a `disk` has left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple

from ..digest import Digest
from ..entry import Key, Pair
from ..errors import NotFound

ANONYMOUS = ""
"""The account of all anonymous uploads together."""
ACCOUNT_LIMIT = 1 << 20
"""Bytes of pairs that one account holds under one key."""

__all__ = [
    "ACCOUNT_LIMIT",
    "ANONYMOUS",
    "Content",
    "ContentStore",
    "EntryStore",
    "Stored",
    "Writer",
]


class Content(ABC):
    """A content opened for reading. Close it, or use it in ``with``.

    `size` is its length in bytes. `path` is a file that holds exactly these bytes, where
    there is one: for sendfile or a server in front. Its name may be deleted while this
    is open and stays readable.
    """

    size: int
    path: str | None = None

    @abstractmethod
    def read(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; fewer only at the end."""

    def pieces(self, piece: int = 1 << 20) -> Iterator[bytes]:
        """All of it, in order."""
        for start in range(0, self.size, piece):
            yield self.read(start, piece)

    def close(self) -> None:
        """Let go of what is held open."""

    def __enter__(self) -> Content:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Writer(ABC):
    """A content being put. Unless `commit` returned, nothing of it remains.

    Use it in ``with``: leaving the block without `commit` throws away what was written.
    `path` is the file that grows with every `write`, where there is one: whoever opened
    it by then can read all of it, whatever becomes of its name.
    """

    path: str | None = None

    @abstractmethod
    def write(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises `StorageFull`, `StorageFailure`, and `WrongContent` where these are more
        than were announced. After an error the writer is aborted.
        """

    @abstractmethod
    def commit(self) -> Digest:
        """Make it durable, then visible, and return its digest.

        Raises `WrongContent` where the bytes do not have the digest or the size that
        was announced to `ContentStore.writer`, and as `write` does.
        """

    @abstractmethod
    def abort(self) -> None:
        """Throw away what was written. Harmless after `commit` or `abort`."""

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()


class ContentStore(ABC):
    """Bytes by digest; see the top of this module for what every store promises."""

    @abstractmethod
    def open(self, digest: Digest) -> Content:
        """Open a content for reading. Raises `NotFound`."""

    @abstractmethod
    def size(self, digest: Digest) -> int:
        """How many bytes it has. Raises `NotFound`."""

    @abstractmethod
    def writer(self, digest: Digest | None = None, size: int | None = None) -> Writer:
        """Begin to put a content.

        `digest` is what it must hash to, where that is known. `size` is the number of
        bytes announced, so that a store can refuse with `StorageFull` at once.
        """

    @abstractmethod
    def delete(self, digest: Digest) -> None:
        """Remove a content. Raises `NotFound`."""

    @abstractmethod
    def __iter__(self) -> Iterator[Digest]:
        """Every content, in no particular order."""

    def has(self, digest: Digest) -> bool:
        """Whether the content is there."""
        try:
            self.size(digest)
        except NotFound:
            return False
        return True

    def put(self, pieces: Iterable[bytes], digest: Digest | None = None) -> Digest:
        """Put the concatenation of `pieces`; raises as `Writer` does."""
        with self.writer(digest) as writer:
            for piece in pieces:
                writer.write(piece)
            return writer.commit()

    def close(self) -> None:
        """Let go of everything; the store is not used afterwards."""


class Stored(NamedTuple):
    """A pair as a directory keeps it.

    `account` is who put it (`ANONYMOUS` for nobody in particular), `hidden` whether it
    is shown only once its content is there (`ContentStore` knows).
    """

    pair: Pair
    account: str = ANONYMOUS
    hidden: bool = False


class EntryStore(ABC):
    """Pairs by key; see the top of this module for what every store promises."""

    @abstractmethod
    def get(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Stored]]:
        """The pairs of each key that has any, latest put first."""

    @abstractmethod
    def put(self, key: Key, stored: Stored, content: Digest | None = None) -> None:
        """Add a pair under `key`, which names `content`; it never replaces another's.

        The same pair put again keeps its place, its account and when it was put, but is
        no longer hidden if this put says so. An account holds at most `ACCOUNT_LIMIT`
        bytes of pairs under a key: beyond that its own oldest ones give way.
        """

    @abstractmethod
    def remove(self, key: Key, pair: Pair) -> None:
        """Remove one pair. Raises `NotFound`."""

    @abstractmethod
    def naming(self, content: Digest) -> Sequence[tuple[Key, Stored]]:
        """The pairs that were put as naming `content`, hidden ones too.

        It may give a pair too many, never one too few.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[Key]:
        """Every key that has a pair, in no particular order."""

    def close(self) -> None:
        """Let go of everything; the store is not used afterwards."""
