"""The node's own store spares transfers; and a content that is named by its digest needs
no entry, only to be what it is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from caches import DATA, DIGEST, REQUEST, URL, asked, client_for, fetched, fill

from slapos.networkcache.binding import Request
from slapos.networkcache.client import Client
from slapos.networkcache.digest import Digest
from slapos.networkcache.errors import Code, NotBelieved, NotFound, Reason, WrongContent
from slapos.networkcache.localstore import LocalStore
from slapos.networkcache.testing import faults
from slapos.networkcache.urls import Checksum

BATCH, CONTENT = "POST /shadir", f"GET /shacache/{DIGEST}"
LOOK_UP = f"GET /shadir/{REQUEST.key}"
NAMED = Request.for_file(URL, Checksum("sha512", DIGEST.hex))


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", 1 << 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    return folder


def keep(local: LocalStore, data: bytes, tmp_path: Path, digest: Digest = DIGEST) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    local.add(digest, str(source))


def kept(local: LocalStore, digest: Digest = DIGEST) -> bytes:
    with local.open(digest) as content:
        return b"".join(content.pieces())


# The local store


def test_what_is_there_is_not_asked_for(near, local, folder, tmp_path):
    fill(near)
    keep(local, DATA, tmp_path)
    client = client_for(near, local=local)
    outcome = client.look_up(REQUEST)
    assert client.fetch(outcome, str(folder / "file")) is None
    assert (folder / "file").read_bytes() == DATA
    assert asked(near) == [LOOK_UP]


def test_what_was_fetched_is_there_the_next_time(near, local, folder):
    fill(near)
    client = client_for(near, local=local)
    outcome = client.look_up(REQUEST)
    assert client.fetch(outcome, str(folder / "first")) == near.source
    assert client.fetch(outcome, str(folder / "second")) is None
    assert kept(local) == (folder / "second").read_bytes() == DATA
    assert asked(near) == [LOOK_UP, CONTENT]


@pytest.mark.parametrize(
    "wrong",
    [DATA[:-1] + b"?", DATA[:-1], DATA + b"?", b""],
    ids=["other", "cut", "long", ""],
)
def test_wrong_bytes_there_are_thrown_away_and_fetched_anew(
    near, local, folder, tmp_path, wrong
):
    fill(near)
    keep(local, wrong, tmp_path)
    client = client_for(near, local=local)
    assert fetched(client, folder) == DATA
    assert asked(near) == [LOOK_UP, CONTENT]
    assert kept(local) == DATA


def test_wrong_bytes_there_are_not_kept_where_nobody_has_better(
    near, local, folder, tmp_path
):
    fill(near)
    keep(local, b"wrong", tmp_path)
    near.plan(faults.refuse(Code.NOT_FOUND), "GET /shacache")
    client = client_for(near, local=local)
    with pytest.raises(NotFound):
        client.fetch(client.look_up(REQUEST), str(folder / "file"))
    assert not local.has(DIGEST)
    assert list(folder.iterdir()) == []


def test_a_checksum_of_the_profile_is_checked_there_too(near, local, folder, tmp_path):
    """The content is what it is called, and stays; it is not what the profile wants."""
    fill(near)
    keep(local, DATA, tmp_path)
    client = client_for(near, local=local)
    outcome = client.look_up(REQUEST)
    wanted = replace(REQUEST, checksums=(Checksum("sha1", "0" * 40),))
    with pytest.raises(NotBelieved) as caught:
        client.fetch(replace(outcome, request=wanted), str(folder / "file"))
    assert caught.value.reason is Reason.CHECKSUM
    assert list(folder.iterdir()) == []
    assert kept(local) == DATA


@pytest.mark.parametrize("link", [False, True])
def test_what_is_no_file_in_the_store(near, local, folder, link):
    """A folder stands where the content should be, or a link leads there."""
    fill(near)
    place = Path(local.path(DIGEST))
    place.parent.mkdir(parents=True)
    if link:
        place.symlink_to("elsewhere")
    else:
        place.mkdir()
    assert fetched(client_for(near, local=local), folder) == DATA
    assert asked(near) == [LOOK_UP, CONTENT]


def test_what_is_too_large_for_the_store(near, folder, tmp_path):
    fill(near)
    small = LocalStore(tmp_path / "small", len(DATA) - 1)
    assert fetched(client_for(near, local=small), folder) == DATA
    assert not small.has(DIGEST)


# Ahead


def trusted_by(client: Client):
    return client.look_up(REQUEST).trusted


def test_what_comes_ahead_is_in_the_store(near, local, folder):
    fill(near)
    client = client_for(near, local=local)
    assert client.fetch_ahead(trusted_by(client)) == near.source
    assert kept(local) == DATA
    assert client.fetch_ahead(trusted_by(client)) is None
    assert fetched(client, folder) == DATA
    assert asked(near).count(CONTENT) == 1


def test_the_source_that_named_it_is_asked_first(near, far, local):
    fill(far)
    client = client_for(near, far, local=local)
    assert client.fetch_ahead(trusted_by(client), None, 1) == far.source
    assert CONTENT not in asked(near)


@pytest.mark.parametrize("fault", [faults.wrong, faults.longer(b"?")])
def test_nothing_wrong_comes_ahead(near, local, fault):
    fill(near)
    near.plan(fault, "GET /shacache")
    client = client_for(near, local=local)
    with pytest.raises(WrongContent):
        client.fetch_ahead(trusted_by(client))
    assert [path.name for path in local.folder.rglob("*") if path.is_file()] == []


# Named by its digest


def test_it_needs_no_entry(near, folder):
    """Only the content is asked for."""
    near.contents.put([DATA])
    assert fetched(client_for(near, signers=()), folder, NAMED) == DATA
    assert asked(near) == [CONTENT]


def test_in_the_fragment_of_the_url_too(near, folder):
    near.contents.put([DATA])
    request = Request.for_file(f"{URL}#sha512={DIGEST}")
    assert fetched(client_for(near), folder, request) == DATA
    assert asked(near) == [CONTENT]


def test_in_the_local_store(near, local, folder, tmp_path):
    keep(local, DATA, tmp_path)
    assert fetched(client_for(near, local=local), folder, NAMED) == DATA
    assert asked(near) == []


def test_another_checksum_must_be_right_as_well(near, folder):
    near.contents.put([DATA])
    both = Request.for_file(URL, *NAMED.checksums, Checksum("md5", "0" * 32))
    with pytest.raises(NotBelieved) as caught:
        fetched(client_for(near), folder, both)
    assert caught.value.reason is Reason.CHECKSUM
    assert list(folder.iterdir()) == []


def test_wrong_content(near, far, folder):
    near.contents.put([DATA])
    far.contents.put([DATA])
    near.plan(faults.wrong, "GET /shacache")
    assert fetched(client_for(near, far), folder, NAMED) == DATA
    assert asked(near) == [CONTENT] * 2  # once more, past any mirror
    assert asked(far) == [CONTENT]


def test_nobody_has_it(near, far, folder):
    client = client_for(near, far)
    with pytest.raises(NotFound):
        client.fetch(client.look_up(NAMED), str(folder / "file"))
    assert asked(near) == asked(far) == [CONTENT]


def refusal(client: Client, request: Request) -> Reason:
    outcome = client.look_up(request)
    assert outcome.trusted is None
    return outcome.reason


def test_a_blacklisted_digest(near):
    near.contents.put([DATA])
    client = client_for(near, options={"digest-blacklist": DIGEST.hex})
    assert refusal(client, NAMED) is Reason.BLACKLISTED_DIGEST
    assert asked(near) == []


def test_a_secret_in_the_url(near):
    near.contents.put([DATA])
    request = Request.for_file(f"{URL}?token=x", *NAMED.checksums)
    assert refusal(client_for(near), request) is Reason.SECRET_URL
    assert asked(near) == []


def test_a_blacklisted_url(near):
    near.contents.put([DATA])
    client = client_for(near, options={"download-from-cache-url-blacklist": URL[:20]})
    assert refusal(client, NAMED) is Reason.BLACKLISTED_URL
    assert asked(near) == []


def capped(client: Client, limit: int) -> Client:
    client.policy = replace(client.policy, unsized_limit=limit)
    return client


def test_it_is_read_up_to_a_cap(near, folder):
    near.contents.put([DATA])
    assert fetched(capped(client_for(near), len(DATA)), folder, NAMED) == DATA


def test_nothing_beyond_the_cap_is_read(near, folder):
    near.contents.put([DATA])
    near.plan(faults.longer(b"x" * (8 << 20)), "GET /shacache")
    client = capped(client_for(near), len(DATA))
    with pytest.raises(WrongContent, match="goes on after the 51200 bytes"):
        client.fetch(client.look_up(NAMED), str(folder / "file"))
    assert list(folder.iterdir()) == []
