"""What could not be sent waits for the next run, and no run waits for it longer than it
says."""

from __future__ import annotations

import json

import pytest
from nodes import Node, Run, make_wheel, part

from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import Code
from slapos.networkcache.testing import NetworkCache, faults

PUT, POST = "PUT /shadir", "POST /shacache"
NAMES = ("a", "b")


def build(site, *options: str, node: Node | None = None, parts: str = "a b egg") -> Run:
    """A publishing node fetches two files and a wheel; the run."""
    site.origin.distribute("spooled", make_wheel(site.folder, "spooled"))
    urls = [site.origin.put(f"/{name}.tar.gz", name.encode() * 999) for name in NAMES]
    node = node or site.node(*options, signs=site.one)
    node.profile(
        *[part(name, "fetch", url=url) for name, url in zip(NAMES, urls, strict=True)],
        part("egg", "egg", eggs="spooled"),
        "[versions]\nspooled = 1.0",
        buildout=f"parts = {parts}",
    )
    run = node.networkcache()
    assert run.code == 0, run.said
    assert "Traceback" not in run.said
    assert node.leftovers == []
    return run


def keys(site) -> list[Key]:
    """Of what a run fetches."""
    url = site.origin.url
    files = [Key.for_file(f"{url}/{name}.tar.gz") for name in NAMES]
    page = Key.for_page(f"{site.origin.index}spooled/")
    return [*files, page, Key.for_distribution("spooled", "1.0")]


def pairs(site) -> dict[Key, list[Pair]]:
    found = site.cache.entries.get(keys(site))
    return {key: [stored.pair for stored in stack] for key, stack in found.items()}


def letters(node: Node) -> list[str]:
    """What waits in the spool of a node."""
    found = (node.home / ".cache").rglob("*.letter")
    return sorted(path.read_text() for path in found)


def puts(cache: NetworkCache) -> list[str]:
    return [str(one) for one in cache.requests if str(one).startswith(PUT)]


def test_the_next_run_sends_what_was_kept(observed):
    """As it was signed then, though the node has another key now, and though that run has
    nothing to fetch."""
    site = observed
    site.cache.plan(faults.drop, POST)
    node = site.node(signs=site.one)
    run = build(site, node=node)
    assert run.reports("published: 0 files"), run.report
    assert any(line.endswith("; 4 kept, the next run sends them") for line in run.report)
    assert pairs(site) == {}
    kept = letters(node)
    assert len(kept) == 5  # the record too

    site.cache.heal()
    site.origin.forget()
    node.configure(*site.options(signs=site.two, believes=[site.one, site.two]))
    run = build(site, node=node, parts="egg")
    assert site.origin.requests == []
    assert run.report == ["from the network cache: nothing, for nothing was fetched"]
    assert letters(node) == []
    found = pairs(site)
    assert sorted(found) == sorted(keys(site))
    for (pair,) in found.values():
        assert site.one.fingerprint in pair.entry
        assert any(json.dumps(pair) in letter for letter in kept)

    again = build(site)  # another node is served
    assert again.reports(f"from the network cache {site.cache.source}: 4 files")


@pytest.mark.parametrize("fault", [faults.drop, faults.refuse(Code.BUSY)])
def test_a_server_that_stays_down(observed, fault):
    site = observed
    site.cache.plan(fault)
    node = site.node(signs=site.one)
    build(site, node=node)
    kept = letters(node)
    assert len(kept) == 5
    build(site, node=node, parts="egg")
    assert letters(node) == kept
    assert puts(site.cache) == []


@pytest.mark.parametrize("code", [Code.FORBIDDEN, Code.STORAGE_FULL])
def test_a_refusal(observed, code):
    """What may be taken another time is kept."""
    site = observed
    site.cache.plan(faults.refuse(code), POST)
    node = site.node(signs=site.one)
    run = build(site, node=node)
    assert run.reports(f"not published: 4 {code}"), run.report
    kept = code is Code.STORAGE_FULL
    assert any("4 kept" in line for line in run.report) == kept
    assert len(letters(node)) == 5 * kept


STALLING = {
    "silent": (faults.silent, ""),
    "silent content": (faults.silent, POST),
    "stalled": (faults.stall(0), PUT),
    "dripping": (faults.drip(5), PUT),
}


@pytest.mark.parametrize("how", STALLING)
def test_a_server_that_stalls_costs_the_budget(observed, how):
    """The run ends when ``cache-time-budget`` is spent; it does not come to the limit of a
    minute that holds for servers which move."""
    site = observed
    site.cache.plan(*STALLING[how])
    node = site.node("cache-time-budget = 1 s", signs=site.one)
    run = build(site, node=node)
    kept = len(letters(node))
    assert kept > 0
    assert any("kept, the next run sends them" in line for line in run.report), run.report
    assert not any("before it was sent" in line for line in run.ours), run.said
    site.cache.heal()
    build(site, node=node, parts="egg")
    assert letters(node) == []


def test_the_folder_of_the_store_is_another_s(observed):
    """Then nothing is kept, and nothing fails."""
    site = observed
    site.cache.plan(faults.drop, POST)
    folder = site.folder / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    run = build(site, f"local-store = {folder}")
    assert any(line.startswith("no local store: ") for line in run.ours), run.said
    assert run.reports("not published: "), run.report
    assert not any("kept" in line for line in run.report)
    assert list(folder.iterdir()) == []


def test_files_that_wait_are_taken_away(observed):
    """Neither what is sent nor what is kept leaves a copy in the local store's folder."""
    site = observed
    node = site.node(signs=site.one)
    build(site, node=node)
    site.cache.plan(faults.drop, POST)
    build(site, node=node)
    found = (node.home / ".cache").rglob("outgoing-*")
    assert list(found) == []
