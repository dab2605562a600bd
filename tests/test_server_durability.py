"""What was answered ``201`` is there, whatever happens; what was not leaves nothing."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from uploading import Uploader, check_kept
from wire import (
    TIMEOUT,
    ask,
    connect,
    dial,
    files,
    head,
    old,
    pairs,
    post,
    put,
    read_head,
)

ROUNDS = 5


def test_kill_9_at_many_moments(server):
    chance = random.Random(7)
    right: set[str] = set()
    for number in range(ROUNDS):
        uploaders = [Uploader(server, f"{number} {n}") for n in range(4)]
        for uploader in uploaders:
            uploader.start()
        time.sleep(chance.uniform(0.02, 0.4))
        server.kill()
        for uploader in uploaders:
            uploader.stop()
        server.start()
        check_kept(server, uploaders, right)
    assert pairs(server, "key"), "nothing was put at all: the test tested nothing"


# -- the order of system calls

CALLS = "fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg"
_CALL = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")


def traced(text):
    """The calls of a trace as ``name(arguments)``: a reply when it begins, the others
    when they have ended well."""
    begun = {}
    for line in text.splitlines():
        match = _CALL.match(line)
        if not match:
            continue
        thread, name, arguments, resumed, rest = match.groups()
        if name and name.startswith("send"):
            yield f"{name}({arguments}"
        elif name and "<unfinished" in arguments:
            begun[thread] = arguments.partition("<unfinished")[0]
        elif name and arguments.endswith("= 0"):
            yield f"{name}({arguments}"
        elif resumed and not resumed.startswith("send") and rest.endswith("= 0"):
            yield f"{resumed}({begun.pop(thread)}{rest}"


@pytest.fixture
def trace(make_server, tmp_path):
    """A server under strace, and the file of the trace."""
    strace = shutil.which("strace")
    if not strace or subprocess.run([strace, "-qq", "-o", "/dev/null", "true"]).returncode:
        pytest.skip("strace is missing, or may not trace here")
    file = tmp_path / "trace"
    how = (strace, "-D", "-f", "-y", "-s", "200", "-e", f"trace={CALLS}", "-o", str(file))
    return make_server(wrap=how), file


def place(calls, *words):
    """The first call with all `words`."""
    for number, call in enumerate(calls):
        if all(word in call for word in words):
            return number
    raise AssertionError(f"no call with {words} in\n" + "\n".join(calls))


def calls_of(file, before, answers=1):
    """What was traced since `before` bytes, up to so many replies."""
    end = time.monotonic() + TIMEOUT
    while True:
        calls = list(traced(file.read_text()[before:]))
        if sum("HTTP/1.1 201" in call for call in calls) >= answers:
            return calls
        assert time.monotonic() < end
        time.sleep(0.02)


def test_upload_is_synced_renamed_and_synced_before_the_answer(trace):
    server, file = trace
    before = len(file.read_text())
    digest = post(server, b"content")
    calls = calls_of(file, before)
    shard = f"/v1/{digest[:2]}/{digest[2:4]}"
    order = [
        place(calls, "sync(", "/v1/tmp/"),
        place(calls, "rename", "/v1/tmp/", f"{shard}/{digest}"),
        place(calls, "fsync(", f"{shard}>"),
        place(calls, "send", "HTTP/1.1 201"),
    ]
    assert order == sorted(order), calls
    parent = place(calls, "fsync(", f"/v1/{digest[:2]}>")
    assert parent < order[-1]


def test_put_is_committed_before_the_answer(trace):
    server, file = trace
    digest = post(server, b"content")
    # The first commit begins the log of SQLite, which is synced in any case.
    assert put(server, "key", old(digest)).status == 201
    calls_of(file, 0, answers=2)
    before = len(file.read_text())
    assert put(server, "key", old(digest, n=2)).status == 201
    calls = calls_of(file, before)
    synced = place(calls, "sync(", "entries.sqlite-wal")
    assert synced < place(calls, "send", "HTTP/1.1 201")


# -- a full disk


@pytest.fixture
def small_disk(make_server, tmp_path):
    """A server on a disk of 8 MiB."""
    root = tmp_path / "disk"
    root.mkdir()
    probe = ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs none {root}"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    mount = f'mount -t tmpfs -o size=8m none {root} && exec "$@"'
    wrap = ("unshare", "-rm", "sh", "-c", mount, "sh")
    return make_server("--min-free", "0 KiB", root=root, wrap=wrap)


def test_full_disk(small_disk):
    server = small_disk
    assert files(server.root) == [], "it is seen by the server alone"
    kept = os.urandom(1_000_000)
    digest = post(server, kept)
    reply = ask(server, "POST", "/shacache", os.urandom(20_000_000))
    assert (reply.status, reply.code) == (507, "storage-full")
    for _ in range(3):  # what was half-written would fill it by and by
        with dial(server) as sock:
            sock.sendall(head("POST", "/shacache", "Transfer-Encoding: chunked"))
            try:
                for _ in range(20):
                    sock.sendall(b"100000\r\n" + os.urandom(1 << 20) + b"\r\n")
            except ConnectionError:
                pass
            assert b"507" in read_head(sock).splitlines()[0]
    assert ask(server, "GET", f"/shacache/{digest}").body == kept
    assert put(server, "key", old(digest)).status == 201
    assert post(server, os.urandom(3_000_000))


def test_entries_on_a_full_disk(small_disk):
    server = small_disk
    digest = post(server, b"content")
    connection = connect(server)
    put_ = []
    for number in range(1000):
        pair = old(digest, n=number, x="x" * 60_000)
        reply = put(server, f"key{number}", pair, connection)
        if reply.status != 201:
            break
        put_.append((f"key{number}", pair))
    assert (reply.status, reply.code) == (507, "storage-full")
    assert json.loads(reply.body)["error"] == "storage-full"
    for key, pair in put_:
        assert pairs(server, key) == [pair]
    assert pairs(server, f"key{number}") == []


def test_memory_stays_flat(server):
    """64 MiB up and down: nothing like that is held."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    before = peak(server)
    data = os.urandom(64 << 20)
    digest = post(server, data)
    assert ask(server, "GET", f"/shacache/{digest}").body == data
    assert peak(server) - before < 32 << 20


def peak(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10
