"""A running server within its limits, and what goes while it serves."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from keeping import DAY, NOW, here, keep, keys, make_root, name
from processes import wait_until
from uploading import Uploader
from wire import TIMEOUT, ask, dial, files, head, old, ours, pairs, post, put, read_head

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.server.accounts.account import Account
from slapos.networkcache.server.accounts.authorisation import (
    CERTIFICATE_HEADER,
    SECRET_HEADER,
)
from slapos.networkcache.server.accounts.authority import FOLDER, Authority
from slapos.networkcache.server.accounts.rights import Right
from slapos.networkcache.server.accounts.store import Accounts
from slapos.networkcache.server.directory import named_content
from slapos.networkcache.server.space.collect import collect
from slapos.networkcache.server.space.pins import Pins
from slapos.networkcache.server.space.rules import Rules

MIB = 1 << 20
NOBODY: Mapping[str, str] = {}


def expecting(server, size: int | None, who: Mapping[str, str] = NOBODY) -> bytes:
    """What is answered to an upload of `size` bytes, or of nobody knows how many, that
    waits before it sends any; `who` are headers."""
    length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    lines = [f"{name}: {value}" for name, value in who.items()]
    with dial(server) as sock:
        sock.sendall(head("POST", "/shacache", length, "Expect: 100-continue", *lines))
        return read_head(sock)


def test_a_limit_to_the_byte(make_server):
    server = make_server("--max-size", "1 MiB")
    post(server, bytes(MIB - 10))
    assert b" 100 " in expecting(server, 10)
    answer = expecting(server, 11)
    assert b" 507 " in answer
    assert b"Networkcache-Error: storage-full" in answer
    digest = post(server, b"ten bytes!")
    assert b" 507 " in expecting(server, None)
    assert put(server, "key", ours("key", digest)).status == 201
    assert ask(server, "GET", f"/shacache/{digest}").body == b"ten bytes!"


def test_uploads_on_their_way_count_in_every_worker(make_server):
    server = make_server("--workers", "2", "--max-size", "10 MiB")
    with dial(server) as sock:
        sock.sendall(head("POST", "/shacache", f"Content-Length: {6 * MIB}") + b"some")
        wait_until(lambda: server_rows(server, "SELECT size FROM transfer") == [(6 * MIB,)])
        for _ in range(8):  # whichever worker takes them
            assert b" 507 " in expecting(server, 5 * MIB)
    wait_until(lambda: server_rows(server, "SELECT size FROM transfer") == [])
    assert b" 100 " in expecting(server, 5 * MIB)


# -- quotas


SECRET = "the secret of a server in front"


@pytest.fixture
def make_account(tmp_path):
    """Adds an account to a server's root: the headers of its requests, as a server in front
    of `with_accounts` sends them."""

    def make(root, name: str, quota: int) -> dict[str, str]:
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        issued = Authority(root.folder / FOLDER).issue(key, name, DAY, time.time())
        rights = (Right.parse("pypi"),)
        Accounts(root.database).add(Account(name, rights, quota), issued)
        return {SECRET_HEADER: SECRET, CERTIFICATE_HEADER: quote(issued.pem)}

    return make


@pytest.fixture
def with_accounts(make_server, tmp_path):
    """A server of two workers behind another one."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    return make_server("--workers", "2", "--proxy-secret-file", str(secret))


def upload(server, data, who, method="POST", target="/shacache"):
    reply = ask(server, method, target, data, who)
    return reply.code or reply.status


def pypi(digest, size) -> tuple[bytes, int]:
    """A pair for it, and how many bytes that has."""
    pair = ours(
        "pypi:a=1",
        digest,
        size=size,
        url="http://a.example/a-1.zip",
        basename="a-1.zip",
        name="a",
        version="1",
    )
    return json.dumps(pair).encode(), sum(map(len, pair))


