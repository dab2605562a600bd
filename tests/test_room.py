"""What may come: quotas, the limit of all, the disk, and what is promised meanwhile."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest
from keeping import NOW, here, keep, make_root, name, small_disk

from slapos.networkcache.digest import Digest
from slapos.networkcache.errors import QuotaExceeded, StorageFull
from slapos.networkcache.server.accounts.account import ANONYMOUS, Account
from slapos.networkcache.server.configuration.options import Options
from slapos.networkcache.server.space.collect import room_of, rules_of
from slapos.networkcache.server.space.intake import LimitedIntake
from slapos.networkcache.server.space.room import AT_ONCE, FIRST, Room
from slapos.networkcache.storage.disk import UNPROMISED

MIB = 1 << 20


@pytest.fixture
def root(tmp_path):
    with closing(make_root(tmp_path / "root")) as root:
        yield root


@pytest.fixture
def other(root):
    """Another process, as it were, of the same server."""
    with closing(make_root(root.folder)) as other:
        yield other


def room(root, **limits):
    return Room(root.catalogue.transfers, **limits)


def intake(root, **limits):
    return LimitedIntake(root.contents, root.catalogue, room(root, **limits))


def promised(root):
    return root.database.rows("SELECT coalesce(sum(size), 0) FROM transfer")[0][0]


# -- quotas


def test_a_quota_to_the_byte(root):
    keep(root, bytes(60), "ann")
    own = room(root)
    with pytest.raises(QuotaExceeded, match="ann may keep 100 B"):
        own.take("ann", 41, 100)
    own.take("ann", 40, 100)
    with pytest.raises(QuotaExceeded):
        own.take("ann", 1, 100)
    own.take("bob", 100, 100)


def test_pairs_count_and_what_others_put_does_not(root):
    digest = keep(root, bytes(60), "bob")
    size = name(root, "key", digest, "ann").size
    keep(root, bytes(60), "ann")
    with pytest.raises(QuotaExceeded):
        room(root).take("ann", 1, size)
    room(root).take("ann", 1, size + 1)


def test_what_goes_makes_room(root):
    digest = keep(root, bytes(60), "ann")
    with pytest.raises(QuotaExceeded):
        room(root).take("ann", 60, 100)
    root.catalogue.remove([digest])
    room(root).take("ann", 100, 100)


def test_transfers_of_all_processes_count(root, other):
    transfer = room(other).take("ann", 60, 100)
    with pytest.raises(QuotaExceeded):
        room(root).take("ann", 41, 100)
    transfer.end()
    transfer.end()
    room(root).take("ann", 100, 100)


def test_those_of_a_dead_process_do_not(root):
    other = make_root(root.folder)
    room(other).take("ann", 100, 100)
    os.close(other.catalogue.transfers._lock)  # as the kernel does it
    with closing(make_root(root.folder)):
        room(root).take("ann", 100, 100)


def test_one_that_could_not_be_ended_is_when_the_next_one_is(root):
    """Its end could not be written, and nobody is there to hear of it."""
    first, second = (room(root).take("ann", 30, 100) for _ in range(2))
    root.database._writing.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(root.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        first.end()
    assert promised(root) == 60
    second.end()
    assert promised(root) == 0


def test_one_that_is_ended_twice_ends_no_other(root):
    """Many end while others begin; who ends retries what is not known to have ended."""
    first, second = (room(root).take("ann", 10, 100) for _ in range(2))
    second.end()
    room(root).take("ann", 50, 100)
    root.catalogue.transfers._ended.add(2)
    first.end()
    assert promised(root) == 50


def test_one_that_does_not_say_how_long_it_is(root):
    """Takes as much as it needs, about, and never more than is left."""
    transfer = room(root).take("ann", None, 200 * MIB)
    seen = [promised(root)]
    for _ in range(130):
        transfer.goes_on(MIB)
        seen.append(promised(root))
    assert seen[0] == FIRST
    assert all(n * MIB <= size <= 2 * n * MIB for n, size in enumerate(seen[1:], 1))
    assert max(b - a for a, b in pairwise(seen)) == AT_ONCE
    transfer.goes_on(70 * MIB)
    assert promised(root) == 200 * MIB
    with pytest.raises(QuotaExceeded):
        transfer.goes_on(1)


def test_one_that_does_not_say_so_is_refused_before_it_begins(root):
    keep(root, bytes(100), "ann")
    with pytest.raises(QuotaExceeded):
        room(root).take("ann", None, 100)


def test_what_is_there_costs_nothing_again(root):
    account = Account("ann", quota=100)
    digest = keep(root, bytes(100), "ann")
    with intake(root)(account, digest, 100) as writer:
        writer.write(bytes(100))
        writer.commit()
    assert root.catalogue.transfers.bytes_held() == 100
    with pytest.raises(QuotaExceeded):
        intake(root)(account, Digest.of(b"a"), 1)


def test_what_nobody_recorded_yet_costs_who_records_it(root):
    digest = root.contents.put([bytes(100)])
    root.catalogue.use({digest: 1}, {}, NOW)
    with pytest.raises(QuotaExceeded):
        intake(root)(Account("ann", quota=99), digest, 100)


@pytest.mark.parametrize("size", [None, 101])
def test_what_is_not_as_long_as_what_is_there_is_something_else(root, size):
    digest = keep(root, bytes(100), "bob")
    with (
        pytest.raises(QuotaExceeded),
        intake(root)(Account("ann", quota=100), digest, size) as writer,
    ):
        writer.write(bytes(101))
    assert promised(root) == 0


def test_what_an_upstream_gave_costs_who_puts_it(root):
    digest = keep(root, bytes(100), fetched=True)
    with pytest.raises(QuotaExceeded):
        intake(root)(Account("ann", quota=99), digest, 100)


def test_what_an_upstream_gave_costs_who_names_it(root):
    """It would be kept for their sake."""
    digest = keep(root, bytes(MIB), fetched=True)
    root.database.change(
        lambda c: c.execute("INSERT INTO account VALUES ('ann', '[]', ?, '[]', 0)", (MIB,))
    )
    with pytest.raises(QuotaExceeded, match=r"ann may keep 1\.0 MiB"):
        name(root, "key", digest, "ann")
    assert (root.catalogue.get(digest).fetched, list(root.entries)) == (True, [])
    root.database.change(lambda c: c.execute("UPDATE account SET quota = quota * 2"))
    name(root, "key", digest, "ann")
    with pytest.raises(QuotaExceeded):
        room(root).take("ann", MIB, 2 * MIB)


@pytest.mark.parametrize("size", [None, 50])
def test_what_fails_on_its_way_takes_no_room(root, size):
    with intake(root, total=100)(ANONYMOUS, None, size) as writer:
        writer.write(bytes(20))
    assert promised(root) == 0
    writer = intake(root, total=100)(ANONYMOUS, None, None)
    with pytest.raises(StorageFull, match="keeps 100 B of contents"):
        writer.write(bytes(101))
    assert promised(root) == 0
    assert os.listdir(root.contents.temporary) == []


# -- the limit of all, and the disk


def test_a_limit_of_all_to_the_byte(root, other):
    keep(root, bytes(40))
    keep(root, bytes(20), fetched=True)
    room(other, total=100).take("", 20)
    with pytest.raises(StorageFull):
        room(root, total=100).take("", 21)
    room(root, total=100).take("", 20)


def test_what_is_promised_is_no_more_on_the_disk(root, other):
    disk = small_disk(root, 100 * MIB, free=10 * MIB)
    writer = intake(other, disk=disk)(ANONYMOUS, None, 60 * MIB)
    with pytest.raises(StorageFull, match=r"less than 10.0 MiB of the disk free"):
        room(root, disk=disk).take("", 31 * MIB)
    # What was written is on the disk, and not promised any more.
    for _ in range(50):
        writer.write(bytes(MIB))
    with pytest.raises(StorageFull):
        room(root, disk=disk).take("", 31 * MIB)
    room(root, disk=disk).take("", 30 * MIB)
    writer.abort()


def test_one_of_unknown_length_counts_as_it_grows(root):
    disk = small_disk(root, 100 * MIB, free=90 * MIB)
    writer = intake(root, disk=disk)(ANONYMOUS, None, None)
    with pytest.raises(StorageFull):
        for _ in range(11):
            writer.write(bytes(MIB))
    assert promised(root) == 0


def test_small_ones_are_not_promised_and_yet_refused(root):
    """A promise is a sync of the disk."""
    room(root, disk=small_disk(root, 100 * MIB)).take("", UNPROMISED)
    assert promised(root) == 0
    with pytest.raises(StorageFull):
        room(root, disk=small_disk(root, 100 * MIB, free=100 * MIB)).take("", 1)
    with pytest.raises(StorageFull):
        room(root, disk=small_disk(root, 100 * MIB, free=101 * MIB)).check_disk()


def test_room_is_made_where_there_is_none(root):
    digest = keep(root, bytes(60), fetched=True)
    asked = []

    def make(size):
        asked.append(size)
        root.catalogue.remove([digest])

    own = room(root, total=100, make=make, can_make=lambda size: size <= 70)
    own.take("", 30)
    transfer = own.take("", 70)
    assert (asked, promised(root)) == ([], 30), "nothing goes for what is only announced"
    with pytest.raises(StorageFull):
        own.take("", 71)
    transfer.goes_on(20)
    assert (asked, promised(root)) == ([20], 50)
    transfer.goes_on(50)
    with pytest.raises(StorageFull):
        transfer.goes_on(1)
    with pytest.raises(QuotaExceeded):
        own.take("ann", 10, 9)
    growing = own.take("ann", None, 9)
    with pytest.raises(QuotaExceeded):
        growing.goes_on(10)
    assert asked == [20, 1], "no room is made for who may not keep it"


def test_what_goes_for_a_large_one_goes_as_it_comes(root):
    """And nothing, where what is pinned or named would have to go, too."""
    for n in range(10):
        keep(root, bytes([n]) * 100, fetched=True, used=n + 1)
    rules = rules_of(Options(root.folder, max_size=1000, min_free=0), root)
    writer = intake_of(root, rules)(ANONYMOUS, None, 990)
    assert len(here(root)) == 10
    writer.write(bytes(100))
    assert 8 <= len(here(root)) < 10
    writer.abort()
    some = here(root)
    for digest in list(some)[:5]:
        name(root, f"key-{digest}", digest)
    with pytest.raises(StorageFull):
        intake_of(root, rules)(ANONYMOUS, None, 990)
    assert here(root) == some


def intake_of(root, rules):
    return LimitedIntake(root.contents, root.catalogue, room_of(root, rules))
