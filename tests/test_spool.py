"""What could not be sent: whole or not at all, each given to one run only, never damaged,
not for ever and not without bounds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_process import IMPORTS, mounted, run

from slapos.networkcache.config import Source
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import StorageFailure, StorageFull
from slapos.networkcache.spool import Spool, Unsent

TARGET = Source("http://example.com/shacache", "http://example.com/shadir")
OTHER = Source("http://other.example.com/shacache", "http://other.example.com/shadir")
PAIRS = (Pair('{"é": 1}', "c2ln"), Pair('{"salt": "1"}', "c2ln"))
DAY = 24 * 3600
ROOMY = 1 << 20


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Spool:
    return Spool(tmp_path / "spool", ROOMY, clock)


@pytest.fixture
def keep(tmp_path: Path) -> Callable[..., Digest]:
    """Keeps a content of its own under each name."""

    def keep(
        spool: Spool, name: str, target: Source = TARGET, *, size: int = 100, pairs=PAIRS
    ) -> Digest:
        data = name.encode().ljust(size, b".")
        path = tmp_path / f"fetched-{name}"
        path.write_bytes(data)
        spool.keep(target, Key(name), pairs, Digest.of(data), size, str(path))
        path.unlink()
        return Digest.of(data)

    return keep


def waiting(spool: Spool, target: Source = TARGET) -> list[str]:
    return [unsent.key.text for unsent in spool.waiting(target)]


def files(spool: Spool, suffix: str = "") -> list[Path]:
    found = (spool.folder / "v1").rglob(f"*{suffix}")
    return sorted(path for path in found if path.is_file())


# Kept, and given


def test_whether_anything_waits(spool, keep):
    assert not spool.has(TARGET)
    keep(spool, "a")
    assert spool.has(TARGET)
    assert not spool.has(OTHER)
    for unsent in spool.waiting(TARGET):
        spool.done(unsent)
    assert not spool.has(TARGET)


def test_what_is_kept_is_given_to_the_next_run_oldest_first(spool, keep, tmp_path):
    digests = {name: keep(spool, name) for name in "cab"}
    given = list(Spool(tmp_path / "spool", ROOMY).waiting(TARGET))
    assert [unsent.key.text for unsent in given] == ["c", "a", "b"]
    path = given[1].path
    assert given[1] == Unsent(TARGET, Key("a"), PAIRS, digests["a"], 100, path)
    assert Digest.of(Path(path).read_bytes()) == digests["a"]


def test_what_is_done_waits_no_longer_and_the_rest_does(spool, keep):
    for name in "abc":
        keep(spool, name)
    for unsent in spool.waiting(TARGET):
        if unsent.key.text == "b":
            spool.done(unsent)
    assert waiting(spool) == ["a", "c"]
    for unsent in spool.waiting(TARGET):
        spool.done(unsent)
        spool.done(unsent)
    assert files(spool) == []


def test_each_target_gets_its_own(spool, keep):
    keep(spool, "a")
    keep(spool, "b", OTHER)
    assert waiting(spool) == ["a"]
    assert waiting(spool, OTHER) == ["b"]
    assert waiting(spool, Source(TARGET.cache_url, OTHER.dir_url)) == []


def test_nothing_is_made_before_something_is_kept(spool):
    assert waiting(spool) == []
    assert not spool.folder.exists()


def test_a_password_of_the_target_is_not_written_down(spool, keep):
    target = Source("http://me:secret1@example.com/c", "http://me:secret1@example.com/d")
    keep(spool, "a", target)
    assert files(spool)
    for path in files(spool):
        assert "secret1" not in str(path)
        assert b"secret1" not in path.read_bytes()
    assert [unsent.target for unsent in spool.waiting(target)] == [target]


def test_what_is_kept_twice_is_kept_once_in_its_newest_words(spool, keep):
    keep(spool, "a")
    keep(spool, "b")
    newest = (Pair('{"created": 2}', "c2ln"),)
    keep(spool, "a", pairs=newest)
    given = list(spool.waiting(TARGET))
    assert [(unsent.key.text, unsent.pairs) for unsent in given] == [
        ("b", PAIRS),
        ("a", newest),
    ]
    assert len(files(spool)) == 4


def test_the_very_same_file_kept_again_leaves_nothing_beside(spool, tmp_path):
    path = tmp_path / "fetched"
    path.write_bytes(b"hello")
    for _ in range(2):
        spool.keep(TARGET, Key("a"), PAIRS, Digest.of(b"hello"), 5, str(path))
    assert waiting(spool) == ["a"]
    assert len(files(spool)) == 2


def test_a_link_is_kept_as_what_it_leads_to(spool, tmp_path):
    (tmp_path / "real").write_bytes(b"hello")
    (tmp_path / "link").symlink_to("real")
    path = str(tmp_path / "link")
    spool.keep(TARGET, Key("a"), PAIRS, Digest.of(b"hello"), 5, path)
    (tmp_path / "real").unlink()
    assert waiting(spool) == ["a"]


def test_what_lies_on_another_disk_is_copied(spool, tmp_path, unshare):
    script = """
