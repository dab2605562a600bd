"""What is known of contents, and how they go while somebody puts them."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from keeping import NOW, here, keep, make_root, name
from processes import wait_until

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.errors import NotFound, Refusal
from slapos.networkcache.server.root import open_root
from slapos.networkcache.storage import Stored


@pytest.fixture
def root(tmp_path):
    with closing(make_root(tmp_path / "root")) as root:
        yield root


def test_what_is_put_again_stays_whose_it_was(root):
    digest = keep(root, b"content", "ann")
    keep(root, b"content", "bob")
    assert root.catalogue.get(digest).account == "ann"


def test_what_an_upstream_gave_belongs_to_who_puts_it(root):
    digest = keep(root, b"content", fetched=True)
    keep(root, b"content", "ann")
    keep(root, b"content", fetched=True)
    known = root.catalogue.get(digest)
    assert (known.account, known.fetched) == ("ann", False)


def test_what_an_upstream_gave_belongs_to_who_names_it(root):
    """Whichever comes first; and what somebody put stays theirs."""
    known = keep(root, b"known", fetched=True)
    name(root, "key", known, "ann")
    later = Digest.of(b"later")
    name(root, "key", later, "bob", hidden=True)
    keep(root, b"later", fetched=True)
    put_here = keep(root, b"put", "cid")
    name(root, "key", put_here, "ann")
    rows = [root.catalogue.get(digest)[2:4] for digest in (known, later, put_here)]
    assert rows == [("ann", False), ("bob", False), ("cid", False)]


@pytest.mark.parametrize("fetched", [False, True])
def test_what_is_used_before_it_is_recorded_is_of_who_records_it(root, fetched):
    """Its bytes are there a moment before its row, and somebody downloads it in between."""
    logged = []
    digest = root.contents.put([b"content"])
    root.catalogue.use({digest: 1}, {}, NOW)
    for account in ("ann", "bob"):
        root.catalogue.store(digest, 7, account, fetched=fetched, also=logged.append)
    known = root.catalogue.get(digest)
    assert (known.account, known.fetched, known.reads) == ("ann", fetched, 1)
    assert root.database.rows("SELECT account, bytes FROM held WHERE bytes") == [("ann", 7)]
    assert len(logged) == 1


def test_sums_are_those_of_the_rows(root):
    """Whatever is put, fetched, removed and put again."""
    chance = random.Random(5)
    datas = [bytes(n) for n in range(12)]
    for _ in range(150):
        data = chance.choice(datas)
        if chance.random() < 0.4:
            root.catalogue.remove([Digest.of(data)])
        else:
            fetched = chance.random() < 0.5
            keep(root, data, "" if fetched else chance.choice("ab"), fetched=fetched)
    sizes: Counter[tuple[str, bool]] = Counter()
    for known in root.catalogue:
        sizes[known.account, known.fetched] += known.size
    rows = root.database.rows("SELECT account, fetched, bytes FROM held WHERE contents")
    assert {(a, bool(f)): size for a, f, size in rows} == sizes
    assert root.catalogue.transfers.bytes_held() == sum(sizes.values())
    assert len(sizes) == 3, "too little happened"


def test_least_used_first_and_nothing_that_is_named(root):
    used = {n: keep(root, b"%d" % n, fetched=True, used=NOW + 3600 + n) for n in (3, 1, 2)}
    keep(root, b"put here", used=NOW + 3601)
    name(root, "key", keep(root, b"named", fetched=True, used=NOW + 3601))
    assert [k.digest for k in root.catalogue.least_used()] == [used[1], used[2], used[3]]


@pytest.fixture
def many(root):
    """2500 rows, more than are read in one step, and almost all of the same second."""
    root.database.change(
        lambda c: c.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
            " INSERT INTO content (digest, number, size, account, fetched, stored, used)"
            " SELECT randomblob(64), i, 1, '', 1, 5, 5 + i / 2400 FROM n"
        )
    )
    return root


def test_many_of_one_time_are_each_given_once(many):
    given = [known.digest for known in many.catalogue.least_used()]
    assert len(given) == len(set(given)) == 2500


@pytest.mark.parametrize(
    ("column", "first", "last"),
    [("digest", b"", b"\xff" * 64), ("used", 0, 9)],
    ids=["digest", "used"],
)
def test_stretches_have_each_row_once(many, column, first, last):
    if column == "used":
        many.database.change(lambda c: c.execute("UPDATE content SET used = 1 + id % 7"))
    counts = [
        many.database.rows(
            f"SELECT count(*) FROM content WHERE {column} > ? AND {column} <= ?", stretch
        )[0][0]
        for stretch in many.database.stretches("content", column, (first, last), 400)
    ]
    assert sum(counts) == 2500
    assert len(counts) > 3


# -- going


def test_what_a_pair_names_stays(root):
    digest = keep(root, b"content")
    pair = name(root, "key", digest)
    assert root.catalogue.remove([digest]) == []
    assert here(root) == {digest}
    root.entries.remove(Key.parse("key"), pair)
    assert [known.digest for known in root.catalogue.remove([digest])] == [digest]
    assert here(root) == set()


def test_what_was_used_since_stays(root):
    digest = keep(root, b"content", used=NOW + 3600)
    used = root.catalogue.get(digest).used
    assert not root.catalogue.remove([digest], unused_since=used - 1)
    assert root.catalogue.remove([digest], unused_since=used)


def test_large_ones_go_one_after_the_other(root):
    """To delete a large file takes long, and nobody else writes meanwhile."""
    digests = [keep(root, bytes([n])) for n in range(4)]
    root.database.change(lambda c: c.execute("UPDATE content SET size = 3 << 30"))
    steps = []
    root.catalogue.remove(digests, also=lambda _, went: steps.append(len(went)))
    assert steps == [2, 2]
    assert here(root) == set()


def test_who_reads_it_reads_it_to_its_end(root):
    digest = keep(root, b"content")
    with root.contents.open(digest) as content:
        root.catalogue.remove([digest])
        assert content.read(0, 100) == b"content"
    with pytest.raises(NotFound):
        root.contents.open(digest)


@pytest.mark.parametrize("half", ["row", "file"])
def test_one_that_was_interrupted_goes_on(root, half):
    """The file was gone and the row not, or the other way round."""
    digest = keep(root, b"content")
    if half == "row":
        root.contents.delete(digest)
    else:
        root.database.change(lambda c: c.execute("DELETE FROM content"))
    assert [known.digest for known in root.catalogue.remove([digest])] == [digest]
    assert here(root) == set()


def test_it_is_not_acknowledged_when_it_was_removed_meanwhile(root):
    """Between the bytes, which were there, and the row."""
    digest = root.contents.put([b"content"])
    root.catalogue.remove([digest])
    with pytest.raises(Refusal, match="removed just now"):
        root.catalogue.store(digest, 7)


def test_nor_is_a_pair(root):
    digest = keep(root, b"content")
    root.catalogue.remove([digest])
    with pytest.raises(Refusal, match="before the entry"):
        name(root, "key", digest)


def test_no_pair_comes_back_without_its_content(root):
    """Its end, that of its content and a fault of the disk wait for the disk together."""
    digest = keep(root, b"content")
    key, pair = Key.parse("key"), name(root, "key", digest)

    def fault(connection):
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    waiting = root.database._groups._waiting
    told: list[str] = []
    root.database._writing.set_trace_callback(told.append)
    with (
        closing(sqlite3.connect(root.database.path, isolation_level=None)) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        pool.submit(root.catalogue.adopt, [])
        # The thread that writes has taken this one, and waits for the file.
        wait_until(lambda: "BEGIN IMMEDIATE" in told)
        pool.submit(root.entries.remove, key, pair)
        wait_until(lambda: waiting.qsize() == 1)
        pool.submit(root.catalogue.remove, [digest])
        wait_until(lambda: waiting.qsize() == 2)
        pool.submit(root.database.change, fault)
        wait_until(lambda: waiting.qsize() == 3)
        other.execute("ROLLBACK")
    assert not root.entries.get([key]) or here(root) == {digest}


@pytest.mark.parametrize("how", ["stored", "adopted"])
def test_a_pair_is_hidden_until_its_content_is_known(tmp_path, how):
    """And no longer; another one that looks up the same is left alone."""
    digest = Digest.of(b"content")
    alike = Digest(digest.hex[:64] + "0" * 64)
    told = []
    with closing(
        open_root(tmp_path / "new", make=True, after_put=lambda _, *what: told.append(what))
    ) as root:
        pair = name(root, "key", digest, "ann", hidden=True)
        name(root, "alike", alike, hidden=True)
        told.clear()
        if how == "stored":
            keep(root, b"content")
        else:
            root.contents.put([b"content"])
            root.catalogue.adopt([digest])
        keep(root, b"content")
        shown = root.database.rows("SELECT key FROM entry WHERE hidden = 0")
    assert shown == [("key",)]
    assert told == [(Key("key"), Stored(pair, "ann"), digest)]
