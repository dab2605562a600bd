"""The node's own store of contents: what stays, what gives way, who may use it with whom,
and in whose folder it is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_process import mounted, run

from slapos.networkcache.bounded_folder import BoundedFolder, Held
from slapos.networkcache.digest import Digest
from slapos.networkcache.errors import NotFound, StorageFailure, StorageFull
from slapos.networkcache.localstore import LocalStore

NOBODY = 65534
HOUR = 3600
DAY = 24 * HOUR

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Holds ten contents of 100 bytes."""
    return LocalStore(tmp_path / "store", 1000)


def content(number: int, size: int = 100) -> bytes:
    return f"{number:0{size}d}".encode()


def add(store: LocalStore, data: bytes, tmp_path: Path) -> Digest:
    source = tmp_path / "source"
    source.write_bytes(data)
    digest = Digest.of(data)
    store.add(digest, str(source))
    return digest


def place(store: LocalStore, data: bytes) -> Digest:
    digest = Digest.of(data)
    with store.incoming(digest, len(data)) as path:
        part = Path(path).with_name(f".networkcache-{time.monotonic_ns()}.part")
        part.write_bytes(data)
        part.rename(path)
    return digest


def read(store: LocalStore, digest: Digest) -> bytes:
    with store.open(digest) as opened:
        return b"".join(opened.pieces())


def used(store: LocalStore, digest: Digest) -> float:
    return os.stat(store.path(digest)).st_mtime