from pathlib import Path
from slapos.networkcache.config import Source
from slapos.networkcache.spool import Spool
path = root + "/fetched"
with open(path, "wb") as file:
    file.write(b"hello")
Spool(Path(sys.argv[2]), 1000).keep(
    Source("a", "b"), KEY, [Pair("{}", "")], Digest.of(b"hello"), 5, path
)
"""
    mount = "os.system(f'mount -t tmpfs -o size=1m none {root}') == 0 or exit(1)\n"
    (tmp_path / "disk").mkdir()
    run(mount + script, tmp_path / "disk", spool.folder, before=unshare)
    assert waiting(spool, Source("a", "b")) == ["key"]


# Whole or not at all


def test_what_cannot_be_kept_leaves_nothing(spool, tmp_path):
    missing = str(tmp_path / "missing")
    with pytest.raises(StorageFailure, match="No such file"):
        spool.keep(TARGET, Key("a"), PAIRS, Digest.of(b"a"), 1, missing)
    with pytest.raises(StorageFailure):
        spool.keep(TARGET, Key("a"), PAIRS, Digest.of(b"a"), 1, str(tmp_path))
    assert files(spool) == []


def test_a_failure_leaves_what_was_kept_before(spool, keep, tmp_path):
    digest = keep(spool, "a")
    with pytest.raises(StorageFailure):
        spool.keep(TARGET, Key("a"), PAIRS, digest, 100, str(tmp_path / "missing"))
    assert waiting(spool) == ["a"]


@pytest.mark.parametrize("data", [b"x" * 100, b"a", b"", b"a".ljust(101, b".")], ids=len)
def test_a_damaged_content_is_dropped_and_never_given(spool, keep, data):
    keep(spool, "a")
    keep(spool, "b")
    first = next(iter(spool.waiting(TARGET)))
    Path(first.path).write_bytes(data)
    assert waiting(spool) == ["b"]
    assert len(files(spool)) == 2


@pytest.mark.parametrize(
    "letter",
    [
        b"",
        bytes(200),
        b"\xff",
        b"[]",
        b"{}",
        b'{"key": "a", "sha512": "b", "size": 1, "pairs": []}',
        b'{"key": "a", "sha512": 1, "size": 1, "pairs": [1]}',
    ],
)
def test_a_damaged_letter_is_dropped(spool, keep, letter):
    keep(spool, "a")
    keep(spool, "b")
    damaged = min(files(spool, ".letter"), key=os.path.getmtime)
    damaged.write_bytes(letter)
    assert waiting(spool) == ["b"]
    assert len(files(spool)) == 2


def test_a_letter_without_its_content_is_dropped(spool, keep):
    keep(spool, "a")
    files(spool, ".content")[0].unlink()
    assert waiting(spool) == []
    assert files(spool) == []


def test_what_cannot_be_read_for_now_does_not_hinder_the_others(spool, keep):
    keep(spool, "a")
    keep(spool, "b")
    path = Path(next(iter(spool.waiting(TARGET))).path)
    path.rename(path.with_name("aside"))
    path.mkdir()
    assert waiting(spool) == ["b"]
    path.rmdir()
    path.with_name("aside").rename(path)
    assert waiting(spool) == ["a", "b"]


_KILLED = """
from pathlib import Path
from slapos.networkcache.config import Source
from slapos.networkcache.spool import Spool
target = Source("http://example.com/shacache", "http://example.com/shadir")
spool = Spool(Path(root), 1 << 30)
path = sys.argv[2]
os.write(1, b"begin\\n")
for number in range(100_000):
    data = sys.argv[3].encode() + str(number).encode() * 20_000
    with open(path, "wb") as file:
        file.write(data)
    spool.keep(target, Key(f"key-{sys.argv[3]}-{number}"), [Pair("{}", "")],
               Digest.of(data), len(data), path)
    os.unlink(path)
    os.write(1, f"key-{sys.argv[3]}-{number}\\n".encode())
