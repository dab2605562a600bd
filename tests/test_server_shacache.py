"""Contents on the wire: uploads are named by their digest, reads may ask for a range."""

from __future__ import annotations

import os
import socket

import pytest
from wire import ask, connect, dial, files, head, post, put, read_all, read_head, say

from slapos.networkcache.digest import Digest

SMALL = b"0123456789" * 100
LARGE = os.urandom(700_000)


@pytest.mark.parametrize("data", [b"", b"x", SMALL, LARGE], ids=len)
@pytest.mark.parametrize("target", ["/shacache", "/shacache/", "/shacache?x=1"])
def test_post_answers_the_digest_and_nothing_else(shared_server, target, data):
    reply = ask(shared_server, "POST", target, data)
    assert (reply.status, reply.body) == (201, Digest.of(data).hex.encode())
    assert ask(shared_server, "GET", f"/shacache/{Digest.of(data)}").body == data


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_get_has_all_its_headers(shared_server, data):
    digest = post(shared_server, data)
    reply = ask(shared_server, "GET", f"/shacache/{digest}")
    assert (reply.status, reply.body) == (200, data)
    expected = {
        "Content-Length": str(len(data)),
        "Accept-Ranges": "bytes",
        "ETag": f'"{digest}"',
        "Cache-Control": "public, max-age=31536000, immutable, no-transform",
        "Content-Type": "application/octet-stream",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": "attachment",
    }
    assert {name: reply.headers[name] for name in expected} == expected
    same = ask(shared_server, "HEAD", f"/shacache/{digest}")
    assert (same.status, same.body) == (200, b"")
    assert {name: same.headers[name] for name in expected} == expected


def test_digest_in_either_case_and_queries_are_ignored(shared_server):
    digest = post(shared_server, SMALL)
    assert ask(shared_server, "GET", f"/shacache/{digest.upper()}").body == SMALL
    assert ask(shared_server, "GET", f"/shacache/{digest}?a=/../b&c").body == SMALL
    assert ask(shared_server, "PUT", f"/shacache/{digest}?x", SMALL).status == 201
    assert say(shared_server, head("GET", f"http://h/shacache/{digest}")).body == SMALL


def test_put_with_its_digest(shared_server):
    digest = Digest.of(LARGE).hex
    for _ in range(2):
        reply = ask(shared_server, "PUT", f"/shacache/{digest}", LARGE)
        assert (reply.status, reply.body) == (201, digest.encode())
    assert ask(shared_server, "GET", f"/shacache/{digest}").body == LARGE


def test_put_of_other_bytes_is_refused_and_nothing_is_kept(server):
    other = Digest.of(b"other").hex
    reply = ask(server, "PUT", f"/shacache/{other}", LARGE)
    assert (reply.status, reply.code) == (400, "bad-digest")
    assert ask(server, "GET", f"/shacache/{other}").status == 404
    assert files(server.root) == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0-0", 0, 1),
        ("5-", 5, None),
        ("2-7", 2, 8),
        ("-3", -3, None),
        ("3-99999999", 3, None),
        ("-99999999", 0, None),
    ],
)
def test_one_range(shared_server, data, asked, start, stop):
    reply = ask(
        shared_server, "GET", f"/shacache/{post(shared_server, data)}", None, ranges(asked)
    )
    expected = data[start:stop]
    first = start % len(data)
    assert (reply.status, reply.body) == (206, expected)
    assert reply.headers["Content-Length"] == str(len(expected))
    last = first + len(expected) - 1
    assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{len(data)}"


def ranges(asked):
    return {"Range": f"bytes={asked}"}


@pytest.mark.parametrize("asked", ["0-1,4-5", "7-3", "x-y", "-", ""])
def test_several_ranges_and_nonsense_are_ignored(shared_server, asked):
    reply = ask(
        shared_server, "GET", f"/shacache/{post(shared_server, SMALL)}", None, ranges(asked)
    )
    assert (reply.status, reply.body) == (200, SMALL)


