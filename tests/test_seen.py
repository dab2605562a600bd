"""The memory against roll-back: what it keeps, for whom, and when it cannot."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slapos.networkcache.binding import Request
from slapos.networkcache.entry import Key
from slapos.networkcache.errors import StorageFailure
from slapos.networkcache.seen import Seen, SeenInMemory, SeenOnDisk, default_path

ONE = Request.for_file("http://example.com/one")
TWO = Request.for_file("http://example.com/two")


@pytest.fixture(params=["memory", "disk"])
def seen(request, tmp_path: Path) -> Iterator[Seen]:
    memory = (
        SeenInMemory() if request.param == "memory" else SeenOnDisk(tmp_path / "a" / "seen")
    )
    yield memory
    memory.close()


def test_nothing_is_known_at_first(seen):
    assert seen.newest(ONE, {"a"}) is None


def test_the_newest_is_known(seen):
    for created in (100, 300, 200):
        seen.remember(ONE, created, {"a": created})
    assert seen.newest(ONE, {"a"}) == 300
    assert seen.newest(TWO, {"a"}) is None


def test_only_listed_signers_count(seen):
    seen.remember(ONE, 300, {"a": 300, "b": 300})
    seen.remember(ONE, 400, {"c": 400})
    assert seen.newest(ONE, {"a", "x"}) == 300
    assert seen.newest(ONE, {"b", "c"}) == 400
    assert seen.newest(ONE, {"x"}) is None
    assert seen.newest(ONE, set()) is None


def test_what_stays_of_a_statement_is_as_old_as_those_say_who_are_still_listed(seen):
    seen.remember(ONE, 2000, {"thief": 2000, "a": 1000})
    assert seen.newest(ONE, {"thief", "a"}) == 2000
    assert seen.newest(ONE, {"a"}) == 1000


def test_a_statement_is_as_old_as_the_word_that_completes_the_threshold(seen):
    seen.remember(ONE, 200, {"a": 300, "b": 200, "c": 100})
    assert seen.newest(ONE, {"a", "b", "c"}, 2) == 200
    assert seen.newest(ONE, {"a", "c"}, 2) == 100
    assert seen.newest(ONE, {"a", "c"}, 3) is None
    seen.remember(ONE, 150, {"a": 400, "b": 150, "c": 150})
    assert seen.newest(ONE, {"a", "b", "c"}, 2) == 200


def test_one_key_of_two_urls_is_two_requests(seen):
    key = Key.for_distribution("a", "1")
    first, second = Request(key, "http://a/a-1.zip"), Request(key, "http://b/a-1.zip")
    seen.remember(first, 100, {"a": 100})
    assert seen.newest(second, {"a"}) is None
    assert seen.newest(Request(key), {"a"}) is None


def test_any_url_is_remembered(seen):
    strange = Request.for_file("http://example.com/\udcff'\x00é")
    seen.remember(strange, 2**53, {"a": 2**53})
    assert seen.newest(strange, {"a"}) == 2**53


def test_many_threads_remember(seen):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: seen.remember(ONE, n, {str(n % 3): n}), range(300)))
    assert seen.newest(ONE, {"0", "1", "2"}) == 299


def test_it_outlives_the_process(tmp_path):
    path = tmp_path / "seen"
    first, second = SeenOnDisk(path), SeenOnDisk(path)
    first.remember(ONE, 100, {"a": 100})
    assert second.newest(ONE, {"a"}) == 100
    first.close()
    second.close()
    third = SeenOnDisk(path)
    assert third.newest(ONE, {"a"}) == 100
    third.close()


def test_it_is_the_users_own(tmp_path):
    path = tmp_path / "folder" / "seen"
    SeenOnDisk(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def make_folder(path: Path) -> None:
    path.mkdir()


def make_nonsense(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


@pytest.mark.parametrize("spoil", [make_folder, make_nonsense])
def test_what_cannot_be_used_is_named(tmp_path, spoil: Callable[[Path], None]):
    path = tmp_path / "seen"
    spoil(path)
    with pytest.raises(StorageFailure, match=str(path)):
        SeenOnDisk(path)


def test_a_file_in_the_place_of_its_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailure, match="file/seen"):
        SeenOnDisk(tmp_path / "file" / "seen")


def test_a_fault_later_on_loses_only_what_was_to_be_remembered(tmp_path):
    seen = SeenOnDisk(tmp_path / "seen")
    seen.close()
    seen.remember(ONE, 100, {"a": 100})
    assert seen.newest(ONE, {"a"}) is None


def test_it_is_kept_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "slapos.networkcache" / "seen.sqlite"
