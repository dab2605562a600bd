"""``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
import sqlite3
import time
from contextlib import closing

import pytest
from keeping import damage, make_root
from prometheus_client.parser import text_string_to_metric_families
from wire import ABSENT, TIMEOUT, ask, ours, post, put

from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.server.monitoring import health
from slapos.networkcache.server.monitoring.health import Health, Readiness
from slapos.networkcache.server.threads import Threads
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.database import Database
from slapos.networkcache.storage.memory import MemoryContents

FAR = {"X-Forwarded-For": "192.0.2.1"}


def write(server, statement, *parameters):
    """In the database of a server, whether it runs or not."""
    database = sqlite3.connect(server.root / "entries.sqlite", timeout=TIMEOUT)
    with database:
        database.execute(statement, parameters)
    database.close()


def samples(text):
    """The numbers by name, and by label where there is one."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[sample.name.removeprefix("networkcache_"), labels] = sample.value
    return found


def metrics(server, headers=None):
    reply = ask(server, "GET", "/metrics", None, headers)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(reply.body.decode())


def test_what_happened_is_counted_and_kept(make_server):
    server = make_server("--workers", "2")
    digest = post(server, b"content")
    put(server, "pypi:a=1", ours("pypi:a=1", digest))
    for _ in range(3):
        ask(server, "GET", f"/shacache/{digest}")
    ask(server, "GET", f"/shacache/{ABSENT}")
    ask(server, "GET", "/shadir/pypi:a=1")
    ask(server, "PUT", "/shadir/pypi:a=1", b"nonsense")
    server.stop()
    server.start()
    found = metrics(server)
    assert found["contents_served_total", "hit"] == 3
    assert found["contents_served_total", "miss"] == 1
    assert found["keys_looked_up_total", "hit"] == 1
    assert found["uploads_total", "content"] == 1
    assert found["uploads_total", "entry"] == 1
    assert found["refused_total", "not-found"] == 1
    assert found["refused_total", "bad-entry"] == 1
    assert found["received_bytes_total", ""] > len(b"content")
    assert found["contents", ""] == 1
    assert found["contents_bytes", ""] == 7
    assert found["entries", ""] == 1
    assert 0 <= found["oldest_use_age_seconds", ""] < 600
    assert 0 < found["disk_free_bytes", ""] <= found["disk_total_bytes", ""]


def test_every_worker_gives_the_same_numbers(make_server):
    server = make_server("--workers", "2")
    for name, value in (("content-hits", 1000), ("refused:quota", 2000)):
        write(server, "INSERT INTO counter VALUES (?, ?)", name, value)
    # A connection stays with its worker: of twenty, each has some.
    connections = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(20)]
    answers = set()
    for connection in connections:
        found = samples(ask(server, "GET", "/metrics", connection=connection).body.decode())
        answers.add(
            (found["contents_served_total", "hit"], found["refused_total", "quota"])
        )
    for connection in connections:
        connection.close()
    assert answers == {(1000, 2000)}


CHECK = {"contents": 9, "bad_count": 2, "missing_count": 0, "bad": [], "finished": True}


@pytest.fixture(scope="module")
def busy(make_shared_server, tmp_path_factory):
    """A server with an account, upstreams, pairs on their way and a check; also behind a
    Unix socket."""
    path = tmp_path_factory.mktemp("socket") / "s"
    urls = [f"http://127.0.0.1:9/{name}" for name in ("c1", "d1", "c2", "d2")]
    upstreams = ["--upstream", *urls[:2], "--upstream", *urls[2:]]
    server = make_shared_server("--socket", path, "--port", "0", *upstreams)
    server.unix = path
    write(server, "INSERT INTO held VALUES (?, 0, 1, 5000)", 'a"b\\c\nd')
    write(
        server,
        "INSERT INTO upstream (name, state, since, until, pause, error)"
        " VALUES (?, 'lying', 1, 2, 3, '')",
        urls[3],
    )
    write(server, "INSERT INTO counter VALUES ('upstream-failed:2', 7)")
    write(
        server,
        "INSERT INTO outgoing (key, entry, signature, since, tries)"
        " VALUES ('k', '', '', 1, 1)",
    )
    write(
        server,
        "INSERT INTO inspection (began, ended, found) VALUES (1, 1700000000, ?)",
        json.dumps(CHECK),
    )
    return server


def test_upstreams_and_checks(busy):
    found = metrics(busy)
    assert found["upstream_state", "well,1"] == 1
    assert found["upstream_state", "lying,2"] == 1
    assert found["upstream_failures_total", "2"] == 7
    assert found["outgoing_entries", ""] == found["outgoing_entries_failed", ""] == 1
    assert found["check_end_seconds", ""] == 1700000000
    assert found["check_found", "bad_count"] == 2
    assert found["check_found", "contents"] == 9
    assert ("check_found", "finished") not in found


