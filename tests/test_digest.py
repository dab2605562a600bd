"""Contents that are checked while they are read."""

from __future__ import annotations

import hashlib
import io

import pytest

from slapos.networkcache.digest import Check, Digest, Digests, pieces_of
from slapos.networkcache.errors import InvalidDigest, WrongContent

HELLO = Digest.of(b"hello")


def feed(check: Check, *pieces: bytes) -> None:
    for piece in pieces:
        check.update(piece)
    check.finish()


def test_the_right_bytes_in_any_pieces() -> None:
    for size in (5, None):
        feed(Check(HELLO, size), b"h", b"", b"ello")


@pytest.mark.parametrize("pieces", [[b"hell"], [b""], []])
def test_a_cut_content(pieces: list[bytes]) -> None:
    with pytest.raises(WrongContent, match="ends after"):
        feed(Check(HELLO, 5), *pieces)
    with pytest.raises(WrongContent, match="do not have the digest"):
        feed(Check(HELLO, None), *pieces)


def test_another_content_of_that_size() -> None:
    with pytest.raises(WrongContent, match="do not have the digest"):
        feed(Check(HELLO, 5), b"hallo")


def test_what_goes_on_is_refused_at_once() -> None:
    check = Check(HELLO, 5)
    check.update(b"hello")
    with pytest.raises(WrongContent, match="goes on after the 5 bytes"):
        check.update(b"!")


def test_without_a_signed_size_a_limit_bounds() -> None:
    feed(Check(HELLO, None, 5), b"hello")
    with pytest.raises(WrongContent, match="goes on after the 4 bytes"):
        feed(Check(HELLO, None, 4), b"hello")


def test_the_signed_size_is_not_stretched_by_a_limit() -> None:
    with pytest.raises(WrongContent, match="goes on"):
        Check(HELLO, 4, 100).update(b"hello")


def test_all_digests_in_one_pass() -> None:
    digests = Digests.of(pieces_of(io.BytesIO(b"hello"), 2))
    assert (digests.size, digests.sha512) == (5, HELLO)
    assert digests.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert digests.md5 == hashlib.md5(b"hello").hexdigest()


def test_a_digest_in_either_case() -> None:
    assert Digest.parse(HELLO.hex.upper()) == HELLO
    assert str(HELLO) == hashlib.sha512(b"hello").hexdigest()


@pytest.mark.parametrize(
    "text",
    ["", "0" * 127, "0" * 129, "0" * 127 + "g", "0" * 128 + "\n", None, 1, "\u0130" * 64],
)
def test_what_is_no_digest(text: object) -> None:
    with pytest.raises(InvalidDigest, match="expected a SHA-512 as 128"):
        Digest.parse(text)  # type: ignore[arg-type]