"""


def test_killed_at_any_moment_what_is_kept_is_whole(tmp_path):
    chance = random.Random(3)
    kept = []
    cut = 0
    spool = Spool(tmp_path / "spool", 1 << 30)
    for turn in range(300):
        if turn >= 10 and kept and cut:
            break
        command = [sys.executable, "-c", IMPORTS + _KILLED]
        command += [str(spool.folder), str(tmp_path / "fetched"), str(turn)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdout.readline() == "begin\n"
            threading.Timer(chance.uniform(0, 0.05), process.kill).start()
            kept += process.stdout.read().split()
        assert process.returncode == -signal.SIGKILL
        letters = {path.stem for path in files(spool, ".letter")}
        cut += any(path.stem not in letters for path in files(spool))
    given = waiting(spool)
    assert set(kept) <= set(given)
    assert len(given) == len(set(given)) == len(files(spool, ".letter"))
    assert kept
    assert cut, "no process was killed while it kept: the test shows nothing"


def test_a_full_disk_keeps_nothing_half_and_goes_on(unshare, tmp_path):
    script = """
from pathlib import Path
from slapos.networkcache.config import Source
from slapos.networkcache.spool import Spool
target = Source("a", "b")
spool = Spool(Path(root) / "spool", 1 << 30)
def keep(size):
    data = os.urandom(size)
    path = os.path.join(os.path.dirname(root), "fetched")
    with open(path, "wb") as file:
        file.write(data)
    spool.keep(target, Key(f"key-{size}"), [Pair("{}", "")], Digest.of(data), size, path)
keep(1000)
assert "No space left" in failure(StorageFull, keep, 9 << 20)
assert len([path for path in spool.folder.rglob("key*")]) == 0
assert [unsent.size for unsent in spool.waiting(target)] == [1000]
assert len(os.listdir(next((spool.folder / "v1").iterdir()))) == 2
keep(5 << 20)
assert [unsent.size for unsent in spool.waiting(target)] == [1000, 5 << 20]
# A content that is only linked, and a letter for which there is no space.
path = os.path.join(root, "fetched")
with open(path, "wb") as file:
    file.write(b"hello")
