"""Contents: bounded, resumed, checked as they come, in their place only when right."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
from caches import (
    ALICE,
    DATA,
    DIGEST,
    KEY,
    REQUEST,
    URL,
    asked,
    client_for,
    fetched,
    fill,
    pair_of,
    put,
)

from slapos.networkcache.binding import Request
from slapos.networkcache.errors import (
    Code,
    NotBelieved,
    NotFound,
    Reason,
    Refusal,
    SourceFailure,
    WrongContent,
)
from slapos.networkcache.testing import NetworkCache, faults
from slapos.networkcache.transport import Budget, Limits
from slapos.networkcache.trust import Policy
from slapos.networkcache.urls import Checksum

QUICK = Limits(connect=0.5, first_byte=0.5, window=0.5)
CONTENT = f"GET /shacache/{DIGEST}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def contents_asked(cache: NetworkCache) -> list[str]:
    return [one for one in asked(cache) if "shacache" in one]


def fails(client, folder: Path, error: type[Exception], request: Request = REQUEST):
    """The error of a fetch that leaves nothing behind."""
    outcome = client.look_up(request)
    with pytest.raises(error) as caught:
        client.fetch(outcome, str(folder / "fetched"))
    assert list(folder.iterdir()) == []
    return caught.value


def test_a_content_is_fetched(near, folder):
    fill(near)
    assert fetched(client_for(near), folder) == DATA
    assert asked(near) == [f"GET /shadir/{KEY}", CONTENT]
    assert near.connections == 2  # one kept session for each of the services
    fetched(client_for(near), folder)


def test_an_empty_content_is_fetched(near, folder):
    fill(near, b"")
    assert fetched(client_for(near), folder) == b""


def test_the_file_has_the_mode_of_any_new_file(near, folder):
    fill(near)
    fetched(client_for(near), folder)
    (folder / "other").touch()
    assert (folder / "fetched").stat().st_mode == (folder / "other").stat().st_mode


def test_a_name_as_long_as_names_can_be(near, folder):
    fill(near)
    client = client_for(near)
    client.fetch(client.look_up(REQUEST), str(folder / ("n" * 255)))
    assert (folder / ("n" * 255)).read_bytes() == DATA


def test_bytes_come_from_another_source_than_the_entry(near, far, folder):
    put(near, pair_of())
    far.contents.put([DATA])
    client = client_for(near, far)
    assert client.fetch(client.look_up(REQUEST), str(folder / "x")) == far.source
    assert contents_asked(near) == contents_asked(far) == [CONTENT]


def test_the_source_that_named_the_content_is_asked_first(near, far, folder):
    near.contents.put([DATA])
    fill(far)
    client = client_for(near, far)
    assert client.fetch(client.look_up(REQUEST), str(folder / "x")) == far.source
    fill(near)
    outcome = client.look_up(REQUEST, ask_all=True)
    assert len(outcome.answers) == 2
    assert client.fetch(outcome, str(folder / "x")) == near.source


def test_what_no_source_holds_is_not_found(near, far, folder):
    put(near, pair_of())
    fails(client_for(near, far), folder, NotFound)


def test_a_digest_of_the_profile_needs_no_entry(near, folder):
    near.contents.put([DATA])
    client = client_for(near)
    client.fetch_trusted(Policy().named_by_profile(DIGEST), str(folder / "x"))
    assert (folder / "x").read_bytes() == DATA
    with pytest.raises(WrongContent):
        client.fetch_trusted(
            Policy(unsized_limit=100).named_by_profile(DIGEST), str(folder / "y")
        )


# -- wrong bytes


@pytest.mark.parametrize(
    "fault",
    [
        faults.wrong,
        faults.longer(b"!"),
        faults.say(200, DATA[:-1]),
        faults.say(200, b""),
        faults.say(206, DATA, Content_Range=f"bytes 0-1/{len(DATA) + 1}"),
    ],
    ids=["replaced", "longer", "shorter", "emptied", "lying"],
)
def test_wrong_content_is_asked_for_once_more_and_never_again(near, far, folder, fault):
    fill(near)
    near.plan(fault, "GET /shacache")
    client = client_for(near, far)
    error = fails(client, folder, WrongContent)
    assert error.reason is Reason.WRONG_CONTENT
    first, second = (one.path for one in near.requests if "shacache" in one.path)
    assert first == f"/shacache/{DIGEST}"
    assert second.startswith(first + "?")
    assert len(second) > len(first) + 8
    near.heal()
    # The source is left alone for the run, for look-ups too; the others are not.
    outcome = client.look_up(REQUEST)
    assert outcome.answers[0].failure.reason is Reason.LEFT_ALONE
    assert len(near.requests) == 3
    fill(far)
    assert fetched(client, folder) == DATA


def test_a_mirror_that_held_wrong_bytes_is_asked_past(near, folder):
    fill(near)
    near.plan(faults.wrong, "GET /shacache", times=1)
    client = client_for(near)
    assert fetched(client, folder) == DATA
    assert client.look_up(REQUEST).trusted


def test_the_next_source_is_tried_after_wrong_bytes(near, far, folder):
    fill(near)
    fill(far)
    near.plan(faults.wrong, "GET /shacache")
    assert fetched(client_for(near, far), folder) == DATA
    assert contents_asked(far) == [CONTENT]


@pytest.mark.parametrize("announced", [True, False])
def test_endless_content_is_cut_at_the_signed_size(near, folder, announced):
    fill(near)
    endless = faults.endless(b"x" * 65536)
    length = {"Content_Length": str(len(DATA))} if announced else {}
    near.plan(lambda answer: endless(answer).with_headers(**length), "GET /shacache")
    if announced:  # what comes after the announced length is not even read
        assert fetched(client_for(near), folder) == DATA
    else:
        fails(client_for(near), folder, WrongContent)


def test_bytes_after_an_answer_are_no_answer_to_the_next_request(near, folder):
    fill(near)
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
    near.plan(faults.followed_by(forged))
    client = client_for(near)
    assert fetched(client, folder) == DATA
    assert client.look_up(REQUEST).trusted
    assert fetched(client, folder) == DATA


def test_a_checksum_that_no_entry_states_is_checked(near, folder):
    fill(near)
    right = Request.for_file(URL, Checksum("sha1", hashlib.sha1(DATA).hexdigest()))
    wrong = Request.for_file(URL, Checksum("sha1", "0" * 40))
    error = fails(client_for(near), folder, NotBelieved, wrong)
    assert error.reason is Reason.CHECKSUM
    assert f"its sha1 is {right.checksums[0].value}, not 000" in str(error)
    assert fetched(client_for(near), folder, right) == DATA


def test_a_checksum_is_checked_where_a_system_keeps_to_fips(near, folder, monkeypatch):
    """It refuses weak hashes, but for what is no security."""
    new = hashlib.new

    def strict(name, data=b"", *, usedforsecurity=True):
        if usedforsecurity:
            raise ValueError(f"unsupported hash type {name}")
        return new(name, data, usedforsecurity=False)

    monkeypatch.setattr(hashlib, "new", strict)
    fill(near)
    request = Request.for_file(URL, Checksum("sha1", hashlib.sha1(DATA).hexdigest()))
    assert fetched(client_for(near), folder, request) == DATA


def test_wrong_bytes_that_came_slowly_are_charged(near, folder):
    fill(near, b"x" * 3000)
    near.plan(lambda a: faults.drip(6000)(faults.wrong(a)), "GET /shacache", times=1)
    budget = Budget(10)
    fetched(client_for(near, budget=budget), folder)
    assert budget.left < budget.seconds


# -- cut ones


@pytest.mark.parametrize("at", [1, 20_000, len(DATA) - 1])
def test_a_cut_content_is_resumed(near, folder, at):
    fill(near)
    near.plan(faults.cut(at), "GET /shacache", times=1)
    assert fetched(client_for(near), folder) == DATA
    ranges = [one.headers.get("range") for one in near.requests[1:]]
    assert ranges == [None, f"bytes={at}-"]


def test_a_content_that_is_cut_often_is_resumed_each_time(near, folder):
    fill(near)
    near.plan(faults.cut(5000), "GET /shacache")
    assert fetched(client_for(near), folder) == DATA
    assert len(contents_asked(near)) == -(-len(DATA) // 5000)


def test_a_content_that_is_cut_after_every_byte_is_given_up(near, far, folder):
    fill(near)
    fill(far)
    near.plan(faults.cut(1), "GET /shacache")
    assert fetched(client_for(near, far), folder) == DATA
    assert len(contents_asked(near)) == 20
    # What had come is kept: the next source is asked for the rest.
    assert far.requests[-1].headers["range"] == "bytes=20-"


def test_a_range_that_is_ignored_does_not_double_the_bytes(near, folder):
    fill(near)
    near.plan(faults.cut(20_000), "GET /shacache", times=1)
    near.plan(faults.say(200, DATA), "GET /shacache")
    assert fetched(client_for(near), folder) == DATA
    assert contents_asked(near) == [CONTENT, CONTENT]


def test_another_range_than_asked_for_is_refused(near, far, folder):
    fill(near)
    near.plan(faults.cut(20_000), "GET /shacache", times=1)
    lie = faults.say(206, DATA, Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
    near.plan(lie, "GET /shacache")
    assert "range" in str(fails(client_for(near), folder, SourceFailure))


@pytest.mark.parametrize("value", ["bytes ²-5/9", "bytes 1-5/" + "9" * 5000, "", "bytes"])
def test_a_range_that_does_not_parse_is_refused(near, folder, value):
    fill(near)
    near.plan(faults.say(206, DATA, Content_Range=value), "GET /shacache")
    assert "range" in str(fails(client_for(near), folder, SourceFailure))


def test_a_poisoned_beginning_of_one_source_does_not_accuse_the_next(near, far, folder):
    fill(near)
    fill(far)
    near.plan(lambda a: faults.cut(9000)(faults.wrong(a)), "GET /shacache", times=1)
    near.plan(faults.drop, "GET /shacache")
    client = client_for(near, far)
    assert fetched(client, folder) == DATA
    assert contents_asked(far) == [CONTENT, CONTENT]
    far.requests.clear()
    assert client.look_up(Request.for_file("http://example.com/other")).answers
    assert asked(far)


# -- slow ones, refusals


@pytest.mark.parametrize("fault", [faults.drip(100), faults.stall(10), faults.silent])
def test_a_content_that_does_not_move_is_left(near, far, folder, fault):
    fill(near)
    fill(far)
    near.plan(fault, "GET /shacache")
    budget = Budget(10)
    client = client_for(near, far, limits=QUICK, budget=budget)
    assert fetched(client, folder) == DATA
    assert contents_asked(near) == [CONTENT]
    assert client.look_up(REQUEST).answers[0].failure.reason is Reason.LEFT_ALONE
    assert 0 < budget.left < budget.seconds


def test_a_hiccup_is_tried_again(near, folder):
    fill(near)
    near.plan(faults.drop, "GET /shacache", times=1)
    near.plan(faults.refuse(Code.BUSY), "GET /shadir", times=1)
    assert fetched(client_for(near), folder) == DATA


def test_a_refusal_says_what_the_server_said(near, folder):
    fill(near)
    near.plan(faults.refuse(Code.FORBIDDEN), "GET /shacache")
    error = fails(client_for(near), folder, Refusal)
    assert (error.code, error.status) == (Code.FORBIDDEN, 403)


def test_the_text_of_a_refusal_cannot_command_a_terminal(near, folder):
    fill(near)
    body = b'{"message": "\\u001b[2J\\r\\n\\u202eforged"}'
    near.plan(faults.say(403, body), "GET /shacache")
    assert str(fails(client_for(near), folder, Refusal)).isprintable()


@pytest.mark.parametrize("label", ["gzip", "deflate", "GZIP"])
def test_an_archive_labelled_as_compressed_is_refused(near, folder, label):
    data = gzip.compress(b"hello")
    fill(near, data)
    near.plan(faults.labelled(Content_Encoding=label), "GET /shacache")
    assert "compressed" in str(fails(client_for(near), folder, SourceFailure))
    assert {one.headers["accept-encoding"] for one in near.requests} == {"identity"}


def test_an_identity_label_is_fine(near, folder):
    fill(near)
    near.plan(faults.labelled(Content_Encoding="identity"), "GET /shacache")
    assert fetched(client_for(near), folder) == DATA


# -- redirects


def test_a_redirect_is_followed_for_content(near, far, folder):
    fill(near)
    far.contents.put([DATA])
    near.plan(faults.redirect(f"{far.source.cache_url}/{DIGEST}"), "GET /shacache")
    assert fetched(client_for(near), folder) == DATA
    assert near.requests[-1].headers["networkcache-redirect"] == "1"


def test_a_relative_redirect_is_followed_without_credentials(near, folder):
    fill(near)
    near.plan(faults.redirect("/shacache/" + DIGEST.hex), "GET /shacache", times=1)
    options = {
        "download-cache-url-list": near.source.cache_url.replace("//", "//me:secret@"),
        "download-dir-url-list": near.source.dir_url.replace("//", "//me:secret@"),
    }
    assert fetched(client_for(options=options), folder) == DATA
    sent = [one.headers.get("authorization") for one in near.requests]
    assert sent == ["Basic bWU6c2VjcmV0"] * 2 + [None]


def test_no_credentials_go_to_another_host(near, far, folder):
    fill(near)
    far.contents.put([DATA])
    near.plan(faults.redirect(f"{far.source.cache_url}/{DIGEST}"), "GET /shacache")
    options = {
        "download-cache-url-list": near.source.cache_url.replace("//", "//me:secret@"),
        "download-dir-url-list": near.source.dir_url,
    }
    assert fetched(client_for(options=options), folder) == DATA
    assert near.requests[-1].headers["authorization"]
    assert "authorization" not in far.requests[-1].headers


def test_more_than_three_redirects_are_not_followed(near, folder):
    fill(near)
    near.plan(faults.redirect("/shacache/" + DIGEST.hex), "GET /shacache")
    assert "again" in str(fails(client_for(near), folder, SourceFailure))
    assert len(contents_asked(near)) == 4
    near.heal()
    near.plan(faults.redirect("/shacache/" + DIGEST.hex), "GET /shacache", times=3)
    assert fetched(client_for(near), folder) == DATA


@pytest.mark.parametrize(
    "there",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://x/",
        "//[",
        "http://u:p@127.0.0.1/",
        "http://[::1",
        "",
        "http://:80/",
        "http://\x01/",
        "http://" + "a" * 300 + "/",
        "http://127.0.0.1:99999/",
        "http://xn--/",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(near, folder, there):
    fill(near)
    near.plan(faults.redirect(there), "GET /shacache")
    fails(client_for(near), folder, SourceFailure)


def test_a_redirect_with_an_endless_body_is_not_read(near, folder):
    fill(near)
    answer = faults.Answer(302, {"Location": "file:///"}, endless=b"x" * 65536)
    near.plan(faults.EarlyFault(answer), "GET /shacache")
    fails(client_for(near), folder, SourceFailure)


# -- what cannot be written


def test_a_folder_that_is_not_there_is_the_users_error(near, folder):
    fill(near)
    client = client_for(near, signers=(ALICE,))
    with pytest.raises(FileNotFoundError):
        client.fetch(client.look_up(REQUEST), str(folder / "no" / "x"))
