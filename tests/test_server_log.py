"""The access log, and what goes to standard error."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time

from wire import TIMEOUT, ask, dial, post, read_all


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


def test_our_own_faults_are_told_to_us_and_not_to_the_client(server):
    digest = post(server, b"content")
    [path] = (server.root / "v1").rglob(digest)
    path.unlink()
    path.mkdir()
    reply = ask(server, "GET", f"/shacache/{digest}")
    assert (reply.status, reply.code, reply.body) == (500, "internal", b"")
    assert "Traceback" in server.errors.read_text()
    assert server.requests(2)[-1]["error"] == "internal"
    assert post(server, b"next")
