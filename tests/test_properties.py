"""What must hold for every entry, every answer, every URL."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import strategies as our
from golden.case import NOW, URL, file
from golden.signing import certificate, signed
from hypothesis import assume, example, given
from hypothesis import strategies as st

from slapos.networkcache.binding import Request
from slapos.networkcache.digest import Digest, Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.errors import (
    InvalidDigest,
    InvalidEntry,
    InvalidKey,
    NotBelieved,
    Refusal,
)
from slapos.networkcache.printable import escape
from slapos.networkcache.protocol import (
    Batch,
    BatchAnswer,
    decode_directory,
    decode_put,
    directory_url,
)
from slapos.networkcache.ranges import Range, parse_range
from slapos.networkcache.trust import Policy
from slapos.networkcache.urls import (
    Prefixes,
    checksum_in,
    distribution_in,
    has_secret,
    normalise,
    redact,
)

SIGNERS = ("rsa-2048", "ed25519", "p256", "p384")
POLICY = Policy([certificate(name) for name in SIGNERS])
REQUEST = Request.for_file(URL)
PAIRS = [Pair(*signed(file(), name)) for name in SIGNERS]


# -- entries


@given(
    our.keys,
    st.binary(max_size=50),
    st.integers(0, 1 << 53),
    st.none() | st.integers(0, 1 << 53),
    st.dictionaries(
        st.sampled_from(["url", "basename", "requirement", "profile"]),
        our.printable | st.none(),
    ),
)
def test_what_is_made_parses_to_the_same(
    key: Key, content: bytes, created: int, expires: int | None, members: dict[str, Any]
) -> None:
    made = Entry.make(key, Digests.of([content]), created, members, expires=expires)
    read = Entry.parse(made.text)
    assert read == made
    assert (read.key, read.size, read.created) == (key.text, len(content), created)
    assert (read.expires, read.sha512) == (expires, Digest.of(content))
    stated = {name: value for name, value in members.items() if value is not None}
    assert {name: read.string(name) for name in stated} == stated
    assert not set(members) - set(stated) & set(read.members)


@given(st.sampled_from(PAIRS), st.data())
def test_a_changed_text_is_not_believed(pair: Pair, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(pair.entry)))
    length = data.draw(st.integers(0, 3))
    put = data.draw(our.ascii_text)
    text = pair.entry[:at] + put + pair.entry[at + length :]
    refused_unless_same(Pair(text, pair.signature), pair)


@given(st.sampled_from(PAIRS), st.data())
def test_a_changed_signature_is_not_believed(pair: Pair, data: st.DataObject) -> None:
    signature = base64.b64decode(pair.signature)
    at = data.draw(st.integers(0, len(signature)))
    length = data.draw(st.integers(0, 3))
    put = data.draw(st.binary(max_size=3))
    changed = signature[:at] + put + signature[at + length :]
    refused_unless_same(Pair(pair.entry, base64.b64encode(changed).decode()), pair)


def refused_unless_same(changed: Pair, pair: Pair) -> None:
    if changed == pair:
        POLICY.examine(changed, REQUEST, NOW)
    else:
        with pytest.raises(NotBelieved):
            POLICY.examine(changed, REQUEST, NOW)


@given(our.any_text | our.json_values.map(json.dumps))
@example("[" * 60_000)
@example('{"a":' * 12_000)
@example('{"sha512": "' + "0" * 128 + '", "x": 1' + "0" * 5000 + "}")
@example('{"sha512": "' + "0" * 128 + '", "x": "\\ud800"}')
def test_an_entry_parses_or_is_invalid(text: str) -> None:
    try:
        entry = Entry.parse(text)
    except InvalidEntry:
        return
    assert entry.text == text
    assert isinstance(entry.sha512, Digest)


@given(our.json_values)
def test_a_pair_a_key_a_digest_parses_or_is_invalid(value: Any) -> None:
    for parse, error in (
        (Pair.parse, InvalidEntry),
        (Key.parse, InvalidKey),
        (Digest.parse, InvalidDigest),
    ):
        with contextlib.suppress(error):
            parse(value)  # type: ignore[operator]


# -- the wire


@given(
    st.binary(max_size=60) | our.json_values.map(lambda value: json.dumps(value).encode())
)
def test_bodies_parse_or_are_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidEntry):
        list(decode_directory(body))
    with contextlib.suppress(InvalidEntry):
        BatchAnswer.decode(body, Batch((Key("x"),)))
    for decode in (decode_put, Batch.decode):
        with contextlib.suppress(Refusal):
            decode(body)


_good = st.integers(0, 9).map(lambda number: (Pair(f"entry {number}", ""), None))
_poison = (
    our.json_values.filter(lambda value: not isinstance(value, list) or len(value) != 2)
    .map(json.dumps)
    .map(lambda text: (None, text))
)
_deep = st.integers(900, 1100).map(lambda depth: (None, "[" * depth + "]" * depth))


@given(st.lists(_good | _poison | _deep, max_size=8))
def test_every_good_pair_comes_whatever_is_between(
    elements: list[tuple[Pair | None, str | None]],
) -> None:
    texts = [json.dumps(pair) if pair else text for pair, text in elements]
    decoded = list(decode_directory(f"[{','.join(map(str, texts))}]".encode()))
    assert [each if isinstance(each, Pair) else None for each in decoded] == [
        pair for pair, _ in elements
    ]


@given(our.keys)
def test_a_key_in_an_address_is_the_key(key: Key) -> None:
    url = directory_url("http://a/shadir", key)
    parts = urlsplit(url)
    assert (parts.query, parts.fragment) == ("", "")
    assert unquote(parts.path) == f"/shadir/{key.text}"
    assert Key.parse(unquote(parts.path.rpartition("/")[2])) == key


@given(our.ranges, st.integers(0, 30))
def test_ranges_agree_with_a_model(header: str, size: int) -> None:
    try:
        asked: Range | str | None = parse_range(header, size)
    except Refusal:
        asked = "beyond"
    assert asked == model_of_range(header, size)


def model_of_range(header: str, size: int) -> Range | str | None:
    """RFC 9110, 14.1.2, by looking at every position."""
    unit, _, ends = header.strip().partition("=")
    first, dash, last = ends.partition("-")
    digits = set("0123456789")
    if unit != "bytes" or not dash or not set(first + last) <= digits or not first + last:
        return None
    if first and last and int(first) > int(last):
        return None
    if first:
        wanted = [
            i for i in range(size) if i >= int(first) and (not last or i <= int(last))
        ]
    else:
        wanted = list(range(size))[-int(last) :] if int(last) else []
    return Range(wanted[0], wanted[-1] + 1) if wanted else "beyond"


@given(our.any_text)
def test_escaped_text_is_printable_ascii(text: str) -> None:
    escaped = escape(text)
    assert escaped.isascii()
    assert escaped.isprintable()


# -- URLs


@given(our.any_text | our.any_text.map(lambda text: f"http://{text}"))
@example("http://a/%%34%31")
@example("http://a/%4%31")
@example("http://%41:080/%2e%2E/..?%7e#%7e")
def test_normalising_twice_changes_nothing(url: str) -> None:
    assert normalise(normalise(url)) == normalise(url)


@given(our.urls(), st.data())
def test_spellings_of_a_url_are_one(url: str, data: st.DataObject) -> None:
    assert normalise(data.draw(our.spellings(url))) == normalise(url)


@given(our.urls(), our.urls(), st.data())
def test_a_match_does_not_depend_on_the_spelling(
    prefix: str, url: str, data: st.DataObject
) -> None:
    if data.draw(st.booleans()):
        url = prefix + "x"
    other_prefix = data.draw(our.spellings(prefix))
    other_url = data.draw(our.spellings(url))
    wanted = normalise(url).startswith(normalise(prefix))
    assert (Prefixes.parse([other_prefix]).match(other_url) is not None) == wanted


@given(our.any_text)
def test_slash_is_every_local_path(text: str) -> None:
    assert Prefixes.parse(["/"]).match("/" + text) == "/"


@given(
    our.urls(),
    our.secrets,
    st.sampled_from(["token", "X-Amz-Signature", "Api_Key"]),
    st.data(),
)
def test_redacting_leaves_no_secret(
    url: str, secret: str, name: str, data: st.DataObject
) -> None:
    assume("q7" not in url)
    before, _, after = url.partition("://")
    joiner = "&" if "?" in url else "?"
    with_secret = data.draw(
        st.sampled_from(
            [
                f"{before}://user:{secret}@{after}",
                f"{before}://{secret}@{after}",
                f"{url}{joiner}{name}={secret}",
                f"{url}{joiner}{name}={secret}&b=c#f",
            ]
        )
    )
    assert has_secret(with_secret)
    around = data.draw(st.sampled_from(["{}", "'{}'", "<{}>", "({}, 'x')", "a {}. b"]))
    redacted = redact(around.format(with_secret))
    assert "q7" not in redacted
    assert redact(redacted) == redacted


@given(our.any_text | our.urls())
def test_any_text_is_asked_without_an_error(text: str) -> None:
    has_secret(text)
    redact(text)
    checksum_in(text)
    distribution_in(text)
    Request.for_file(text)
    Request.for_distribution(text)
