"""``slapos.networkcache:download``."""

from __future__ import annotations

import hashlib
import os
import urllib.request

import pytest
from nodes import asked_of, part
from sections import built, parts, profile, refused, section, sums

BODY = b"a file\n" * 1000


def file_of(node, name: str = "part/part"):
    return node.place / "parts" / name


def store(site, body: bytes) -> None:
    """Put a content into the cache, and no entry."""
    url = f"{site.cache.cache_url}/{hashlib.sha512(body).hexdigest()}"
    with urllib.request.urlopen(urllib.request.Request(url, body, method="PUT")):
        pass


def fetching(node, url: str, buildout: str = "", **options: object) -> None:
    profile(node, section("download", url=url, **options), buildout=buildout)


def cached_in(node) -> list[str]:
    """Files in its download cache; buildout itself makes a folder there."""
    return [path.name for path in (node.place / "downloads").iterdir() if path.is_file()]


# -- from an origin, from the cache


def test_it_is_published_and_taken_by_another_node(site):
    url = site.origin.put("/published.tar.gz", BODY)
    one, two = site.node(signs=site.one), site.node()
    for node in (one, two):
        fetching(node, url)
        built(node.networkcache())
        assert file_of(node).read_bytes() == BODY
        assert parts(node) == ["part"]
        assert node.leftovers == []
    assert len(site.origin.asked("/published.tar.gz")) == 1
    assert site.entries(url)[0]["transport"] == "http"


def test_without_a_network_cache(site):
    url = site.origin.put("/plain.tar.gz", BODY)
    node = site.bare_node()
    fetching(node, url, sha256sum=sums(BODY)["sha256sum"])
    built(node.buildout())
    assert file_of(node).read_bytes() == BODY


@pytest.mark.parametrize("algorithm", ["md5sum", "sha256sum", "sha512sum"])
def test_a_checksum(site, algorithm):
    """It makes what came over http count as checked."""
    body = BODY + algorithm.encode()
    url = site.origin.put(f"/{algorithm}.tar.gz", body)
    node = site.node(signs=site.one)
    fetching(node, url, **{algorithm: sums(body)[algorithm].upper()})
    built(node.networkcache())
    assert file_of(node).read_bytes() == body
    (entry,) = site.entries(url)
    assert "transport" not in entry


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("algorithm", ["md5sum", "sha256sum", "sha512sum"])
def test_a_checksum_that_does_not_match(site, algorithm, hooked):
    """The error says what was expected and what came; nothing of it stays."""
    url = site.origin.put(f"/wrong-{algorithm}.tar.gz", BODY)
    node = site.node(signs=site.one) if hooked else site.bare_node()
    expected = sums(b"another")[algorithm]
    (node.place / "downloads").mkdir()
    fetching(node, url, "download-cache = downloads", **{algorithm: expected})
    said = refused(node.networkcache() if hooked else node.buildout())
    name = algorithm.removesuffix("sum")
    assert f"{url}: its {name} is {sums(BODY)[algorithm]}, not {expected}" in said
    assert parts(node) == node.leftovers == cached_in(node) == []
    assert site.entries(url) == []


def test_every_checksum_must_match(site):
    url = site.origin.put("/two-checksums.tar.gz", BODY)
    node = site.bare_node()
    wanted = sums(BODY) | {"md5sum": sums(b"another")["md5sum"]}
    fetching(node, url, **wanted)
    assert "its md5 is" in refused(node.buildout())


def test_a_checksum_in_the_url(site):
    url = site.origin.put("/fragment.tar.gz", BODY)
    node = site.bare_node()
    fetching(node, f"{url}#sha256={sums(b'another')['sha256sum']}")
    assert "its sha256 is" in refused(node.buildout())


def test_what_is_cached_must_match_too(site):
    url = site.origin.put("/moved.tar.gz", b"the old one")
    one = site.node(signs=site.one)
    fetching(one, url)
    built(one.networkcache())
    site.origin.put("/moved.tar.gz", BODY)
    two = site.node()
    fetching(two, url, sha256sum=sums(BODY)["sha256sum"])
    built(two.networkcache())
    assert file_of(two).read_bytes() == BODY


