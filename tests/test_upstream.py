"""Other network caches, asked by a server: the breaker, the door, and who is left
alone. The processes of a server are in test_server_upstream."""

from __future__ import annotations

import asyncio

import pytest
from upstreams import KEY, KEYS, SMALL, A, Near, near, pairs_of, put

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.errors import (
    Code,
    NotFound,
    Reason,
    Refusal,
    SourceFailure,
)
from slapos.networkcache.protocol import Batch
from slapos.networkcache.server.configuration.options import UpstreamUrls
from slapos.networkcache.server.upstream.breaker import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LYING_PAUSE,
    Breaker,
    State,
)
from slapos.networkcache.server.upstream.door import Upstream, client_tls
from slapos.networkcache.server.upstream.exchange import Limits, Nonsense
from slapos.networkcache.server.upstream.watched import FRESH
from slapos.networkcache.testing import NetworkCache, faults

# -- the breaker


def test_a_dead_one_is_left_alone_twice_as_long_each_time():
    breaker, now, pauses = Breaker(), 1000.0, []
    for _ in range(7):
        breaker = breaker.failed(now, "no")
        assert breaker.left_alone(now)
        pauses.append(breaker.until - now)
        now = breaker.until
        assert not breaker.left_alone(now)
        breaker = breaker.tried(now)
    assert pauses == [10, 20, 40, 80, 160, 300, 300]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE, LONGEST_PAUSE)
    assert breaker.answered(now) == Breaker(since=now)


def test_several_failures_at_a_time_count_once():
    breaker = Breaker().failed(1000, "one").failed(1001, "two")
    assert (breaker.until, breaker.error) == (1010, "one")


def test_one_alone_tries_whether_it_is_back():
    breaker = Breaker().failed(1000, "no").tried(1010)
    assert breaker.left_alone(1010.1)
    assert not breaker.left_alone(1016)  # nor is that one waited for for ever


def test_a_lying_one_is_left_alone_for_long():
    breaker = Breaker().lied(1000, "wrong bytes")
    assert breaker.left_alone(1000 + LYING_PAUSE - 1)
    assert not breaker.left_alone(1000 + LYING_PAUSE)
    # What was asked of it before, by others, changes nothing.
    assert breaker.failed(1001, "no") == breaker.answered(1001) == breaker
    tried = breaker.tried(1000 + LYING_PAUSE)
    assert tried.answered(1001 + LYING_PAUSE).state is State.WELL


def test_a_clock_that_is_set_back_freezes_nothing():
    breaker = Breaker().failed(1_000_000, "no")
    assert not breaker.left_alone(1000)


# -- the door


def asked_of(
    far: NetworkCache, ask, limits: Limits | None = None, urls: UpstreamUrls | None = None
):
    """What ``ask(upstream)`` gives, of a door to `far`."""

    async def run():
        door = Upstream(
            urls or UpstreamUrls(far.cache_url, far.dir_url),
            client_tls(None, None, None),
            limits,
        )
        try:
            return await ask(door)
        finally:
            await door.close()

    return asyncio.run(run())


async def read(door: Upstream, digest: Digest, start: int = 0) -> bytes:
    async with door.open(digest, start) as incoming:
        return b"".join([piece async for piece in incoming.pieces])


def test_what_goes_out_with_a_request(far):
    digest = far.contents.put([SMALL])
    assert asked_of(far, lambda door: read(door, digest)) == SMALL
    (asked,) = far.requests
    assert set(asked.headers) == {"host", "accept", "accept-encoding", "user-agent"}
    assert asked.headers["accept-encoding"] == "identity"


def test_no_proxy_no_netrc_of_the_environment(far, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    put(far, A)
    assert asked_of(far, lambda door: door.look_up(KEY))
    assert "authorization" not in far.requests[0].headers


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.drop, SourceFailure),
        (faults.silent, SourceFailure),
        (faults.stall(5), SourceFailure),
        (faults.cut(5), SourceFailure),
        (faults.refuse(Code.BUSY), Refusal),
        (faults.labelled(Content_Encoding="gzip"), Nonsense),
        (faults.say(200, b"<html>"), Nonsense),
        (faults.say(200, b"[" * 200_000), None),
        (faults.endless(b"[" * 65536), Nonsense),
        (faults.say(404, b"no"), NotFound),
    ],
)
def test_look_ups_that_go_wrong(far, fault, error):
    put(far, A)
    far.plan(fault)
    if error is None:
        assert asked_of(far, lambda door: door.look_up(KEY)) == []
        return
    with pytest.raises(error) as caught:
        asked_of(far, lambda door: door.look_up(KEY), Limits(head=1, window=1))
    assert type(caught.value) is error


