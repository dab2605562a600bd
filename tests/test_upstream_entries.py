"""Look-ups that go on upstream, and what is kept of the answers."""

from __future__ import annotations

import asyncio
import json
import threading
import time

from upstreams import KEY, KEYS, SMALL, A, B, C, Near, near, pairs_of, put
from wire import old, ours

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import (
    Code,
    StorageFull,
)
from slapos.networkcache.protocol import DIRECTORY_LIMIT
from slapos.networkcache.server.space.pins import Pins
from slapos.networkcache.server.upstream import entries, remembered
from slapos.networkcache.server.upstream.exchange import Limits
from slapos.networkcache.server.upstream.remembered import Remembered
from slapos.networkcache.testing import NetworkCache, faults


def test_an_answer_is_kept_for_a_while_and_longer_when_the_upstream_is_away(tmp_path, far):
    put(far, A)

    async def work(here: Near):
        found = [await here.upstreams.look_up([KEY]) for _ in range(2)]
        assert len(far.requests) == 1
        await here.make_older(61)
        put(far, B)
        found.append(await here.upstreams.look_up([KEY]))
        far.plan(faults.drop)
        await here.make_older(10**8)
        found += [await here.upstreams.look_up([KEY]) for _ in range(2)]
        return list(map(pairs_of, found))

    assert near(tmp_path, work, far) == [[A], [A], [B, A], [B, A], [B, A]]
    assert len(far.requests) == 3 + 1  # sent once more, since it is idempotent


def test_that_nothing_is_there_is_not_believed_for_long(tmp_path, far):
    async def work(here: Near):
        found = [await here.upstreams.look_up([KEY]) for _ in range(2)]
        assert len(far.requests) == 1
        await here.make_older(30)
        found.append(await here.upstreams.look_up([KEY]))
        assert len(far.requests) == 2
        far.plan(faults.drop)
        await here.make_older(30)
        found.append(await here.upstreams.look_up([KEY]))
        return [set(each.unknown) for each in found]

    assert near(tmp_path, work, far) == [set(), set(), set(), {KEY}]


def test_that_nothing_is_there_is_forgotten_at_a_put(tmp_path, far):
    async def work(here: Near):
        await here.upstreams.look_up([KEY, Key("other")])
        put(far, A)
        await here.settle()
        asked = int(time.time())
        here.put(KEY, B)
        # What an upstream said before comes after it.
        Remembered(here.database).put(far.dir_url, {KEY: []}, asked)
        found = await here.upstreams.look_up([KEY])
        await here.upstreams.look_up([Key("other")])
        return pairs_of(found)

    assert near(tmp_path, work, far) == [A]
    assert len(far.requests) == 2


def test_one_that_says_so_is_enough_for_not_found(tmp_path, far):
    with NetworkCache() as dead:
        dead.plan(faults.drop)

        async def work(here: Near):
            return await here.upstreams.look_up([KEY])

        assert not near(tmp_path, work, dead, far).unknown


def test_many_who_ask_at_a_time_are_one_question(tmp_path, far):
    put(far, A)

    async def work(here: Near):
        return await asyncio.gather(*(here.upstreams.look_up([KEY]) for _ in range(50)))

    assert [pairs_of(found) for found in near(tmp_path, work, far)] == [[A]] * 50
    assert len(far.requests) == 1


def test_nobody_waits_for_those_who_write(tmp_path, far):
    put(far, A)

    async def work(here: Near):
        end = threading.Event()
        busy = [asyncio.create_task(here.threads.run(end.wait)) for _ in range(4)]
        try:
            return pairs_of(await here.upstreams.look_up([KEY]))
        finally:
            end.set()
            await asyncio.gather(*busy)

    assert near(tmp_path, work, far) == [A]