def test_what_sha512_names_needs_no_entry(site):
    body = BODY + b"by name"
    store(site, body)
    node = site.node()
    fetching(node, f"{site.origin.url}/nowhere", sha512sum=sums(body)["sha512sum"])
    built(node.networkcache())
    assert file_of(node).read_bytes() == body
    assert site.origin.requests == []
    key = hashlib.md5(f"{site.origin.url}/nowhere".encode()).hexdigest()
    assert asked_of(site.cache, key) == []


# -- alternate-url


def test_the_alternate_url(site):
    """In place of what is not there, or of a host that does not answer."""
    url = site.origin.put("/alternate.tar.gz", BODY)
    for first in (f"{site.origin.url}/gone", "http://127.0.0.1:1/gone"):
        node = site.node()
        fetching(node, first, alternate_url=url, **sums(BODY))
        built(node.networkcache())
        assert file_of(node).read_bytes() == BODY


def test_the_alternate_url_is_in_the_cache(site):
    url = site.origin.put("/alternate-cached.tar.gz", BODY)
    first = f"{site.origin.url}/gone-too"
    one, two = site.node(signs=site.one), site.node()
    fetching(one, first, alternate_url=url)
    built(one.networkcache())
    site.origin.stop()
    fetching(two, first, alternate_url=url)
    built(two.networkcache())
    assert file_of(two).read_bytes() == BODY


def test_no_alternate_for_what_is_wrong(site):
    url = site.origin.put("/replaced.tar.gz", b"something else")
    alternate = site.origin.put("/never-asked.tar.gz", BODY)
    node = site.bare_node()
    fetching(node, url, alternate_url=alternate, **sums(BODY))
    assert f"checksum mismatch of {url}" in refused(node.buildout())
    assert site.origin.asked("/never-asked.tar.gz") == []


def test_neither_url(site):
    first, second = f"{site.origin.url}/no-first", f"{site.origin.url}/no-second"
    node = site.bare_node()
    fetching(node, first, alternate_url=second)
    said = refused(node.buildout())
    assert said.index(first) < said.index(second)
    assert parts(node) == node.leftovers == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a b", "http://[", "http://a:b/"])
def test_a_url_that_is_none(site, url):
    """Then the alternate one is tried, too."""
    node = site.bare_node()
    fetching(node, url)
    assert url.partition("/")[0] in refused(node.buildout())
    there = site.origin.put("/there", BODY)
    fetching(node, url, alternate_url=there)
    built(node.buildout())


def test_a_secret_is_not_shown(site):
    node = site.bare_node()
    fetching(node, f"{site.origin.url}/gone?token=hunter2")
    said = refused(node.buildout())
    assert "hunter2" not in said
    assert "token=***" in said


# -- what buildout says of files


def test_the_download_cache(site):
    """Named by the URL, as older recipes name it, and never changed through the part."""
    url = f"{site.origin.url}/prefilled.tar.gz"
    node = site.node()
    cached = node.place / "downloads" / hashlib.md5(url.encode()).hexdigest()
    cached.parent.mkdir()
    cached.write_bytes(BODY)
    cached.chmod(0o600)
    fetching(node, url, "download-cache = downloads", mode=755, **sums(BODY))
    built(node.networkcache())
    assert file_of(node).read_bytes() == BODY
    assert file_of(node).stat().st_mode & 0o777 == 0o755
    assert cached.stat().st_mode & 0o777 == 0o600
    assert site.origin.requests == []
    cached.write_bytes(b"changed")
    assert file_of(node).read_bytes() == BODY


def test_the_download_cache_is_filled(site):
    url = site.origin.put("/fill.tar.gz", BODY)
    node = site.bare_node()
    (node.place / "downloads").mkdir()
    fetching(node, url, "download-cache = downloads", sha256sum=sums(BODY)["sha256sum"])
    built(node.buildout())
    (cached,) = cached_in(node)
    assert cached == hashlib.md5(url.encode()).hexdigest()
    assert (node.place / "downloads" / cached).read_bytes() == BODY


def test_what_is_wrong_in_the_download_cache(site):
    url = f"{site.origin.url}/spoilt.tar.gz"
    node = site.bare_node()
    cached = node.place / "downloads" / hashlib.md5(url.encode()).hexdigest()
    cached.parent.mkdir()
    cached.write_bytes(b"spoilt")
    fetching(node, url, "download-cache = downloads", **sums(BODY))
    assert f"checksum mismatch of {url}" in refused(node.buildout())