def test_no_redirect_is_followed(far):
    put(far, A, key=Key("other"))
    far.plan(faults.redirect(f"{far.dir_url}/other"), times=1)
    with pytest.raises(SourceFailure):
        asked_of(far, lambda door: door.look_up(KEY))
    assert len(far.requests) == 1


def test_a_drip_is_too_slow(far):
    digest = far.contents.put([SMALL])
    far.plan(faults.drip(1000), "GET /shacache")
    with pytest.raises(SourceFailure) as caught:
        asked_of(far, lambda door: read(door, digest), Limits(head=30, window=1))
    assert caught.value.reason is Reason.TOO_SLOW


def test_something_after_the_end_is_no_answer_to_the_next_request(far):
    put(far, A)
    far.plan(faults.followed_by(b"HTTP/1.1 200 -\r\nContent-Length: 2\r\n\r\n[]"), times=1)

    async def twice(door):
        return [await door.look_up(KEY) for _ in range(2)]

    assert asked_of(far, twice) == [[A]] * 2


def test_one_that_knows_no_batches_is_not_asked_for_more(far):
    far.plan(faults.say(200, b"<html>"), "POST")

    async def twice(door):
        return [await door.batch(Batch([KEY])) for _ in range(2)]

    assert asked_of(far, twice) == [None, None]
    assert len(far.requests) == 1


def test_another_range_than_asked_for(far):
    digest = far.contents.put([SMALL])
    assert asked_of(far, lambda door: read(door, digest, 1000)) == SMALL[1000:]
    far.plan(faults.labelled(Content_Range="bytes 5-9/100000"))
    with pytest.raises(Nonsense):
        asked_of(far, lambda door: read(door, digest, 1000))


# -- an upstream that is left alone


def test_a_dead_one_is_left_alone_in_all_workers(tmp_path, far):
    far.plan(faults.drop)

    async def work(here: Near):
        await here.upstreams.look_up([KEY])
        return await here.states()

    assert near(tmp_path, work, far) == {far.dir_url: "dead"}
    count = len(far.requests)
    assert near(tmp_path, work, far) == {far.dir_url: "dead"}  # as another process
    assert len(far.requests) == count


@pytest.mark.parametrize(
    "fault", [faults.say(200, b"<html>"), faults.endless(b"[" * 65536)]
)
def test_one_that_answers_nonsense_is_left_alone(tmp_path, far, fault):
    far.plan(fault)

    async def work(here: Near):
        found = await here.upstreams.look_up(KEYS[:3])
        return await here.states(), set(found.unknown)

    state = {far.dir_url: "lying"}
    assert near(tmp_path, work, far) == (state, set(KEYS[:3]))


@pytest.mark.parametrize(
    ("fault", "state"),
    [(faults.say(200, b"<html>"), "lying"), (faults.say(500, b"-"), "dead")],
)
def test_one_key_does_not_silence_an_upstream(tmp_path, far, fault, state):
    put(far, A, key=KEYS[9])
    far.plan(fault, "GET /shadir/key-1")

    async def ask(here: Near, *keys: Key):
        return [pairs_of(await here.upstreams.look_up([key]), key) for key in keys]

    async def work(here: Near):
        for _ in range(4):
            assert await ask(here, KEYS[1], KEYS[10]) == [[], []]
            assert await ask(here, KEYS[9]) == [[A]]
            await here.make_older(100)
        assert await here.states() == {}
        await ask(here, *KEYS[11:14])
        return await here.states()

    assert near(tmp_path, work, far) == {far.dir_url: state}


def test_what_is_wrong_about_a_key_is_not_asked_for_again(tmp_path, far):
    far.plan(faults.say(200, b"<html>"))

    async def work(here: Near):
        return [(await here.upstreams.look_up([KEY])).unknown for _ in range(3)]

    assert near(tmp_path, work, far) == [{KEY}] * 3
    assert len(far.requests) == 1


def test_one_that_is_tried_again_and_lies_has_no_more_chances(tmp_path, far):
    far.plan(faults.say(200, b"<html>"))

    async def work(here: Near):
        await here.upstreams.look_up(KEYS[:3])
        await here.settle()
        here.database.change(lambda c: c.execute("UPDATE upstream SET until = 1"))
        (upstream,) = here.upstreams._upstreams
        upstream._read = -FRESH
        await here.upstreams.look_up([KEY])
        await here.settle()
        return upstream.left_alone

    assert near(tmp_path, work, far)


def test_one_that_refuses_a_key_is_not_left_alone(tmp_path, far):
    far.plan(faults.refuse(Code.BAD_KEY), times=1)
    put(far, A)

    async def work(here: Near):
        assert (await here.upstreams.look_up([KEY])).unknown == {KEY}
        return pairs_of(await here.upstreams.look_up([KEY]))

    assert near(tmp_path, work, far) == [A]
