"""Entries on the wire: ``PUT`` adds a pair to a key, ``GET`` shows the latest first."""

from __future__ import annotations

import json

import pytest
from wire import (
    ABSENT,
    SIGNATURE,
    ask,
    dial,
    head,
    old,
    ours,
    pairs,
    post,
    put,
    read_all,
    read_head,
    say,
)


@pytest.fixture(scope="module")
def content(shared_server):
    return post(shared_server, b"content")


def test_put_adds_and_the_latest_comes_first(shared_server, content, key):
    first, second, third = (old(content, n=n) for n in range(3))
    for pair in (first, second, first, third, second):
        reply = put(shared_server, key, pair)
        assert (reply.status, reply.body) == (201, b"")
    assert pairs(shared_server, key) == [third, second, first]


def test_get_has_all_its_headers(shared_server, content, key):
    put(shared_server, key, ours(key, content))
    reply = ask(shared_server, "GET", f"/shadir/{key}")
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "max-age=60"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Length"] == str(len(reply.body))
    same = ask(shared_server, "HEAD", f"/shadir/{key}")
    assert (same.status, same.body) == (200, b"")
    assert same.headers["Content-Length"] == str(len(reply.body))
    assert same.headers["ETag"] == reply.headers["ETag"]


def test_etag_changes_with_the_pairs(shared_server, content, key):
    put(shared_server, key, old(content))
    etag = ask(shared_server, "GET", f"/shadir/{key}").headers["ETag"]
    how = {"If-None-Match": etag}
    reply = ask(shared_server, "GET", f"/shadir/{key}", None, how)
    assert (reply.status, reply.body) == (304, b"")
    assert (reply.headers["ETag"], reply.headers["Cache-Control"]) == (etag, "max-age=60")
    put(shared_server, key, old(content, n=2))
    assert ask(shared_server, "GET", f"/shadir/{key}", None, how).status == 200


def test_unknown_key(shared_server, key):
    reply = ask(shared_server, "GET", f"/shadir/{key}")
    assert (reply.status, reply.code) == (404, "not-found")
    assert reply.headers["Cache-Control"] == "no-store"
    assert json.loads(reply.body)["error"] == "not-found"


def test_exact_bytes_come_back(shared_server, content, key):
    entry = f' {{"sha512" : "{content.upper()}", "x": "é\\u2028\\ud83d\\ude00\u202e" }}\n'
    pair = [entry, ""]
    assert put(shared_server, key, json.dumps(pair).encode()).status == 201
    assert (
        put(shared_server, key, json.dumps(pair, ensure_ascii=False).encode()).body == b""
    )
    assert pairs(shared_server, key) == [pair]


# -- keys

GOOD_KEYS = [
    "!",
    "~" * 255,
    "file-urlmd5:" + "a" * 32,
    "pypi:name=1.0+local.1~x!",
    "a&b;c*d'e(f)g\"h<i>j[k]l^m`n{o}p|q",
    "...",
    "@,$",
]


@pytest.mark.parametrize("name", GOOD_KEYS, ids=range(len(GOOD_KEYS)))
def test_key_quoted_or_not_is_one_key(shared_server, content, name):
    quoted = "".join(f"%{byte:02x}" for byte in name.encode())
    assert put(shared_server, quoted, ours(name, content)).status == 201
    assert pairs(shared_server, quoted.upper()) == [ours(name, content)]
    if not set(name) & set('"<>^`{}|'):  # an old client would have sent those, too
        reply = say(shared_server, head("GET", f"/shadir/{name}"))
        assert json.loads(reply.body) == [ours(name, content)]


BAD_KEYS = [
    "..",
    ".",
    "%2e%2e",
    "%2E",
    "../shadir/x",
    "x/../y",
    "x/",
    "x//y",
    "a%2Fb",
    "a/b",
    "%00",
    "a%0Ab",
    "a%20b",
    "%7F",
    "%C3%A9",
    "a%5Cb",
    "a%23b",
    "a%3Fb",
    "a?b",
    "a?",
    "a%25b",
    "%zz",
    "%",
    "a" * 256,
    "a" * 300,
    "%61" * 256,
]


@pytest.mark.parametrize("name", BAD_KEYS, ids=range(len(BAD_KEYS)))
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_bad_keys(shared_server, content, method, name):
    body = json.dumps(old(content)).encode() if method == "PUT" else b""
    lines = head(method, f"/shadir/{name}", f"Content-Length: {len(body)}")
    reply = say(shared_server, lines + body)
    assert (reply.status, reply.code) == (400, "bad-key")
    assert json.loads(reply.body)["error"] == "bad-key"


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("GET", "/shadir", "POST"),
        ("PUT", "/shadir/", "POST"),
        ("POST", "/shadir/x", "GET, HEAD, PUT"),
        ("DELETE", "/shadir/x", "GET, HEAD, PUT"),
    ],
)
def test_other_methods(shared_server, method, target, allowed):
    reply = ask(shared_server, method, target)
    assert (reply.status, reply.code) == (405, "bad-method")
    assert reply.headers["Allow"] == allowed
    assert json.loads(reply.body)["error"] == "bad-method"


