"""A buildout with one of everything is published by a node with the network, and repeated
from empty folders by one whose network has only loopback, where the cache is and the
origin of the profile is not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import isolation
import pytest
import releases
from buildouts import AT_START
from nodes import Node, Publisher, entries, file_key, reads
from releases import Release

from slapos.networkcache.binding import Request

pytestmark = [pytest.mark.buildout, pytest.mark.long]

ARCHIVES = (".whl", ".tar.gz", ".zip")


def make_node(folder: Path, zc_buildout, release: Release, **how) -> Node:
    """A node in a new folder, that writes down its requests and builds in isolation."""
    environment = {
        "RUN_AT_START": str(AT_START / "log_requests.py"),
        "REQUEST_LOG": str(folder / "requests"),
        "PIP_NO_BUILD_ISOLATION": "",
    }
    how |= {"python": zc_buildout.python, "pins": zc_buildout.pins}
    node = Node(folder, index="", environment=environment, **how)
    node.profile(buildout=f"extends = {release.profile}")
    return node


def requests(node: Node) -> list[str]:
    """The URLs that it asked for."""
    lines = (node.root / "requests").read_text().splitlines()
    return [line.partition(" ")[2] for line in lines]


def test_published_and_repeated(zc_buildout, make_server, origin, tmp_path):
    if missing := isolation.missing():
        pytest.skip(missing)
    server, publisher = make_server(), Publisher(tmp_path)
    release = releases.put(origin, zc_buildout)
    first = make_node(tmp_path / "first", zc_buildout, release)
    first.configure(reads(server, publisher), publisher.options(server))
    run = first.networkcache()
    if run.code and ("Download error" in run.said or "Some network" in run.said):
        pytest.skip("the package index cannot be reached")
    assert run.code == 0, run.said
    releases.check_built(first.place)
    check_published(server, release, requests(first))
    server.stop()

    origins = {origin_of(url) for url in requests(first)}
    origins = {host for host in origins if not host.startswith("127.")}
    origins.add(origin_of(release.profile))
    with isolation.loopback_only() as wrap:
        server = make_server(root=server.root, wrap=wrap)
        cache = f"127.0.0.1:{server.port}"
        for number, options in enumerate(("block-origin = true", "")):
            folder, log = tmp_path / f"again{number}", tmp_path / f"connections{number}"
            how = {"wrap": wrap + isolation.traced(log)}
            node = make_node(folder, zc_buildout, release, **how)
            node.configure(reads(server, publisher), options)
            run = node.networkcache()
            assert run.code == 0, run.said
            releases.check_built(node.place)
            assert run.reports("from their origin: 0 files"), run.report
            tried = Counter(origin_of(url) for url in requests(node))
            if options:
                assert isolation.peers(log) == {cache}
            else:
                # Pages that are not read for a pinned version may be newer than in the
                # cache, so whether their origin is there is tried, once.
                assert max(tried[host] for host in origins) <= 1, tried
        server.stop()


def origin_of(url: str) -> str:
    return urlsplit(url).netloc


def check_published(server, release: Release, asked: list[str]) -> None:
    """All that was `asked` of origins is there: files, and distributions, those included
    that pip needs to build others; the index's root page was not among it."""
    for url in release.files:
        assert len(entries(server, file_key(url))) == 1, url
    archives = {url for url in asked if url.endswith(ARCHIVES)} - {*release.files}
    found = [Request.for_distribution(url) for url in archives]
    keys = {str(request.key) for request in found if request}
    for key in keys:
        assert entries(server, key), key
    names = {key.partition(":")[2].partition("=")[0].lower() for key in keys}
    assert names >= {"setuptools", "flit-core", *map(str.lower, releases.EGGS)}
    assert not [url for url in asked if url.rstrip("/").endswith("/simple")]
