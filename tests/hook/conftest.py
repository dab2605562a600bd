"""A site for the tests of the hook: a cache, an origin, two signers, and nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import buildouts
import pytest
from buildouts import Buildout
from incumbents import Unavailable
from nodes import Node, Publisher, entries, file_key, reads
from origin import Origin

from slapos.networkcache.testing import NetworkCache


class Site:
    """`cache` may be shared with other tests; the rest is the test's own."""

    def __init__(self, folder: Path, cache, origin: Origin):
        self.folder = folder
        self.cache = cache
        self.origin = origin
        self.one = Publisher(folder, "one")
        self.two = Publisher(folder, "two")
        self._nodes = 0

    def bare_node(self) -> Node:
        """A node without any configuration."""
        self._nodes += 1
        return Node(self.folder / f"node{self._nodes}", self.origin.index)

    def node(self, *options: str, signs: Publisher | None = None, believes=None) -> Node:
        """A node whose slapos.cfg names the cache; believes `one` unless said otherwise."""
        node = self.bare_node()
        node.configure(*self.options(*options, signs=signs, believes=believes))
        return node

    def options(self, *options: str, signs=None, believes=None) -> list[str]:
        read = reads(self.cache, *([self.one] if believes is None else believes))
        return [read, signs.options(self.cache) if signs else "", *options]

    def section(self, *options: str, name: str = "networkcache", **how) -> str:
        """The same as a section of a profile."""
        return "\n".join([f"[{name}]", *self.options(*options, **how)])

    def entries(self, url: str) -> list[dict]:
        """What stands in the directory for the file of a URL."""
        return entries(self.cache, file_key(url))


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin()
    yield origin
    origin.stop()
    assert not {"/", "/simple/"} & {asked.path for asked in origin.requests}


@pytest.fixture
def site(tmp_path: Path, shared_server, origin: Origin) -> Site:
    return Site(tmp_path, shared_server, origin)


@pytest.fixture
def observed(tmp_path: Path, origin: Origin) -> Iterator[Site]:
    """A site whose cache is the test's own, tells what it was asked, and may misbehave."""
    with NetworkCache() as cache:
        yield Site(tmp_path, cache, origin)


@pytest.fixture(scope="module", params=buildouts.TOOLS)
def zc_buildout(request: pytest.FixtureRequest) -> Buildout:
    """Each version of zc.buildout in turn."""
    try:
        return buildouts.buildout(request.param)
    except Unavailable as error:
        pytest.skip(str(error))