def keep_linked(size):
    pairs = [Pair("x" * 50_000, "")] * (size // 50_000)
    spool.keep(target, KEY, pairs, Digest.of(b"hello"), 5, path)
failure(StorageFull, keep_linked, 9 << 20)
assert len(os.listdir(next((spool.folder / "v1").iterdir()))) == 4
keep_linked(1 << 20)
assert [unsent.size for unsent in spool.waiting(target)] == [1000, 5 << 20, 5]
"""
    mounted("8m", script, unshare, tmp_path / "root")


# One run at a time


def test_two_runs_never_send_the_same_at_once(spool, keep, tmp_path):
    for name in "abc":
        keep(spool, name)
    first = spool.waiting(TARGET)
    second = Spool(tmp_path / "spool", ROOMY).waiting(TARGET)
    assert next(first).key.text == "a"
    assert next(second).key.text == "b"
    assert next(first).key.text == "c"
    first.close()
    second.close()
    assert waiting(spool) == ["a", "b", "c"]


def test_what_was_done_by_another_run_meanwhile_is_not_given(spool, keep):
    for name in "ab":
        keep(spool, name)
    late = spool.waiting(TARGET)
    assert next(late).key.text == "a"
    for unsent in spool.waiting(TARGET):
        spool.done(unsent)
    assert list(late) == []


_SENDING = """
from pathlib import Path
from slapos.networkcache.config import Source
from slapos.networkcache.spool import Spool
target = Source("http://example.com/shacache", "http://example.com/shadir")
spool = Spool(Path(root), 1 << 30)
for unsent in spool.waiting(target):
    print(unsent.key.text, flush=True)
    if len(sys.argv) > 2:
        sys.stdin.read()
    spool.done(unsent)
"""


def test_what_a_dead_run_was_sending_is_free_again(spool, keep):
    keep(spool, "a")
    command = [sys.executable, "-c", IMPORTS + _SENDING, str(spool.folder), "wait"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as sending:
        assert sending.stdout.readline() == b"a\n"
        assert waiting(spool) == []
        sending.kill()
    assert waiting(spool) == ["a"]


def test_many_runs_at_once_send_each_once(spool, keep):
    names = [f"key-{number}" for number in range(200)]
    for name in names:
        keep(spool, name)
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda _: run(_SENDING, spool.folder), range(4)))
    assert sorted(" ".join(sent).split()) == sorted(names)
    assert files(spool) == []


def test_many_threads_keep(spool, keep):
    names = [f"key-{number}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: keep(spool, name), names))
    assert sorted(waiting(spool)) == sorted(names)


# Not for ever, not without bounds


def test_what_waited_for_thirty_days_is_dropped(spool, keep, clock):
    keep(spool, "old")
    clock.ahead = 29 * DAY
    keep(spool, "new")
    assert waiting(spool) == ["old", "new"]
    clock.ahead = 30 * DAY + 60
    assert waiting(spool) == ["new"]
    assert len(files(spool)) == 2


def test_what_waited_for_a_target_that_nobody_asks_for_any_more_is_dropped_too(
    spool, keep, clock
):
    keep(spool, "old", OTHER)
    clock.ahead = 31 * DAY
    (spool.folder / "usage").unlink()
    keep(spool, "new")
    assert len(files(spool)) == 2


def test_the_oldest_give_way_to_the_newest_whatever_the_target(tmp_path, keep):
    spool = Spool(tmp_path / "spool", 10_000)
    for number in range(20):
        keep(spool, f"{number}", OTHER if number % 2 else TARGET, size=1000)
    assert waiting(spool)[-1] == "18"
    left = sorted(map(int, waiting(spool) + waiting(spool, OTHER)))
    assert left == list(range(left[0], 20))
    assert 5 <= len(left) <= 9
    assert sum(path.stat().st_size for path in files(spool)) <= 10_000


def test_what_is_being_sent_does_not_give_way(tmp_path, keep):
    spool = Spool(tmp_path / "spool", 10_000)
    keep(spool, "first", size=1000)
    sending = spool.waiting(TARGET)
    unsent = next(sending)
    for number in range(20):
        keep(spool, f"{number}", size=1000)
    assert Path(unsent.path).stat().st_size == 1000
    sending.close()
    assert waiting(spool)[0] == "first"


def test_what_is_too_large_is_refused_and_nothing_gives_way(tmp_path, keep):
    spool = Spool(tmp_path / "spool", 2000)
    keep(spool, "a")
    with pytest.raises(StorageFull, match="at most 2000"):
        keep(spool, "b", size=2000)
    assert waiting(spool) == ["a"]


def test_left_overs_are_removed_after_a_day(spool, keep, clock):
    keep(spool, "a")
    folder = files(spool)[0].parent
    for name in ("dead.content", "dead-1.part"):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (0, 0))  # as a link to an old file has it
    for ahead, left in ((DAY / 2, 4), (1.1 * DAY, 2)):
        clock.ahead = ahead
        (spool.folder / "usage").unlink()
        keep(spool, "a")
        assert len(files(spool)) == left


# Whose folder it is


def test_a_folder_that_is_not_ones_own_is_neither_read_nor_written(spool, keep, tmp_path):
    keep(spool, "a")
    spool.folder.chmod(0o777)
    with pytest.raises(StorageFailure, match="others may write in it"):
        waiting(spool)
    with pytest.raises(StorageFailure, match="others may write in it"):
        keep(spool, "b")
    spool.folder.chmod(0o700)
    assert waiting(spool) == ["a"]
    link = tmp_path / "link"
    link.symlink_to(spool.folder)
    with pytest.raises(StorageFailure, match="it is a link"):
        waiting(Spool(link, ROOMY))
    with pytest.raises(StorageFailure, match="it is a link"):
        keep(Spool(link, ROOMY), "b")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_of_another_is_neither_read_nor_written(spool, keep):
    keep(spool, "a")
    os.chown(spool.folder, 65534, 65534)
    with pytest.raises(StorageFailure, match="belongs to user 65534"):
        waiting(spool)
    with pytest.raises(StorageFailure, match="belongs to user 65534"):
        keep(spool, "b")
