"""The record of a run: small, the same for the same use, and harmless whoever wrote it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values, keys, urls

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import KEY_LIMIT, Key
from slapos.networkcache.errors import InvalidInput
from slapos.networkcache.record import (
    KEYS_LIMIT,
    RECORD_LIMIT,
    Used,
    decode_record,
    encode_record,
)

LARGEST = 1 << 53
DIGEST = Digest.of(b"a content")
numbers = st.integers(0, LARGEST)
digests = st.binary(max_size=8).map(Digest.of)
uses = st.lists(st.builds(Used, keys, digests, numbers, st.none() | numbers), max_size=6)


def one(number: int, text: str = "") -> Used:
    return Used(Key.parse(text or f"pypi:a={number}"), DIGEST, number, number)


def record(*items: object, **members: object) -> bytes:
    return json.dumps({"format": 1, "used": list(items), **members}).encode()


def item(**members: object) -> dict[str, object]:
    return {"key": "pypi:a=1", "sha512": DIGEST.hex, "size": 1, **members}


# What is written


@given(uses)
def test_read_back_as_it_was(used):
    once = list({(u.key, u.digest): u for u in used}.values())
    assert decode_record(encode_record(used)) == once
    assert encode_record(used) == encode_record(once)


def test_the_exact_bytes():
    used = [one(2), Used(Key("page-urlmd5:0"), DIGEST, 1)]
    hex = DIGEST.hex
    assert encode_record(used).decode() == (
        f'{{"format":1,"used":[{{"key":"pypi:a=2","sha512":"{hex}","size":2,"ms":2}},'
        f'{{"key":"page-urlmd5:0","sha512":"{hex}","size":1}}]}}'
    )


def test_one_key_may_have_two_contents():
    """An sdist and a wheel."""
    used = [one(1), Used(one(1).key, Digest.of(b"another"), 1)]
    assert decode_record(encode_record(used)) == used


def test_what_is_beyond_the_limit_is_left_out():
    used = [one(number) for number in range(KEYS_LIMIT + 2)]
    assert encode_record(used) == encode_record(used[:KEYS_LIMIT])
    assert decode_record(encode_record(used)) == used[:KEYS_LIMIT]


def test_the_largest_record_is_one_that_is_read():
    """A quotation mark takes two bytes in JSON."""
    used = [
        Used(Key.parse(f'{number:"<{KEY_LIMIT}d}'), DIGEST, LARGEST, LARGEST)
        for number in range(KEYS_LIMIT)
    ]
    encoded = encode_record(used)
    assert decode_record(encoded) == used
    assert RECORD_LIMIT * 0.95 < len(encoded) <= RECORD_LIMIT


@given(urls())
def test_no_url_is_in_it(url):
    text = encode_record([Used(Key.for_file(url), DIGEST, 1)]).decode()
    assert url not in text
    assert "//" not in text


# What is read


def test_more_keys_than_allowed_are_not_looked_at():
    items = [item(key=f"pypi:a={number}") for number in range(KEYS_LIMIT)]
    decoded = decode_record(record(*items, *[{"key": "?"}] * 1000))
    assert len(decoded) == KEYS_LIMIT


HOSTILE = {
    "empty": b"",
    "no json": b"{",
    "no text": b"\xff\xfe{",
    "nested": b"[" * 200_000,
    "nested in it": record([[[[[]]]]]),
    "list": b"[]",
    "number": b"1",
    "null": b"null",
    "no format": b'{"used": []}',
    "another format": record(format=2),
    "format of another type": record(format=True),
    "nothing used": b'{"format": 1}',
    "used is text": record(used="used"),
    "used is an object": record(used={"key": 1}),
    "used is null": record(used=None),
    "item is text": record("pypi:a=1"),
    "item is a list": record([1]),
    "item is null": record(None),
    "no key": record({"sha512": DIGEST.hex, "size": 1}),
    "no digest": record({"key": "pypi:a=1", "size": 1}),
    "no size": record({"key": "pypi:a=1", "sha512": DIGEST.hex}),
    "key with a path": record(item(key="../../etc/passwd")),
    "key with a query": record(item(key="a?b")),
    "key is too long": record(item(key="a" * 256)),
    "key is empty": record(item(key="")),
    "key of another type": record(item(key=[])),
    "url for a key": record(item(key="http://example.com/")),
    "digest is short": record(item(sha512="0" * 127)),
    "digest of another base": record(item(sha512="g" * 128)),
    "digest of another type": record(item(sha512={})),
    "size below 0": record(item(size=-1)),
    "size too large": record(item(size=LARGEST + 1)),
    "size is true": record(item(size=True)),
    "size is a fraction": record(item(size=1.5)),
    "size is text": record(item(size="1")),
    "size of 5000 digits": record(item(size=0)).replace(b": 0}", b": %b}" % (b"1" * 5000)),
    "size is infinite": record(item(size=float("inf"))),
    "time below 0": record(item(ms=-1)),
    "time is no number": record(item(ms=float("nan"))),
    "time is a list": record(item(ms=[])),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile(hostile):
    with pytest.raises(InvalidInput, match=r"^the record of the run does not parse: "):
        decode_record(HOSTILE[hostile])


def decoded(content: bytes) -> list[Used]:
    """What is taken from a content that anybody may have written."""
    try:
        return decode_record(content)
    except InvalidInput:
        return []


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_content(content):
    assert decoded(content) == []


@given(st.lists(json_values, max_size=3) | json_values)
def test_any_use(used):
    for found in decoded(json.dumps({"format": 1, "used": used}).encode()):
        assert found == Used(Key.parse(found.key.text), found.digest, found.size)


@given(st.sampled_from(["key", "sha512", "size", "ms"]), json_values)
def test_any_member(name, value):
    for found in decoded(record(item(**{name: value}))):
        assert 0 <= found.size <= LARGEST
        assert found.milliseconds is None or 0 <= found.milliseconds <= LARGEST
