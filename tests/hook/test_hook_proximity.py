"""A buildout whose node lists a proximity cache before the public one."""

from __future__ import annotations

import json

from nodes import part

FILES = 6


def options_of(near, far) -> str:
    """The options by which `near` is asked before `far`."""
    return (
        f"download-cache-url-list =\n  {near.cache_url}\n  {far.cache_url}\n"
        f"download-dir-url-list =\n  {near.dir_url}\n  {far.dir_url}\n"
    )


def run_node(site, *options: str, signs=None) -> dict:
    """A new node fetches some files; its report."""
    bodies = {f"f{n}": b"%d." % n * 200_000 for n in range(FILES)}
    urls = {name: site.origin.put(f"/{name}.gz", body) for name, body in bodies.items()}
    node = site.node(*options, signs=signs)
    node.profile(
        *[part(name, "fetch", url=url) for name, url in urls.items()],
        buildout=f"parts = {' '.join(urls)}",
    )
    file = node.root / "report.json"
    run = node.networkcache("--networkcache-report", str(file))
    assert run.code == 0, run.said
    assert {name: node.part(name) for name in bodies} == bodies
    return json.loads(file.read_text())


def test_all_comes_through_it_and_nothing_is_lost_without_it(observed, make_server):
    far = observed.cache
    run_node(observed, signs=observed.one)
    near = make_server("--upstream", far.cache_url, far.dir_url)
    observed.origin.forget()
    for _ in range(2):
        far.requests.clear()
        found = run_node(observed, options_of(near, far), "block-origin = true")
        assert list(found["hits"]) == [near.dir_url]
    # What was asked for a moment ago is there, and known.
    assert [str(asked) for asked in far.requests if asked.method == "GET"] == []
    near.stop()
    found = run_node(observed, options_of(near, far), "block-origin = true")
    assert sum(tally["files"] for tally in found["hits"].values()) == FILES
    assert observed.origin.requests == []