def over_socket(path, target, *lines):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(str(path))
        head = [f"GET {target} HTTP/1.1", "Host: localhost", "Connection: close", *lines]
        sock.sendall("\r\n".join([*head, "", ""]).encode())
        return b"".join(iter(lambda: sock.recv(1 << 16), b"")).decode()


def test_accounts_are_named_to_who_is_near(busy):
    near = metrics(busy)
    assert near["account_bytes", 'a"b\\c\nd'] == 5000
    for headers in (FAR, {"Via": "1.1 proxy"}, {"Host": "cache.example.com"}):
        far = metrics(busy, headers)
        assert far["contents_bytes", ""] == near["contents_bytes", ""]
        assert not [name for name, label in far if name == "account_bytes"]
    # Behind a socket is a server in front, and everybody.
    text = over_socket(busy.unix, "/metrics")
    assert "networkcache_contents_bytes 5000.0" in text
    assert "account" not in text


def test_an_operator_names_accounts_to_everybody(make_server):
    server = make_server("--show-names")
    write(server, "INSERT INTO held VALUES ('somebody', 0, 1, 5000)")
    assert metrics(server, FAR)["account_bytes", "somebody"] == 5000


# -- health


def wait_for(server, target, status):
    """Ask until the answer has that status: a trial counts for a second."""
    end = time.monotonic() + TIMEOUT
    while (reply := ask(server, "GET", target)).status != status:
        assert time.monotonic() < end, reply
        time.sleep(0.05)
    return reply


def test_healthy_is_who_can_write(server):
    assert ask(server, "GET", "/healthz").body == b"ok\n"
    temporary = server.root / "v1" / "tmp"
    shutil.rmtree(temporary)
    reply = wait_for(server, "/healthz", 503)
    assert str(temporary) in reply.body.decode()
    assert reply.headers["Cache-Control"] == "no-store"
    temporary.mkdir()
    wait_for(server, "/healthz", 200)
    assert not list(temporary.iterdir())


def test_a_damaged_database_is_not_healthy(make_server, tmp_path):
    with closing(make_root(tmp_path / "root")) as root:
        digest = root.contents.put([b"content"])
        root.catalogue.store(digest, 7)
        root.entries.put(Key("key:a"), Stored(Pair(*ours("key:a", digest.hex))), digest)
    damage(tmp_path / "root")
    server = make_server(root=tmp_path / "root")
    assert ask(server, "GET", "/healthz").body == b"ok\n"
    assert ask(server, "GET", "/shadir/key:a").status >= 500
    reply = wait_for(server, "/healthz", 503)
    assert b"it is damaged, restore it from a backup" in reply.body


def test_ready_is_who_can_read(server):
    assert ask(server, "GET", "/readyz").body == b"ok\n"
    assert ask(server, "HEAD", "/readyz").status == 200
    assert ask(server, "POST", "/readyz", b"").status == 405


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "entries.sqlite")
    yield database
    database.close()


@pytest.fixture
def threads():
    threads = Threads()
    yield threads
    threads.close()


def trials(database):
    return database.rows("SELECT value FROM counter WHERE name = 'health-trials'")


def test_however_many_ask_it_is_one_trial(database, threads):
    async def ask_often():
        service = Health(MemoryContents(), database, threads)
        answers = await asyncio.gather(*(service.answer(None, None) for _ in range(50)))
        return [*answers, await service.answer(None, None)]

    assert {answer.status for answer in asyncio.run(ask_often())} == {200}
    assert trials(database) == [(1,)]


def test_a_database_that_is_locked(database, threads, monkeypatch):
    monkeypatch.setattr(health, "PATIENCE", 0.1)
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def ask_and_unlock():
        service = Health(MemoryContents(), database, threads)
        locked = await service.answer(None, None)
        other.execute("ROLLBACK")
        monkeypatch.setattr(health, "PATIENCE", TIMEOUT)
        return locked, await service.answer(None, None)

    locked, after = asyncio.run(ask_and_unlock())
    other.close()
    assert (locked.status, after.status) == (503, 200)
    assert b"longer" in locked.body
    assert trials(database) == [(1,)]


def test_a_database_that_is_damaged(database, threads):
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    with open(database.path, "r+b") as file:
        file.write(b"nonsense" * 1000)
    answer = asyncio.run(Readiness(database, threads, lambda: False).answer(None, None))
    assert answer.status == 503
    assert database.path.encode() in answer.body


def test_who_is_about_to_end_is_not_ready(database, threads):
    service = Readiness(database, threads, lambda: draining)
    draining = False
    assert asyncio.run(service.answer(None, None)).status == 200
    draining = True
    assert asyncio.run(service.answer(None, None)).status == 503
