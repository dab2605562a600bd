"""What goes, what stays, and in which order."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from golden_roots.make import HERE
from keeping import DAY, NOW, here, keep, keys, make_root, name, small_disk

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.server.log import Log
from slapos.networkcache.server.space.clock import doubt, lower
from slapos.networkcache.server.space.collect import collect, make_room, steps
from slapos.networkcache.server.space.pairs import pairs_go
from slapos.networkcache.server.space.pins import Pins
from slapos.networkcache.server.space.rules import Rules, Why
from slapos.networkcache.server.upstream.through import queue
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.transfers import Limits

LATER = NOW + 30 * DAY
ORIGIN = Rules(origin=True)


@pytest.fixture
def root(tmp_path):
    with closing(make_root(tmp_path / "root")) as root:
        yield root


def counts(collected):
    return {why: (total.count, total.size) for why, total in collected.sums.items()}


def both(root, rules, now=LATER):
    """What would go, which is what goes, and nothing is left for another time."""
    before = here(root), keys(root)
    told = counts(collect(root, rules, now=now, dry_run=True))
    assert (here(root), keys(root)) == before
    assert counts(collect(root, rules, now=now)) == told
    assert counts(collect(root, rules, now=now)) == {}
    return told


def pin(root, *names):
    Pins(root.database).add([Key.parse(each) for each in names])


def asked(root, key, when):
    root.catalogue.use({}, {Key.parse(key): 1}, when)


# -- by reference


def test_what_no_pair_names_goes_after_a_day(root):
    orphan, named = keep(root, b"orphan"), keep(root, b"named")
    name(root, "key", named)
    assert both(root, ORIGIN, NOW + DAY - 60) == {}
    assert both(root, ORIGIN, NOW + DAY + 3600) == {Why.UNNAMED: (1, 6)}
    assert here(root) == {named}
    assert orphan not in root.contents


def test_what_was_used_within_a_day_stays(root):
    used = keep(root, b"used", used=NOW + 10 * DAY)
    assert both(root, ORIGIN, NOW + 10 * DAY) == {}
    assert here(root) == {used}


def test_what_upstreams_gave_is_for_the_limit_alone(root):
    """Where there are upstreams; nothing here names it, that is its way."""
    fetched = keep(root, b"fetched", fetched=True)
    keep(root, b"put")
    assert both(root, Rules()) == {Why.UNNAMED: (1, 3)}
    assert here(root) == {fetched}
    assert both(root, ORIGIN) == {Why.UNNAMED: (1, 7)}


# -- by age


def test_pairs_that_nobody_asks_for_go_with_their_contents(root):
    old, asked_for, shared = (keep(root, b"%d" % n) for n in range(3))
    name(root, "old", old)
    name(root, "old", shared)
    name(root, "asked", asked_for)
    name(root, "asked", shared)
    asked(root, "asked", LATER - 5 * DAY)
    gone = both(root, Rules(keep=10 * DAY, origin=True))
    assert gone[Why.UNASKED][0] == 2
    assert gone[Why.UNNAMED] == (1, 1)
    assert keys(root) == {"asked"}
    assert here(root) == {asked_for, shared}


def test_a_new_pair_under_an_old_key_stays_alone(root):
    name(root, "key", keep(root, b"old"))
    root.database.change(lambda c: c.execute("UPDATE entry SET put = put - 864000"))
    new = name(root, "key", keep(root, b"new"))
    assert both(root, Rules(keep=5 * DAY), NOW + DAY // 2).keys() == {Why.UNASKED}
    assert [s.pair for s in root.entries.get([Key("key")])[Key("key")]] == [new]


def test_without_a_limit_of_age_nothing_is_too_old(root):
    name(root, "key", keep(root, b"content"))
    assert both(root, ORIGIN, NOW + 10_000 * DAY) == {}


def test_expired_pairs_go_after_a_day(root):
    name(root, "soon", keep(root, b"a"), expires=NOW + 10 * DAY)
    name(root, "late", keep(root, b"b"), expires=NOW + 40 * DAY)
    name(root, "other", keep(root, b"c"), expires="never", format=2)
    assert both(root, ORIGIN, NOW + 11 * DAY - 60) == {}
    assert both(root, ORIGIN).keys() == {Why.EXPIRED, Why.UNNAMED}
    assert keys(root) == {"late", "other"}


def test_pairs_whose_content_never_came_go_after_a_day(root):
    never, came = keep(root, b"never"), keep(root, b"came")
    name(root, "never", never, hidden=True)
    name(root, "came", came, hidden=True)
    root.catalogue.remove([never], named=True)
    assert both(root, ORIGIN, NOW + DAY - 60) == {}
    assert both(root, ORIGIN).keys() == {Why.NEVER_CAME}
    assert (keys(root), here(root)) == ({"came"}, {came})


@pytest.mark.parametrize("order", ["pair first", "at once"])
def test_a_pair_whose_content_came_stays_when_that_is_set_aside(root, order):
    digest = Digest.of(b"content")
    if order == "pair first":
        name(root, "key", digest, hidden=True)
        keep(root, b"content")
    else:  # it came just after whoever put the pair looked for it
        keep(root, b"content")
        name(root, "key", digest, hidden=True)
        assert both(root, ORIGIN, NOW + 2 * DAY) == {}
    root.catalogue.remove([digest], named=True)
    assert both(root, ORIGIN) == {}
    assert keys(root) == {"key"}


def test_to_look_for_what_nobody_asks_for_takes_short_steps(root):
    digest = keep(root, b"content")
    for number in range(1200):
        name(root, f"key:{number:04}", digest)
    assert len(list(pairs_go(root, Rules(keep=DAY), NOW))) > 2


def test_each_is_counted_once(root):
    """Too old, expired and without a content, all at once."""
    digest = keep(root, b"content")
    size = name(root, "key", digest, hidden=True, expires=NOW).size
    root.catalogue.remove([digest], named=True)
    assert both(root, Rules(keep=DAY)) == {Why.EXPIRED: (1, size)}


# -- by use


def test_least_recently_used_gives_way_until_there_is_room_and_a_bit(root):
    for n in range(100):
        keep(root, bytes([n]), fetched=True, used=NOW + 1000 - n)
    make_room(root, Rules(max_size=100), 10)
    assert len(here(root)) == 85  # ten for the newcomer, a twentieth beside
    assert min(known.used for known in root.catalogue) == NOW + 1000 - 84
    make_room(root, Rules(max_size=100), 10)
    assert len(here(root)) == 85


def test_a_limit_takes_nothing_that_was_put_or_is_named_or_pinned(root):
    put = keep(root, bytes(50))
    named = keep(root, bytes(51), fetched=True)
    name(root, "key", named)
    pinned = keep(root, bytes(52), fetched=True)
    pair = [json.dumps({"sha512": pinned.hex}), ""]
    root.database.change(
        lambda c: c.execute(
            "INSERT INTO answer VALUES ('far', 'upstream', 1, 1, ?)", (json.dumps([pair]),)
        )
    )
    pin(root, "far")
    keep(root, bytes(53), fetched=True)
    told = counts(collect(root, Rules(max_size=1), now=NOW, dry_run=True))
    assert counts(collect(root, Rules(max_size=1), now=NOW)) == told
    assert told == {Why.LEAST_USED: (1, 53)}
    assert here(root) == {put, named, pinned}


def test_nothing_goes_in_vain(root):
    """Where all of it would not make room enough."""
    kept = {keep(root, bytes(50), fetched=True), keep(root, bytes(60))}
    make_room(root, Rules(max_size=110), 51)
    assert here(root) == kept
    make_room(root, Rules(max_size=110), 50)
    assert len(here(root)) == 1


def test_a_disk_is_kept_free_where_that_can_be(root):
    for n in range(10):
        keep(root, bytes([n]) * 10, fetched=True, used=NOW + 3600 + n)
    make_room(root, Rules(disk=small_disk(root, 100, free=10)), 20)
    assert len(here(root)) == 6
    # Others fill it: what could go would not help.
    rules = Rules(disk=small_disk(root, 75, free=76))
    make_room(root, rules, 1)
    assert counts(collect(root, rules, now=NOW)) == {}
    rules = Rules(disk=small_disk(root, 75, free=35))
    assert counts(collect(root, rules, now=NOW)) == {Why.LEAST_USED: (3, 30)}


def test_what_is_promised_counts(root):
    keep(root, bytes(50), fetched=True)
    root.catalogue.transfers.promise("", 60, 60, Limits(total=1000))
    assert counts(collect(root, Rules(max_size=100), now=NOW)) == {Why.LEAST_USED: (1, 50)}


def test_what_version_1_kept_grows_old_from_its_upgrade_on(tmp_path):
    """When it was put, or asked for, it did not say."""
    (tmp_path / "root").mkdir()
    with closing(sqlite3.connect(tmp_path / "root/entries.sqlite")) as connection:
        connection.executescript((HERE / "version-1.sql").read_text())
    with closing(make_root(tmp_path / "root")) as root:
        rules = Rules(keep=10 * DAY)
        kept = keys(root)
        assert counts(collect(root, rules, now=NOW + 9 * DAY)) == {}
        assert keys(root) == kept
        assert kept
        collect(root, rules, now=NOW + 11 * DAY)
        assert keys(root) == set()


# -- pins, and what is on its way


@pytest.mark.parametrize("why", ["expires", "keep", "hidden"])
def test_what_is_pinned_stays(root, why):
    digest = keep(root, b"content")
    name(
        root,
        "key",
        digest,
        hidden=why == "hidden",
        expires=NOW if why == "expires" else LATER * 2,
    )
    if why == "hidden":
        root.catalogue.remove([digest], named=True)
    pin(root, "key")
    rules = Rules(keep=DAY if why == "keep" else None, origin=True)
    assert both(root, rules) == {}
    Pins(root.database).remove([Key("key")])
    assert both(root, rules) != {}


def test_what_is_to_be_sent_on_stays(root):
    pair = name(root, "key", keep(root, b"content"))
    root.database.change(
        lambda c: c.execute(
            "INSERT INTO outgoing (key, entry, signature, since) VALUES ('key', ?, '', 1)",
            (pair.entry,),
        )
    )
    assert both(root, Rules(keep=DAY)) == {}


def test_what_has_no_content_is_not_to_be_sent_on(root):
    pair = name(root, "key", Digest.of(b"never"), hidden=True)
    root.database.change(lambda c: queue(c, Key("key"), Stored(pair), None))
    assert both(root, ORIGIN).keys() == {Why.NEVER_CAME}
    assert root.database.rows("SELECT * FROM outgoing") == []


# -- the clock


def test_a_clock_that_is_far_ahead_is_believed_after_a_day(root):
    ahead = NOW + 400 * DAY
    database = root.database
    assert doubt(database, NOW) is None
    assert doubt(database, NOW + 30 * DAY) is None
    assert "and last said" in doubt(database, ahead)
    assert doubt(database, ahead + DAY - 1), "the server was begun anew"
    assert doubt(database, ahead + 40 * DAY), "it jumped again"
    assert doubt(database, NOW + 31 * DAY) is None, "it was set right"
    assert doubt(database, ahead)
    assert doubt(database, ahead + DAY) is None
    assert doubt(database, NOW), "it was set back"


def test_a_clock_that_is_far_from_the_log_is_doubted(root):
    name(root, "key", keep(root, b"content"))
    assert doubt(root.database, NOW + 31 * DAY)


def test_what_was_used_in_time_to_come_was_used_now(root):
    digests = [keep(root, b"%d" % n, used=NOW + n * DAY) for n in (1, 2)]
    asked(root, "key", NOW + 2 * DAY)
    for _ in lower(root.database, NOW):
        pass
    used = [root.catalogue.get(digest).used for digest in digests]
    assert used == [NOW + DAY, NOW]
    assert root.database.rows("SELECT used FROM key_use") == [(NOW,)]


# -- the log, and in between


def test_every_removal_of_what_was_put_is_in_the_log(root):
    digest = keep(root, b"content", "ann")
    name(root, "key", digest, "bob")
    for n in range(3):
        keep(root, b"%d" % n, fetched=True)
    collect(root, Rules(keep=DAY, origin=True), now=LATER)
    lines = Log(root.database).lines(account="collection")
    assert [(line.action, line.subject, line.detail) for line in lines] == [
        ("remove", "key", f"{digest.hex}, put by bob: nobody asks for it"),
        ("remove", digest.hex, "7 bytes, put by ann: no pair names it"),
        ("remove", "", "3 contents of upstreams, 3 bytes: no pair names it"),
    ]


def of_what_is_found(steps):
    """Without those in which nothing was found that could go."""
    return (gone for gone in steps if gone != ())


def test_what_is_done_between_two_steps_counts(root):
    """Whatever was read before."""
    digests = [keep(root, b"%d" % n) for n in range(150)]
    for n in range(600):
        name(root, f"key{n}", digests[n % 150])
    each = of_what_is_found(steps(root, Rules(keep=DAY, origin=True), now=LATER))
    assert len(next(each)) == 500
    pinned = sorted(keys(root))
    pin(root, *pinned)
    assert next(each) == []
    assert keys(root) == set(pinned)
    Pins(root.database).remove([Key(key) for key in pinned])
    each = of_what_is_found(steps(root, Rules(keep=DAY, origin=True), now=LATER))
    assert [len(next(each)) for _ in range(2)] == [100, 100]
    left = here(root)
    for n, digest in enumerate(left):
        name(root, f"again{n}", digest)
    assert next(each) == []
    assert here(root) == left


def test_how_often_nothing_is_asked_for_is_forgotten(root):
    name(root, "here", keep(root, b"content"))
    for key in ("here", "gone", "lately"):
        asked(root, key, NOW)
    asked(root, "lately", LATER + DAY)
    collect(root, Rules(), now=LATER + DAY)
    left = root.database.rows("SELECT key FROM key_use ORDER BY key")
    assert left == [("here",), ("lately",)]
