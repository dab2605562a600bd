"""Keys, pairs and entries as values; what does not parse is a golden file."""

from __future__ import annotations

import json

import pytest
from golden.case import URL, file, hexmd5
from golden.signing import fingerprint

from slapos.networkcache import entry as entry_module
from slapos.networkcache.digest import Digest, Digests
from slapos.networkcache.entry import (
    DEPTH_LIMIT,
    KEY_LIMIT,
    PAIR_LIMIT,
    Entry,
    Key,
    Kind,
    Pair,
    urlmd5,
)
from slapos.networkcache.errors import EntryTooLarge, InvalidEntry, InvalidKey, Reason

HEX = "0123456789abcdef" * 2
HELLO = Digests.of([b"hel", b"lo"])


@pytest.mark.parametrize(
    ("text", "kind", "suffix"),
    [
        (f"file-urlmd5:{HEX}", Kind.FILE, HEX),
        ("pypi:zc.buildout=3.0", Kind.DISTRIBUTION, "zc.buildout=3.0"),
        (f"page-urlmd5:{HEX}", Kind.PAGE, HEX),
        (f"buildout-run:{HEX}", Kind.RUN, HEX),
        (f"git-bundle:{HEX}=abc", Kind.BUNDLE, f"{HEX}=abc"),
        (f"pypi-index-{HEX}-a>=1", Kind.OLD_PAGE, f"{HEX}-a>=1"),
        (f"slapos-buildout-{HEX}", Kind.OLD_FILE, HEX),
        (f"pypi-buildout-{HEX}", Kind.OLD_DISTRIBUTION, HEX),
        (f"git-buildout-{HEX}", Kind.OLD_CHECKOUT, HEX),
        (HEX, Kind.RELEASE, HEX),
        (HEX.upper(), Kind.OTHER, HEX.upper()),
        (HEX + "0", Kind.OTHER, HEX + "0"),
        ("my-own-key", Kind.OTHER, "my-own-key"),
    ],
)
def test_the_kind_of_a_key(text: str, kind: Kind, suffix: str) -> None:
    key = Key.parse(text)
    assert (key.kind, key.suffix) == (kind, suffix)


@pytest.mark.parametrize(
    "text", ["!", "~", "...", "a.b", "x" * KEY_LIMIT, "a=b>=1,<2;'\"|"]
)
def test_what_is_a_key(text: str) -> None:
    assert Key.parse(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a/b",
        "a?b",
        "a#b",
        "%00",
        "a\\b",
        "a b",
        "a\n",
        "\x7f",
        "é",
        "x" * (KEY_LIMIT + 1),
        None,
        1,
        ["a"],
    ],
)
def test_what_is_no_key(text: object) -> None:
    with pytest.raises(InvalidKey, match="expected a key of 1 to 255"):
        Key.parse(text)  # type: ignore[arg-type]


def test_keys_of_urls_leave_the_fragment_out() -> None:
    assert urlmd5(URL + "#x#y") == urlmd5(URL) == hexmd5(URL)
    assert Key.for_file(URL).text == f"file-urlmd5:{hexmd5(URL)}"
    assert Key.for_release(URL).text == hexmd5(URL)
    assert Key.for_distribution("a", "1").text == "pypi:a=1"


def test_an_entry_is_written_as_the_protocol_says() -> None:
    key = Key.for_file(URL)
    members = {"url": URL, "file_name": None}
    entry = Entry.make(key, HELLO, 1790000000, members, expires=1790000009, signer="0" * 64)
    assert json.loads(entry.text) == {
        "format": 1,
        "key": key.text,
        "sha512": Digest.of(b"hello").hex,
        "size": 5,
        "created": 1790000000,
        "expires": 1790000009,
        "signer": "0" * 64,
        "md5": "5d41402abc4b2a76b9719d911017c592",
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "url": URL,
    }
    assert not entry.legacy


def test_the_example_is_an_entry() -> None:
    _, _, example = str(entry_module.__doc__).partition("::\n\n")
    shown = json.loads(example.partition("\n\n")[0])
    real = Entry.make(
        Key.for_file(shown["url"]),
        HELLO,
        shown["created"],
        {"url": shown["url"]},
        signer=fingerprint("ed25519"),
    ).members
    assert list(shown) == list(real)
    for name, value in shown.items():
        if isinstance(value, str) and value.endswith("…"):
            assert str(real[name]).startswith(value[:-1]), name
        else:
            assert real[name] == value, name


@pytest.mark.parametrize("name", ["format", "key", "sha512", "size", "created", "md5"])
def test_what_the_content_says_cannot_be_chosen(name: str) -> None:
    with pytest.raises(InvalidEntry, match=f"{name} cannot be chosen"):
        Entry.make(Key.for_file(URL), HELLO, 1, {name: "x"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", 1 << 54])
def test_what_would_not_parse_is_not_written(value: object) -> None:
    with pytest.raises(InvalidEntry):
        Entry.make(Key.for_file(URL), HELLO, 1, {"x": value})


def test_an_entry_of_an_older_program() -> None:
    entry = Entry.parse(json.dumps({"sha512": HELLO.sha512.hex.upper(), "os": "('a',)"}))
    assert entry.legacy
    assert entry.sha512 == HELLO.sha512
    assert (entry.key, entry.size, entry.created, entry.expires) == (None,) * 4


def test_integers_up_to_2_53() -> None:
    assert Entry.parse(json.dumps(file(size=1 << 53))).size == 1 << 53
    with pytest.raises(InvalidEntry, match="beyond"):
        Entry.parse(json.dumps(file(x=-(1 << 53) - 1)))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
def test_32_levels_of_nesting_the_entry_itself_among_them(
    opening: str, closing: str
) -> None:
    def nested(levels: int) -> str:
        inner = opening * (levels - 1) + "1" + closing * (levels - 1)
        return json.dumps(file(x="@")).replace('"@"', inner)

    assert Entry.parse(nested(DEPTH_LIMIT)).size
    with pytest.raises(InvalidEntry, match="nested deeper than 32 levels"):
        Entry.parse(nested(DEPTH_LIMIT + 1))


def test_unknown_members_are_kept() -> None:
    members = file(x=[1, {"y": None}], z=1.5)
    assert Entry.parse(json.dumps(members)).members == members


def test_a_format_to_come_is_told_from_a_bad_entry() -> None:
    with pytest.raises(InvalidEntry, match="a newer one may read it") as caught:
        Entry.parse('{"format": 2}')
    assert caught.value.reason is Reason.UNKNOWN_FORMAT


def test_a_pair_of_64_kib_and_one_byte_more() -> None:
    assert Pair.parse(["x" * PAIR_LIMIT, ""]).signature_bytes() == b""
    assert Pair.parse(["\u00e9" * (PAIR_LIMIT // 2), ""]).size == PAIR_LIMIT
    assert Pair("\u00e9", "AAAA").size == 6
    for text, signature in (("x" * (PAIR_LIMIT - 3), "AAAA"), ("\u00e9" * PAIR_LIMIT, "")):
        with pytest.raises(EntryTooLarge, match="more than the 65536 allowed"):
            Pair.parse([text, signature])


@pytest.mark.parametrize(
    "signature", ["A", "AA", "AB==", "AAAA\n", " AAAA", "AA-_", "\u00e9"]
)
def test_a_signature_is_canonical_base64(signature: str) -> None:
    with pytest.raises(InvalidEntry, match="canonical"):
        Pair.parse(["{}", signature])
