"""Publishing: what is missing and nothing else, the content before the entry."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
import time
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
    fetched,
    pair_of,
    put,
)
from cryptography.hazmat.primitives.asymmetric import rsa

from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digest, Digests
from slapos.networkcache.errors import (
    Code,
    InvalidConfiguration,
    NotPublished,
    Reason,
    Refusal,
    SourceFailure,
)
from slapos.networkcache.members import members_of_distribution, members_of_file
from slapos.networkcache.publisher import (
    Publisher,
)
from slapos.networkcache.testing import NetworkCache, faults
from slapos.networkcache.transport import Budget, Limits
from slapos.networkcache.uploader import Uploader

CONTENT = Digests.of([DATA])
FILE = members_of_file(URL, checked=True)
RSA = generate()
OLD_RSA = Signer(rsa.generate_private_key(65537, 1024))
HEAD, POST, PUT = f"HEAD /shacache/{DIGEST}", "POST /shacache", f"PUT /shadir/{KEY}"


@pytest.fixture
def cache() -> Iterator[NetworkCache]:
    with NetworkCache() as cache:
        yield cache


@pytest.fixture
def make_publisher(cache: NetworkCache, tmp_path: Path):
    """Makes publishers: the signer first, then options and named arguments."""

    def make(signer: Signer = ALICE, options: dict | None = None, **how) -> Publisher:
        key = tmp_path / "key"
        key.touch(mode=0o600)
        key.write_bytes(signer.private_pem())
        section = {
            "upload-cache-url": cache.source.cache_url,
            "upload-dir-url": cache.source.dir_url,
            "signature-private-key-file": str(key),
            "signature-certificate-list": signer.self_signed("x", time.time()),
            **(options or {}),
        }
        return Publisher(Config.parse(section), **{"clock": lambda: NOW, **how})

    return make


@pytest.fixture
def make_uploader(cache: NetworkCache):
    def make(cache_url=cache.source.cache_url, dir_url=cache.source.dir_url) -> Uploader:
        options = {"upload-cache-url": cache_url, "upload-dir-url": dir_url}
        return Uploader(Config.parse(options))

    return make


def publish(publisher: Publisher, data: bytes = DATA, **how):
    return publisher.publish(KEY, io.BytesIO(data), Digests.of([data]), FILE, **how)


def pairs(cache: NetworkCache) -> list[dict]:
    """The members of what is put under the key, latest first."""
    return [
        json.loads(stored.pair.entry) for stored in cache.entries.get([KEY]).get(KEY, ())
    ]


def test_what_is_published_is_fetched(cache, make_publisher, tmp_path):
    done = publish(make_publisher())
    assert done.content_sent
    assert done.entry_sent
    assert asked(cache) == ["POST /shadir", POST, PUT]  # the content before the entry
    (tmp_path / "folder").mkdir()
    assert fetched(client_for(cache), tmp_path / "folder") == DATA


def test_published_again_nothing_is_sent(cache, make_publisher):
    publish(make_publisher())
    done = publish(make_publisher(clock=lambda: NOW + 100))
    assert not done.content_sent
    assert not done.entry_sent
    assert asked(cache)[3:] == ["POST /shadir"]


def test_only_what_is_missing_is_sent(cache, make_publisher):
    cache.contents.put([DATA])
    publish(make_publisher())
    assert asked(cache) == ["POST /shadir", PUT]
    cache.contents.delete(DIGEST)
    assert publish(make_publisher()).content_sent
    assert asked(cache)[2:] == ["POST /shadir", POST]


def test_another_content_is_published_beside_the_first(cache, make_publisher):
    publish(make_publisher())
    publish(make_publisher(clock=lambda: NOW + 1), b"changed")
    assert [entry["size"] for entry in pairs(cache)] == [7, len(DATA)]
    # What was said first is not what was said last.
    assert publish(make_publisher(clock=lambda: NOW + 2)).entry_sent


def test_the_word_of_strangers_makes_nobody_publish_again(cache, make_publisher):
    publish(make_publisher())
    put(cache, pair_of(b"junk", signer=EVE, created=2**53))
    assert not publish(make_publisher()).entry_sent


def test_a_newer_word_of_another_signer_is_answered(cache, make_publisher):
    publish(make_publisher())
    put(cache, pair_of(b"other", signer=BOB, created=NOW + 60))
    both = ALICE.self_signed("a", time.time()) + BOB.self_signed("b", time.time())
    assert publish(make_publisher(options={"signature-certificate-list": both})).entry_sent


def test_an_empty_content_is_published(cache, make_publisher):
    publish(make_publisher(), b"")
    assert cache.contents.has(Digest.of(b""))
    (post,) = (one for one in cache.requests if str(one) == POST)
    assert post.headers["content-length"] == "0"


def test_requests_are_as_old_servers_need_them(cache, make_publisher):
    publish(make_publisher())
    for one in cache.requests:
        assert "transfer-encoding" not in one.headers
        assert one.headers["content-type"] in (
            "application/json",
            "application/octet-stream",
        )


@pytest.mark.parametrize(
    "answer",
    [
        faults.refuse(Code.BAD_METHOD),
        faults.refuse(Code.NOT_FOUND),
        faults.refuse(Code.INTERNAL),
        faults.refuse(Code.UPSTREAM),
        faults.say(200, b"<html>"),
        faults.say(200, b"[]"),
        faults.drop,
    ],
)
def test_an_old_server_is_asked_key_by_key(cache, make_publisher, answer):
    cache.plan(answer, "POST /shadir")
    publisher = make_publisher()
    assert publish(publisher).content_sent
    look_up = f"GET /shadir/{KEY}"
    assert [a for a in asked(cache) if a != "POST /shadir"] == [look_up, HEAD, POST, PUT]
    batches = asked(cache).count("POST /shadir")
    assert not publish(publisher).entry_sent
    assert asked(cache)[-2:] == [look_up, HEAD]
    assert asked(cache).count("POST /shadir") == batches  # remembered for the run


def test_a_batch_that_is_never_answered_is_not_tried_again(cache, make_publisher):
    cache.plan(faults.silent, "POST /shadir")
    now = [0.0]
    budget = Budget(2.0, lambda: now[0])
    publisher = make_publisher(budget=budget, limits=Limits(first_byte=0.2))
    with pytest.raises(SourceFailure):
        publish(publisher)
    now[0] += 60  # it was left alone for a while
    assert publish(publisher).content_sent
    assert asked(cache).count("POST /shadir") == 1


def test_a_content_that_went_away_is_sent_after_all(cache, make_publisher):
    cache.contents.put([DATA])
    cache.plan(faults.refuse(Code.MISSING_CONTENT), "PUT /shadir", times=1)
    assert publish(make_publisher()).content_sent
    assert asked(cache) == ["POST /shadir", PUT, POST, PUT]


def test_a_refused_content_puts_no_entry(cache, make_publisher):
    cache.plan(faults.refuse(Code.STORAGE_FULL), "POST /shacache")
    with pytest.raises(Refusal) as caught:
        publish(make_publisher())
    assert caught.value.code is Code.STORAGE_FULL
    assert PUT not in asked(cache)


def test_a_server_that_stores_other_bytes_gets_no_entry(cache, make_publisher):
    cache.plan(faults.say(201, b"0" * 128), "POST /shacache")
    with pytest.raises(Refusal, match="other bytes"):
        publish(make_publisher())
    assert PUT not in asked(cache)


def test_a_hiccup_is_tried_again_from_the_beginning(cache, make_publisher):
    for one in ("POST /shadir", "POST /shacache", "PUT /shadir"):
        cache.plan(faults.refuse(Code.BUSY), one, times=1)
    publish(make_publisher())
    assert cache.contents.has(DIGEST)
    assert len(pairs(cache)) == 1


def test_a_content_is_stored_without_a_key_and_an_entry(cache, make_uploader):
    uploader = make_uploader()
    assert uploader.store(io.BytesIO(DATA), CONTENT)
    assert not uploader.store(io.BytesIO(DATA), CONTENT)
    assert asked(cache) == [HEAD, POST, HEAD]


# -- what is signed


def test_an_entry_says_what_its_kind_needs(cache, make_publisher):
    publish(make_publisher())
    (entry,) = pairs(cache)
    assert entry.pop("created") == pytest.approx(NOW, abs=300)
    assert entry == {
        "format": 1,
        "key": str(KEY),
        "sha512": DIGEST.hex,
        "size": len(DATA),
        "signer": ALICE.fingerprint,
        "md5": CONTENT.md5,
        "sha256": CONTENT.sha256,
        "url": URL,
    }


def test_what_came_unchecked_says_so():
    said = members_of_distribution(URL, "a-1.zip", "a", "1", checked=False)
    assert said["transport"] == "http"
    assert "transport" not in members_of_file(URL, checked=True)


def test_what_came_unchecked_is_published_again_once_it_is_checked(cache, make_publisher):
    publisher = make_publisher()

    def published(*, checked: bool) -> bool:
        members = members_of_file(URL, checked=checked)
        return publisher.publish(KEY, io.BytesIO(DATA), CONTENT, members).entry_sent

    assert published(checked=False)
    assert published(checked=True)
    assert not published(checked=False)


@pytest.mark.parametrize(("asked", "until"), [(None, 3600), (10, 10), (7200, 3600)])
def test_an_entry_ends_when_the_signer_says_so(cache, make_publisher, asked, until):
    publisher = make_publisher(options={"entry-expires": "1 h"}, clock=lambda: NOW)
    publish(publisher, expires=asked and NOW + asked)
    assert pairs(cache)[0]["expires"] == NOW + until


@pytest.mark.parametrize(("later", "said_again"), [(1700, False), (1900, True)])
def test_what_ends_is_said_again_in_time(cache, make_publisher, later, said_again):
    """Once half of its time is over, or it would end some day."""
    options = {"entry-expires": "1 h"}
    publish(make_publisher(options=options, clock=lambda: NOW))
    publisher = make_publisher(options=options, clock=lambda: NOW + later)
    assert publish(publisher).entry_sent == said_again
    assert publish(make_publisher()).entry_sent  # for good


def test_a_legacy_pair_comes_last_and_begins_with_salt(cache, make_publisher):
    options = {"signature-legacy": "publish"}
    publish(make_publisher(RSA, options))
    legacy, today = pairs(cache)
    assert next(iter(legacy)) == "salt"
    assert len(legacy.pop("salt")) == 32
    assert "salt" not in today
    outcome = client_for(cache, signers=(RSA,)).look_up(REQUEST)
    assert outcome.trusted
    assert [refusal.reason for refusal in outcome.refused] == [Reason.WEAK_SIGNATURE]
    assert not publish(make_publisher(RSA, options)).entry_sent
    cache.requests.clear()
    # One of the two pairs does not stand for the other.
    assert not publish(make_publisher(RSA)).entry_sent
    cache.entries.remove(KEY, cache.entries.get([KEY])[KEY][0].pair)
    assert publish(make_publisher(RSA, options)).entry_sent


def test_both_pairs_are_of_one_moment(cache, make_publisher):
    ticks = itertools.count(NOW)
    options = {"signature-legacy": "publish", "entry-expires": "1 h"}
    publish(make_publisher(RSA, options, clock=lambda: next(ticks)))
    legacy, today = pairs(cache)
    assert legacy["created"] == today["created"]
    assert legacy["expires"] == today["expires"]


def test_a_small_key_only_publishes_in_the_old_way(cache, make_publisher):
    with pytest.raises(InvalidConfiguration, match="generate-signature-key"):
        make_publisher(OLD_RSA)
    publish(make_publisher(OLD_RSA, {"signature-legacy": "publish"}))
    assert len(pairs(cache)) == 1
    options = {"signature-legacy": "accept"}
    assert client_for(cache, signers=(OLD_RSA,), options=options).look_up(REQUEST).trusted


def test_what_older_programs_cannot_use_is_not_signed_for_them(cache, make_publisher):
    publisher = make_publisher(RSA, {"signature-legacy": "publish"})
    assert publish(publisher, for_old_programs=False).entry_sent
    (today,) = pairs(cache)
    assert "salt" not in today
    assert not publish(publisher, for_old_programs=False).entry_sent
    small = make_publisher(OLD_RSA, {"signature-legacy": "publish"})
    with pytest.raises(NotPublished, match="older programs could not use it") as refused:
        publish(small, for_old_programs=False)
    assert refused.value.reason is Reason.WEAK_SIGNATURE
    assert len(pairs(cache)) == 1


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_only_rsa_signs_in_the_old_way(make_publisher, kind):
    with pytest.raises(InvalidConfiguration, match="needs an RSA"):
        make_publisher(generate(kind), {"signature-legacy": "publish"})


# -- what is not published


def test_a_secret_url_is_not_published(cache, make_publisher):
    publisher = make_publisher(options={"upload-to-cache-url-blacklist": "http://b/"})
    for url, reason in (
        ("http://u:p@a/x", Reason.SECRET_URL),
        ("http://a/x?private_token=1", Reason.SECRET_URL),
        ("http://b/x", Reason.BLACKLISTED_URL),
    ):
        assert publisher.hindrance(url).reason is reason
        with pytest.raises(NotPublished) as caught:
            publisher.publish(KEY, io.BytesIO(DATA), CONTENT, {"url": url})
        assert caught.value.reason is reason
    assert publisher.hindrance(URL) is None
    with pytest.raises(NotPublished) as caught:
        publisher.sign(KEY, CONTENT, {"url": URL, "final_url": "http://u:p@a/x"})
    assert caught.value.reason is Reason.SECRET_URL
    assert cache.connections == 0


@pytest.mark.parametrize("offset", [-1000, 1000, 86400 * 365])
@pytest.mark.parametrize("batches", [True, False])
def test_a_wrong_clock_publishes_nothing(
    cache, make_publisher, make_uploader, offset, batches
):
    if not batches:
        no = faults.refuse(Code.BAD_METHOD).answer
        cache.plan(lambda _: faults.clock(offset)(no), "POST /shadir")
    cache.plan(faults.clock(offset))
    publisher = make_publisher()
    for attempt in (
        lambda: publish(publisher),
        lambda: make_uploader().store(io.BytesIO(DATA), CONTENT),
    ):
        with pytest.raises(NotPublished) as caught:
            attempt()
        assert caught.value.reason is Reason.CLOCK
    assert not {POST, PUT} & set(asked(cache))


@pytest.mark.parametrize("date", ["yesterday", "", "Mon, 01 Jan 99999 00:00:00 GMT"])
def test_a_date_that_is_none_is_no_hindrance(cache, make_publisher, date):
    cache.plan(faults.labelled(Date=date))
    assert publish(make_publisher()).entry_sent


# -- the user's mistakes


def test_a_signer_that_is_not_listed_is_told(make_publisher):
    assert make_publisher().warnings == ()
    (warning,) = make_publisher(options={"signature-certificate-list": ""}).warnings
    assert "signature-certificate-list" in warning


def test_a_key_that_others_may_read_is_warned_of(make_publisher, tmp_path):
    make_publisher()
    for mode in (0o640, 0o604):
        (tmp_path / "key").chmod(mode)
        (warning,) = make_publisher().warnings
        assert f"chmod 600 {tmp_path / 'key'}" in warning


@pytest.mark.parametrize(
    "content", [None, b"", b"not a key", ALICE.self_signed("x", time.time())]
)
def test_a_key_that_cannot_be_read_is_named(make_publisher, tmp_path, content):
    path = tmp_path / "other"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidConfiguration, match=f"private-key-file {path}: "):
        make_publisher(options={"signature-private-key-file": str(path)})


def test_publishing_needs_urls_and_a_key(make_publisher):
    for option in ("upload-cache-url", "upload-dir-url", "signature-private-key-file"):
        with pytest.raises(InvalidConfiguration, match="publishing needs"):
            make_publisher(options={option: ""})


# -- large uploads

UPLOAD = r"""
import re, sys
from slapos.networkcache.config import Config, Source
from slapos.networkcache.digest import Digests, pieces_of
from slapos.networkcache.uploader import Uploader
cache, dir, path = sys.argv[1:]
uploader = Uploader(Config.parse({"upload-cache-url": cache, "upload-dir-url": dir}))
with open(path, "rb") as file:
    content = Digests.of(pieces_of(file))
    assert uploader.store(file, content)