@pytest.mark.parametrize("asked", ["1000-", "1000-1001", "-0"])
def test_range_beyond_the_end(shared_server, asked):
    reply = ask(
        shared_server, "GET", f"/shacache/{post(shared_server, SMALL)}", None, ranges(asked)
    )
    assert (reply.status, reply.code, reply.body) == (416, "bad-range", b"")
    assert reply.headers["Content-Range"] == f"bytes */{len(SMALL)}"
    assert reply.headers["Content-Length"] == "0"
    assert reply.headers["Accept-Ranges"] == "bytes"


def test_empty_content_has_no_range(shared_server):
    reply = ask(
        shared_server, "GET", f"/shacache/{post(shared_server, b'')}", None, ranges("0-")
    )
    assert (reply.status, reply.headers["Content-Range"]) == (416, "bytes */0")


def test_head_ignores_a_range(shared_server):
    reply = ask(
        shared_server,
        "HEAD",
        f"/shacache/{post(shared_server, SMALL)}",
        None,
        ranges("0-1"),
    )
    assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(SMALL)))


def test_if_range(shared_server):
    digest = post(shared_server, SMALL)
    for etag, status in [(f'"{digest}"', 206), ('"x"', 200), (f'W/"{digest}"', 200)]:
        how = {**ranges("0-1"), "If-Range": etag}
        assert ask(shared_server, "GET", f"/shacache/{digest}", None, how).status == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_if_none_match(shared_server, method, data):
    digest = post(shared_server, data)
    for etag in (f'"{digest}"', f'"x", W/"{digest}"', "*"):
        reply = ask(
            shared_server, method, f"/shacache/{digest}", None, {"If-None-Match": etag}
        )
        assert (reply.status, reply.body) == (304, b"")
        assert reply.headers["ETag"] == f'"{digest}"'
        assert "max-age=31536000" in reply.headers["Cache-Control"]
    reply = ask(
        shared_server, method, f"/shacache/{digest}", None, {"If-None-Match": '"x"'}
    )
    assert reply.status == 200
    unknown = ask(
        shared_server, method, "/shacache/" + "0" * 128, None, {"If-None-Match": "*"}
    )
    assert unknown.status == 404


BAD = [
    "0" * 128,
    "0" * 127,
    "0" * 129,
    "g" * 128,
    "..",
    "../shadir/x",
    "%30" * 128,
    "a/b",
    "%00",
    "%C3%A9" * 64,
    "0" * 6000,
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
def test_refused_reads_have_no_body_and_are_not_remembered(shared_server, method, name):
    target = f"/shacache/{name}".encode().decode("latin-1")
    reply = say(shared_server, head(method, target, "Connection: close"))
    expected = (404, "not-found") if name == "0" * 128 else (400, "bad-digest")
    assert (reply.status, reply.code, reply.body) == (*expected, b"")
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Content-Length"] == "0"
    assert reply.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("GET", "/shacache", "POST"),
        ("HEAD", "/shacache/", "POST"),
        ("PUT", "/shacache/", "POST"),
        ("POST", "/shacache/" + "0" * 128, "GET, HEAD, PUT"),
        ("DELETE", "/shacache/" + "0" * 128, "GET, HEAD, PUT"),
        ("OPTIONS", "/shacache/x", "GET, HEAD, PUT"),
    ],
)
def test_other_methods(shared_server, method, target, allowed):
    reply = ask(shared_server, method, target)
    assert (reply.status, reply.code) == (405, "bad-method")
    assert reply.headers["Allow"] == allowed
    assert (reply.body == b"") == (method in ("GET", "HEAD"))


def test_chunked_body(shared_server):
    chunks = iter([b"one", b"two" * 100_000, b"three"])
    data = b"one" + b"two" * 100_000 + b"three"
    reply = ask(shared_server, "POST", "/shacache", chunks)
    assert (reply.status, reply.body) == (201, Digest.of(data).hex.encode())
    assert ask(shared_server, "GET", f"/shacache/{Digest.of(data)}").body == data


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "later"])
def test_malformed_chunk_leaves_nothing(server, apart):
    expect = ["Expect: 100-continue"] if apart else []
    lines = head("POST", "/shacache", "Transfer-Encoding: chunked", *expect)
    body = b"3\r\nabc\r\nzz\r\n"
    with dial(server) as sock:
        sock.sendall(lines if apart else lines + body)
        if apart:
            read_head(sock)
            sock.sendall(body)
        assert b"Networkcache-Error: bad-request" in read_head(sock)
    assert files(server.root) == []
    assert server.errors.read_text() == ""


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_body_that_ends_early_leaves_nothing(server, framing):
    body = b"3e8\r\nabc" if "chunked" in framing else b"abc"
    reply = say(server, head("POST", "/shacache", framing) + body, shut=True)
    assert (reply.status, reply.code) == (400, "bad-request")
    assert files(server.root) == []