def age(store: LocalStore, digest: Digest, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(store.path(digest), (then, then))


def files(store: LocalStore) -> set[str]:
    return {path.name for path in (store.folder / "v1").rglob("*") if path.is_file()}


def names(*digests: Digest) -> set[str]:
    return {digest.hex for digest in digests}


def estimate(store: LocalStore) -> int:
    return int((store.folder / "usage").read_text().split()[0])


# What is put in is there


@pytest.mark.parametrize("data", [b"", b"hello", os.urandom(3 << 20)], ids=len)
def test_what_is_put_in_is_read(tmp_path, data):
    store = LocalStore(tmp_path / "store", 10 << 20)
    placed = place(store, data)
    assert read(store, placed) == data
    store.discard(placed)
    assert not store.has(placed)
    assert read(store, add(store, data, tmp_path)) == data
    assert read(LocalStore(tmp_path / "store", 10 << 20), placed) == data


def test_what_is_not_there_is_not_found(store):
    digest = Digest.of(b"a")
    assert not store.has(digest)
    with pytest.raises(NotFound):
        store.open(digest)
    store.discard(digest)


def test_a_block_that_fails_or_places_nothing_leaves_nothing(store):
    digest = Digest.of(b"a")
    with pytest.raises(NotFound), store.incoming(digest, 1):
        raise NotFound("nobody has it")
    with store.incoming(digest, 1):
        pass
    assert files(store) == set()
    assert not (store.folder / "usage").exists()


def test_a_copy_that_fails_leaves_nothing(store, tmp_path):
    with pytest.raises(StorageFailure, match="No such file"):
        store.add(Digest.of(b"a"), str(tmp_path / "missing"))
    with pytest.raises(StorageFailure):
        store.add(Digest.of(b"a"), str(tmp_path))
    assert files(store) == set()


def test_what_is_there_is_not_copied_again_but_what_is_cut_is(store, tmp_path):
    digest = add(store, content(1), tmp_path)
    before = os.stat(store.path(digest)).st_ino
    add(store, content(1), tmp_path)
    assert os.stat(store.path(digest)).st_ino == before
    assert estimate(store) == 100
    os.truncate(store.path(digest), 50)
    add(store, content(1), tmp_path)
    assert read(store, digest) == content(1)


def test_wrong_bytes_are_for_the_reader_to_see_and_to_throw_away(store):
    digest = place(store, content(1))
    Path(store.path(digest)).write_bytes(content(2))
    assert Digest.of(read(store, digest)) != digest
    store.discard(digest)
    assert not store.has(digest)


def test_a_link_in_the_place_of_a_content_is_not_followed(store, tmp_path):
    digest = place(store, content(1))
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.unlink(store.path(digest))
    os.symlink(secret, store.path(digest))
    with pytest.raises(StorageFailure):
        store.open(digest)


def test_nobody_else_may_look_in_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        store = LocalStore(tmp_path / "a" / "store", 1000)
        digest = place(store, content(1))
    finally:
        os.umask(before)
    folders = [store.folder.parent, *Path(store.path(digest)).parents]
    inside = folders[: folders.index(tmp_path)]
    assert {os.stat(folder).st_mode & 0o777 for folder in inside} == {0o700}


# What gives way


def test_the_least_recently_used_give_way_down_to_nine_tenths(store):
    placed = [place(store, content(number)) for number in range(10)]
    for number, digest in enumerate(placed):
        age(store, digest, (10 - number) * DAY)
    assert files(store) == names(*placed)
    read(store, placed[0])
    newest = place(store, content(10))
    assert files(store) == names(placed[0], *placed[3:], newest)


def test_the_use_of_a_content_is_noted_once_an_hour(store):
    digest = place(store, content(1))
    age(store, digest, HOUR / 2)
    before = used(store, digest)
    read(store, digest)
    assert used(store, digest) == before
    age(store, digest, 2 * HOUR)
    before = used(store, digest)
    read(store, digest)
    assert used(store, digest) > before + HOUR
    age(store, digest, -7 * DAY)  # a clock that was wrong does not keep it for ever
    read(store, digest)
    assert used(store, digest) < time.time() + HOUR


def test_what_was_just_placed_stays_although_it_fills_all(store):
    old = place(store, content(1))
    digest = place(store, content(2, 1000))
    assert files(store) == names(digest)
    assert not store.has(old)


def test_what_is_larger_than_the_bound_is_refused_before_it_is_written(store, tmp_path):
    kept = place(store, content(1))
    source = tmp_path / "source"
    source.write_bytes(content(2, 1001))
    with (
        pytest.raises(StorageFull, match=r"1001 bytes .* at most 1000"),
        store.incoming(Digest.of(content(2, 1001)), 1001),
    ):
        pytest.fail("the block was entered")
    with pytest.raises(StorageFull):
        store.add(Digest.of(content(2, 1001)), str(source))
    assert files(store) == names(kept)


def test_what_nobody_announced_is_refused_when_it_is_too_large(store):
    kept = place(store, content(1))
    digest = Digest.of(content(2, 1001))
    with pytest.raises(StorageFull), store.incoming(digest, None) as path:
        Path(path).write_bytes(content(2, 1001))
    assert files(store) == names(kept)


def test_a_store_of_no_bytes_keeps_nothing(tmp_path):
    store = LocalStore(tmp_path / "store", 0)
    with pytest.raises(StorageFull):
        place(store, b"a")


def test_what_is_read_when_it_gives_way_is_read_to_its_end(store):
    digest = place(store, content(1, 1000))
    age(store, digest, DAY)
    with store.open(digest) as opened:
        age(store, digest, DAY)
        place(store, content(2))
        assert not store.has(digest)
        assert b"".join(opened.pieces()) == content(1, 1000)


def test_left_overs_of_the_dead_are_removed_and_those_of_the_living_count(store):
    first = place(store, content(1))
    age(store, first, DAY)
    folder = Path(store.path(first)).parent
    for name, old in (("dead", 25 * HOUR), ("alive", 23 * HOUR)):
        part = folder / f".networkcache-{name}.part"
        part.write_bytes(bytes(300))
        os.utime(part, (time.time() - old,) * 2)
    (store.folder / "usage").unlink()
    second = place(store, content(2, 800))
    assert files(store) == {".networkcache-alive.part", *names(second)}


@pytest.mark.parametrize(
    "usage", [b"", b"nonsense", b"\xff" * 41, b"%020d %020d\n" % (5, 5)]
)
def test_what_nobody_knows_is_counted(store, usage):
    """The last one: a count of long ago."""
    for number in range(10):
        place(store, content(number))
    (store.folder / "usage").write_bytes(usage)
    place(store, content(10))
    assert len(files(store)) == 9


def test_what_is_found_within_the_bound_stays(store):
    """Be it more than nine tenths of it."""
    for number in range(9):
        place(store, content(number))
    (store.folder / "usage").unlink()
    place(store, content(9))
    assert len(files(store)) == 10
    assert estimate(store) == 1000


def test_it_is_not_counted_as_long_as_the_estimate_is_below_the_bound(store):
    placed = [place(store, content(number)) for number in range(5)]
    unseen = Path(store.path(placed[0])).with_name(Digest.of(b"x").hex)
    unseen.write_bytes(bytes(2000))
    os.utime(unseen, (0, 0))
    place(store, content(5))
    assert unseen.exists()
    assert estimate(store) == 600
    for number in range(6, 11):
        place(store, content(number))
    assert not unseen.exists()
    assert len(files(store)) == 9


# Several at once

_RUN = """
from slapos.networkcache.errors import NotFound
from slapos.networkcache.localstore import LocalStore
from pathlib import Path
import random
store = LocalStore(Path(root), 200_000)
chance = random.Random(int(sys.argv[2]))
turn = os.path.join(os.path.dirname(root), f"source-{sys.argv[2]}")
for _ in range(200):
    number = chance.randrange(60)
    data = str(number).encode() * 5000
    digest = Digest.of(data)
    if chance.random() < 0.5:
        with open(turn, "wb") as file:
            file.write(data)
        store.add(digest, turn)
    else:
        try:
            with store.open(digest) as content:
                assert b"".join(content.pieces()) == data
        except NotFound:
            pass
"""


def test_many_runs_at_once(tmp_path):
    root = tmp_path / "store"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: run(_RUN, root, number), range(4)))
    store = LocalStore(root, 200_000)
    total = sum(path.stat().st_size for path in (root / "v1").rglob("*") if path.is_file())
    assert 0 < total <= 200_000
    assert estimate(store) >= total
    assert {len(name) for name in files(store)} == {128}