# Not ru_maxrss, which begins with the memory of the process that started this one.
print(re.search(r"VmHWM:\s*(\d+) kB", open("/proc/self/status").read())[1])
"""


def test_a_large_upload_has_flat_memory(server, tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(300 << 20)
    done = subprocess.run(
        [sys.executable, "-c", UPLOAD, server.cache_url, server.dir_url, large],
        capture_output=True,
        text=True,
        check=True,
    )
    peak = int(done.stdout) / 1024
    assert peak < 96


def test_an_upload_without_an_account_is_told_so(make_server, make_uploader):
    server = make_server(anonymous=False)
    uploader = make_uploader(server.cache_url, server.dir_url)
    large = bytes(20 << 20)
    for data in (DATA, large, large):
        with pytest.raises(Refusal) as caught:
            uploader.store(io.BytesIO(data), Digests.of([data]))
        assert caught.value.code is Code.UNAUTHORIZED


def test_a_server_that_takes_no_bytes_is_left(cache, make_publisher):
    cache.contents.put([b"x"])
    cache.plan(faults.silent, "POST /shacache")
    budget = Budget(2)
    publisher = make_publisher(budget=budget, limits=Limits(0.5, 0.5, 0.5))
    large = bytes(20 << 20)
    with pytest.raises(SourceFailure) as caught:
        publish(publisher, large)
    assert caught.value.reason is Reason.TOO_SLOW
    assert 1 < budget.left < 1.8
    with pytest.raises(SourceFailure) as caught:
        publish(publisher, large)
    assert caught.value.reason is Reason.LEFT_ALONE
