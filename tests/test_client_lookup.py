"""Which source is asked, whose entries count, and what the other end may do to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from caches import (
    ALICE,
    BOB,
    DATA,
    DIGEST,
    EVE,
    KEY,
    NOW,
    REQUEST,
    URL,
    asked,
    client_for,
    fill,
    pair_of,
    put,
)

from slapos.networkcache.binding import Request
from slapos.networkcache.client import Client
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import Code, Reason
from slapos.networkcache.seen import SeenOnDisk
from slapos.networkcache.testing import faults
from slapos.networkcache.transport import Budget, Limits
from slapos.networkcache.urls import Checksum

QUICK = Limits(connect=0.5, first_byte=0.5, window=0.5)


def reasons(client: Client, request: Request = REQUEST) -> tuple[Reason | None, list[str]]:
    """Why nothing is trusted, and why each pair does not count."""
    outcome = client.look_up(request)
    return outcome.reason, [str(refusal.reason) for refusal in outcome.refused]


# -- which source is asked


def test_the_first_source_with_a_believed_entry_serves(near, far):
    fill(near)
    fill(far)
    outcome = client_for(near, far).look_up(REQUEST)
    assert outcome.trusted.digest == DIGEST
    assert asked(near) == [f"GET /shadir/{KEY}"]
    assert asked(far) == []


def test_the_reason_for_a_refusal_is_what_the_server_answered(near):
    near.plan(faults.refuse(Code.FORBIDDEN))
    outcome = client_for(near).look_up(REQUEST)
    assert outcome.trusted is None
    assert outcome.reason is Code.FORBIDDEN


@pytest.mark.parametrize(
    "fault",
    [
        None,  # not found
        faults.refuse(Code.FORBIDDEN),
        faults.refuse(Code.INTERNAL),
        faults.drop,
        faults.cut(5),
        faults.say(200, b"<html>It works!</html>"),
        faults.say(200, b"{}"),
        faults.say(200, b"\xff"),
        faults.say(204, b""),
        faults.redirect("http://127.0.0.1:9/"),
        faults.labelled(Content_Encoding="gzip"),
        faults.labelled(Content_Length="99999999999999999999"),
        faults.labelled(Transfer_Encoding="chunked"),
    ],
)
def test_another_source_is_asked_after(near, far, fault):
    fill(far)
    if fault:
        fill(near)
        near.plan(fault)
    outcome = client_for(near, far, limits=QUICK).look_up(REQUEST)
    assert outcome.trusted.digest == DIGEST
    assert asked(near)
    assert asked(far) == [f"GET /shadir/{KEY}"]


def test_an_entry_that_is_not_believed_is_no_answer(near, far):
    fill(near, signer=EVE)
    fill(far)
    outcome = client_for(near, far).look_up(REQUEST)
    assert outcome.trusted.digest == DIGEST
    assert [refusal.reason for refusal in outcome.refused] == [Reason.UNKNOWN_SIGNER]


def test_what_no_source_has_is_not_found(near, far):
    assert reasons(client_for(near, far)) == (Reason.NOT_FOUND, [])
    assert asked(near) == asked(far) == [f"GET /shadir/{KEY}"]


def test_without_a_source_nothing_is_asked():
    assert reasons(client_for()) == (Reason.NOT_CONFIGURED, [])


def test_votes_add_up_over_sources(near, far):
    fill(near)
    fill(far, signer=BOB)
    client = client_for(
        near, far, signers=(ALICE, BOB), options={"signature-threshold": "2"}
    )
    assert client.look_up(REQUEST).trusted.digest == DIGEST


def test_one_signer_is_one_vote_however_often(near, far):
    fill(near)
    fill(far, created=NOW - 5)
    client = client_for(
        near, far, signers=(ALICE, ALICE, BOB), options={"signature-threshold": "2"}
    )
    assert reasons(client) == (Reason.BELOW_THRESHOLD, [])


def test_two_signers_about_different_contents_are_no_two_votes(near, far):
    fill(near)
    fill(far, b"another", signer=BOB)
    client = client_for(
        near, far, signers=(ALICE, BOB), options={"signature-threshold": "2"}
    )
    assert reasons(client) == (Reason.BELOW_THRESHOLD, [])


def test_one_digest_with_two_sizes_is_a_conflict(near):
    pair = pair_of(signer=BOB)
    entry = json.loads(pair.entry)
    text = json.dumps({**entry, "size": entry["size"] + 1})
    fill(near)
    put(near, Pair(text, BOB.sign(text)))
    assert reasons(client_for(near, signers=(ALICE, BOB))) == (Reason.CONFLICT, [])


def test_the_newest_wins_but_a_checksum_comes_first(near):
    fill(near, b"old", created=NOW - 100)
    fill(near, b"new", created=NOW)
    client = client_for(near)
    old = Request.for_file(URL, Checksum("md5", hashlib.md5(b"old").hexdigest()))
    assert client.look_up(REQUEST).trusted.size == 3
    assert client.look_up(REQUEST).trusted.created == NOW
    assert client.look_up(old).trusted.created == NOW - 100
    unknown = Request.for_file(URL, Checksum("md5", "0" * 32))
    assert reasons(client, unknown) == (Reason.CHECKSUM, [])


# -- what nobody is asked


def test_a_secret_url_is_asked_of_nobody(near):
    for url in ("http://u:p@example.com/a", "http://example.com/a?Token=1"):
        assert reasons(client_for(near), Request.for_file(url))[0] is Reason.SECRET_URL
    assert near.connections == 0


def test_a_blacklisted_url_is_asked_of_nobody(near):
    client = client_for(
        near, options={"download-from-cache-url-blacklist": "http://EXAMPLE.com:80/he"}
    )
    assert reasons(client) == (Reason.BLACKLISTED_URL, [])
    assert near.connections == 0


def test_a_blacklisted_digest_is_not_believed(near):
    fill(near)
    client = client_for(near, options={"digest-blacklist": DIGEST.hex.upper()})
    assert client.look_up(REQUEST).refused[0].reason is Reason.BLACKLISTED_DIGEST


# -- whose entries count


@pytest.mark.parametrize(
    ("reason", "pair"),
    [
        (Reason.UNKNOWN_SIGNER, pair_of(signer=EVE)),
        (Reason.UNKNOWN_SIGNER, pair_of()._replace(signature="")),
        (Reason.BAD_SIGNATURE, pair_of()._replace(signature=pair_of(b"?").signature)),
        (Reason.KEY_MISMATCH, pair_of(url="http://example.com/other")),
        (Reason.KEY_MISMATCH, pair_of(key=Key.for_file("http://example.com/other"))),
        (Reason.EXPIRED, None),
        (Reason.CLOCK, pair_of(created=NOW + 3600)),
        (Reason.UNCHECKED_ORIGIN, pair_of(transport="http")),
        (Reason.BAD_ENTRY, Pair("[]", "")),
        (Reason.UNKNOWN_FORMAT, Pair('{"format": 2}', "")),
    ],
)
def test_each_reason(near, reason, pair):
    if pair is None:
        text = json.dumps({**json.loads(pair_of().entry), "expires": NOW - 10})
        pair = Pair(text, ALICE.sign(text))
    put(near, pair)
    near.contents.put([DATA])
    client = client_for(near, options={"require-checked-origin": "true"})
    assert reasons(client) == (reason, [str(reason)])


def test_a_list_in_which_nothing_parses_believes_nobody(near):
    fill(near)
    options = {"signature-certificate-list": "-----BEGIN CERTIFICATE-----\nno"}
    client = client_for(near, options=options)
    assert len(client.certificates.problems) == 1
    assert reasons(client)[0] is Reason.UNKNOWN_SIGNER


DEEP = "[" * 200_000 + "]" * 200_000


@pytest.mark.parametrize(
    "poison",
    [
        [1, 2],
        ["{}"],
        ["{}", "", ""],
        ["{}", "not base64"],
        ["\ud800", ""],
        [DEEP, ""],
        ['{"format": 1, "format": 1}', ""],
        ['{"format": true}', ""],
        ["x" * 70000, ""],
        None,
        {},
        10**400,
    ],
    ids=repr,
)
def test_a_poisoned_pair_does_not_hide_the_others(near, poison):
    fill(near)
    near.plan(faults.among(poison))
    outcome = client_for(near).look_up(REQUEST)
    assert outcome.trusted.digest == DIGEST
    assert len(outcome.refused) == 2


def test_nesting_that_defeats_the_parser_does_not_hide_the_others(near):
    fill(near)
    good = json.dumps([list(pair_of())])[1:-1]
    near.plan(faults.say(200, f"[{DEEP},{good},{DEEP}]".encode()))
    assert client_for(near).look_up(REQUEST).trusted.digest == DIGEST


# -- roll-back


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[SeenOnDisk]:
    memory = SeenOnDisk(tmp_path / "cache" / "seen.sqlite")
    yield memory
    memory.close()


def test_an_older_entry_is_refused_in_a_later_run(near, far, seen, tmp_path):
    fill(near)
    fill(far, b"older", created=NOW - 100)
    assert client_for(near, seen=seen).look_up(REQUEST).trusted
    seen.close()
    again = SeenOnDisk(tmp_path / "cache" / "seen.sqlite")
    assert reasons(client_for(far, seen=again))[0] is Reason.ROLLBACK
    assert client_for(near, seen=again).look_up(REQUEST).trusted
    again.close()


def test_with_closes_a_client_and_its_memory(near, far, seen):
    fill(near)
    fill(far, b"older", created=NOW - 100)
    with client_for(near, seen=seen) as client:
        assert client.look_up(REQUEST).trusted
    assert client_for(far, seen=seen).look_up(REQUEST).trusted


def test_a_removed_signer_is_forgotten(near, far, seen):
    fill(near, signer=EVE, created=NOW + 300)
    fill(far)
    assert client_for(near, signers=(EVE,), seen=seen).look_up(REQUEST).trusted
    both = client_for(far, signers=(ALICE, EVE), seen=seen)
    assert reasons(both)[0] is Reason.ROLLBACK
    assert client_for(far, seen=seen).look_up(REQUEST).trusted


def test_of_two_signers_one_can_be_removed(near, seen):
    fill(near, signer=EVE, created=NOW - 10)
    fill(near, signer=ALICE, created=NOW - 1000)
    both = client_for(near, signers=(ALICE, EVE), seen=seen)
    assert both.look_up(REQUEST).trusted.created == NOW - 10
    assert client_for(near, signers=(ALICE,), seen=seen).look_up(REQUEST).trusted


def test_a_checksum_vouches_for_an_older_entry(near, far, seen):
    fill(near)
    fill(far, b"older", created=NOW - 100)
    client_for(near, seen=seen).look_up(REQUEST)
    exact = Request.for_file(URL, Checksum("sha256", hashlib.sha256(b"older").hexdigest()))
    assert client_for(far, seen=seen).look_up(exact).trusted


# -- a hostile or broken directory


def test_an_endless_answer_is_cut(near, far):
    fill(far)
    near.plan(faults.endless(b'["",""],' * 4096))
    outcome = client_for(near, far).look_up(REQUEST)
    assert outcome.trusted
    assert "longer than" in str(outcome.answers[0].failure)
    assert len(near.requests) == 1  # it is not asked for the same once more


@pytest.mark.parametrize("line", [b"HTTP/1.1 100 Continue\r\n\r\n", b"X-More: 1\r\n"])
def test_an_endless_head_is_cut(near, far, line):
    fill(far)
    start = b"" if b"Continue" in line else b"HTTP/1.1 200 OK\r\n"
    endless = faults.Answer(0, body=start, endless=line * 1000)
    near.plan(faults.EarlyFault(endless))
    assert client_for(near, far).look_up(REQUEST).trusted


def test_an_endless_trailer_is_cut(near, far):
    fill(far)
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n"
    near.plan(faults.EarlyFault(faults.Answer(0, body=body, endless=b"X: 1\r\n" * 1000)))
    assert client_for(near, far).look_up(REQUEST).trusted


def test_a_redirect_with_an_endless_body_is_not_read(near, far):
    fill(far)
    answer = faults.Answer(302, {"Location": "/"}, endless=b"x" * 65536)
    near.plan(faults.EarlyFault(answer))
    assert client_for(near, far).look_up(REQUEST).trusted


@pytest.mark.parametrize("rate", [20.0])
def test_a_few_bytes_a_second_are_too_slow(near, far, rate):
    fill(near)
    fill(far)
    near.plan(faults.drip(rate))
    budget = Budget(10)
    outcome = client_for(near, far, limits=QUICK, budget=budget).look_up(REQUEST)
    assert outcome.trusted
    assert outcome.answers[0].failure.reason is Reason.TOO_SLOW
    assert 0.4 < budget.seconds - budget.left < 2


def test_verifying_junk_is_bounded_by_the_budget(near, far):
    pair = pair_of(signer=EVE)
    entry = json.loads(pair.entry)
    del entry["signer"]
    text = json.dumps(entry)
    junk = [[text, EVE.sign(text)]] * 1500
    near.plan(faults.among(*junk))
    budget = Budget(0.1)
    outcome = client_for(near, far, signers=(ALICE, BOB), budget=budget).look_up(REQUEST)
    assert outcome.trusted is None
    assert 0 < len(outcome.answers[0].verdicts) < 3000
    assert budget.left == 0
    assert asked(far) == []  # the run's budget is spent: every source is left alone
    assert outcome.answers[1].failure.reason is Reason.LEFT_ALONE


def test_elements_that_are_no_pairs_are_not_all_looked_at(near, far):
    fill(far)
    near.plan(faults.say(200, b"[" + b"0," * 2_000_000 + b"0]"))
    outcome = client_for(near, far).look_up(REQUEST)
    assert outcome.trusted
    assert len(outcome.answers[0].verdicts) < 30_000
