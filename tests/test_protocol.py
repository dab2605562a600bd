"""The wire: addresses, directory answers, batches, ranges, errors."""

from __future__ import annotations

import contextlib
import json
import time

import pytest

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import PAIR_LIMIT, Key, Pair
from slapos.networkcache.errors import Code, InvalidEntry, Refusal
from slapos.networkcache.printable import escape
from slapos.networkcache.protocol import (
    BATCH_LIMIT,
    DIRECTORY_LIMIT,
    STATUS,
    Batch,
    BatchAnswer,
    content_url,
    decode_directory,
    decode_put,
    directory_url,
    encode_directory,
    encode_put,
    error_body,
    refusal,
)
from slapos.networkcache.ranges import Range, parse_range

A, B = Pair("a", ""), Pair("b", "AAAA")
EMPTY = Digest.of(b"")


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# -- addresses


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("file-urlmd5:0a", "file-urlmd5:0a"),
        ("pypi:a.b=1!2+c_d~", "pypi:a.b=1!2+c_d~"),
        ("pypi-index-0a-x>=1,<2", "pypi-index-0a-x%3E=1,%3C2"),
        ("a@b-c", "a@b-c"),
        ("...", "..."),
        ("a;b&c'\"", "a%3Bb%26c%27%22"),
    ],
)
def test_a_key_is_quoted_as_little_as_is_safe(key: str, path: str) -> None:
    assert directory_url("http://a/shadir/", Key.parse(key)) == f"http://a/shadir/{path}"


def test_the_address_of_a_content() -> None:
    for base in ("http://a/b", "http://a/b/"):
        assert content_url(base, EMPTY) == f"http://a/b/{EMPTY.hex}"


# -- directory answers


def test_a_directory_answer_keeps_text_and_order() -> None:
    odd = Pair(' {"\u00e9" :\t1}\n', "")
    assert list(decode_directory(encode_directory([B, odd, A]))) == [B, odd, A]


@pytest.mark.parametrize(
    "poison",
    [
        "1",
        "null",
        "[1, 2]",
        '["a"]',
        '["a", "", ""]',
        '["a", "?"]',
        '["\\ud800", ""]',
        "{}",
        "NaN",
        "1e999",
        "9" * 5000,
        nested(990),
        nested(5000),
        nested(200_000),
        '{"a":' * 200_000 + "1" + "}" * 200_000,
        "[" * 100_000 + '"]],\\"["' + "]" * 100_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_poisoned_pair_hides_no_other(poison: str) -> None:
    body = f'[["a", ""], {poison}, ["b", "AAAA"]]'.encode()
    good, bad, other = decode_directory(body)
    assert (good, other) == (A, B)
    assert isinstance(bad, InvalidEntry)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": 1}',
        b'"a"',
        b"[",
        b"[[]]]",
        b"\xff",
        b"\xef\xbb\xbf[]",
        '[["a", ""]]'.encode("utf-16"),
        b'{"a":' + nested(5000).encode() + b"}",
    ],
)
def test_what_is_no_directory_answer(body: bytes) -> None:
    with pytest.raises(InvalidEntry, match="the directory's answer is"):
        list(decode_directory(body))


def test_a_cut_answer_that_is_nested_too_deep_says_so() -> None:
    good, bad = decode_directory(b'[["a", ""], ' + b"[" * 100_000)
    assert good == A
    assert isinstance(bad, InvalidEntry)


