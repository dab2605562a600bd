"""What every `ContentStore` promises, as tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from threading import Event, Thread

from ..digest import Digest
from ..errors import NotFound, WrongContent
from ..storage import ContentStore
from .running import in_threads, raises

HELLO = b"hello, world"
OTHER = Digest.of(b"something else")


def large(seed: int, size: int = 300_000) -> bytes:
    """Bytes that no filesystem stores as zeros, and that differ by `seed`."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


class ContentStoreContract:
    """Subclass it with a fixture `store` that gives an empty store."""

    def test_what_was_put_is_read(self, store: ContentStore) -> None:
        digest = store.put([b"hello, ", b"", b"world"])
        assert digest == Digest.of(HELLO)
        assert store.has(digest)
        assert store.size(digest) == len(HELLO)
        with store.open(digest) as content:
            assert content.size == len(HELLO)
            assert b"".join(content.pieces(5)) == HELLO

    def test_any_range_is_read(self, store: ContentStore) -> None:
        with store.open(store.put([HELLO])) as content:
            assert content.read(7, 3) == b"wor"
            assert content.read(7, 100) == b"world"
            assert content.read(len(HELLO), 1) == b""
            assert content.read(0, 0) == b""

    def test_a_path_holds_the_bytes(self, store: ContentStore) -> None:
        with store.open(store.put([HELLO])) as content:
            if content.path is not None:
                with open(content.path, "rb") as file:
                    assert file.read() == HELLO

    def test_the_empty_content_is_a_content(self, store: ContentStore) -> None:
        digest = store.put([])
        assert digest == Digest.of(b"")
        assert store.size(digest) == 0
        with store.open(digest) as content:
            assert list(content.pieces()) == []

    def test_what_was_never_put_is_not_found(self, store: ContentStore) -> None:
        store.put([HELLO])
        assert not store.has(OTHER)
        for ask in (store.open, store.size, store.delete):
            with raises(NotFound):
                ask(OTHER)

    def test_put_again_it_stays(self, store: ContentStore) -> None:
        digest = store.put([HELLO])
        with store.open(digest) as content:
            assert store.put([HELLO], digest) == digest
            assert content.read(0, 100) == HELLO
        with store.open(digest) as content:
            assert content.read(0, 100) == HELLO
        assert list(store) == [digest]

    def test_a_wrong_digest_leaves_nothing(self, store: ContentStore) -> None:
        with raises(WrongContent):
            store.put([HELLO], OTHER)
        assert list(store) == []
        assert not store.has(OTHER)
        assert not store.has(Digest.of(HELLO))

    def test_a_wrong_digest_leaves_what_is_there(self, store: ContentStore) -> None:
        digest = store.put([HELLO])
        with raises(WrongContent):
            store.put([b"hello"], digest)
        with store.open(digest) as content:
            assert content.read(0, 100) == HELLO

    def test_fewer_bytes_than_announced_leave_nothing(self, store: ContentStore) -> None:
        with store.writer(size=len(HELLO)) as writer:
            writer.write(HELLO[:-1])
            with raises(WrongContent):
                writer.commit()
        assert list(store) == []

    def test_more_bytes_than_announced_leave_nothing(self, store: ContentStore) -> None:
        with store.writer(size=len(HELLO)) as writer:
            writer.write(HELLO)
            with raises(WrongContent):
                writer.write(b"!")
        assert list(store) == []

    def test_nothing_is_seen_before_the_commit(self, store: ContentStore) -> None:
        digest = Digest.of(HELLO)
        with store.writer(digest, len(HELLO)) as writer:
            writer.write(HELLO)
            assert not store.has(digest)
            assert list(store) == []
            assert writer.commit() == digest
            assert store.has(digest)

    def test_what_is_not_committed_leaves_nothing(self, store: ContentStore) -> None:
        with store.writer(Digest.of(HELLO), len(HELLO)) as writer:
            writer.write(HELLO)
        assert list(store) == []
        assert not store.has(Digest.of(HELLO))

    def test_abort_is_harmless_after_commit_and_abort(self, store: ContentStore) -> None:
        with store.writer() as writer:
            writer.write(HELLO)
            digest = writer.commit()
            writer.abort()
        assert store.has(digest)
        with store.writer() as writer:
            writer.abort()
            writer.abort()
        assert list(store) == [digest]

    def test_a_failing_source_leaves_nothing(self, store: ContentStore) -> None:
        def cut() -> Iterator[bytes]:
            yield HELLO
            raise ConnectionResetError

        with raises(ConnectionResetError):
            store.put(cut())
        assert list(store) == []

    def test_a_reader_outlives_the_deletion(self, store: ContentStore) -> None:
        data = large(1)
        digest = store.put([data])
        with store.open(digest) as content:
            pieces = content.pieces(100_000)
            first = next(pieces)
            store.delete(digest)
            assert not store.has(digest)
            assert first + b"".join(pieces) == data
        with raises(NotFound):
            store.delete(digest)

    def test_what_was_deleted_is_put_again(self, store: ContentStore) -> None:
        digest = store.put([HELLO])
        store.delete(digest)
        assert list(store) == []
        store.put([HELLO])
        assert list(store) == [digest]

    def test_all_contents_are_listed(self, store: ContentStore) -> None:
        put = {store.put([b"%d" % number]) for number in range(20)}
        with store.writer() as writer:
            writer.write(HELLO)
            assert sorted(store) == sorted(put)

    def test_readers_see_all_or_nothing(self, store: ContentStore) -> None:
        data = large(2)
        digest = Digest.of(data)
        wrong: list[int] = []
        done = Event()

        def read() -> None:
            while not done.is_set():
                try:
                    with store.open(digest) as content:
                        if b"".join(content.pieces()) != data:
                            wrong.append(content.size)
                except NotFound:
                    pass

        readers = [Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        try:
            for _ in range(8):
                in_threads(2, lambda _: store.put([data[:1000], data[1000:]]))
                store.delete(digest)
        finally:
            done.set()
            for reader in readers:
                reader.join()
        assert wrong == []

    def test_many_threads_put(self, store: ContentStore) -> None:
        def put(number: int) -> list[Digest]:
            # Every content is put by two threads.
            return [store.put([large(number // 2 * 5 + i, 3000)]) for i in range(5)]

        expected = {Digest.of(large(number, 3000)) for number in range(8 * 5)}
        assert {digest for put in in_threads(16, put) for digest in put} == expected
        assert sorted(store) == sorted(expected)
        for digest in expected:
            with store.open(digest) as content:
                assert Digest.of(content.read(0, 3000)) == digest
