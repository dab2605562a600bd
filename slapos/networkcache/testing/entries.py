"""What every `EntryStore` promises, as tests."""

from __future__ import annotations

from ..digest import Digest
from ..entry import Key, Pair
from ..errors import NotFound
from ..storage import ACCOUNT_LIMIT, EntryStore, Stored
from .running import in_threads, raises

ONE, TWO, THREE = (Key.parse(f"key-{number}") for number in (1, 2, 3))


def stored(text: str, account: str = "", hidden: bool = False) -> Stored:
    """A pair whose entry is `text`: a store looks into none."""
    return Stored(Pair(text, "c2ln"), account, hidden)


def texts(store: EntryStore, key: Key) -> list[str]:
    """The entries under `key` in the order of the store."""
    return [found.pair.entry for found in store.get([key]).get(key, ())]


class EntryStoreContract:
    """Subclass it with a fixture `store` that gives an empty store."""

    def test_what_was_put_is_found(self, store: EntryStore) -> None:
        put = Stored(Pair('{"name": "dé\\n"}', ""), "somebody", True)
        store.put(ONE, put)
        assert list(store.get([ONE])[ONE]) == [put]

    def test_the_latest_is_first(self, store: EntryStore) -> None:
        for text in ("b", "c", "a"):
            store.put(ONE, stored(text))
        assert texts(store, ONE) == ["a", "c", "b"]

    def test_keys_are_apart(self, store: EntryStore) -> None:
        store.put(ONE, stored("one"))
        store.put(TWO, stored("two"))
        found = store.get([TWO, THREE, ONE, TWO])
        assert set(found) == {ONE, TWO}
        assert [one.pair.entry for one in found[ONE]] == ["one"]
        assert [two.pair.entry for two in found[TWO]] == ["two"]

    def test_unknown_keys_are_left_out(self, store: EntryStore) -> None:
        assert dict(store.get([])) == {}
        assert dict(store.get([ONE])) == {}
        assert dict(store.get([ONE, TWO])) == {}

    def test_a_thousand_keys_are_asked_at_once(self, store: EntryStore) -> None:
        keys = [Key.parse(f"key-{number}") for number in range(1000)]
        in_threads(
            8,
            lambda number: [
                store.put(key, stored(text)) for key in keys[number::8] for text in "ab"
            ],
        )
        found = store.get(keys)
        assert set(found) == set(keys)
        assert all([one.pair.entry for one in found[key]] == ["b", "a"] for key in keys)

    def test_the_same_pair_stays_where_and_whose_it_is(self, store: EntryStore) -> None:
        store.put(ONE, stored("a", "somebody"))
        store.put(ONE, stored("b"))
        store.put(ONE, stored("a", "another"))
        assert list(store.get([ONE])[ONE]) == [stored("b"), stored("a", "somebody")]

    def test_another_signature_is_another_pair(self, store: EntryStore) -> None:
        for signature in ("", "YQ==", "Yg=="):
            store.put(ONE, Stored(Pair("a", signature)))
        assert [found.pair.signature for found in store.get([ONE])[ONE]] == [
            "Yg==",
            "YQ==",
            "",
        ]

    def test_a_hidden_pair_is_shown_by_a_second_put(self, store: EntryStore) -> None:
        store.put(ONE, stored("a", hidden=True))
        store.put(ONE, stored("a", hidden=True))
        assert list(store.get([ONE])[ONE]) == [stored("a", hidden=True)]
        store.put(ONE, stored("a"))
        assert list(store.get([ONE])[ONE]) == [stored("a")]

    def test_a_shown_pair_is_not_hidden_again(self, store: EntryStore) -> None:
        store.put(ONE, stored("a"))
        store.put(ONE, stored("a", hidden=True))
        assert list(store.get([ONE])[ONE]) == [stored("a")]

    def test_an_account_gives_way_to_itself_alone(self, store: EntryStore) -> None:
        quarter = ACCOUNT_LIMIT // 4
        for account in ("another", "zoe", ""):
            store.put(ONE, stored((account or "nobody") * (quarter // 8), account))
        store.put(TWO, stored("elsewhere", "somebody"))
        for letter in "abcde":
            store.put(ONE, stored(letter * (quarter - 4), "somebody"))
        assert [text[:9] for text in texts(store, ONE)] == [
            *(letter * 9 for letter in "edcb"),
            "nobodynob",
            "zoezoezoe",
            "anotheran",
        ]
        assert texts(store, TWO) == ["elsewhere"]

    def test_an_account_holds_exactly_its_limit(self, store: EntryStore) -> None:
        # "é" has two bytes, the signature four.
        half = "é" * (ACCOUNT_LIMIT // 4 - 2)
        store.put(ONE, stored(half + "", "somebody"))
        store.put(ONE, Stored(Pair(half, "bm90"), "somebody"))
        assert len(store.get([ONE])[ONE]) == 2
        store.put(ONE, stored("", "somebody"))
        assert [found.pair.signature for found in store.get([ONE])[ONE]] == ["c2ln", "bm90"]

    def test_the_newest_never_gives_way(self, store: EntryStore) -> None:
        store.put(ONE, stored("a"))
        store.put(ONE, stored("b" * ACCOUNT_LIMIT))
        assert [text[0] for text in texts(store, ONE)] == ["b"]

    def test_one_pair_is_removed(self, store: EntryStore) -> None:
        store.put(ONE, stored("a"))
        store.put(ONE, stored("b"))
        store.remove(ONE, stored("a").pair)
        assert texts(store, ONE) == ["b"]
        with raises(NotFound):
            store.remove(ONE, stored("a").pair)
        with raises(NotFound):
            store.remove(TWO, stored("b").pair)
        store.remove(ONE, stored("b").pair)
        assert dict(store.get([ONE])) == {}

    def test_a_removed_pair_put_again_is_the_latest(self, store: EntryStore) -> None:
        for text in "ab":
            store.put(ONE, stored(text))
        store.remove(ONE, stored("a").pair)
        store.put(ONE, stored("a"))
        assert texts(store, ONE) == ["a", "b"]

    def test_pairs_are_found_by_the_content_that_they_name(self, store: EntryStore) -> None:
        content, another = Digest.of(b"a"), Digest.of(b"b")
        shown, hidden = stored("a", "somebody"), stored("b", hidden=True)
        store.put(ONE, shown, content)
        store.put(TWO, hidden, content)
        store.put(TWO, stored("c"), another)
        store.put(THREE, stored("d"))
        assert sorted(store.naming(content)) == [(ONE, shown), (TWO, hidden)]
        store.remove(ONE, shown.pair)
        assert list(store.naming(content)) == [(TWO, hidden)]
        store.remove(TWO, hidden.pair)
        assert list(store.naming(content)) == []
        assert list(store.naming(another)) == [(TWO, stored("c"))]

    def test_all_keys_are_listed_once(self, store: EntryStore) -> None:
        assert list(store) == []
        for key, text in ((ONE, "a"), (ONE, "b"), (TWO, "a"), (THREE, "a")):
            store.put(key, stored(text))
        store.remove(THREE, stored("a").pair)
        assert sorted(store) == [ONE, TWO]

    def test_pairs_put_at_once_are_all_there(self, store: EntryStore) -> None:
        def put(number: int) -> None:
            for i in range(20):
                store.put(ONE, stored(f"{number}:{i}", str(number)))
                # What was put is seen as soon as the put returned, latest first.
                own = [text for text in texts(store, ONE) if text.startswith(f"{number}:")]
                assert own == [f"{number}:{earlier}" for earlier in range(i, -1, -1)]

        in_threads(32, put)
        assert len(texts(store, ONE)) == len(set(texts(store, ONE))) == 640

    def test_the_same_pair_put_at_once_is_kept_once(self, store: EntryStore) -> None:
        in_threads(16, lambda number: store.put(ONE, stored("a", str(number))))
        assert texts(store, ONE) == ["a"]
