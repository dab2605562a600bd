"""Proximity caches: real server processes that have other network caches upstream."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from caches import DATA, client_for, fetched, fill, options_for
from gate import Gate, gate
from issuing import Issuer
from wire import TIMEOUT, ask, dial, files, head, old, ours, pairs, post, put

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.storage import Stored
from slapos.networkcache.testing import NetworkCache, faults

LARGE = os.urandom(3 << 20)
HELD = 1 << 20
SMALL = os.urandom(50_000)


def upstream(*fars) -> list[str]:
    """The options that name them."""
    return [word for far in fars for word in ("--upstream", far.cache_url, far.dir_url)]


@pytest.fixture
def make_near(make_server) -> Callable:
    """Starts a server of two workers with these upstreams, and options."""
    return lambda *fars, options=(): make_server(
        "--workers", "2", *upstream(*fars), *options
    )


@pytest.fixture(scope="module")
def shared(make_shared_server) -> Iterator[tuple[Any, NetworkCache]]:
    """A server and its upstream, for tests that mind nothing which others left there."""
    with NetworkCache() as far:
        yield make_shared_server("--workers", "2", *upstream(far)), far


@pytest.fixture
def pair_of_caches(shared) -> Iterator[tuple[Any, NetworkCache]]:
    """The same, of which nothing was asked yet, and nothing is wrong."""
    shared[1].requests.clear()
    yield shared
    shared[1].heal()


@pytest.fixture
def gated() -> Iterator[Gate]:
    with gate(LARGE, HELD) as far:
        yield far


def begin(server, digest, *lines) -> http.client.HTTPResponse:
    """Ask for a content over a connection of its own, up to the head of the answer."""
    sock = dial(server)
    sock.sendall(head("GET", f"/shacache/{digest}", "Connection: close", *lines))
    answer = http.client.HTTPResponse(sock)
    sock.close()  # the answer keeps its own hold of it
    answer.begin()
    return answer


def begin_many(server, digest, count) -> list[tuple[http.client.HTTPResponse, bytes]]:
    """Ask so many times at once: the answers, and the first byte of each."""

    def ask_once(_):
        answer = begin(server, digest)
        return answer, answer.read(1)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask_once, range(count)))


def wait_until(condition):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def rows(server, statement) -> list[tuple]:
    """What the database of a server answers to a query."""
    with closing(sqlite3.connect(server.root / "entries.sqlite")) as database:
        return database.execute(statement).fetchall()


def workers(server) -> list[int]:
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in children.split()]


def reads_along(worker) -> bool:
    """Whether a worker has a content open that is not whole yet."""
    names = (fd.readlink() for fd in Path(f"/proc/{worker}/fd").iterdir())
    return any(name.parent.name == "tmp" for name in names)


def who_fetches(server, digest) -> int:
    """The worker that holds the lock of a fill."""
    inode = (server.root / "fills" / str(digest)).stat().st_ino
    locks = Path("/proc/locks").read_text().splitlines()
    (line,) = (line for line in locks if f":{inode} " in line and "FLOCK" in line)
    return int(line.split()[4])


def test_one_fetch_for_all_who_ask_and_they_read_along(make_near, gated):
    near = make_near(gated)
    begun = begin_many(near, gated.digest, 50)
    assert {first for _, first in begun} == {LARGE[:1]}  # before the end is there
    assert all(map(reads_along, workers(near)))
    gated.open()
    assert all(first + answer.read() == LARGE for answer, first in begun)
    assert ask(near, "GET", f"/shacache/{gated.digest}").body == LARGE
    assert gated.asked == [None]
    wait_until(lambda: not os.listdir(near.root / "fills"))
    ((size, account, fetched),) = rows(near, "SELECT size, account, fetched FROM content")
    assert (size, account, fetched) == (len(LARGE), "", 1)


def test_ranges_during_a_fill(make_near, gated):
    near = make_near(gated)
    first = begin(near, gated.digest)
    there = [begin(near, gated.digest, "Range: bytes=1000-1999") for _ in range(8)]
    assert {answer.status for answer in there} == {206}
    assert {answer.read(999) for answer in there} == {LARGE[1000:1999]}
    later = begin(near, gated.digest, f"Range: bytes={len(LARGE) - 5}-")
    assert later.headers["Content-Length"] == "5"
    assert begin(near, gated.digest, f"Range: bytes={len(LARGE)}-").status == 416
    for _ in range(8):  # whichever worker says it
        sized = ask(near, "HEAD", f"/shacache/{gated.digest}")
        assert (sized.status, sized.headers["Content-Length"]) == (200, str(len(LARGE)))
    gated.open()
    assert {answer.read() for answer in there} == {LARGE[1999:2000]}
    assert later.read() == LARGE[-5:]
    assert first.read() == LARGE


def test_no_part_of_wrong_bytes_comes_to_an_end(make_near, gated):
    gated.data = bytes(len(LARGE))
    near = make_near(gated)
    part = begin(near, gated.digest, "Range: bytes=0-99")
    assert part.read(99) == bytes(99)
    gated.open()
    with pytest.raises(http.client.IncompleteRead):
        part.read()


def test_reading_along_over_https(make_near, gated, tmp_path):
    certificate, key = map(str, Issuer(tmp_path).issue("127.0.0.1"))
    tls = ["--tls-port", "0", "--tls-certificate", certificate, "--tls-key", key]
    near = make_near(gated, options=tls)
    address = near.tls_url.rpartition("/")[2]
    trusting = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection(address, timeout=TIMEOUT, context=trusting)
    with closing(connection):
        connection.request("GET", f"/shacache/{gated.digest}")
        answer = connection.getresponse()
        first = answer.read(HELD)
        gated.open()
        assert first + answer.read() == LARGE


def test_a_fill_goes_on_when_all_readers_leave(make_near, gated):
    near = make_near(gated)
    answer = begin(near, gated.digest)
    assert answer.read(1)
    answer.close()
    gated.open()
    wait_until(lambda: files(near.root) == [str(gated.digest)])
    assert ask(near, "GET", f"/shacache/{gated.digest}").body == LARGE
    assert gated.asked == [None]


def test_a_fill_goes_on_over_a_reload(make_server, gated, tmp_path):
    near = make_server(*upstream(gated))
    assert begin(near, gated.digest, "Range: bytes=0-9").read(9) == LARGE[:9]
    near.log.rename(tmp_path / "log.1")
    near.process.send_signal(signal.SIGHUP)
    wait_until(near.log.exists)
    again = begin(near, gated.digest)
    gated.open()
    assert again.read() == LARGE
    assert gated.asked == [None]


def test_a_worker_that_is_killed_while_it_fills(make_near, gated):
    near = make_near(gated)
    begun = begin_many(near, gated.digest, 20)
    os.kill(who_fetches(near, gated.digest), signal.SIGKILL)
    for answer, first in begun:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            assert len(first + answer.read()) < len(LARGE)
    again = begin_many(near, gated.digest, 20)
    gated.open()
    assert all(first + answer.read() == LARGE for answer, first in again)
    assert gated.asked == [None, None]


def test_an_upstream_that_dies_in_the_middle(make_near, gated):
    near = make_near(gated)
    begun = begin_many(near, gated.digest, 20)
    gated.die()
    for answer, first in begun:
        with pytest.raises(http.client.IncompleteRead):
            assert len(first + answer.read()) < len(LARGE)
    reply = ask(near, "GET", f"/shacache/{gated.digest}")
    assert (reply.status, reply.code, reply.body) == (502, "upstream", b"")
    assert files(near.root) == []


def test_the_end_of_a_server_lets_a_fill_end(make_near, gated):
    near = make_near(gated)
    begun = begin_many(near, gated.digest, 4)
    near.process.send_signal(signal.SIGTERM)
    gated.open()
    assert all(first + answer.read() == LARGE for answer, first in begun)
    assert near.process.wait(TIMEOUT) == 0


def test_the_end_of_a_server_lets_one_end_that_other_workers_follow(make_near, gated):
    near = make_near(gated)
    begun = begin_many(near, gated.digest, 30)
    ours = connections_of(who_fetches(near, gated.digest))
    left = []
    for answer, first in begun:
        if port_of(answer) in ours:
            abort(answer)
        else:
            left.append((answer, first))
    near.process.send_signal(signal.SIGTERM)
    time.sleep(0.7)  # whoever has no connection any more would end by then
    gated.open()
    assert [first + answer.read() == LARGE for answer, first in left] == [True] * len(left)
    assert 0 < len(left) < 30
    assert near.process.wait(TIMEOUT) == 0


def abort(answer) -> None:
    """Leave as a client does that is killed: not even to read what still comes."""
    gone = struct.pack("ii", 1, 0)
    answer.fp.raw._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, gone)
    answer.close()


def port_of(answer) -> int:
    return answer.fp.raw._sock.getsockname()[1]


def connections_of(worker) -> set[int]:
    """The ports of the clients that are connected to it."""
    fds = Path(f"/proc/{worker}/fd").iterdir()
    mine = {os.stat(fd).st_ino for fd in fds if fd.readlink().name.startswith("socket:")}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows if int(row[9]) in mine}


def test_wrong_bytes_never_come_to_an_end(make_near, far):
    digests = [far.contents.put([LARGE, bytes([number])]) for number in range(5)]
    far.plan(faults.wrong)  # of several, to one of both workers
    near = make_near(far)
    for answer, first in [a for digest in digests for a in begin_many(near, digest, 10)]:
        if answer.status == 200:
            with pytest.raises(http.client.IncompleteRead):
                assert len(first + answer.read()) <= len(LARGE)
        else:
            assert (answer.status, first) == (502, b"")
    assert files(near.root) == []
    wait_until(lambda: rows(near, "SELECT state FROM upstream") == [("lying",)])


# -- what is passed on, and what is not


def test_heads_are_not_passed_on(pair_of_caches, key):
    near, far = pair_of_caches
    digest = far.contents.put([os.urandom(1000)])
    put_far(far, Key(key), A)
    far.plan(faults.labelled(Set_Cookie="a=b", Server="other", X_Other="1"))
    headers = {"Authorization": "Basic YTpi", "Cookie": "c=d", "X-Asked": "2"}
    for target in (f"/shacache/{digest}", f"/shadir/{key}"):
        reply = ask(near, "GET", target, headers=headers)
        assert reply.status == 200
        assert reply.headers["Server"] == "slapos.networkcache"
        assert not {"Set-Cookie", "X-Other"} & set(reply.headers)
    assert len(far.requests) == 2
    for asked in far.requests:
        assert set(asked.headers) == {"host", "accept", "accept-encoding", "user-agent"}


def test_our_certificate_is_shown_upstream_and_theirs_is_checked(make_near, tmp_path):
    issuer = Issuer(tmp_path)
    server, account = issuer.issue("127.0.0.1"), issuer.issue("near")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*map(str, server))
    context.load_verify_locations(str(issuer.files.certificate))
    context.verify_mode = ssl.CERT_OPTIONAL
    with NetworkCache(context) as far:
        digest = far.contents.put([SMALL])
        files = ("--upstream-cert-file", account.certificate, "--upstream-key-file")
        options = [*map(str, files), str(account.key)]
        wary = make_near(far, options=options)
        assert ask(wary, "GET", f"/shacache/{digest}").code == "upstream"
        assert far.requests == []
        options += ["--upstream-ca-file", str(issuer.files.certificate)]
        near = make_near(far, options=options)
        assert ask(near, "GET", f"/shacache/{digest}").body == SMALL
        pem = account.certificate.read_text()
        assert far.requests[0].certificate == ssl.PEM_cert_to_DER_cert(pem)


def test_a_content_is_asked_for_by_head(pair_of_caches):
    near, far = pair_of_caches
    digest = far.contents.put([os.urandom(300_000)])
    reply = ask(near, "HEAD", f"/shacache/{digest}")
    assert (reply.status, reply.headers["Content-Length"]) == (200, "300000")
    assert ask(near, "HEAD", f"/shacache/{Digest.of(b'absent')}").status == 404
    assert {asked.method for asked in far.requests} == {"HEAD"}
    assert str(digest) not in files(near.root)


def test_what_is_too_large_is_for_the_next_source(make_near, far):
    digest = far.contents.put([LARGE])
    near = make_near(far, options=["--max-content-size", "1 MiB"])
    reply = ask(near, "GET", f"/shacache/{digest}")
    assert (reply.status, reply.code, reply.body) == (413, "too-large", b"")
    reply = ask(
        make_near(far, options=["--max-size", "1 MiB"]), "GET", f"/shacache/{digest}"
    )
    assert (reply.status, reply.code, reply.body) == (507, "storage-full", b"")


# -- look-ups

KEY = Key("pypi:six=1.17.0")
A, B = (Pair(*old(Digest.of(SMALL).hex, n=number)) for number in range(2))


def put_far(cache: NetworkCache, key: Key, *those: Pair) -> None:
    for pair in those:
        cache.entries.put(key, Stored(pair))


def test_pairs_of_here_and_of_upstream(make_near, far):
    near = make_near(far)
    assert pairs(near, KEY) == []
    post(near, SMALL)
    assert put(near, str(KEY), list(B)).status == 201
    put_far(far, KEY, A, B)
    wait_until(lambda: rows(near, "SELECT count(*) FROM answer") == [(0,)])
    for _ in range(8):  # in both workers
        reply = ask(near, "GET", f"/shadir/{KEY}")
        assert json.loads(reply.body) == [list(B), list(A)]
    assert reply.headers["Cache-Control"] == "max-age=60"
    again = ask(
        near, "GET", f"/shadir/{KEY}", headers={"If-None-Match": reply.headers["ETag"]}
    )
    assert again.status == 304
    assert len(far.requests) <= 3
    assert far.entries.get([KEY])[KEY][0].pair == B  # nothing of ours went there
    assert {asked.method for asked in far.requests} == {"GET"}


def test_an_upstream_that_is_away(make_near, far):
    put_far(far, KEY, A)
    near = make_near(far, options=["--upstream-ttl", "1 ms"])
    assert pairs(near, KEY) == [list(A)]
    wait_until(lambda: rows(near, "SELECT count(*) FROM answer") == [(1,)])
    far.plan(faults.drop)
    for _ in range(4):
        assert pairs(near, KEY) == [list(A)]
        reply = ask(near, "GET", "/shadir/other")
        assert (reply.status, reply.code) == (502, "upstream")
    wait_until(lambda: rows(near, "SELECT state FROM upstream") == [("dead",)])


def test_a_batch(pair_of_caches):
    near, far = pair_of_caches
    digest = far.contents.put([SMALL])
    here, absent = Digest.of(LARGE), Digest.of(b"absent")
    named = Pair(*ours("far", absent.hex))
    put_far(far, Key("far"), named)
    put_far(far, Key("both"), A)
    assert post(near, LARGE) == here.hex
    assert put(near, "both", old(here.hex)).status == 201
    asked = {
        "keys": ["far", "both", "none"],
        "contents": [digest.hex, here.hex, Digest.of(b"nowhere").hex],
    }
    answer = json.loads(ask(near, "POST", "/shadir", json.dumps(asked).encode()).body)
    assert answer["entries"] == {"far": [list(named)], "both": [old(here.hex), list(A)]}
    assert set(answer["missing_content"]) == {absent.hex, Digest.of(b"nowhere").hex}
    assert answer["later"] == []
    assert [str(each) for each in far.requests] == ["POST /shadir"]


def test_a_batch_over_large_answers(pair_of_caches):
    """What does not fit comes later, with what is here of it."""
    near, far = pair_of_caches
    large = [Pair(*old(Digest.of(SMALL).hex, n=f"{n}{'x' * 60_000}")) for n in range(40)]
    for key in ("one", "two"):
        for number, pair in enumerate(large):
            far.entries.put(Key(key), Stored(pair, f"account {number % 4}"))
    digest = post(near, SMALL)
    assert put(near, "two", old(digest)).status == 201
    for key in ("one", "two"):
        assert len(pairs(near, key)) >= 40
    large_ones = "SELECT count(*) FROM answer WHERE size > 9999"
    wait_until(lambda: rows(near, large_ones) == [(2,)])
    answers = []
    for keys in (["one", "two"], ["two"]):
        body = json.dumps({"keys": keys, "contents": []}).encode()
        answers.append(json.loads(ask(near, "POST", "/shadir", body).body))
    assert [(*each["entries"], *each["later"]) for each in answers] == [
        ("one", "two"),
        ("two",),
    ]
    assert [len(each) for answer in answers for each in answer["entries"].values()] == [
        40,
        41,
    ]


def test_a_pair_may_name_a_content_that_is_upstream(pair_of_caches, key):
    near, far = pair_of_caches
    digest = far.contents.put([os.urandom(300_000)]).hex
    assert put(near, key, ours(key, digest)).status == 201
    assert digest in files(near.root)
    assert put(near, key, ours(key, Digest.of(b"absent").hex)).code == "missing-content"


def test_uploads_go_on_upstream_where_they_shall(make_near, far):
    near = make_near(far, options=["--upload-through"])
    digest = post(near, SMALL)
    for number in range(3):
        assert put(near, str(KEY), old(digest, n=number)).status == 201
    wait_until(lambda: len(far.entries.get([KEY]).get(KEY, ())) == 3)
    those = [list(stored.pair) for stored in far.entries.get([KEY])[KEY]]
    assert those == [old(digest, n=number) for number in (2, 1, 0)]
    assert far.contents.open(Digest(digest)).read(0, 100_000) == SMALL
    wait_until(lambda: rows(near, "SELECT * FROM outgoing") == [])


# -- clients


def test_a_client_loses_nothing_when_it_is_gone(make_near, far, tmp_path):
    fill(far)
    near = make_near(far)
    options = options_for(near, far)
    for gone in (False, True):
        if gone:
            near.stop()
        folder = tmp_path / f"gone {gone}"
        folder.mkdir()
        with client_for(options=options) as client:
            assert fetched(client, folder) == DATA
        assert any(asked.method == "GET" for asked in far.requests) or not gone
    assert len(near.requests()) == 2
