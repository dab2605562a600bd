"""``Download(...)(url, alternate_url=...)``, which zc.buildout itself does not know."""

from __future__ import annotations

import hashlib

import pytest
from nodes import Node, Run, part, stored

BODY = b"the same from anywhere"
MD5 = hashlib.md5(BODY).hexdigest()


def fetch(site, url: str, alternate: str, *options: str, signs=None, **more: str) -> Node:
    """A node with a part that fetches `url`, or else `alternate`."""
    node = site.node(*options, signs=signs)
    head = more.pop("buildout", "")
    section = part("a", "fetch", url=url, **{"alternate-url": alternate}, **more)
    node.profile(section, buildout=f"parts = a\n{head}")
    return node


def check(node: Node, run: Run) -> None:
    assert run.code == 0, run.said
    assert node.part("a") == BODY
    assert node.leftovers == []


def test_it_is_not_asked_where_the_first_gives_something(site):
    url = site.origin.put("/first", BODY)
    node = fetch(site, url, f"{site.origin.url}/first-alternate")
    check(node, node.networkcache())
    assert [asked.path for asked in site.origin.requests] == ["/first"]


@pytest.mark.parametrize("md5sum", ["", MD5])
def test_published(site, md5sum):
    """For itself; and for the first, where a checksum says that both are the same."""
    more = {"md5sum": md5sum} if md5sum else {}
    name = "checked" if md5sum else "plain"
    url = f"{site.origin.url}/{name}"
    alternate = site.origin.put(f"/{name}-alternate", BODY)
    node = fetch(site, url, alternate, signs=site.one, **more)
    run = node.networkcache()
    check(node, run)
    assert [asked.path for asked in site.origin.requests] == [
        f"/{name}",
        f"/{name}-alternate",
    ]
    (entry,) = site.entries(alternate)
    assert entry["url"] == alternate
    assert len(site.entries(url)) == len(more)
    assert stored(site.cache, BODY)

    site.origin.stop()
    node = fetch(site, url, alternate, **more)
    check(node, node.networkcache())


def test_a_checksum_in_the_url(site):
    """The fragment is one of the first URL, too."""
    sha256 = hashlib.sha256(BODY).hexdigest()
    url = f"{site.origin.url}/fragment#sha256={sha256}"
    alternate = site.origin.put("/fragment-alternate", BODY)
    node = fetch(site, url, alternate, signs=site.one)
    check(node, node.networkcache())
    assert len(site.entries(url)) == len(site.entries(alternate)) == 1


def test_a_wrong_checksum_in_the_url(site):
    """Nobody vouches for it."""
    url = f"{site.origin.url}/wrong#sha256={'0' * 64}"
    alternate = site.origin.put("/wrong-alternate", BODY)
    node = fetch(site, url, alternate, signs=site.one)
    check(node, node.networkcache())  # zc.buildout knows no such checksum
    assert site.entries(url) == []


def test_something_wrong_is_not_nothing(site):
    """What does not have the checksum is an error, as without an alternative."""
    url = site.origin.put("/spoiled", b"something else")
    alternate = site.origin.put("/spoiled-alternate", BODY)
    run = fetch(site, url, alternate, md5sum=MD5).networkcache()
    assert run.code == 1
    assert "MD5 checksum mismatch" in run.said
    assert site.origin.asked("/spoiled-alternate") == []


def test_neither(site):
    """The error is that of the alternative."""
    url, alternate = (f"{site.origin.url}/{name}" for name in ("neither", "nor"))
    run = fetch(site, url, alternate).networkcache()
    assert run.code == 1
    assert f"Error downloading extends for URL {alternate}: HTTP Error 404" in run.said
    assert len(site.origin.requests) == 2


def test_offline(site):
    url, alternate = f"{site.origin.url}/off", site.origin.put("/off-alternate", BODY)
    run = fetch(site, url, alternate).networkcache("-o")
    assert run.code == 1
    assert f"Couldn't download '{url}' in offline mode." in run.said
    assert site.origin.requests == []


def test_download_cache(site):
    """What came from the alternative stands there for the first."""
    folder = site.folder / "downloads"
    url, alternate = f"{site.origin.url}/kept", site.origin.put("/kept-alternate", BODY)
    how = {"buildout": f"download-cache = {folder}"}
    node = fetch(site, url, alternate, **how)
    check(node, node.networkcache())
    assert (folder / "kept").read_bytes() == BODY
    site.origin.stop()
    node = fetch(site, url, alternate, **how)
    check(node, node.networkcache())


def test_a_local_alternative(site):
    local = site.folder / "local"
    local.write_bytes(BODY)
    url = f"{site.origin.url}/local"
    node = fetch(site, url, str(local), signs=site.one)
    check(node, node.networkcache())
    assert site.entries(url) == []


def test_block_origin(site):
    """The cache may have the alternative only."""
    url, alternate = f"{site.origin.url}/block", site.origin.put("/block-alternate", BODY)
    first = fetch(site, alternate, "", signs=site.one)
    check(first, first.networkcache())
    site.origin.forget()
    node = fetch(site, url, alternate, "block-origin = true")
    check(node, node.networkcache())
    assert site.origin.requests == []


TWICE = """\
from zc.buildout.download import Download

Download({})(options["url"], path=place, alternate_url=options["alternate"])
Download({}).download(options["url"])
"""


def test_it_is_of_one_call_only(site):
    url, alternate = f"{site.origin.url}/once", site.origin.put("/once-alternate", BODY)
    node = site.node()
    script = str(node.write("twice.py", TWICE))
    section = part("a", "script", script=script, url=url, alternate=alternate)
    node.profile(section, buildout="parts = a")
    run = node.networkcache()
    assert run.code == 1
    assert f"Error downloading extends for URL {url}: HTTP Error 404" in run.said
    assert len(site.origin.asked("/once-alternate")) == 1
