"""The policy where several words meet: thresholds, ages, choices, and old signatures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from golden.case import CONTENT, DAY, NOW, OTHER, URL, file, sha256
from golden.signing import LISTED, certificate, fingerprint, signed
from judging import judge

from slapos.networkcache.binding import Request
from slapos.networkcache.certificates import CertificateList
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Pair
from slapos.networkcache.errors import NotBelieved, NotFound, Reason
from slapos.networkcache.trust import (
    UNSIZED_LIMIT,
    Policy,
    TrustedEntry,
)
from slapos.networkcache.urls import Checksum

REQUEST = Request.for_file(URL)
LIST = tuple(certificate(name) for name in LISTED)


def pair(by: str = "ed25519", how: str = "sha512", **entry: Any) -> Pair:
    return Pair(*signed(file(**entry), by, how))


def decide(
    pairs: Sequence[Pair],
    request: Request = REQUEST,
    newest_believed: int | None = None,
    **policy: Any,
) -> TrustedEntry | Reason:
    policy = {"certificates": LIST} | policy
    return judge(pairs, request, Policy(**policy), NOW, newest_believed)


def believed(pairs: Sequence[Pair], *args: Any, **policy: Any) -> TrustedEntry:
    outcome = decide(pairs, *args, **policy)
    assert isinstance(outcome, TrustedEntry), outcome
    return outcome


def content(trusted: TrustedEntry) -> bytes:
    return {Digest.of(data): data for data in (CONTENT, OTHER)}[trusted.digest]


# -- what a believed entry says


def test_a_believed_entry_says_what_was_signed() -> None:
    trusted = believed([pair("p256", created=NOW - 7)])
    assert trusted.digest == Digest.of(CONTENT)
    assert trusted.size == trusted.limit == len(CONTENT)
    assert trusted.members["url"] == URL
    assert [signer.name for signer in trusted.signers] == ["p256"]
    assert trusted.created == NOW - 7
    assert not trusted.legacy


def test_only_the_policy_makes_a_trusted_entry() -> None:
    with pytest.raises(TypeError, match="policy"):
        TrustedEntry(Digest.of(CONTENT), 3, 3)


def test_what_a_profile_names_by_sha512_is_bounded() -> None:
    trusted = Policy(unsized_limit=100).named_by_profile(Digest.of(CONTENT))
    assert (trusted.size, trusted.limit) == (None, 100)
    assert Policy().named_by_profile(Digest.of(CONTENT)).limit == UNSIZED_LIMIT


def test_not_even_a_profile_names_what_is_blacklisted() -> None:
    policy = Policy(blacklist={Digest.of(CONTENT)})
    with pytest.raises(NotBelieved) as refused:
        policy.named_by_profile(Digest.of(CONTENT))
    assert refused.value.reason is Reason.BLACKLISTED_DIGEST


def test_nothing_received_is_the_normal_miss() -> None:
    with pytest.raises(NotFound):
        Policy(LIST).decide([], REQUEST)


# -- choosing


@pytest.mark.parametrize("newer_first", [True, False])
def test_the_newest_wins_whatever_the_order(newer_first: bool) -> None:
    pairs = [pair(created=NOW - 1, content=OTHER), pair(created=NOW - 2)]
    assert content(believed(pairs if newer_first else pairs[::-1])) == OTHER


def test_of_the_same_age_the_greater_digest_wins() -> None:
    greater = max(CONTENT, OTHER, key=Digest.of)
    pairs = [pair(content=OTHER), pair("p256")]
    assert content(believed(pairs)) == content(believed(pairs[::-1])) == greater


@pytest.mark.parametrize(
    "checksum",
    [
        Checksum("sha256", sha256(CONTENT).hexdigest()),
        Checksum("md5", file()["md5"]),
        Checksum("sha512", file()["sha512"]),
    ],
)
def test_a_checksum_picks_before_age(checksum: Checksum) -> None:
    pairs = [pair(created=NOW, content=OTHER), pair(created=NOW - DAY)]
    assert content(believed(pairs, Request.for_file(URL, checksum))) == CONTENT


def test_a_checksum_that_no_entry_states_decides_nothing() -> None:
    request = Request.for_file(URL, Checksum("sha1", "0" * 40))
    assert content(believed([pair()], request)) == CONTENT


def test_an_agreeing_entry_comes_before_one_that_states_nothing() -> None:
    request = Request.for_file(URL, Checksum("sha256", sha256(CONTENT).hexdigest()))
    silent = pair(created=NOW, content=OTHER, sha256=None)
    assert content(believed([silent, pair()], request)) == CONTENT


# -- thresholds


def test_votes_of_several_sources_add_up() -> None:
    near, far = [pair("rsa-2048")], [pair("p384", created=NOW - 3, transport="http")]
    assert decide(near, threshold=2) is Reason.BELOW_THRESHOLD
    trusted = believed([*near, *far], threshold=2)
    assert {signer.name for signer in trusted.signers} == {"rsa-2048", "p384"}


def test_a_key_counts_once_however_many_certificates_carry_it() -> None:
    twice = CertificateList((certificate("rsa-2048"), certificate("rsa-2048-expired")))
    assert twice.certificates[0] == twice.certificates[1]
    pairs = [pair("rsa-2048"), pair("rsa-2048", created=NOW)]
    policy = {"certificates": twice.certificates, "threshold": 2}
    assert decide(pairs, **policy) is Reason.BELOW_THRESHOLD


def test_a_stolen_key_cannot_re_date_what_two_once_vouched_for() -> None:
    old = [pair(created=NOW - 9), pair("p256", created=NOW - 9)]
    new = [
        pair(created=NOW - 5, content=OTHER),
        pair("p256", created=NOW - 5, content=OTHER),
    ]
    stolen = pair("p256", created=NOW)
    assert content(believed([*old, *new, stolen], threshold=2)) == OTHER
    assert believed([*old, stolen], threshold=2).created == NOW - 9
    # And to a node that saw the newer one, the re-dated one is a rollback.
    assert decide([*old, stolen], REQUEST, NOW - 5, threshold=2) is Reason.ROLLBACK


def test_the_age_is_that_of_the_vouching_that_completes_the_threshold() -> None:
    pairs = [
        pair("ed25519", created=NOW - 1),
        pair("p256", created=NOW - 2),
        pair("p384", created=NOW - 3),
    ]
    ages = [believed(pairs, threshold=n).created for n in (1, 2, 3)]
    assert ages == [NOW - 1, NOW - 2, NOW - 3]


def test_an_expired_word_does_not_count_for_the_threshold() -> None:
    pairs = [pair(), pair("p256", expires=NOW - 1)]
    assert decide(pairs, threshold=2) is Reason.BELOW_THRESHOLD


def test_a_true_for_one_is_another_statement() -> None:
    pairs = [pair(x=True), pair("p256", x=1)]
    assert decide(pairs, threshold=2) is Reason.BELOW_THRESHOLD


# -- conflict, rollback, blacklist


def test_a_digest_with_two_sizes_is_believed_of_nobody() -> None:
    pairs = [pair(), pair("p256"), pair("p384", size=len(CONTENT) + 1)]
    assert decide(pairs) is Reason.CONFLICT
    # Another content is not touched by it.
    assert content(believed([*pairs, pair(content=OTHER, created=1)])) == OTHER


def test_rollback_compares_with_what_was_believed() -> None:
    assert decide([pair(created=NOW - 2)], REQUEST, NOW - 1) is Reason.ROLLBACK
    assert isinstance(decide([pair(created=NOW - 1)], REQUEST, NOW - 1), TrustedEntry)


def test_a_checksum_not_stated_does_not_excuse_a_rollback() -> None:
    request = Request.for_file(URL, Checksum("sha1", "0" * 40))
    assert decide([pair(created=NOW - 2)], request, NOW - 1) is Reason.ROLLBACK


def test_a_blacklisted_digest_leaves_the_others() -> None:
    pairs = [pair(created=NOW, content=OTHER), pair()]
    assert content(believed(pairs, blacklist={Digest.of(OTHER)})) == CONTENT


def test_without_certificates_nobody_is_believed() -> None:
    assert decide([pair()], certificates=()) is Reason.UNKNOWN_SIGNER


# -- signatures


def test_the_named_signer_must_be_the_key_that_verifies() -> None:
    assert isinstance(decide([pair("p256", signer=fingerprint("p256"))]), TrustedEntry)
    assert decide([pair("p256", signer=fingerprint("p384"))]) is Reason.BAD_SIGNATURE


def test_accepting_old_signatures_is_reported() -> None:
    old = pair("rsa-2048", "sha1")
    assert decide([old]) is Reason.WEAK_SIGNATURE
    assert believed([old], accept_legacy=True).legacy


@pytest.mark.parametrize("old_first", [True, False])
def test_an_entry_also_signed_as_today_is_not_reported_as_old(old_first: bool) -> None:
    pairs = [pair("rsa-2048", "sha1", salt="ab"), pair("rsa-2048")]
    trusted = believed(pairs if old_first else pairs[::-1], accept_legacy=True)
    assert not trusted.legacy
    # For a threshold of two, one old word was needed.
    other = pair("rsa-1024", "sha1")
    assert believed([*pairs, other], accept_legacy=True, threshold=2).legacy


def test_an_old_entry_has_no_size_and_no_date() -> None:
    text = {"url": URL, "sha512": file(content=OTHER)["sha512"]}
    old = Pair(*signed(text, "rsa-1024", "sha1"))
    trusted = believed([old], accept_legacy=True, unsized_limit=99)
    assert (trusted.size, trusted.limit, trusted.created) == (None, 99, None)
    assert content(believed([old, pair(created=0)], accept_legacy=True)) == CONTENT
    assert decide([old], REQUEST, 0, accept_legacy=True) is Reason.ROLLBACK


def test_an_old_entry_states_no_checksum() -> None:
    text = {"url": URL, "sha512": file()["sha512"], "md5": "0" * 32}
    old = Pair(*signed(text, "rsa-2048", "sha1"))
    request = Request.for_file(URL, Checksum("md5", "1" * 32))
    assert isinstance(decide([old], request, accept_legacy=True), TrustedEntry)
    wrong = Request.for_file(URL, Checksum("sha512", "1" * 128))
    assert decide([old], wrong, accept_legacy=True) is Reason.CHECKSUM


def test_refusals_explain_themselves() -> None:
    with pytest.raises(NotBelieved, match="signature-legacy = accept"):
        Policy(LIST).examine(pair("rsa-2048", "sha1"), REQUEST, NOW)
    with pytest.raises(NotBelieved, match="601 s from now"):
        Policy(LIST).examine(pair(created=NOW + 601), REQUEST, NOW)


def test_members_cannot_be_changed_after_they_were_believed() -> None:
    trusted = believed([pair()])
    with pytest.raises(TypeError):
        trusted.members["url"] = "x"  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        trusted.limit = 1  # type: ignore[misc]
