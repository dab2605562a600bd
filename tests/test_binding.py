"""What a request asks, made of what a profile says; the refusals are golden files."""

from __future__ import annotations

import json

import pytest
from golden.case import CONTENT, EGG, EGG_KEY, URL, distribution, file, hexmd5, page, sha256

from slapos.networkcache.binding import LIFETIME_LIMIT, Request, check_binding
from slapos.networkcache.entry import Entry, Key
from slapos.networkcache.errors import NotBelieved, Reason
from slapos.networkcache.urls import Checksum

MD5 = "0123456789abcdef" * 2


def entry(members: dict[str, object]) -> Entry:
    return Entry.parse(json.dumps(members))


def test_a_request_for_a_file_leaves_the_fragment_out() -> None:
    request = Request.for_file(f"{URL}#md5={MD5}")
    assert request == Request.for_file(URL, Checksum("md5", MD5))
    assert (request.key.text, request.url) == (f"file-urlmd5:{hexmd5(URL)}", URL)


def test_the_url_is_never_normalised() -> None:
    assert Request.for_file("HTTP://example.com:80/a").url == "HTTP://example.com:80/a"
    assert Request.for_file("http://a/%7E").key != Request.for_file("http://a/~").key


def test_a_checksum_of_the_profile_and_of_the_url_both_count() -> None:
    right = Checksum("sha256", sha256(CONTENT).hexdigest())
    request = Request.for_file(f"{URL}#md5={MD5}", right)
    assert request.checksums == (right, Checksum("md5", MD5))
    assert request.agrees(entry(file())) is False
    assert Request.for_file(URL, right).agrees(entry(file())) is True
    assert Request.for_file(URL).agrees(entry(file())) is None


def test_a_request_for_a_distribution() -> None:
    request = Request.for_distribution(f"{EGG}#sha256={'0' * 64}")
    assert request is not None
    assert (request.key.text, request.url) == (EGG_KEY, EGG)
    assert request.checksums == (Checksum("sha256", "0" * 64),)


@pytest.mark.parametrize(
    "url",
    [
        "http://a/index.html",
        "http://a/",
        "http://a/-1.0-py3-none-any.whl",
        "http://a/foo-1%20x-py3-none-any.whl",
        "http://a/foo-1%2Fx-py3-none-any.whl",
        f"http://a/{'x' * 300}-1.0.tar.gz",
        "http://[bad/foo-1.0.tar.gz",
    ],
)
def test_what_names_no_distribution_makes_no_request(url: str) -> None:
    assert Request.for_distribution(url) is None


def test_one_mandatory_member_after_the_other() -> None:
    request = Request(Key.parse(EGG_KEY), EGG)
    check_binding(entry(distribution()), request)
    for name in ("url", "basename"):
        members = distribution()
        del members[name]
        with pytest.raises(NotBelieved, match=f"does not say its {name}"):
            check_binding(entry(members), request)


@pytest.mark.parametrize(
    "requirement", ["hello-world", "Hello.World [x]", "HELLO__world>3"]
)
def test_pages_are_compared_by_project_name_only(requirement: str) -> None:
    asked = Request(Key.parse(page()["key"]), page()["url"], requirement=requirement)
    check_binding(entry(page()), asked)


def test_a_page_is_good_for_30_days_at_most() -> None:
    request = Request(Key.parse(page()["key"]), page()["url"])
    check_binding(entry(page(created=5, expires=5 + LIFETIME_LIMIT)), request)
    with pytest.raises(NotBelieved) as caught:
        check_binding(entry(page(created=5, expires=6 + LIFETIME_LIMIT)), request)
    assert caught.value.reason is Reason.KEY_MISMATCH
