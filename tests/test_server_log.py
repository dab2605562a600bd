"""The access log, and what goes to standard error."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout

import pytest
from wire import TIMEOUT, ask, dial, post, read_all

from slapos.networkcache.server.http import access_log
from slapos.networkcache.server.http.access_log import AccessLog, Line
from slapos.networkcache.testing.running import in_threads


def test_every_request_has_its_line(server):
    digest = post(server, b"content")
    ask(server, "GET", f"/shacache/{digest}", None, {"Range": "bytes=1-2"})
    ask(server, "HEAD", f"/shacache/{digest}", None, {"User-Agent": "me/1.0"})
    ask(server, "GET", "/shadir/none")
    lines = server.requests(4)
    shown = [
        [line[name] for name in ("method", "status", "error", "received", "sent", "cut")]
        for line in lines
    ]
    assert shown == [
        ["POST", 201, None, 7, 128, False],
        ["GET", 206, None, 0, 2, False],
        ["HEAD", 200, None, 0, 0, False],
        ["GET", 404, "not-found", 0, lines[3]["sent"], False],
    ]
    assert lines[3]["sent"] > 0
    assert lines[2]["agent"] == "me/1.0"
    assert {line["remote"] for line in lines} == {"127.0.0.1"}
    assert all(abs(line["time"] - time.time()) < 600 for line in lines)
    assert all(0 <= line["seconds"] < 600 for line in lines)


def test_wire_text_is_escaped(server):
    hostile = 'x"\\<b>%1b[31m\u202e\u00e9'.encode()
    request = b"GET /shadir/%s HTTP/1.1\r\nHost: x\r\nUser-Agent: %s\t\x9b\r\n" % (
        b"a%0a%1b[31m",
        hostile,
    )
    with dial(server) as sock:
        sock.sendall(request + b"Connection: close\r\n\r\n")
        read_all(sock)
    [line] = server.requests(1)
    text = server.log.read_bytes()
    assert text.endswith(b"\n")
    assert all(32 <= byte < 127 for byte in text[:-1])
    assert line["agent"].isascii()
    assert line["agent"].isprintable()
    assert "\\u202e" in line["agent"]
    assert line["path"] == "/shadir/a%0a%1b[31m"


def test_log_goes_to_standard_error_by_default(tmp_path):
    program = [sys.executable, "-m", "slapos.networkcache", "server", "run"]
    process = subprocess.Popen(
        [*program, "--root", tmp_path / "root", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        url = process.stdout.readline().split()[-1]
        connection = http.client.HTTPConnection(url.partition("//")[2], timeout=TIMEOUT)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        process.terminate()
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert json.loads(log)["path"] == "/"


def test_faults_of_the_disk_are_told_to_us_and_not_to_the_client(server):
    digest = post(server, b"content")
    [path] = (server.root / "v1").rglob(digest)
    path.unlink()
    path.mkdir()
    reply = ask(server, "GET", f"/shacache/{digest}")
    assert (reply.status, reply.code, reply.body) == (500, "internal", b"")
    [line] = server.errors.read_text().splitlines()
    assert line.endswith(f"{digest}: Is a directory")
    assert server.requests(2)[-1]["error"] == "internal"
    assert post(server, b"next")


# -- the log by itself, written to a pipe


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    with open(reader, "rb") as taken:
        yield taken, writer


def line(path):
    return Line("127.0.0.1", "GET", path, 200, None, False, 0, 0, 0.001, "me/1.0")


def lost(said):
    """How many lines standard error says are lost."""
    counts = re.findall(r"^(\d+) lines of the access log are lost$", said, re.MULTILINE)
    return sum(map(int, counts))


def fill(log, taken):
    """Add more than a pipe holds, and wait for the write that hangs on it; how many."""
    for number in range(1000):
        log.add(line(f"/first/{number}"))
    assert select.select([taken], [], [], TIMEOUT)[0]
    return 1000


def test_every_line_of_many_threads_is_written_or_counted(pipe, capfd, monkeypatch):
    taken, writer = pipe
    monkeypatch.setattr(access_log, "EVERY", 0)
    monkeypatch.setattr(access_log, "LIMIT", 300)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    log = AccessLog(writer)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(taken.readlines)
        try:
            in_threads(
                8, lambda n: [log.add(line(f"/{n}/{place}")) for place in range(2000)]
            )
        finally:
            sys.setswitchinterval(before)
            log.close()
            os.close(writer)
        written = [json.loads(text)["path"] for text in reading.result(TIMEOUT)]
    assert len(set(written)) == len(written) > 0
    assert len(written) + lost(capfd.readouterr().err) == 16_000


def test_what_comes_during_the_last_write_is_written(pipe):
    taken, writer = pipe
    log = AccessLog(writer)
    fill(log, taken)
    log.add(line("/last"))
    with ThreadPoolExecutor(2) as pool:
        closing = pool.submit(log.close)
        with pytest.raises(FutureTimeout):  # it waits for the write, which hangs
            closing.result(0.3)
        reading = pool.submit(taken.readlines)
        closing.result(TIMEOUT)
        os.close(writer)
        written = reading.result(TIMEOUT)
    assert len(written) == 1001
    assert json.loads(written[-1])["path"] == "/last"


def test_what_nobody_reads_is_counted(pipe, capfd, monkeypatch):
    taken, writer = pipe
    monkeypatch.setattr(access_log, "PATIENCE", 0.1)
    log = AccessLog(writer)
    count = fill(log, taken)
    log.add(line("/last"))
    log.close()
    assert lost(capfd.readouterr().err) == count + 1
    taken.close()  # lets go of the thread
    os.close(writer)


def test_what_was_written_before_a_fault_is_not_counted(pipe, capfd):
    taken, writer = pipe
    log = AccessLog(writer)
    count = fill(log, taken)
    written = 0
    while written < 10:
        written += taken.readline().endswith(b"\n")
    taken.close()
    log.close()
    os.close(writer)
    said = capfd.readouterr().err
    assert "cannot be written" in said
    assert 0 < lost(said) < count


def test_standard_error_that_nobody_reads_does_not_keep_the_server(tmp_path):
    program = (
        "from slapos.networkcache.server.http import access_log as a\n"
        "a.PATIENCE = 0.1\n"
        "log = a.AccessLog(2)\n"
        "for n in range(1000):\n"
        "    log.add(a.Line('', 'GET', f'/{n}', 200, None, False, 0, 0, 0, ''))\n"
        "log.close()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    with process.stderr:
        assert process.wait(TIMEOUT) == 0
