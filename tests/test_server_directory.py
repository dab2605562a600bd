"""Which pairs a directory keeps and shows: hidden ones, many at once, too many."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from wire import (
    ABSENT,
    ask,
    connect,
    files,
    old,
    ours,
    pairs,
    post,
    put,
)

from slapos.networkcache.digest import Digest


@pytest.fixture(scope="module")
def content(shared_server):
    return post(shared_server, b"content")


def sized(sha512, size):
    """A pair of exactly `size` bytes."""
    return old(sha512, x="x" * (size - len("".join(old(sha512, x="")))))


def test_ours_needs_its_content(server):
    pair = ours("x", Digest.of(b"later").hex)
    reply = put(server, "x", pair)
    assert (reply.status, reply.code) == (409, "missing-content")
    assert pairs(server, "x") == []
    post(server, b"later")
    assert put(server, "x", pair).status == 201
    assert pairs(server, "x") == [pair]


def test_old_pair_is_hidden_until_its_content_comes(server):
    digest = Digest.of(b"later").hex
    hidden, shown = old(digest, n=1), old(post(server, b"now"), n=2)
    assert put(server, "x", hidden).status == 201
    assert ask(server, "GET", "/shadir/x").status == 404
    assert put(server, "x", shown).status == 201
    assert pairs(server, "x") == [shown]
    post(server, b"later")
    assert pairs(server, "x") == [shown, hidden]


def test_format_of_the_future_is_kept_for_those_who_read_it(shared_server, content, key):
    pair = old(content, format=2, key={"not": "a string"})
    assert put(shared_server, key, pair).status == 201
    assert pairs(shared_server, key) == [pair]
    assert put(shared_server, key, old(ABSENT, format=2)).code == "missing-content"


def test_32_clients_put_20_entries_each_under_one_key(server):
    digest = post(server, b"content")

    def client(number):
        connection = connect(server)
        return [
            put(server, "x", old(digest, client=number, n=n), connection).status
            for n in range(20)
        ]

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(client, range(32)))
    assert answers == [[201] * 20] * 32
    there = pairs(server, "x")
    assert len(there) == 640
    members = [json.loads(text) for text, _ in there]
    assert {(m["client"], m["n"]) for m in members} == {
        (client, n) for client in range(32) for n in range(20)
    }
    for number in range(32):  # each client's own are in its order, the latest first
        own = [m["n"] for m in members if m["client"] == number]
        assert own == sorted(own, reverse=True)


def test_oldest_give_way_beyond_1_mib(server):
    digest = post(server, b"content")
    put_ = [sized(digest, 60_000 + n) for n in range(20)]
    connection = connect(server)
    for pair in put_:
        assert put(server, "x", pair, connection).status == 201
    there = pairs(server, "x")
    assert there == put_[: -len(there) - 1 : -1]
    assert len(there) == 17


def test_answer_stays_below_4_mib(server):
    """Within the 1 MiB of an account, but three times as long in JSON."""
    digest = post(server, b"content")
    connection = connect(server)
    wide = "\u00e9" * 30_000
    for n in range(16):
        text = json.dumps({"sha512": digest, "n": n, "x": wide}, ensure_ascii=False)
        signature = base64.b64encode(b"x").decode()
        assert put(server, "x", [text, signature], connection).status == 201
    reply = ask(server, "GET", "/shadir/x")
    assert len(reply.body) <= 4 << 20
    newest, _ = json.loads(reply.body)[0]
    assert json.loads(newest)["n"] == 15
    assert files(server.root) == [digest]


@pytest.mark.parametrize("pair_of", [old, lambda digest, **more: ours("x", digest, **more)])
def test_an_entry_of_32_levels_is_kept_and_none_of_33(shared_server, content, pair_of):
    def nested(levels):
        return json.loads("[" * levels + "]" * levels)

    assert put(shared_server, "x", pair_of(content, x=nested(31))).status == 201
    reply = put(shared_server, "x", pair_of(content, x=nested(32)))
    assert (reply.status, reply.code) == (400, "bad-entry")