def test_a_quota_is_kept_by_all_workers(with_accounts, make_account):
    server = with_accounts
    with closing(make_root(server.root)) as root:
        ann = make_account(root, "ann", 10_000)
        bob = make_account(root, "bob", 10_000)
        others = post(server, bytes(20_000))
        assert upload(server, bytes(20_000), ann, "PUT", f"/shacache/{others}") == 201
        assert upload(server, bytes(10_001), ann) == "quota"
        assert b"quota" in expecting(server, 10_001, ann)
        assert upload(server, bytes(9_000), ann) == 201
        assert upload(server, iter([bytes(900), bytes(101)]), ann) == "quota"
        pair, size = pypi(Digest.of(bytes(9_000)).hex, 9_000)
        assert upload(server, iter([b"1" * (1000 - size), b"2"]), ann) == 201
        assert upload(server, pair, ann, "PUT", "/shadir/pypi:a=1") == "quota"
        assert pairs(server, "pypi:a=1") == []
        (small,) = (k.digest for k in root.catalogue if k.size == 1001 - size)
        root.catalogue.remove([small])
        assert upload(server, iter([b"1" * (1000 - size)]), ann) == 201
        assert upload(server, pair, ann, "PUT", "/shadir/pypi:a=1") == 201
        # It is full, to the byte; what is there costs nothing again.
        assert b"quota" in expecting(server, None, ann)
        assert upload(server, pair, ann, "PUT", "/shadir/pypi:a=1") == 201
        there = f"/shacache/{Digest.of(bytes(9_000))}"
        assert upload(server, bytes(9_000), ann, "PUT", there) == 201
        assert upload(server, bytes(10_000), bob) == 201


def test_a_quota_counts_what_is_on_its_way(with_accounts, make_account):
    server = with_accounts
    with closing(make_root(server.root)) as root:
        ann = make_account(root, "ann", 10_000)
    lines = [f"{name}: {value}" for name, value in ann.items()]
    with dial(server) as sock:
        sock.sendall(head("POST", "/shacache", "Content-Length: 6000", *lines) + b"some")
        wait_until(lambda: server_rows(server, "SELECT size FROM transfer") == [(6000,)])
        for _ in range(8):  # whichever worker takes them
            assert b"quota" in expecting(server, 4001, ann)
        assert upload(server, bytes(4000), ann) == 201


def server_rows(server, question):
    with closing(sqlite3.connect(server.root / "entries.sqlite")) as database:
        return database.execute(question).fetchall()


def test_what_upstreams_gave_gives_way_to_an_upload(make_server, tmp_path):
    with closing(make_root(tmp_path / "root")) as root:
        put_here = keep(root, bytes(1000))
        fetched = [
            keep(root, bytes([n]) * 1000, fetched=True, used=NOW + n) for n in range(1, 9)
        ]
        name(root, "key", fetched[0])
    # An upstream that is away; what it gave stays for as long as there is room.
    far = ("http://127.0.0.1:9/shacache", "http://127.0.0.1:9/shadir")
    server = make_server(
        "--max-size",
        "9 KiB",
        "--upstream",
        *far,
        root=tmp_path / "root",
    )
    digest = post(server, os.urandom(2000))
    assert set(files(server.root)) == {
        each.hex for each in (put_here, *fetched[:1], *fetched[4:])
    } | {digest}
    assert b" 507 " in expecting(server, 8000)
    assert len(files(server.root)) == 7, "nothing goes in vain"


def test_a_proximity_cache_stays_within_its_limit(make_server, far):
    datas = [bytes([n]) * 3000 for n in range(6)]
    for data in datas:
        far.contents.put([data])
    server = make_server("--max-size", "10 KiB", "--upstream", far.cache_url, far.dir_url)
    for data in [*datas, *datas]:
        assert ask(server, "GET", f"/shacache/{Digest.of(data)}").body == data
    wait_until(lambda: Digest.of(datas[-1]).hex in files(server.root))
    assert len(files(server.root)) <= 3