def test_pairs_of_several_upstreams_each_once(tmp_path, far):
    with NetworkCache() as further:
        put(far, A, B)
        put(further, B, C)

        async def work(here: Near):
            return pairs_of(await here.upstreams.look_up([KEY]))

        assert near(tmp_path, work, far, further) == [B, A, C]


def test_pairs_that_nobody_could_put_here_are_dropped(tmp_path, far):
    put(far, A)
    bad = [[1, 2], ["{", ""], ours("other", "0" * 128), ["[1]", ""]]
    far.plan(faults.among(*bad))

    async def work(here: Near):
        return pairs_of(await here.upstreams.look_up([KEY]))

    assert near(tmp_path, work, far) == [A]


def test_a_batch_asks_only_for_what_is_not_known(tmp_path, far):
    for key in KEYS:
        put(far, A, key=key)
    digest = far.contents.put([SMALL])
    absent = Digest.of(b"absent")

    async def work(here: Near):
        await here.upstreams.look_up(KEYS[:10])
        found = await here.upstreams.look_up(KEYS, [digest, absent])
        assert [pairs_of(found, key) for key in KEYS] == [[A]] * 30
        return found.held, found.missing

    held, missing = near(tmp_path, work, far)
    assert held == {digest}
    assert missing == {absent, Digest("0" * 128)}
    assert [str(asked) for asked in far.requests] == ["POST /shadir"] * 2


def test_a_batch_that_does_not_fit_into_one_answer(tmp_path, far):
    many = [Pair(*old("0" * 128, n="x" * 60_000 + str(n))) for n in range(10)]
    for key in KEYS:
        put(far, *many, key=key)

    async def look_up_all(here: Near) -> int:
        """How many answers it takes."""
        keys, answers = KEYS, 0
        while keys:
            found = await here.upstreams.look_up(keys)
            assert not found.unknown
            there = [key for key in keys if key not in found.put_off]
            assert [pairs_of(found, key) for key in there] == [many[::-1]] * len(there)
            assert sum(map(len, found.rows.values())) * 60_000 < 2.5 * DIRECTORY_LIMIT
            keys = [key for key in keys if key in found.put_off]
            await here.settle()
            answers += 1
        return answers

    async def work(here: Near):
        first = await look_up_all(here)
        assert {str(asked) for asked in far.requests} == {"POST /shadir"}
        far.requests.clear()
        return first, await look_up_all(here)

    first, again = near(tmp_path, work, far, limits=Limits())
    assert (first, again) == (3, 5)
    assert far.requests == [], "what is remembered is read no less sparingly"


def test_one_that_knows_no_batches_is_asked_key_by_key(tmp_path, far):
    for key in KEYS[:20]:
        put(far, A, key=key)
    digest = far.contents.put([SMALL])
    far.plan(faults.refuse(Code.BAD_METHOD), "POST")

    async def work(here: Near):
        return await here.upstreams.look_up(KEYS, [digest, Digest.of(b"absent")])

    found = near(tmp_path, work, far)
    assert set(found.rows) == set(KEYS[:20])
    assert (found.unknown, found.later, found.held) == (set(), set(), {digest})


def test_one_that_puts_off_for_ever_is_not_asked_for_ever(tmp_path, far):
    def all_but_one_later(answer):
        asked.append(far.requests[-1])
        later = [key.text for key in KEYS[len(asked) :]]
        body = json.dumps({"entries": {}, "later": later, "missing_content": []})
        return answer.with_body(body.encode())

    asked: list[object] = []
    far.plan(all_but_one_later, "POST")

    async def work(here: Near):
        return await here.upstreams.look_up(KEYS)

    found = near(tmp_path, work, far)
    assert len(asked) == 10
    assert (found.unknown, found.put_off) == (set(), set(KEYS[10:]))


