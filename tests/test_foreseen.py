"""What is asked ahead: in few requests, once, and never for more than was asked."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from caches import ALICE, BOB, asked, client_for, pair_of, put

from slapos.networkcache.binding import Request
from slapos.networkcache.entry import Key
from slapos.networkcache.errors import Code, InvalidEntry, NotFound, SourceFailure
from slapos.networkcache.foreseen import Foreseen
from slapos.networkcache.testing import NetworkCache, faults
from slapos.networkcache.transport import CONNECTIONS, Budget, Limits, Transport

BATCH = "POST /shadir"
NO_BATCHES = faults.refuse(Code.BAD_METHOD)
URLS = [f"http://example.com/{number}.tar.gz" for number in range(3)]
FIRST, SECOND, THIRD = map(Key.for_file, URLS)


def many(count: int) -> list[Key]:
    return [Key(f"pypi:a={number}") for number in range(count)]


def single(key: Key) -> str:
    return f"GET /shadir/{key.text}"


def fill(cache: NetworkCache, *urls: str) -> None:
    for url in urls:
        put(cache, pair_of(url=url), key=Key.for_file(url))


@pytest.fixture
def budget() -> Budget:
    return Budget(10)


@pytest.fixture
def reach(budget: Budget) -> Callable[..., list[Transport]]:
    """Transports to caches, nearest first."""

    def reach(*caches: NetworkCache, limits: Limits | None = None) -> list[Transport]:
        limits = limits or Limits()
        return [Transport(cache.source, budget, limits=limits) for cache in caches]

    return reach


def found(foreseen: Foreseen, transport: Transport, keys: list[Key]) -> list[Key]:
    """The keys of which a source says, or has said, that it has them."""

    def has(key: Key) -> bool:
        try:
            return bool(foreseen.look_up(transport, key))
        except NotFound:
            return False

    return [key for key in keys if has(key)]


# One source


def test_one_request_for_all(near, reach):
    fill(near, *URLS[:2])
    (transport,) = reach(near)
    foreseen = Foreseen([transport])
    foreseen.ask([FIRST, SECOND, THIRD, FIRST], pooled=False)
    assert asked(near) == [BATCH]
    assert found(foreseen, transport, [FIRST, SECOND, THIRD]) == [FIRST, SECOND]
    assert foreseen.look_up(transport, FIRST) == (pair_of(url=URLS[0]),)
    assert asked(near) == [BATCH]


def test_what_nobody_asked_ahead_is_asked_now(near, reach):
    fill(near, URLS[0])
    (transport,) = reach(near)
    foreseen = Foreseen([transport])
    assert found(foreseen, transport, [FIRST, SECOND]) == [FIRST]
    assert asked(near) == [single(FIRST), single(SECOND)]


def test_only_what_is_new_is_asked(near, reach):
    (transport,) = reach(near)
    foreseen = Foreseen([transport])
    foreseen.ask([FIRST], pooled=False)
    foreseen.ask([FIRST], pooled=False)
    assert asked(near) == [BATCH]
    fill(near, *URLS)
    foreseen.ask([FIRST, SECOND], pooled=False)
    assert asked(near) == [BATCH] * 2
    assert found(foreseen, transport, [FIRST, SECOND]) == [SECOND]


def test_what_is_forgotten_is_asked_anew(near, far, reach):
    transports = reach(near, far)
    foreseen = Foreseen(transports)
    foreseen.ask([FIRST, SECOND], pooled=False)
    fill(near, *URLS)
    fill(far, *URLS)
    foreseen.forget(FIRST)
    foreseen.forget(THIRD)  # nobody asked for it
    for transport in transports:
        assert found(foreseen, transport, [FIRST, SECOND]) == [FIRST]


def test_what_stands_among_pairs_and_is_none_has_its_reason(near, reach):
    fill(near, *URLS)

    def poisoned(answer: faults.Answer) -> faults.Answer:
        said = json.loads(answer.body)
        said["entries"][FIRST.text][:0] = [[1, 2]]
        said["entries"][SECOND.text] = "pairs"
        return answer.with_body(json.dumps(said).encode())

    near.plan(poisoned, BATCH)
    (transport,) = reach(near)
    foreseen = Foreseen([transport])
    foreseen.ask([FIRST, SECOND, THIRD], pooled=False)
    bad, good = foreseen.look_up(transport, FIRST)
    assert isinstance(bad, InvalidEntry)
    assert good == pair_of(url=URLS[0])
    assert found(foreseen, transport, [FIRST, SECOND, THIRD]) == [FIRST, THIRD]


def test_batches_of_a_thousand(near, reach):
    keys = many(2001)
    last = keys[-1]
    put(near, pair_of(key=last), key=last)
    (transport,) = reach(near)
    foreseen = Foreseen([transport])
    foreseen.ask(keys, pooled=False)
    assert asked(near) == [BATCH] * 3
    assert found(foreseen, transport, keys) == [last]
    assert asked(near) == [BATCH] * 3


@pytest.fixture
def large(near) -> list[Key]:
    """Keys of `near` whose pairs do not fit into one answer."""
    keys = many(80)
    for key in keys:
        put(near, pair_of(key=key, more="." * 60_000), key=key)
    return keys


def test_what_did_not_fit_is_asked_for_again(near, reach, large):
    (transport,) = reach(near)
    foreseen = Foreseen([transport])
    foreseen.ask(large, pooled=False)
    assert asked(near) == [BATCH] * 2
    assert found(foreseen, transport, large) == large
    assert asked(near) == [BATCH] * 2


@pytest.mark.parametrize("twice", [1, 2])
def test_a_server_that_never_comes_to_the_end(near, reach, twice):
    """It puts off until later what it was asked for, perhaps with each key twice."""
    later = [FIRST.text, SECOND.text] * twice
    body = b'{"entries": {}, "missing_content": [], "later": %s}'
    near.plan(faults.say(200, body % str(later).replace("'", '"').encode()), BATCH, 20)
    fill(near, URLS[0])
    (transport,) = reach(near)
    foreseen = Foreseen([transport])
    foreseen.ask([FIRST, SECOND, THIRD], pooled=False)
    assert asked(near) == [BATCH] * 2
    assert found(foreseen, transport, [FIRST, SECOND, THIRD]) == [FIRST]
    assert asked(near) == [BATCH] * 2 + [single(FIRST), single(SECOND)]


# A source that knows no batches


def test_single_requests_over_connections_that_are_kept(near, reach):
    """They are under way at the same time."""
    keys = many(60)
    put(near, pair_of(key=keys[7]), key=keys[7])
    near.plan(NO_BATCHES, BATCH)
    near.plan(faults.drip(20_000), "GET /shadir")
    (transport,) = reach(near)
    foreseen = Foreseen([transport])
    foreseen.ask(keys, pooled=False)
    assert asked(near)[0] == BATCH
    assert sorted(asked(near)[1:]) == sorted(map(single, keys))
    assert near.connections == CONNECTIONS
    foreseen.ask(many(61), pooled=False)
    assert asked(near)[61:] == [single(many(61)[-1])]
    assert found(foreseen, transport, keys) == [keys[7]]
    assert len(near.requests) == 62
    assert near.connections == CONNECTIONS


def test_only_in_batches(near, far, reach):
    near.plan(NO_BATCHES, BATCH)
    fill(far, URLS[0])
    transports = reach(near, far)
    foreseen = Foreseen(transports)
    for _ in range(2):
        foreseen.ask([FIRST], pooled=True, only_in_batches=True)
    assert asked(near) == asked(far) == [BATCH]
    assert found(foreseen, transports[1], [FIRST]) == [FIRST]


# Several sources


def test_a_farther_source_is_asked_only_for_the_rest(near, far, reach):
    fill(near, URLS[0])
    fill(far, *URLS)
    transports = reach(near, far)
    foreseen = Foreseen(transports)
    foreseen.ask([FIRST, SECOND], pooled=False)
    assert (asked(near), asked(far)) == ([BATCH], [BATCH])
    assert found(foreseen, transports[0], [FIRST, SECOND]) == [FIRST]
    assert found(foreseen, transports[1], [SECOND]) == [SECOND]
    assert asked(far) == [BATCH]
    foreseen.look_up(transports[1], FIRST)
    assert asked(far) == [BATCH, single(FIRST)]


def test_nothing_is_left_to_ask_of_the_farther_source(near, far, reach):
    fill(near, *URLS)
    Foreseen(reach(near, far)).ask([FIRST, SECOND], pooled=False)
    assert asked(far) == []


def test_all_are_asked_where_their_words_count_together(near, far, reach):
    for cache in (near, far):
        fill(cache, *URLS)
    transports = reach(near, far)
    foreseen = Foreseen(transports)
    foreseen.ask([FIRST, SECOND], pooled=True)
    for transport in transports:
        assert found(foreseen, transport, [FIRST, SECOND]) == [FIRST, SECOND]
    assert (asked(near), asked(far)) == ([BATCH], [BATCH])


@pytest.mark.parametrize("threshold", ["1", "2"])
def test_a_client_asks_all_where_one_word_is_not_enough(near, far, threshold):
    put(near, pair_of(url=URLS[0]), key=FIRST)
    put(far, pair_of(url=URLS[0], signer=BOB), key=FIRST)
    options = {"signature-threshold": threshold}
    client = client_for(near, far, signers=(ALICE, BOB), options=options)
    client.foresee([FIRST])
    assert client.look_up(Request.for_file(URLS[0])).trusted
    assert asked(near) == [BATCH]
    assert asked(far) == [BATCH] * (threshold == "2")


# Sources that fail


@pytest.mark.parametrize("fault", [faults.drop, faults.refuse(Code.BUSY), faults.silent])
def test_a_dead_source(near, far, reach, budget, fault):
    near.plan(fault)
    fill(far, *URLS)
    transports = reach(near, far, limits=Limits(first_byte=0.2))
    foreseen = Foreseen(transports)
    foreseen.ask([FIRST, SECOND], pooled=False)
    assert found(foreseen, transports[1], [FIRST, SECOND]) == [FIRST, SECOND]
    assert asked(far) == [BATCH]
    assert budget.left > 0


def test_a_source_that_dies_between_two_batches(near, far, reach):
    """What it said counts; the rest is asked of it singly, in vain, and of the next."""
    keys = many(1001)
    for key in (keys[0], keys[-1]):
        put(near, pair_of(key=key), key=key)
        put(far, pair_of(key=key), key=key)
    near.plan(lambda answer: answer, BATCH, times=1)
    near.plan(faults.drop)
    transports = reach(near, far)
    foreseen = Foreseen(transports)
    foreseen.ask(keys, pooled=False)
    assert not {single(key) for key in keys[:1000]} & set(asked(near))
    assert found(foreseen, transports[0], keys[:1000]) == [keys[0]]
    assert asked(far) == [BATCH]  # for a thousand of them: near has one
    assert found(foreseen, transports[1], keys[1:]) == [keys[-1]]
    assert asked(far) == [BATCH]
    with pytest.raises(SourceFailure):
        foreseen.look_up(transports[0], keys[-1])


def test_a_source_that_dies_before_it_said_the_rest(near, far, reach, large):
    """Only what it put off is asked singly."""
    near.plan(lambda answer: answer, BATCH, times=1)
    near.plan(faults.drop, BATCH)
    (transport,) = reach(near)
    foreseen = Foreseen([transport])
    foreseen.ask(large, pooled=False)
    singles = set(asked(near)) - {BATCH}
    assert 0 < len(singles) < 40
    assert len(near.requests) == len(singles) + 3
    assert found(foreseen, transport, large) == large


def test_a_source_that_falls_silent_costs_what_it_took(near, far, reach, budget):
    """Requests that wait at the same time cost the run no more than one."""
    keys = many(40)
    near.plan(NO_BATCHES, BATCH)
    near.plan(faults.silent)
    put(far, pair_of(key=keys[5]), key=keys[5])
    transports = reach(near, far, limits=Limits(first_byte=1.25))
    foreseen = Foreseen(transports)
    foreseen.ask(keys, pooled=False)
    assert len(near.requests) == 1 + CONNECTIONS
    assert budget.left > 5
    assert found(foreseen, transports[1], keys) == [keys[5]]
    assert asked(far) == [BATCH]