def test_many_threads_of_one_run(tmp_path):
    store = LocalStore(tmp_path / "store", 20_000)

    def work(number: int) -> bytes:
        digest = place(store, content(number % 40, 1000))
        try:
            return read(store, digest)
        except NotFound:  # it gave way to those of the others
            return content(number % 40, 1000)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(200))) == [
            content(number % 40, 1000) for number in range(200)
        ]
    assert len(files(store)) <= 20


def test_what_comes_while_one_counts_is_not_forgotten(tmp_path):
    def held() -> Iterator[Held]:
        yield Held("first", 30, 1)
        folder.added("unseen", 40)

    folder = BoundedFolder(str(tmp_path), 100, held)
    folder.added("first", 30)
    assert int((tmp_path / "usage").read_text().split()[0]) == 70


_ADDING = """
from slapos.networkcache.bounded_folder import BoundedFolder
folder = BoundedFolder(root, 1 << 30, lambda: ())
for _ in range(3000):
    folder.added("one", 1)
"""


def test_what_many_add_at_once_is_added(tmp_path):
    BoundedFolder(str(tmp_path), 1 << 30, lambda: ()).added("first", 1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: run(_ADDING, tmp_path), range(4)))
    assert int((tmp_path / "usage").read_text().split()[0]) == 4 * 3000


