"""Uploads refused before their body is read, and requests that are none."""

from __future__ import annotations

import re
import socket

import pytest
from wire import ask, dial, files, head, old, pairs, post, put, read_all, read_head, say

from slapos.networkcache import errors
from slapos.networkcache.digest import Digest
from slapos.networkcache.server.http.answers import refusal_of
from slapos.networkcache.storage.layers import ReadOnlyContents, ReadOnlyEntries
from slapos.networkcache.testing import NetworkCache


def refused_at_once(server, method, target, length, *lines):
    """The answer to a head alone, of whose body nothing is ever sent."""
    return say(server, head(method, target, f"Content-Length: {length}", *lines))


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["", "expect"])
def test_too_large_before_the_body(make_server, expect):
    server = make_server("--max-content-size", "1 KiB")
    reply = refused_at_once(server, "POST", "/shacache", 1025, *expect)
    assert (reply.status, reply.code) == (413, "too-large")
    assert ask(server, "POST", "/shacache", b"x" * 1024).status == 201


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["", "expect"])
def test_storage_full_before_the_body(make_server, expect):
    server = make_server("--max-content-size", "1000000 TiB")
    reply = refused_at_once(server, "POST", "/shacache", 10**17, *expect)
    assert (reply.status, reply.code) == (507, "storage-full")


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["", "expect"])
@pytest.mark.parametrize("target", ["/shacache/" + "0" * 128, "/shadir/x"])
def test_unauthorised_before_the_body(make_server, expect, target):
    server = make_server(anonymous=False)
    reply = refused_at_once(server, "PUT", target, 1000, *expect)
    assert (reply.status, reply.code) == (401, "unauthorized")
    assert ask(server, "POST", "/shacache", b"x").status == 401
    assert files(server.root) == []
    assert ask(server, "GET", "/shadir/x").status == 404


def test_too_large_in_chunks(make_server):
    server = make_server("--max-content-size", "1 MiB")
    chunks = (b"x" * 65536 for _ in range(32))
    with dial(server) as sock:
        sock.sendall(head("POST", "/shacache", "Transfer-Encoding: chunked"))
        for chunk in chunks:
            sock.sendall(b"10000\r\n" + chunk + b"\r\n")
        assert b"413" in read_head(sock).splitlines()[0]
    assert files(server.root) == []


def test_100_continue_comes_before_the_body_and_once(shared_server):
    with dial(shared_server) as sock:
        sock.sendall(head("POST", "/shacache", "Content-Length: 3", "Expect: 100-continue"))
        assert read_head(sock) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert read_head(sock).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize(
    "header",
    [
        "Origin: http://example.com",
        "Origin: null",
        "Via: 1.1 proxy",
        "Forwarded: for=10.0.0.1",
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Host: cache.example.com",
        "X-Forwarded-Proto: https",
        "X-Real-IP: 10.0.0.1",
    ],
)
@pytest.mark.parametrize("target", ["/shacache", "/shadir/x"])
def test_anonymous_upload_through_browser_or_proxy(shared_server, header, target):
    name, value = header.split(": ")
    method = "POST" if target == "/shacache" else "PUT"
    content = header.encode()
    reply = ask(shared_server, method, target, content, {name: value})
    assert (reply.status, reply.code) == (403, "forbidden")
    assert Digest.of(content).hex not in files(shared_server.root)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 201),
        ("LOCALHOST:8080", 201),
        ("127.1.2.3:1", 201),
        ("[::1]:8080", 201),
        ("example.com", 403),
        ("localhost.example.com", 403),
        ("127.0.0.1.example.com:80", 403),
        ("10.0.0.1", 403),
        ("", 403),
    ],
)
def test_anonymous_upload_needs_a_loopback_host(shared_server, host, status):
    lines = f"POST /shacache HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx"
    assert say(shared_server, lines.encode()).status == status


def test_nothing_redirects(shared_server):
    for target in ("/", "/shacache", "/shadir", "/shacache//", "/shadir/../", "//x", "/x"):
        reply = ask(shared_server, "GET", target)
        assert not 300 <= reply.status < 400
        assert "Location" not in reply.headers


def test_greeting_and_unknown_places(shared_server):
    greeting = ask(shared_server, "GET", "/")
    assert greeting.status == 200
    assert re.search(rb"network cache", greeting.body)
    for target in ("/nothing", "//shacache", "/shacache2/x", "/Shacache/x"):
        reply = ask(shared_server, "GET", target)
        assert (reply.status, reply.code) == (404, "not-found")
        assert b'"not-found"' in reply.body


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"POST /shacache HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /shacache HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=range(7),
)
def test_malformed_http(shared_server, data):
    with dial(shared_server) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = read_all(sock)
    assert re.match(rb"HTTP/\d\.\d 400 ", answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Networkcache-Error: bad-request" in head
    assert body == b""
    assert b"Traceback" not in shared_server.errors.read_bytes()


def test_stores_that_are_only_read():
    cache = NetworkCache()
    with cache:
        digest = post(cache, b"content")
        put(cache, "x", old(digest))
    only_read = NetworkCache()
    only_read.contents = ReadOnlyContents(cache.contents)
    only_read.entries = ReadOnlyEntries(cache.entries)
    with only_read:
        assert ask(only_read, "GET", f"/shacache/{digest}").body == b"content"
        assert pairs(only_read, "x") == [old(digest)]
        upload = ask(only_read, "POST", "/shacache", b"more")
        entry = put(only_read, "x", old(digest, n=2))
    for reply in (upload, entry):
        assert (reply.status, reply.code) == (403, "read-only")
        assert b"only read" in reply.body


def below(kind):
    """Every kind of an error, itself excepted, that our own code knows."""
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:
            yield from [one, *below(one)]


STORES_RAISE = [errors.NotFound, errors.WrongContent, *below(errors.StorageFailure)]


@pytest.mark.parametrize("kind", STORES_RAISE)
def test_what_a_store_raises_has_its_code(kind):
    assert refusal_of(kind("why")).code != errors.Code.INTERNAL
    assert str(refusal_of(kind("why"))) == "why"


def test_a_store_that_fails_in_another_way_is_our_own_fault():
    assert refusal_of(errors.StorageFailure("/srv/secret: I/O error")) is None