def test_connection_lost_in_the_body_leaves_nothing(server):
    with dial(server) as sock:
        sock.sendall(
            head("POST", "/shacache", "Content-Length: 3000000") + b"a" * 2_000_000
        )
    assert server.requests(1)[0]["cut"] in (True, False)
    assert files(server.root) == []
    assert post(server, b"next")


def test_more_than_announced_is_no_content(server):
    lines = head("POST", "/shacache", "Content-Length: 3")
    with dial(server) as sock:
        sock.sendall(lines + b"abcdef\r\n\r\n")
        answer = read_all(sock)
    assert b"bad-request" in answer  # what follows is not a request
    assert files(server.root) in ([], [Digest.of(b"abc").hex])


def test_encoded_body_is_refused(shared_server):
    reply = ask(shared_server, "POST", "/shacache", b"x", {"Content-Encoding": "gzip"})
    assert (reply.status, reply.code) == (400, "bad-request")


def test_old_client_closes_its_side_and_reads_then(shared_server):
    digest = post(shared_server, LARGE)
    for target, body in [(digest, LARGE), ("0" * 128, b"")]:
        lines = head("GET", f"/shacache/{target}", "Connection: close")
        with dial(shared_server) as sock:
            sock.sendall(lines)
            sock.shutdown(socket.SHUT_WR)
            answer, _, content = read_all(sock).partition(b"\r\n\r\n")
        assert b"Connection: close" in answer
        assert content == body


def test_old_client_uploads_and_closes_its_side(shared_server):
    lines = head("POST", "/shacache", f"Content-Length: {len(LARGE)}", "Connection: close")
    reply = say(shared_server, lines + LARGE, shut=True)
    assert (reply.status, reply.body) == (201, Digest.of(LARGE).hex.encode())
    assert reply.headers["Connection"] == "close"


def test_http_1_0(shared_server):
    digest = post(shared_server, SMALL)
    with dial(shared_server) as sock:
        sock.sendall(f"GET /shacache/{digest} HTTP/1.0\r\n\r\n".encode())
        assert read_all(sock).endswith(b"\r\n\r\n" + SMALL)


def test_pipelined_requests(shared_server):
    digest = post(shared_server, SMALL)
    lines = head("GET", f"/shacache/{digest}")
    last = head("GET", f"/shacache/{digest}", "Connection: close")
    with dial(shared_server) as sock:
        sock.sendall(lines + lines + last)
        assert read_all(sock).count(SMALL) == 3


def test_many_requests_over_one_connection(shared_server):
    connection = connect(shared_server)
    digests = [post(shared_server, b"%d" % number) for number in range(20)]
    for number, digest in enumerate(digests):
        reply = ask(shared_server, "GET", f"/shacache/{digest}", connection=connection)
        assert reply.body == b"%d" % number
    assert (
        ask(shared_server, "GET", "/shacache/" + "0" * 128, connection=connection).status
        == 404
    )
    assert (
        ask(shared_server, "HEAD", f"/shacache/{digests[0]}", connection=connection).body
        == b""
    )
    assert (
        ask(shared_server, "GET", f"/shacache/{digests[1]}", connection=connection).body
        == b"1"
    )


def test_put_and_get_at_the_same_time_never_show_a_cut_content(shared_server):
    digest = post(shared_server, LARGE)
    with dial(shared_server) as sock:
        lines = head("PUT", f"/shacache/{digest}", f"Content-Length: {len(LARGE)}")
        sock.sendall(lines + LARGE[:-1])
        assert ask(shared_server, "GET", f"/shacache/{digest}").body == LARGE
        sock.sendall(LARGE[-1:])
        assert read_head(sock).startswith(b"HTTP/1.1 201 ")
    assert put(shared_server, "x", b"[]").status == 400