@pytest.mark.parametrize("end", ["", '"', "\\"])
def test_a_string_without_end_is_looked_through_once(end: str) -> None:
    # How deep is too deep for the parser depends on the version of Python.
    deep = "[" * 100_000
    body = deep + '"' + '\\"' * ((DIRECTORY_LIMIT - len(deep) - 10) // 2) + end
    started = time.monotonic()
    assert all(isinstance(each, InvalidEntry) for each in decode_directory(body.encode()))
    # Were it quadratic, it would take hours.
    assert time.monotonic() - started < 60


# -- puts


def test_the_body_of_a_put() -> None:
    assert decode_put(b'["b", "AAAA"]') == B
    odd = Pair(' {"\u00e9" :\t1}\n', "AAAA")
    assert decode_put(encode_put(odd)) == odd


def test_a_pair_too_large_to_be_put() -> None:
    largest = Pair("x" * PAIR_LIMIT, "")
    assert decode_put(encode_put(largest)) == largest
    for signature in ("AAAA", "no base64"):
        with pytest.raises(Refusal) as caught:
            decode_put(encode_put(largest._replace(signature=signature)))
        assert caught.value.code is Code.TOO_LARGE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"{}",
        b"[1, 2]",
        b'["a", "x"]',
        b'["\xed\xa0\x80", ""]',
        '["a", ""]'.encode("utf-16"),
        nested(200000).encode(),
        b"9" * 5000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_cannot_be_put(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        decode_put(body)
    assert caught.value.code is Code.BAD_ENTRY


# -- batches


def test_a_batch_there_and_back() -> None:
    batch = Batch((Key("a"), Key("b")), (EMPTY,))
    assert Batch.decode(batch.encode()) == batch
    assert Batch.decode(b"{}") == Batch()


def test_a_bad_key_never_fails_the_batch() -> None:
    keys = ["a", "..", 1, None, ["x"], "a", "b", {"k": 1}]
    body = json.dumps({"keys": keys, "contents": ["x", EMPTY.hex.upper(), 2], "more": 1})
    assert Batch.decode(body.encode()) == Batch((Key("a"), Key("b")), (EMPTY,))


@pytest.mark.parametrize("name", ["keys", "contents"])
def test_a_nested_key_never_fails_the_batch(name: str) -> None:
    # Somewhere in between the parser just bears it, and what comes after must too.
    for depth in range(700, 1000):
        with contextlib.suppress(Refusal):
            assert Batch.decode(f'{{"{name}": [{nested(depth)}]}}'.encode()) == Batch()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"keys": "a"}', b'{"contents": {}}', b"1", b"[" * 99999]
)
def test_what_is_no_batch(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        Batch.decode(body)
    assert caught.value.code is Code.BAD_REQUEST


@pytest.mark.parametrize("name", ["keys", "contents"])
def test_a_batch_asks_1000_at_most(name: str) -> None:
    Batch.decode(json.dumps({name: ["a"] * BATCH_LIMIT}).encode())
    with pytest.raises(Refusal) as caught:
        Batch.decode(json.dumps({name: ["a"] * (BATCH_LIMIT + 1)}).encode())
    assert caught.value.code is Code.TOO_LARGE


def test_the_answer_to_a_batch_there_and_back() -> None:
    asked = Batch((Key("a"), Key("b"), Key("c")), (EMPTY,))
    answer = BatchAnswer({Key("a"): (B, A)}, frozenset({EMPTY}), (Key("c"),))
    assert BatchAnswer.decode(answer.encode(), asked) == answer


def test_what_was_not_asked_is_ignored() -> None:
    asked = Batch((Key("a"), Key("d")))
    answer = {
        "entries": {"a": [[1, 2], list(A), "x"], "b": [list(B)], "d": "no list"},
        "missing_content": ["x", 1],
        "later": ["b", 1, ["a"], "d"],
        "more": 1,
    }
    decoded = BatchAnswer.decode(json.dumps(answer).encode(), asked)
    assert set(decoded.entries) == {Key("a")}
    first, second, third = decoded.entries[Key("a")]
    assert second == A
    assert isinstance(first, InvalidEntry)
    assert isinstance(third, InvalidEntry)
    assert decoded.missing_content == frozenset()
    assert decoded.later == (Key("d"),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b"{}",
        b"<html>",
        b"\xff",
        b"[" * 99999,
        b'{"entries": [], "missing_content": [], "later": []}',
        b'{"entries": {}, "missing_content": {}, "later": []}',
        b'{"entries": {}, "missing_content": [], "later": 1}',
    ],
)
def test_an_answer_that_knows_no_batches(body: bytes) -> None:
    with pytest.raises(InvalidEntry, match="not an answer to a batch"):
        BatchAnswer.decode(body, Batch())


# -- ranges


@pytest.mark.parametrize(
    ("header", "size", "asked"),
    [
        ("bytes=0-", 10, Range(0, 10)),
        ("bytes=0-0", 10, Range(0, 1)),
        ("bytes=3-5", 10, Range(3, 6)),
        ("bytes=3-99", 10, Range(3, 10)),
        ("bytes=9-", 10, Range(9, 10)),
        ("bytes=-3", 10, Range(7, 10)),
        ("bytes=-99", 10, Range(0, 10)),
        (" bytes=1-2 ", 10, Range(1, 3)),
        (None, 10, None),
        ("", 10, None),
        ("bytes=-", 10, None),
        ("Bytes=-", 10, None),
        ("bytes=5-3", 10, None),
        ("bytes=20-3", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("bits=0-1", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=\u0661-", 10, None),
        ("bytes=+1-2", 10, None),
    ],
)
def test_ranges(header: str | None, size: int, asked: Range | None) -> None:
    assert parse_range(header, size) == asked


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=10-", 10),
        ("bytes=10-11", 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=-5", 0),
        ("bytes=" + "9" * 18 + "-", 10),
    ],
)
def test_ranges_beyond_the_end(header: str, size: int) -> None:
    with pytest.raises(Refusal, match=f"{size} bytes") as caught:
        parse_range(header, size)
    assert caught.value.code is Code.BAD_RANGE


def test_a_range_says_where_it_is() -> None:
    assert Range(3, 6).header(10) == "bytes 3-5/10"


# -- errors


@pytest.mark.parametrize("code", Code)
def test_a_refusal_there_and_back(code: Code) -> None:
    sent = Refusal(code, "why")
    came = refusal(STATUS[code], code.value, error_body(sent))
    assert (came.code, str(came), came.status) == (code, "why", STATUS[code])
    assert came.reason is code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, Code.NOT_FOUND),
        (413, Code.TOO_LARGE),
        (401, Code.UNAUTHORIZED),
        (418, Code.INTERNAL),
        (504, Code.UPSTREAM),
    ],
)
def test_the_refusal_of_another_server(status: int, code: Code) -> None:
    for header, body in ((None, b"<html>"), ("nonsense", b"\xff"), ("", b"[" * 99999)):
        came = refusal(status, header, body)
        assert came.code is code
        assert str(status) in str(came)


def test_wire_text_is_escaped() -> None:
    assert escape("a\r\n\x1b[0m\u202e<\u00e9\ud800") == (
        "a\\r\\n\\x1b[0m\\u202e<\\xe9\\ud800"
    )
    assert escape("x" * 600) == "x" * 500
