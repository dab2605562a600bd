"""One round trip for many keys: ``POST`` of a list of them to the directory."""

from __future__ import annotations

import json

import pytest
from wire import ask, connect, old, ours, pairs, post, put

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Pair
from slapos.networkcache.protocol import DIRECTORY_LIMIT, encode_directory
from slapos.networkcache.server.directory import fit
from slapos.networkcache.storage import Stored

ABSENT = Digest.of(b"never uploaded").hex
EMPTY = {"entries": {}, "missing_content": [], "later": []}


def batch(server, body, target="/shadir"):
    reply = ask(
        server, "POST", target, body if isinstance(body, bytes) else json.dumps(body)
    )
    assert reply.status == 200, reply
    assert reply.headers["Cache-Control"] == "no-store"
    return json.loads(reply.body)


@pytest.mark.parametrize("target", ["/shadir", "/shadir/"])
def test_batch(server, target):
    one, two = post(server, b"one"), post(server, b"two")
    put(server, "a", ours("a", one))
    put(server, "a", ours("a", two))
    put(server, "b", old(one))
    put(server, "hidden", old(ABSENT))
    asked = {"keys": ["a", "b", "hidden", "none", "a"], "contents": [one, ABSENT]}
    assert batch(server, asked, target) == {
        "entries": {"a": pairs(server, "a"), "b": pairs(server, "b")},
        "missing_content": [ABSENT],
        "later": [],
    }


def test_content_that_was_lost_is_missing(server):
    digest = post(server, b"one")
    put(server, "a", ours("a", digest))
    [path] = (server.root / "v1").rglob(digest)
    path.unlink()
    answer = batch(server, {"keys": ["a"]})
    assert answer["missing_content"] == [digest]
    assert answer["entries"] == {"a": [ours("a", digest)]}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"keys": []},
        {"contents": []},
        {"keys": ["..", "%00", "a" * 300, "a/b", "", 1, None, {}, [], "\ud800", "é"]},
        {"contents": ["..", "x" * 128, 5, None, {}, "٠" * 128]},
        {"other": 1},
    ],
)
def test_what_is_no_key_never_fails_a_batch(shared_server, asked):
    assert batch(shared_server, asked) == EMPTY


def test_bad_keys_do_not_hide_good_ones(shared_server):
    digest = post(shared_server, b"x")
    put(shared_server, "good", ours("good", digest))
    answer = batch(shared_server, {"keys": ["..", "good", 7], "contents": [1, ABSENT]})
    assert list(answer["entries"]) == ["good"]
    assert answer["missing_content"] == [ABSENT]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad-request"),
        (b"{", 400, "bad-request"),
        (b"\xff", 400, "bad-request"),
        (b"[" * 200_000, 400, "bad-request"),
        (b"[1, 2]", 400, "bad-request"),
        (b'{"keys": "x"}', 400, "bad-request"),
        (json.dumps({"keys": ["k"] * 1001}).encode(), 413, "too-large"),
        (json.dumps({"contents": [ABSENT] * 1001}).encode(), 413, "too-large"),
        (b" " * (10 << 20), 413, "too-large"),
    ],
    ids=range(9),
)
def test_what_is_no_batch(shared_server, body, status, code):
    reply = ask(shared_server, "POST", "/shadir", body)
    assert (reply.status, reply.code) == (status, code)
    assert json.loads(reply.body)["error"] == code


def test_1000_keys_and_contents(server):
    connection = connect(server)
    digests = []
    for n in range(50):
        content = b"%d" % n
        ask(server, "POST", "/shacache", content, connection=connection)
        digests.append(Digest.of(content).hex)
        put(server, f"key{n}", ours(f"key{n}", digests[-1]), connection)
    absent = [Digest.of(b"absent %d" % n).hex for n in range(950)]
    asked = {"keys": [f"key{n}" for n in range(1000)], "contents": digests + absent}
    answer = batch(server, asked)
    assert answer["entries"] == {
        f"key{n}": [ours(f"key{n}", digests[n])] for n in range(50)
    }
    assert answer["missing_content"] == sorted(absent)


def test_keys_that_do_not_fit_come_later(server):
    digest = post(server, b"x")
    connection = connect(server)
    for n in range(90):
        assert (
            put(server, f"k{n}", ours(f"k{n}", digest, x="x" * 60_000), connection).status
            == 201
        )
    left = [f"k{n}" for n in range(90)]
    got = {}
    rounds = 0
    while left:
        rounds += 1
        reply = ask(server, "POST", "/shadir", json.dumps({"keys": left}))
        assert len(reply.body) <= DIRECTORY_LIMIT
        answer = json.loads(reply.body)
        assert set(answer["entries"]) | set(answer["later"]) == set(left)
        assert not set(answer["entries"]) & set(answer["later"])
        got.update(answer["entries"])
        left = answer["later"]
    assert rounds == 2
    assert set(got) == {f"k{n}" for n in range(90)}


def test_batch_needs_no_account(make_server):
    assert batch(make_server(anonymous=False), {"contents": [ABSENT]}) == {
        **EMPTY,
        "missing_content": [ABSENT],
    }


# -- which pairs fit: the rule by itself


def rows(*accounts, size=1000):
    return [
        Stored(Pair(f"{place:0{size}}", ""), account)
        for place, account in enumerate(accounts)
    ]


def test_newest_of_each_account_goes_before_the_second_of_any():
    flood = rows(*["flood"] * 50, "quiet", *["flood"] * 5, "other", "quiet")
    taken = fit(flood, 5000)
    places = [int(pair.entry) for pair in taken]
    assert places == [0, 1, 50, 56]
    assert len(encode_directory(taken)) <= 5000


def test_all_that_fits_is_there():
    few = rows("a", "b", "a")
    assert fit(few) == [row.pair for row in few]
    exact = len(encode_directory([row.pair for row in few]))
    assert len(fit(few, exact)) == 3
    assert len(fit(few, exact - 1)) == 2
    assert fit(few, 0) == []