def test_a_disk_that_is_to_stay_free_is_not_filled(make_server, tmp_path):
    """It takes nothing, and answers all that it has."""
    with closing(make_root(tmp_path / "root")) as root:
        digest = keep(root, b"content").hex
        name(root, "key", Digest(digest))
    server = make_server("--min-free", "1000000 TiB", root=tmp_path / "root")
    assert b" 507 " in expecting(server, 1)
    assert b" 507 " in expecting(server, None)
    reply = put(server, "other", old(digest))
    assert (reply.status, reply.code) == (507, "storage-full")
    assert ask(server, "GET", f"/shacache/{digest}").body == b"content"
    assert len(pairs(server, "key")) == 1


@pytest.fixture
def small_disk(make_server, tmp_path):
    """A server on a disk of 24 MiB, of which 12 are to stay free."""
    root = tmp_path / "disk"
    root.mkdir()
    mount = f'mount -t tmpfs -o size=24m none {root} && exec "$@"'
    wrap = ("unshare", "-rm", "sh", "-c", mount, "sh")
    if subprocess.run([*wrap, "true"], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root: run these tests with sudo")
    return make_server("--workers", "2", "--min-free", "12 MiB", root=root, wrap=wrap)


def test_a_disk_is_not_filled_by_many_at_once(small_disk):
    """By ones that say how long they are, and by ones that do not."""
    replies = []

    def upload(number):
        data = bytes([number]) * 3_000_000
        body = iter([data[n : n + 500_000] for n in range(0, len(data), 500_000)])
        replies.append(ask(small_disk, "POST", "/shacache", body if number % 2 else data))

    threads = [threading.Thread(target=upload, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    took = [reply for reply in replies if reply.status == 201]
    assert {reply.code for reply in replies if reply.status != 201} == {"storage-full"}
    assert 1 <= len(took) <= 4
    assert len(replies) >= 8


# -- going, while it serves


def test_it_collects_by_itself(make_server, tmp_path):
    with closing(make_root(tmp_path / "root")) as root:
        orphan = keep(root, b"orphan")
        name(root, "old", keep(root, b"old"))
        name(root, "new", keep(root, b"new"))
        make_old(root, "key = 'old'")
    server = make_server("--workers", "2", "--keep", "1 h", root=tmp_path / "root")
    wait_until(lambda: files(server.root) == [Digest.of(b"new").hex])
    assert pairs(server, "old") == []
    assert len(pairs(server, "new")) == 1
    assert ask(server, "GET", f"/shacache/{orphan}").status == 404


class Reader(threading.Thread):
    """Reads what `uploaders` put; `wrong` is what it was given that is not that."""

    def __init__(self, server, uploaders):
        super().__init__(daemon=True)
        self.wrong: list[str] = []
        self.count = 0
        self.stopping = False
        self._server = server
        self._uploaders = uploaders

    def run(self):
        while not self.stopping:
            for uploader in self._uploaders:
                for digest in list(uploader.contents)[-3:]:
                    self._read(digest)

    def _read(self, digest):
        reply = ask(self._server, "GET", f"/shacache/{digest}")
        if reply.status == 200:
            self.count += 1
            if Digest.of(reply.body).hex != digest:
                self.wrong.append(digest)
        elif reply.status != 404:
            self.wrong.append(f"{digest}: {reply.status}")


def test_deleting_is_safe_while_serving(make_server):
    """Contents go as soon as they are there, unless a pair is quicker, and pairs as soon as
    they are put, unless they are pinned. Whoever reads reads the whole; of what was
    acknowledged and pinned, all is there in the end."""
    server = make_server("--workers", "2")
    uploaders = [Uploader(server, f"{n}", f"key{n}") for n in range(3)]
    pinned = uploaders[:2]
    readers = [Reader(server, uploaders) for _ in range(2)]
    gone = 0
    with closing(make_root(server.root)) as root:
        Pins(root.database).add([Key(uploader.key) for uploader in pinned])
        for thread in (*uploaders, *readers):
            thread.start()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            rules = Rules(keep=DAY, origin=True)
            collected = collect(root, rules, now=time.time() + 2 * DAY)
            gone += sum(total.count for total in collected.sums.values())
        for uploader in uploaders:
            uploader.stop()
        for reader in readers:
            reader.stopping = True
            reader.join(TIMEOUT)
        assert [reader.wrong for reader in readers] == [[], []]
        refused = {r.code for uploader in uploaders for r in uploader.refusals}
        assert refused <= {"missing-content", "busy"}
        left = check_named(root)
        held = sum(known.size for known in root.catalogue)
        assert root.catalogue.transfers.bytes_held() == held
        assert len(here(root)) >= left
    for uploader in pinned:
        there = pairs(server, uploader.key)
        assert all(pair in there for pair in uploader.pairs)
        assert uploader.pairs
    assert gone
    assert sum(reader.count for reader in readers)


def check_named(root) -> int:
    """How many pairs there are, after a look at the content of each."""
    count = 0
    for key in root.entries:
        for stored in root.entries.get([key])[key]:
            digest = named_content(stored)
            with root.contents.open(digest) as content:
                assert Digest.of(b"".join(content.pieces())) == digest
            count += 1
    return count


# -- kill -9


@pytest.fixture(scope="module")
def old_root(tmp_path_factory):
    """A hundred old pairs and their contents, some of them pinned, and as many without a
    pair, to be copied; and the pinned keys."""
    folder = tmp_path_factory.mktemp("old") / "root"
    with closing(make_root(folder)) as root:
        digests = [keep(root, b"%d" % n) for n in range(240)]
        for n in range(0, 240, 2):
            name(root, f"key{n % 48}", digests[n])
        pinned = [Key(f"key{n}") for n in range(0, 48, 8)]
        Pins(root.database).add(pinned)
        make_old(root)
    return folder, {key.text for key in pinned}


def make_old(root, where: str = "1") -> None:
    """Nobody has put or used anything for years, but for pairs not meant by `where`."""

    def change(connection) -> None:
        connection.execute("UPDATE content SET used = 1, stored = 1")
        connection.execute(f"UPDATE entry SET put = 1 WHERE {where}")

    root.database.change(change)


def start_collecting(folder) -> subprocess.Popen:
    command = [sys.executable, "-u", "-m", "slapos.networkcache", "server", "collect"]
    command += ["--root", str(folder), "--keep", "1 h", "--list"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_while_collecting(old_root, folder, chance, times) -> None:
    template, pinned = old_root
    for _ in range(times):
        if not folder.exists():
            shutil.copytree(template, folder)
        with start_collecting(folder) as process:
            # At any time, or just when something has gone.
            lines = chance.choice([0, 0, 0, 1, 90, 150, 250])
            for _ in range(lines):
                process.stdout.readline()
            time.sleep(chance.uniform(0, 0.02) if lines else chance.uniform(0.2, 1))
            process.kill()
            process.wait(TIMEOUT)
        with closing(make_root(folder)) as root:
            check_named(root)
            assert pinned <= keys(root)
        if process.returncode == 0:
            shutil.rmtree(folder)
    if not folder.exists():
        shutil.copytree(template, folder)
    with start_collecting(folder) as process:
        process.stdout.read()
    assert process.returncode == 0
    with closing(make_root(folder)) as root:
        assert keys(root) == pinned
        assert len(here(root)) == check_named(root)
        (held,) = root.database.rows("SELECT sum(contents) FROM held")
        assert held == (len(here(root)),)


def test_killed_while_collecting(old_root, tmp_path):
    kill_while_collecting(old_root, tmp_path / "root", random.Random(4), 3)


@pytest.mark.long
def test_killed_fifty_times_while_collecting(old_root, tmp_path):
    kill_while_collecting(old_root, tmp_path / "root", random.Random(5), 50)