def test_offline(site):
    url = site.origin.put("/offline.tar.gz", BODY)
    node = site.bare_node()
    fetching(node, url, "offline = true")
    assert "in offline mode" in refused(node.buildout())
    fetching(node, url, "offline = true", offline="false")
    built(node.buildout())
    assert file_of(node).read_bytes() == BODY


def test_a_local_file(site):
    node = site.node(signs=site.one)
    local = node.write("local.txt", "local")
    fetching(node, str(local), **sums(b"local"))
    built(node.networkcache())
    assert file_of(node).read_bytes() == b"local"
    fetching(node, str(node.root / "missing"))
    assert f"{node.root}/missing" in refused(node.networkcache())


# -- the part


def test_the_name_and_the_mode(site):
    url = site.origin.put("/script", b"#!/bin/sh\n")
    node = site.bare_node()
    fetching(node, url, filename="sub/run.sh", mode="0750")
    built(node.buildout())
    assert file_of(node, "part/run.sh").stat().st_mode & 0o7777 == 0o750
    installed = (node.place / ".installed.cfg").read_text()
    assert f"location = {node.place}/parts/part\n" in installed
    assert f"target = {node.place}/parts/part/run.sh\n" in installed


def test_what_is_downloaded_has_the_mode_of_any_new_file(site):
    url = site.origin.put("/mode", BODY)
    node = site.bare_node()
    fetching(node, url)
    built(node.buildout())
    umask = os.umask(0)
    os.umask(umask)
    assert file_of(node).stat().st_mode & 0o7777 == 0o666 & ~umask


def test_the_destination(site):
    url = site.origin.put("/destination", BODY)
    node = site.bare_node()
    fetching(node, url, destination="${buildout:directory}/etc/file")
    built(node.buildout())
    place = node.place / "etc" / "file"
    assert place.read_bytes() == BODY
    assert [path.name for path in place.parent.iterdir()] == ["file"]
    profile(node, parts="")
    built(node.buildout())
    assert not place.exists()


def test_what_is_at_the_destination_is_not_removed(site):
    url = site.origin.put("/occupied", BODY)
    node = site.bare_node()
    occupied = node.write("occupied", "mine")
    fetching(node, url, destination=occupied)
    assert f"{occupied} is there already" in refused(node.buildout())
    assert occupied.read_text() == "mine"
    assert site.origin.requests == []


def test_an_update_fetches_nothing_unless_it_is_gone(site):
    url = site.origin.put("/update", BODY)
    node = site.bare_node()
    fetching(node, url)
    for _ in range(2):
        built(node.buildout())
    assert len(site.origin.asked("/update")) == 1
    file_of(node).unlink()
    built(node.buildout())
    assert file_of(node).read_bytes() == BODY


def test_a_part_that_failed_is_not_half_there(site):
    """The old one is gone, as buildout has it, and there is nothing new."""
    url = site.origin.put("/good", BODY)
    node = site.bare_node()
    fetching(node, url)
    built(node.buildout())
    fetching(node, f"{site.origin.url}/bad")
    refused(node.buildout())
    assert parts(node) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "option url is missing"),
        ({"url": "u", "md5sum": "abc"}, "option md5sum: expected 32 hexadecimal digits"),
        ({"url": "u", "sha512sum": "g" * 128}, "option sha512sum: expected 128"),
        ({"url": "u", "mode": "rwx"}, "option mode: expected three octal digits"),
        ({"url": "u", "mode": "4755"}, "option mode: expected three octal digits"),
        ({"url": "u", "shared": "yes"}, "option shared: expected true or false, got 'yes'"),
        ({"url": "u", "shared": "true"}, "one of md5sum, sha256sum and sha512sum"),
        (
            {"url": "u", "shared": "true", "md5sum": "0" * 32, "destination": "d"},
            "destination cannot be given",
        ),
    ],
)
def test_wrong_options(site, options, words):
    node = site.bare_node()
    profile(node, section("download", **options))
    assert words in refused(node.buildout())


def test_beside_other_recipes(site):
    """Others may refer to it, and its options are none of `Download` for them."""
    url = site.origin.put("/shared-with", BODY)
    node = site.bare_node()
    other = part("other", "fetch", url="${part:target}")
    profile(node, section("download", url=url), other, parts="other")
    built(node.buildout())
    assert node.part("other") == BODY