def test_nobody_waits_for_who_counts(store, tmp_path):
    script = """
import fcntl
with open(root, "wb") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("counting", flush=True)
    sys.stdin.read()
"""
    import_line = "import sys\nroot = sys.argv[1]\n"
    counting = subprocess.Popen(
        [sys.executable, "-c", import_line + script, str(store.folder / "counting")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with counting:
        assert counting.stdout.readline() == b"counting\n"
        for number in range(12):
            place(store, content(number))
        assert len(files(store)) == 12
        counting.stdin.close()
    place(store, content(12))
    assert len(files(store)) == 9


# A full disk


def test_a_full_disk_keeps_nothing_half_and_goes_on(unshare, tmp_path):
    script = """
from pathlib import Path
from slapos.networkcache.localstore import LocalStore
store = LocalStore(Path(root) / "store", 1 << 30)
source = os.path.join(os.path.dirname(root), "source")
def add(size):
    data = os.urandom(size)
    with open(source, "wb") as file:
        file.write(data)
    store.add(Digest.of(data), source)
    return Digest.of(data)
def parts():
    return list((store.folder / "v1").rglob("*.part"))
kept = add(1 << 20)
assert "No space left" in failure(StorageFull, add, 9 << 20)
assert parts() == []
def block():
    with store.incoming(Digest.of(b"a"), 9 << 20) as path, open(path, "wb") as file:
        try:
            for _ in range(9):
                file.write(bytes(1 << 20))
        finally:
            os.unlink(path)
assert "No space left" in failure(StorageFull, block)
assert store.has(kept)
assert store.has(add(5 << 20))
"""
    mounted("8m", script, unshare, tmp_path / "root")


# Whose folder it is


def refused(folder: Path) -> str:
    with pytest.raises(StorageFailure) as refusal:
        LocalStore(folder, 1000)
    assert str(refusal.value).startswith(f"{folder} is not used: ")
    return str(refusal.value)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_in_which_others_write_is_refused(tmp_path, mode):
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(mode)
    assert f"chmod go-w {folder}" in refused(folder)
    folder.chmod(0o755)
    LocalStore(folder, 1000)


@as_root
def test_a_folder_of_another_user_is_refused(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    assert f"belongs to user {NOBODY}" in refused(folder)


def test_a_folder_that_is_a_link_is_refused_even_if_it_is_ones_own(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "store").symlink_to("real")
    assert "it is a link" in refused(tmp_path / "store")
    (tmp_path / "nowhere").symlink_to("missing")
    assert "it is a link" in refused(tmp_path / "nowhere")
    assert not (tmp_path / "missing").exists()


def test_a_file_is_refused(tmp_path):
    (tmp_path / "store").write_text("")
    assert "no folder" in refused(tmp_path / "store")
    with pytest.raises(StorageFailure, match="Not a directory"):
        LocalStore(tmp_path / "store" / "store", 1000)


def test_a_link_of_ones_own_on_the_way_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "real")
    store = LocalStore(tmp_path / "home" / "cache" / "store", 1000)
    place(store, content(1))
    assert (tmp_path / "real" / "cache" / "store" / "v1").is_dir()


@as_root
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("own", ["", "second", "../home/./second", "{home}/second"])
def test_a_link_of_another_on_the_way_is_refused_and_nothing_is_made(tmp_path, there, own):
    """Also one to which only a link of one's own leads."""
    home = tmp_path / "home"
    (home / "real").mkdir(parents=True)
    other = home / ("second" if own else "link")
    other.symlink_to("real")
    os.lchown(other, NOBODY, NOBODY)
    if own:
        (home / "link").symlink_to(own.format(home=home))
    if there:
        (home / "real" / "store").mkdir(mode=0o700)
    assert f"is a link of user {NOBODY}" in refused(home / "link" / "store")
    assert there or os.listdir(home / "real") == []


def test_links_that_go_in_circles_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StorageFailure, match="symbolic links"):
        LocalStore(tmp_path / "a" / "store", 1000)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    folder = Path("/proc/store")
    with pytest.raises(StorageFailure, match=re.escape(str(folder))):
        LocalStore(folder, 1000)


def test_opening_looks_at_nothing_that_is_in_it(store, tmp_path):
    """It costs the same for a store of 100,000 contents."""
    (store.folder / "v1").write_text("this is no folder, and is not looked at")
    LocalStore(store.folder, 1000)
