"""Whole runs with sources that are dead, die, lie or drip: they cost the budget, whatever
the number of files, and keep nobody from asking the others."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import Site
from nodes import part

from slapos.networkcache.errors import Code
from slapos.networkcache.storage import Stored
from slapos.networkcache.testing import NetworkCache, faults
from slapos.networkcache.transport import CONNECTIONS

CONTENT = "GET /shacache/"
FILES = 24
GIVEN = 5
"""Contents that a source gives before it dies; the record is the first of them."""

DEAD = {
    "dropped": faults.drop,
    "silent": faults.silent,
    "stalled": faults.stall(1),
    "dripping": faults.drip(20),
    "no network cache": faults.say(200, b"<html>hello</html>"),
    "out of order": faults.refuse(Code.INTERNAL),
}
AT_ONCE = ("no network cache", "out of order")
"""They answer at once: whoever asks them loses nothing, and they may be asked."""
DYING = {
    "dropped": faults.drop,
    "silent": faults.silent,
    "stalled": faults.stall(1),
    "dripping": faults.drip(20),
    "lying": faults.wrong,
    "out of order": faults.refuse(Code.INTERNAL),
}


@pytest.fixture
def filled(observed: Site) -> Site:
    """A site whose cache has all that `run_node` fetches, and the record of it."""
    found = run_node(observed, signs=observed.one)
    assert found["published"]["files"] == FILES
    observed.cache.requests.clear()
    return observed


@pytest.fixture
def far(filled: Site) -> Iterator[NetworkCache]:
    """Another cache with the same in it."""
    near = filled.cache
    with NetworkCache() as far:
        for digest in near.contents:
            far.contents.put(near.contents.open(digest).pieces())
        for key, stack in near.entries.get(list(near.entries)).items():
            for stored in stack:
                far.entries.put(key, Stored(stored.pair))
        yield far


def run_node(site: Site, *options: str, **how) -> dict:
    """A new node fetches many files; its report."""
    bodies = {f"f{n}": b"%d." % n * 300 for n in range(FILES)}
    urls = {name: site.origin.put(f"/{name}.gz", body) for name, body in bodies.items()}
    node = site.node("cache-time-budget = 2 s", *options, **how)
    node.profile(
        *[part(name, "fetch", url=url) for name, url in urls.items()],
        buildout=f"parts = {' '.join(urls)}",
    )
    site.origin.forget()
    file = node.root / "report.json"
    run = node.networkcache("--networkcache-report", str(file))
    assert run.code == 0, run.said
    assert {name: node.part(name) for name in bodies} == bodies
    assert node.leftovers == []
    assert "Traceback" not in run.said
    found = json.loads(file.read_text())
    hits = sum(tally["files"] for tally in found["hits"].values())
    assert hits + found["origin"]["files"] == FILES
    assert sum(found["misses"].values()) == found["origin"]["files"]
    return found


def before(site: Site, far: NetworkCache) -> str:
    """The options by which the cache of a site is asked before another one."""
    near, then = site.cache.source, far.source
    return (
        f"download-cache-url-list =\n  {near.cache_url}\n  {then.cache_url}\n"
        f"download-dir-url-list =\n  {near.dir_url}\n  {then.dir_url}\n"
    )


def contents_asked(cache: NetworkCache) -> int:
    return sum(str(request).startswith(CONTENT) for request in cache.requests)


@pytest.mark.parametrize("death", DEAD)
def test_all_sources_are_dead(filled, death):
    """Look-ups, the record and uploads together: nothing once for each file."""
    filled.cache.plan(DEAD[death])
    found = run_node(filled, signs=filled.one)
    assert found["origin"]["files"] == FILES
    assert found["published"]["files"] == 0
    assert found["kept"] == sum(found["unpublished"].values()) == FILES
    if death not in AT_ONCE:
        assert len(filled.cache.requests) < FILES
        assert found["misses"]["left-alone"] >= FILES - 2


@pytest.mark.parametrize("death", DEAD)
def test_the_next_source_is_asked(filled, far, death):
    filled.cache.plan(DEAD[death])
    found = run_node(filled, before(filled, far))
    assert found["hits"][str(far.source)]["files"] == FILES
    assert filled.origin.requests == []
    if death not in AT_ONCE:
        assert len(filled.cache.requests) < FILES


def dies(cache: NetworkCache, death: str) -> None:
    """Let it give some contents, and then none."""
    cache.plan(lambda answer: answer, CONTENT, times=GIVEN)
    cache.plan(DYING[death], CONTENT)


@pytest.mark.parametrize("death", DYING)
def test_a_source_dies_in_mid_run(filled, death):
    """What it had given by then is used; the rest comes from the origin."""
    dies(filled.cache, death)
    found = run_node(filled)
    assert found["hits"][str(filled.cache.source)]["files"] == GIVEN - 1
    assert found["origin"]["files"] == FILES - GIVEN + 1
    if death not in AT_ONCE:
        # Those under way at the same time, each perhaps twice.
        assert contents_asked(filled.cache) <= GIVEN + 2 * CONNECTIONS


@pytest.mark.parametrize("death", DYING)
def test_the_next_source_has_the_rest(filled, far, death):
    """Many transfers that stall at the same time do not spend the budget of all."""
    dies(filled.cache, death)
    found = run_node(filled, before(filled, far))
    assert filled.origin.requests == []
    assert found["hits"][str(far.source)]["files"] == FILES - GIVEN + 1