# -- what a PUT refuses

GOOD = {"sha512": ABSENT}


def entry(text=None, **members):
    return [text if text is not None else json.dumps({**GOOD, **members}), SIGNATURE]


BAD_PAIRS = {
    "nothing": b"",
    "not JSON": b"{",
    "not UTF-8": b'["\xff", ""]',
    "UTF-16": json.dumps(entry()).encode("utf-16"),
    "null": None,
    "string": "x",
    "object": {"entry": "x"},
    "numbers": [1, 2],
    "one member": entry()[:1],
    "three members": [*entry(), ""],
    "signature a number": [entry()[0], 1],
    "entry an object": [GOOD, SIGNATURE],
    "nested deep": b"[" * 100_000,
    "base64 without padding": [entry()[0], "QQ"],
    "base64 padded wrongly": [entry()[0], "QQ="],
    "base64 with a line end": [entry()[0], "QUJD\n"],
    "base64 for URLs": [entry()[0], "__8="],
    "base64 not canonical": [entry()[0], "QR=="],
    "not base64": [entry()[0], "\u00e9"],
    "half a surrogate pair": b'["{\\"sha512\\": \\"'
    + ABSENT.encode()
    + b'\\", \\"x\\": \\"\\ud800\\"}", ""]',
    "half a surrogate pair in the entry": entry(x="\ud800"),
    "entry not JSON": entry("{"),
    "entry empty": entry(""),
    "entry a list": entry("[1, 2]"),
    "entry a string": entry('"x"'),
    "entry nested 200,000 deep": entry("[" * 30_000),
    "entry nested 500 deep": entry(x=json.loads("[" * 500 + "]" * 500)),
    "no sha512": entry("{}"),
    "sha512 a number": entry(sha512=1),
    "sha512 too short": entry(sha512=ABSENT[1:]),
    "sha512 not hexadecimal": entry(sha512="g" * 128),
    "ours: no key": entry(format=1, size=1, created=1),
    "ours: another key": ours("another", ABSENT),
    "ours: size true": ours("x", ABSENT, size=True),
    "ours: created a float": ours("x", ABSENT, created=1.5),
    "ours: not ASCII": [ours("x", ABSENT, y="Z")[0].replace("Z", "\u00e9"), SIGNATURE],
}


@pytest.mark.parametrize("name", BAD_PAIRS)
def test_bad_pairs(shared_server, name):
    reply = put(shared_server, "x", BAD_PAIRS[name])
    assert (reply.status, reply.code) == (400, "bad-entry")
    answer = json.loads(reply.body)
    assert answer["error"] == "bad-entry"
    assert answer["message"]
    assert pairs(shared_server, "x") == []


def sized(sha512, size):
    """A pair of exactly `size` bytes."""
    return old(sha512, x="x" * (size - len("".join(old(sha512, x="")))))


def test_pair_of_64_kib_and_one_more_byte(shared_server, content, key):
    assert put(shared_server, key, sized(content, 65536)).status == 201
    reply = put(shared_server, key, sized(content, 65537))
    assert (reply.status, reply.code) == (413, "too-large")
    assert pairs(shared_server, key) == [sized(content, 65536)]


def test_body_of_10_mib_is_refused_unread(shared_server):
    lines = head("PUT", "/shadir/x", f"Content-Length: {10 << 20}", "Expect: 100-continue")
    reply = say(shared_server, lines)
    assert (reply.status, reply.code) == (413, "too-large")


def test_body_of_10_mib_in_chunks(shared_server):
    with dial(shared_server) as sock:
        sock.sendall(head("PUT", "/shadir/x", "Transfer-Encoding: chunked"))
        for _ in range(10):
            sock.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert b"too-large" in read_head(sock)


def test_put_cut_short(shared_server, content, key):
    body = json.dumps(old(content)).encode()
    lines = head("PUT", f"/shadir/{key}", f"Content-Length: {len(body) + 1}")
    reply = say(shared_server, lines + body, shut=True)
    assert (reply.status, reply.code) == (400, "bad-request")
    assert pairs(shared_server, key) == []


def test_old_client_puts_and_looks_up(shared_server, content, key):
    body = json.dumps(old(content)).encode()
    lines = head(
        "PUT", f"/shadir/{key}", f"Content-Length: {len(body)}", "Connection: close"
    )
    assert say(shared_server, lines + body, shut=True).status == 201
    with dial(shared_server) as sock:
        sock.sendall(head("GET", f"/shadir/{key}", "Connection: close"))
        answer, _, text = read_all(sock).partition(b"\r\n\r\n")
    assert b"Connection: close" in answer
    assert json.loads(text) == [old(content)]
