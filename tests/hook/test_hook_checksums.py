"""Checksums of a profile or a URL are honoured: before the cache is believed, after it
was, and before anything is published."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from nodes import entries, make_wheel, part

from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Key
from slapos.networkcache.members import members_of_file
from slapos.networkcache.publisher import Publisher


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def fetching(node, url: str, **options: str) -> None:
    node.profile(part("a", "fetch", url=url, **options), buildout="parts = a")


def publish(site, url: str, body: bytes) -> None:
    site.origin.put("/" + url.rpartition("/")[2], body)
    node = site.node(signs=site.one)
    fetching(node, url)
    run = node.networkcache()
    assert run.code == 0, run.said
    assert len(site.entries(url)) == 1
    site.origin.forget()


def test_a_content_with_another_md5_is_not_taken(site):
    url = site.origin.url + "/moved.tar.gz"
    publish(site, url, b"the old one")
    site.origin.put("/moved.tar.gz", b"the new one")
    node = site.node()
    fetching(node, url, md5sum=md5(b"the new one"))
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.part("a") == b"the new one"
    assert run.reports("not in the network cache: 1 checksum"), run.report
    assert len(site.origin.asked("/moved.tar.gz")) == 1


@pytest.mark.parametrize("recorded", [False, True])
def test_a_wrong_origin_is_refused_as_buildout_refuses_it(site, recorded):
    url = f"{site.origin.url}/wrong{recorded}.tar.gz"
    if recorded:
        publish(site, url, b"what is published")
    site.origin.put(f"/wrong{recorded}.tar.gz", b"<html>not found</html>", type="text/html")
    node, bare = site.node(signs=site.one), site.bare_node()
    for each in (node, bare):
        fetching(each, url, md5sum=md5(b"what the profile wants"))
    run, without = node.networkcache(), bare.buildout()
    assert run.code == without.code == 1
    assert "MD5 checksum mismatch downloading" in run.said
    assert run.stdout == without.stdout.replace(str(bare.root), str(node.root))
    assert node.part("a") is None
    assert node.leftovers == []
    assert len(site.entries(url)) == recorded


def test_both_contents_stand_and_the_checksum_chooses(site):
    url = site.origin.url + "/chosen.tar.gz"
    publish(site, url, b"first")
    site.origin.put("/chosen.tar.gz", b"second")
    node = site.node(signs=site.one)
    fetching(node, url, md5sum=md5(b"second"))
    assert node.networkcache().code == 0
    assert len(site.entries(url)) == 2
    site.origin.stop()
    for body in (b"first", b"second"):
        node = site.node()
        fetching(node, url, md5sum=md5(body))
        run = node.networkcache()
        assert run.code == 0, run.said
        assert node.part("a") == body


def test_a_signer_that_lies_about_the_md5(site):
    """The signed entry agrees with the profile, and its content does not."""
    url = site.origin.put("/lied.tar.gz", b"honest")
    content = replace(Digests.of([b"forged"]), md5=md5(b"honest"))
    options = {
        "upload-cache-url": site.cache.cache_url,
        "upload-dir-url": site.cache.dir_url,
        "signature-private-key-file": str(site.one.key),
    }
    forged = site.folder / "forged"
    forged.write_bytes(b"forged")
    publisher = Publisher(Config.parse(options))
    with forged.open("rb") as file:
        members = members_of_file(url, checked=True)
        publisher.publish(Key.for_file(url), file, content, members)
    publisher.close()
    node = site.node()
    fetching(node, url, md5sum=md5(b"honest"))
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.part("a") == b"honest"
    assert run.reports("not in the network cache: 1 checksum"), run.report
    assert node.leftovers == []


def test_a_distribution_is_taken_for_the_hash_of_its_page_only(site):
    """The same file name on another index: another hash, another file."""
    name = "hashed"
    first = site.node(signs=site.one)
    no_pages = f"download-from-cache-url-blacklist = {site.origin.url}/simple/"
    second = site.node(no_pages, signs=site.one)
    for node in (first, second):
        node.profile(
            part("a", "egg", eggs=name), f"[versions]\n{name} = 1.0", buildout="parts = a"
        )
    site.origin.distribute(name, make_wheel(site.folder, name))
    assert first.networkcache().code == 0
    other = site.folder / "other"
    other.mkdir()
    wheel = make_wheel(other, name)
    wheel.write_bytes(wheel.read_bytes() + b"\0" * 8)
    site.origin._projects.clear()
    site.origin.distribute(name, wheel)
    site.origin.forget()
    run = second.networkcache()
    assert run.code == 0, run.said
    assert len(site.origin.asked(f"/files/{wheel.name}")) == 1
    assert "1 key-mismatch" in run.misses, run.report
    assert len(entries(site.cache, f"pypi:{name}=1.0")) == 2


def test_a_distribution_with_the_wrong_hash_is_not_published(site):
    name = "badhash"
    wheel = make_wheel(site.folder, name)
    site.origin.distribute(name, wheel)
    site.origin.put(f"/files/{wheel.name}", b"\0" * 300)
    node = site.node(signs=site.one)
    node.profile(
        part("a", "egg", eggs=name), f"[versions]\n{name} = 1.0", buildout="parts = a"
    )
    run = node.networkcache()
    assert run.code == 1
    assert "sha256 validation failed" in run.said
    assert entries(site.cache, f"pypi:{name}=1.0") == []
    assert run.reports("not published: 1 checksum"), run.report


def test_tampered_content_is_refused_and_the_origin_asked(make_server, site):
    site.cache = make_server()
    url = site.origin.url + "/tampered.tar.gz"
    publish(site, url, b"as it was signed")
    digest = hashlib.sha512(b"as it was signed").hexdigest()
    site.cache.stop()
    (stored,) = site.cache.root.rglob(digest)
    stored.chmod(0o600)
    stored.write_bytes(b"as it was forged")
    site.cache.start()
    node = site.node()
    fetching(node, url)
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.part("a") == b"as it was signed"
    assert len(site.origin.asked("/tampered.tar.gz")) == 1
    assert "1 wrong-content" in run.misses, run.report


def test_blacklists(site):
    """Prefixes of what is never taken, and of what is never published."""
    url, other = (site.origin.put(f"/{n}/black.tar.gz", n.encode()) for n in ("in", "ex"))
    parts = part("a", "fetch", url=url), part("b", "fetch", url=other)
    shy = site.node(
        f"upload-to-cache-url-blacklist = {site.origin.url}/%69n/", signs=site.one
    )
    shy.profile(*parts, buildout="parts = a b")
    run = shy.networkcache()
    assert run.code == 0, run.said
    assert (len(site.entries(url)), len(site.entries(other))) == (0, 1)
    assert run.reports("not published: 1 blacklisted-url"), run.report

    node = site.node(signs=site.one)
    node.profile(*parts, buildout="parts = a b")
    assert node.networkcache().code == 0
    assert len(site.entries(url)) == 1

    site.origin.forget()
    wary = site.node(f"download-from-cache-url-blacklist = {site.origin.url}/ex/")
    wary.profile(*parts, buildout="parts = a b")
    run = wary.networkcache()
    assert run.code == 0, run.said
    assert [asked.path for asked in site.origin.requests] == ["/ex/black.tar.gz"]
    assert run.reports("not in the network cache: 1 blacklisted-url"), run.report


def test_digest_blacklist(site):
    url = site.origin.url + "/banned.tar.gz"
    publish(site, url, b"banned")
    node = site.node(f"digest-blacklist = {hashlib.sha512(b'banned').hexdigest()}")
    fetching(node, url)
    run = node.networkcache()
    assert run.code == 0, run.said
    assert len(site.origin.asked("/banned.tar.gz")) == 1
    assert run.reports("not in the network cache: 1 blacklisted-digest"), run.report