def test_what_is_pinned_stays_when_the_upstream_has_it_no_more(tmp_path, far):
    async def work(here: Near):
        Pins(here.database).add([KEY])
        answers = Remembered(here.database)
        for pairs, now in (([A], 1), ([], 2), ([B], 3), ([], 4)):
            answers.put("far", {KEY: pairs, KEYS[0]: pairs}, now)
        known = answers.get([KEY, KEYS[0]])
        return [(answer.taken, answer.pairs) for answer in known.values()]

    assert near(tmp_path, work, far) == [(4, [B]), (4, [])]


def test_what_a_slow_one_says_too_late_is_for_the_next_time(tmp_path, far, monkeypatch):
    monkeypatch.setattr(entries, "PATIENCE", 0.3)
    far.plan(faults.refuse(Code.BAD_METHOD), "POST")
    far.plan(faults.silent, "GET /shadir/key-0")
    for key in KEYS:
        put(far, A, key=key)

    async def work(here: Near):
        first = await here.upstreams.look_up(KEYS)
        far.heal()
        return first, await here.upstreams.look_up(list(first.later))

    first, second = near(tmp_path, work, far, limits=Limits(head=0.6))
    assert first.later == {Key("key-0")}
    assert len(first.rows) == 29
    assert second.unknown == {Key("key-0")}  # nothing was learned: not for ever


def test_nothing_is_asked_key_by_key_when_nobody_waits(tmp_path, far, monkeypatch):
    monkeypatch.setattr(entries, "PATIENCE", 0.3)
    far.plan(faults.refuse(Code.BAD_METHOD), "POST")
    far.plan(faults.drip(500), "GET")
    for key in KEYS:
        put(far, A, key=key)

    async def work(here: Near):
        first = await here.upstreams.look_up(KEYS)
        await here.settle()
        return first.later, await here.upstreams.look_up(KEYS[:8])

    later, found = near(tmp_path, work, far)
    assert (later, set(found.rows)) == (set(), set(KEYS[:8]))
    assert len(far.requests) == 1 + 8


def test_answers_are_not_more_bytes_than_they_may_be(tmp_path, far, monkeypatch):
    """The least used go, but for those of pinned keys."""
    for key in KEYS:
        put(far, A, key=key)

    async def work(here: Near):
        for key in KEYS:
            await here.upstreams.look_up([key])
        await here.settle()
        here.database.change(lambda c: c.execute("UPDATE answer SET used = substr(key, 5)"))
        Pins(here.database).add(KEYS[:2])
        ((size,),) = here.database.rows("SELECT sum(length(pairs)) FROM answer")
        for limit, value in (("BYTES", size // 2), ("COUNT", 10)):
            monkeypatch.setattr(remembered, limit, value)
            Remembered(here.database).tidy(0)
            rows = here.database.rows("SELECT used FROM answer ORDER BY used")
            left.append([used for (used,) in rows])

    left: list[list[int]] = []
    near(tmp_path, work, far)
    assert left == [[0, 1, *range(17, 30)], [0, 1, *range(22, 30)]]


def test_answers_are_not_remembered_where_the_disk_is_full(tmp_path, far):
    put(far, A)

    def check_room(size):
        assert size > 100
        raise StorageFull("no room")

    async def work(here: Near):
        found = []
        for _ in range(2):
            found.append(await here.upstreams.look_up([KEY]))
            await here.settle()
        return list(map(pairs_of, found)), here.database.rows("SELECT * FROM answer")

    assert near(tmp_path, work, far, check_room=check_room) == ([[A], [A]], [])
    assert len(far.requests) == 2


def test_answers_that_nobody_needs_go(tmp_path, far):
    put(far, A)

    async def work(here: Near):
        await here.upstreams.look_up([KEY, *KEYS])
        answers = Remembered(here.database)
        now = int(time.time())
        await here.settle()
        counts = []
        for later in (0, 31, 30 * 86400 - 10, 30 * 86400 + 10):
            answers.tidy(now + later)
            counts += here.database.rows("SELECT count(*) FROM answer")
        return [count for (count,) in counts]

    assert near(tmp_path, work, far) == [31, 1, 1, 0]
