"""What a check finds, what it leaves alone, and what it mends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from keeping import DAY, NOW, keep, make_root, name
from processes import wait_until

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.server.checking.aside import identity, set_aside
from slapos.networkcache.server.checking.check import (
    Pace,
    background,
    carry_out,
)
from slapos.networkcache.server.checking.findings import KEPT, LISTED, Findings, write
from slapos.networkcache.server.checking.inspection import Inspection
from slapos.networkcache.server.checking.sources import open_sources
from slapos.networkcache.server.configuration.options import Options, UpstreamUrls
from slapos.networkcache.server.log import Log
from slapos.networkcache.server.root import Root, open_root
from slapos.networkcache.server.space.collect import room_of, rules_of
from slapos.networkcache.server.threads import Threads
from slapos.networkcache.testing import faults

MIB = 1 << 20
DATA = b"a content\n" * 1000


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with closing(make_root(tmp_path / "root")) as root:
        yield root


def check(root: Root, *sources, repair: bool = False, **options) -> Findings:
    """Inspect it; to repair it, `sources` give what they have."""
    options = Options(root.folder, **options)

    async def run() -> Findings:
        inspection = Inspection(root, repair=repair, began=NOW)
        with closing(Threads(1)) as threads:
            room = room_of(root, rules_of(options, root))
            urls = [UpstreamUrls(source.cache_url, source.dir_url) for source in sources]
            async with open_sources(root, room, options, urls, threads) as opened:
                return await carry_out(inspection, threads, sources=opened)

    return asyncio.run(run())


def repair(root: Root, *sources, **options) -> Findings:
    return check(root, *sources, repair=True, **options)


def path_of(root: Root, digest: Digest) -> Path:
    return Path(root.contents.path(digest))


def spoil(root: Root, digest: Digest, data: bytes = b"spoilt") -> None:
    path_of(root, digest).write_bytes(data)


def kept(root: Root, data: bytes = DATA, account: str = "zoe", key: str = "key") -> Digest:
    """A content with a pair that names it."""
    digest = keep(root, data, account)
    name(root, key, digest, account)
    return digest


def state(root: Root) -> tuple[dict, list, list]:
    """All files, rows and pairs, to see whether anything changed; but for what a check
    notes of itself."""
    top = root.folder / "v1"
    files = {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}
    rows = [known._replace(checked=0) for known in root.catalogue]
    return files, rows, root.database.rows("SELECT * FROM entry")


def lines(root: Root, action: str) -> list[tuple[str, str, str]]:
    found = Log(root.database).lines(account="check", action=action)
    return [(line.action, line.subject, line.detail) for line in found]


# Finding


def test_all_is_right(root):
    kept(root)
    kept(root, b"", key="another")
    found = check(root)
    assert (found.contents, found.bytes, found.pairs) == (2, len(DATA), 2)
    assert found == repair(root) == Findings(contents=2, bytes=len(DATA), pairs=2)


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"x", b"A" + DATA[1:]])
def test_a_bad_content_is_found_and_nothing_changes(root, data):
    digest = kept(root)
    spoil(root, digest, data)
    before = state(root)
    found = check(root)
    assert [bad["digest"] for bad in found.bad] == [digest.hex]
    assert (found.contents, found.bad_count, found.missing_count) == (1, 1, 0)
    assert (found.aside, found.repaired, found.wrong) == (0, 0, 1)
    assert state(root) == before
    assert check(root).bad == found.bad


def test_what_is_missing_is_found_and_nothing_changes(root):
    digest, known = kept(root), keep(root, b"known")
    for each in (digest, known):
        path_of(root, each).unlink()
    before = state(root)
    found = check(root)
    assert found.missing == [
        {"key": "key", "what": f"its content {digest.hex} is not here"}
    ]
    assert (found.missing_count, found.bad_count, found.repaired) == (1, 0, 0)
    assert found.bare_rows == 1
    assert state(root) == before


def test_a_pair_that_waits_for_its_content_is_no_finding(root):
    name(root, "key", Digest.of(b"still to come"), hidden=True)
    assert not check(root).wrong


def test_what_is_told_is_not_wrong_and_stays(root):
    orphan = keep(root, b"orphan", used=1)
    root.database.change(lambda c: c.execute("UPDATE content SET used = 1, stored = 1"))
    keep(root, b"new, its pair is still to come")
    keep(root, b"fetched", fetched=True)
    top = root.folder / "v1"
    shard = path_of(root, orphan).parent
    strange = [top / "README", top / "zz", shard / "file", top / orphan.hex[:2] / "file"]
    strange += [shard / ("0" * 128 if orphan.hex[0] != "0" else "1" * 128)]
    for path in strange:
        path.write_bytes(b"")
    (top / "tmp" / "left").write_bytes(b"left over")
    before = state(root)
    with root.contents.writer() as writer:
        writer.write(b"on its way")
        found = check(root)
    assert (found.orphans, found.unknown_files, found.leftovers) == (1, 5, 1)
    assert not found.wrong
    assert state(root) == before
    assert repair(root).leftovers == 1
    assert not (top / "tmp" / "left").exists()
    assert all(path.exists() for path in strange)
    assert root.contents.has(orphan)


def test_a_content_without_a_row_is_adopted_once_it_is_old(root):
    old, new = (root.contents.put([data]) for data in (b"old", b"new"))
    os.utime(path_of(root, old), (NOW - 2 * DAY,) * 2)
    assert check(root).without_row == 1
    assert root.catalogue.get(old) is None
    assert repair(root).without_row == 1
    assert root.catalogue.get(old) is not None
    assert root.catalogue.get(new) is None


def test_a_bad_content_without_a_row_is_found(root):
    digest = root.contents.put([DATA])
    spoil(root, digest)
    os.utime(path_of(root, digest), (NOW - 2 * DAY,) * 2)
    assert check(root).bad_count == 1
    assert repair(root).aside == 1


UNREADABLE = pytest.mark.parametrize(
    ("instead", "message"),
    [
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.mkdir(), "Is a directory"),
    ],
    ids=["loop", "folder"],
)


@UNREADABLE
def test_what_cannot_be_read_is_told_and_the_others_are_checked(root, instead, message):
    unreadable, other = kept(root), kept(root, b"other", key="other")
    path = path_of(root, unreadable)
    path.unlink()
    instead(path)
    found = check(root)
    assert not found.finished
    assert [bad["digest"] for bad in found.bad] == [unreadable.hex]
    assert message in found.bad[0]["what"]
    assert (found.contents, found.bytes) == (2, len(b"other"))
    assert (found.missing_count, found.aside) == (0, 0)
    assert os.path.lexists(path)
    assert root.contents.has(other)


@UNREADABLE
def test_what_cannot_be_read_is_set_aside_and_fetched(root, near, instead, message):
    near.contents.put([DATA])
    digest = kept(root)
    for _ in range(2):
        path_of(root, digest).unlink()
        instead(path_of(root, digest))
        found = repair(root, near)
        assert found.finished
        assert (found.bad_count, found.aside, found.repaired) == (1, 1, 1)
        assert message in found.bad[0]["what"]
        assert path_of(root, digest).read_bytes() == DATA
    names = {digest.hex, f"{digest.hex}.2"}
    assert set(os.listdir(root.folder / "aside")) == names


def test_what_cannot_be_set_aside_is_told_and_the_others_are_mended(root):
    """Somebody put ``aside`` on another file system."""
    elsewhere = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        if elsewhere.stat().st_dev == root.folder.stat().st_dev:
            pytest.skip("one file system")
        (root.folder / "aside").symlink_to(elsewhere)
        for number in range(2):
            spoil(root, kept(root, b"%d" % number, key=f"key{number}"))
        found = repair(root)
    finally:
        shutil.rmtree(elsewhere)
    assert (found.bad_count, found.aside, found.wrong) == (2, 0, 2)
    assert "Invalid cross-device link" in found.bad[0]["what"]


def test_of_many_findings_some_are_named(root):
    def change(connection):
        for number in range(LISTED + 10):
            name_of = f"INSERT INTO entry (key, account, hidden, size, entry, signature)" \
                f" VALUES ('key{number}', '', 0, 1, ?, '')"  # fmt: skip
            connection.execute(name_of, (json.dumps({"sha512": f"{number:0128x}"}),))

    root.database.change(change)
    found = check(root)
    assert found.missing_count == LISTED + 10
    assert (len(found.missing), found.unlisted) == (LISTED, 10)


# Meanwhile


def test_a_content_that_is_replaced_while_it_is_read_is_no_finding(root):
    data = os.urandom(3 * MIB)
    digest = keep(root, data)
    spoil(root, digest, data[: 2 * MIB])
    inspection = Inspection(root, repair=True, began=NOW)
    steps = inspection.steps()
    next(steps)
    assert root.contents.put([data]) == digest  # it is cut: so it is written anew
    assert list(steps)
    assert (inspection.found.contents, inspection.found.wrong) == (1, 0)
    assert root.contents.has(digest)


def test_a_content_that_is_removed_while_it_is_read_is_no_finding(root):
    digest = keep(root, os.urandom(3 * MIB))
    spoil(root, digest, bytes(3 * MIB))
    inspection = Inspection(root, repair=True, began=NOW)
    steps = inspection.steps()
    next(steps)
    root.catalogue.remove([digest])
    assert list(steps)
    assert not inspection.found.wrong


def test_a_pair_that_is_just_being_removed_is_no_finding(root):
    digest = kept(root)
    deleted, seen = threading.Event(), threading.Event()

    def change(connection):
        """As a removal does: the file goes before others see that the rows are gone."""
        connection.execute("DELETE FROM entry")
        connection.execute("DELETE FROM content")
        root.contents.delete(digest)
        deleted.set()
        assert seen.wait(60)

    removing = threading.Thread(target=root.database.change, args=(change,))
    removing.start()
    assert deleted.wait(60)
    assert root.database.rows("SELECT 1 FROM entry")
    threading.Timer(0.3, seen.set).start()
    found = check(root)
    removing.join()
    assert found.missing == []


def test_a_content_that_was_uploaded_anew_is_not_set_aside(root):
    digest = kept(root)
    spoil(root, digest)
    seen = identity(root.contents.path(digest))
    root.contents.put([DATA])
    assert not set_aside(root, digest, seen, "it is bad")
    assert path_of(root, digest).read_bytes() == DATA
    assert lines(root, "set aside") == []


# Repairing


def test_a_bad_content_is_set_aside_and_heals_with_the_next_upload(root):
    digest = kept(root)
    spoil(root, digest)
    found = repair(root)
    assert (found.aside, found.bad_count, found.repaired) == (1, 1, 0)
    assert found.missing == [
        {"key": "key", "what": f"its content {digest.hex} is not here"}
    ]
    assert not root.contents.has(digest)
    assert (root.folder / "aside" / digest.hex).read_bytes() == b"spoilt"
    assert lines(root, "set aside") == [
        ("set aside", digest.hex, "it has 6 bytes, and had 10000")
    ]
    assert [known.digest for known in root.catalogue] == []
    assert (found.wrong, found.missing_count) == (1, 0), "it is one content"
    assert repair(root).missing_count == 1
    keep(root, DATA, "zoe")
    assert not check(root).wrong


def test_a_bad_content_that_no_pair_names_is_repaired_by_setting_it_aside(root):
    digest = keep(root, DATA, fetched=True)
    spoil(root, digest)
    found = repair(root)
    assert (found.aside, found.repaired, found.missing_count) == (1, 1, 0)
    assert not list(root.catalogue)


def test_rows_without_a_content_that_no_pair_names_go_and_are_no_error(root):
    path_of(root, keep(root, DATA, "zoe")).unlink()
    for find, left in ((check, 1), (repair, 0)):
        found = find(root)
        assert (found.bare_rows, found.wrong, found.repaired) == (1, 0, 0)
        assert len(list(root.catalogue)) == left
    assert check(root) == Findings()


def test_a_lost_content_of_a_pair_that_is_not_shown_is_missing(root, near):
    near.contents.put([DATA])
    digest = keep(root, DATA)
    name(root, "key", digest, hidden=True)
    path_of(root, digest).unlink()
    assert (check(root).missing_count, check(root).bare_rows) == (1, 0)
    assert repair(root, near).repaired == 1
    assert root.contents.has(digest)


@pytest.mark.parametrize("lost", ["spoilt", "deleted"])
def test_a_source_gives_what_is_wrong_here(root, near, lost):
    near.contents.put([DATA])
    digest = kept(root)
    name(root, "another", digest)
    if lost == "spoilt":
        spoil(root, digest)
    else:
        path_of(root, digest).unlink()
    found = repair(root, near)
    assert found.repaired == found.wrong == 1
    assert path_of(root, digest).read_bytes() == DATA
    (known,) = root.catalogue
    assert (known.account, known.size, known.fetched) == ("zoe", len(DATA), False)
    assert lines(root, "fetch") == [
        ("fetch", digest.hex, f"{len(DATA)} bytes, from {near.cache_url}")
    ]
    assert [str(asked) for asked in near.requests] == [f"GET /shacache/{digest}"]


def test_what_an_upstream_gave_is_still_what_an_upstream_gave(root, near):
    near.contents.put([DATA])
    spoil(root, keep(root, DATA, fetched=True))
    repair(root, near)
    assert [known.fetched for known in root.catalogue] == [True]


@pytest.mark.parametrize(
    "fault",
    [faults.wrong, faults.cut(5000), faults.longer(b"x"), faults.endless(DATA)],
    ids=["wrong", "cut", "longer", "endless"],
)
def test_a_source_that_lies_is_not_believed_and_the_next_is_asked(root, near, far, fault):
    digest = kept(root)
    spoil(root, digest)
    for cache in (near, far):
        cache.contents.put([DATA])
    near.plan(fault, "GET /shacache")
    assert repair(root, near, far).repaired == 1
    assert path_of(root, digest).read_bytes() == DATA
    assert list(near.requests)
    assert set(root.contents) == {digest}
    assert os.listdir(root.contents.temporary) == []


def test_a_source_that_does_not_end_is_left_where_no_size_is_known(root, near):
    digest = kept(root)
    path_of(root, digest).unlink()
    root.database.change(lambda c: c.execute("DELETE FROM content"))
    near.contents.put([DATA])
    near.plan(faults.endless(DATA), "GET /shacache")
    assert repair(root, near, content_limit=MIB).missing_count == 1
    assert set(root.contents) == set(os.listdir(root.contents.temporary)) == set()


def test_what_does_not_fit_on_the_disk_is_not_fetched(root, near):
    near.contents.put([DATA])
    digest = kept(root)
    spoil(root, digest)
    assert repair(root, near, min_free=1 << 60).repaired == 0
    assert not root.contents.has(digest)
    assert root.catalogue.transfers.bytes_held() == 0


def test_a_source_that_does_not_answer_is_left_alone(root, near, far):
    for number in range(3):
        data = b"%d" % number
        path_of(root, kept(root, data, key=f"key{number}")).unlink()
        far.contents.put([data])
    near.plan(faults.drop)
    assert repair(root, near, far).repaired == 3
    assert len(near.requests) < 3


def test_a_missing_content_is_asked_for_once(root, near):
    digest = Digest.of(b"nobody has it")
    spoil(root, kept(root))
    for number in range(3):
        root.database.change(
            lambda c, n=number: c.execute(
                "INSERT INTO entry (key, account, hidden, size, entry, signature)"
                " VALUES (?, '', 0, 1, ?, '')",
                (f"key{n}", json.dumps({"sha512": digest.hex})),
            )
        )
    found = repair(root, near)
    assert (found.wrong, len(found.missing)) == (2, 4)
    assert len(near.requests) == 2


# In the background


def test_the_least_recently_checked_is_first(root):
    digests = [keep(root, os.urandom(MIB)) for _ in range(3)]
    for digest, checked in zip(digests, (30, 10, 20), strict=True):
        root.catalogue.checked([digest], checked)
    spoil(root, digests[1], bytes(MIB))
    inspection = Inspection(root, repair=False, began=NOW, least_recent_first=True)
    steps = inspection.steps()
    next(steps)
    assert next(steps)
    assert inspection.found.bad_count == 1
    list(steps)
    assert [root.catalogue.get(digest).checked >= NOW for digest in digests] == [
        True,
        False,
        True,
    ]


def test_what_was_checked_by_a_clock_that_was_wrong_is_checked_again(root):
    digest = keep(root, b"hello")
    root.catalogue.checked([digest], NOW + 365 * 86400)
    inspection = Inspection(root, repair=False, began=NOW, least_recent_first=True)
    list(inspection.steps())
    assert inspection.found.contents == 1
    assert root.catalogue.get(digest).checked < NOW + 86400


def test_a_rate_is_kept():
    pace = Pace(1000)
    waits = [pace.wait(500, now) for now in (100.0, 100.25, 100.5)]
    assert waits == [0.5, 0.75, 1.0]
    assert pace.wait(1000, 200.0) == 1.0  # what was not read meanwhile is not made up for
    assert Pace(0).wait(1 << 40, 0.0) == 0.0


def test_a_source_that_lies_is_asked_for_nothing_else(root, near):
    for number in range(3):
        data = b"%d" % number * 1000
        near.contents.put([data])
        spoil(root, kept(root, data, key=f"key{number}"))
    near.plan(faults.wrong)
    assert repair(root, near).repaired == 0
    assert len(near.requests) == 1


def test_the_background_check_heals_from_an_upstream_and_says_so(root, near):
    near.contents.put([DATA])
    digest = kept(root)
    spoil(root, digest)
    urls = UpstreamUrls(near.cache_url, near.dir_url)
    options = Options(root.folder, upstreams=(urls,), check_rate=100 * MIB)
    room = room_of(root, rules_of(options, root))

    async def run() -> None:
        with closing(Threads(1)) as threads:
            job = asyncio.ensure_future(background(root, room, options, threads)())
            loop = asyncio.get_running_loop()
            rows = "SELECT 1 FROM inspection"
            await loop.run_in_executor(
                None, wait_until, lambda: bool(root.database.rows(rows))
            )
            job.cancel()
            with suppress(asyncio.CancelledError):
                await job

    asyncio.run(run())
    assert path_of(root, digest).read_bytes() == DATA
    ((found,),) = root.database.rows("SELECT found FROM inspection")
    assert json.loads(found)["repaired"] == json.loads(found)["bad_count"] == 1


def test_old_inspections_are_forgotten(root):
    for began in range(KEPT + 5):
        write(root.database, began, Findings())
    rows = root.database.rows("SELECT began FROM inspection ORDER BY id")
    assert rows == [(began,) for began in range(5, KEPT + 5)]


# Killed


def kill_checks(folder: Path, count: int, *options: str) -> int:
    """Begin to check it so many times, and kill that at random moments; how often that
    was before its end."""
    chance = random.Random(count)
    killed = 0
    command = [sys.executable, "-c", _CHECK, str(folder), *options]
    for _ in range(count):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 0.15))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
    return killed


_CHECK = """
import sys
from slapos.networkcache.cli import main
from slapos.networkcache.cli.server import check
import slapos.networkcache.server.upstream.door
print("begin", flush=True)
sys.stdout.close()
sys.stdout = open("/dev/null", "w")
main(["server", "check", "--root", *sys.argv[1:]])
"""


def spoilt_root(folder: Path) -> tuple[set[Digest], set[Digest]]:
    """Contents of which some are bad, all named; those that are right, and the others."""
    chance = random.Random(1)
    right, bad = set(), set()
    with closing(make_root(folder)) as root:
        for number in range(60):
            digest = kept(root, chance.randbytes(100_000), key=f"key{number}")
            (bad if number % 3 == 0 else right).add(digest)
        for digest in bad:
            spoil(root, digest)
        (Path(root.contents.temporary) / "left").write_bytes(b"")
    return right, bad


@pytest.mark.parametrize(
    "count",
    [pytest.param(3, id="few"), pytest.param(50, id="many", marks=pytest.mark.long)],
)
def test_a_check_that_is_killed_leaves_all_as_it_was(tmp_path, count):
    spoilt_root(tmp_path / "root")
    with closing(open_root(tmp_path / "root", tidy=False)) as root:
        before = state(root)
    assert kill_checks(tmp_path / "root", count)
    with closing(open_root(tmp_path / "root", tidy=False)) as root:
        assert state(root) == before


@pytest.mark.parametrize(
    "count",
    [pytest.param(3, id="few"), pytest.param(50, id="many", marks=pytest.mark.long)],
)
def test_a_repair_that_is_killed_loses_nothing_and_is_done_again(tmp_path, near, count):
    right, bad = spoilt_root(tmp_path / "root")
    chance = random.Random(1)
    for _ in range(60):
        near.contents.put([chance.randbytes(100_000)])
    options = ["--repair", "--from", near.cache_url]
    assert kill_checks(tmp_path / "root", count, *options)
    with closing(make_root(tmp_path / "root")) as root:
        aside = set(os.listdir(root.folder / "aside")) if count > 40 else set()
        assert aside <= {digest.hex for digest in bad}
        assert right <= set(root.contents)
        repair(root, near)
        assert set(root.contents) == right | bad
        found = check(root)
        assert (found.contents, found.wrong, found.leftovers) == (60, 0, 0)


def test_keys_are_as_the_pages_read_them(root):
    """`statistics` and the pages read what is written here."""
    path_of(root, kept(root)).unlink()
    write(root.database, NOW, check(root))
    ((text,),) = root.database.rows("SELECT found FROM inspection")
    found = json.loads(text)
    assert found["missing"][0].keys() == {"key", "what"}
    assert Key.parse(found["missing"][0]["key"])
    assert {*found} >= {"contents", "bytes", "pairs", "bad", "bad_count", "missing_count"}
    assert {*found} >= {"orphans", "leftovers", "unknown_files", "repaired", "aside"}
    assert found["finished"] is True
