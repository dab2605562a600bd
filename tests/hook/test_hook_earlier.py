"""What comes before an extension is there is published all the same: profiles, and the
distributions of extensions."""

from __future__ import annotations

import pytest
from nodes import Node, entries, make_egg, page_key, part, stored

PROFILES = {
    "software.cfg": "extends = stack/only.cfg\nparts = a\nextensions = {extensions}",
    # Nothing of it is left in what buildout merges.
    "stack/only.cfg": "extends = more/versions.cfg",
    "stack/more/versions.cfg": "mark = 1",
    "optional.cfg": "mark = 2",
    "defaults.cfg": "mark = 3",
}


def add(site, name: str) -> dict[str, str]:
    """Put the profiles, an extension and a file on the origin; the profiles' URLs."""
    extension = f"{name}extension"
    site.origin.distribute(extension, make_egg(site.folder, extension))
    tarball = site.origin.put(f"/{name}/a.tar.gz", b"tarball")
    urls = {}
    for file, text in PROFILES.items():
        text = text.format(extensions=f"slapos.networkcache {extension}")
        text = f"[buildout]\n{text}\n"
        if file == "software.cfg":
            text += part("a", "fetch", url=tarball) + f"[versions]\n{extension} = 1.0\n"
        urls[file] = site.origin.put(f"/{name}/{file}", text)
    return urls


def node_of(site, urls: dict[str, str], *options: str, signs=None) -> Node:
    """A node whose buildout.cfg, and defaults of whose user, extend the profiles; one is
    behind an optional file."""
    node = site.bare_node()
    optional = node.write("optional.cfg", f"[buildout]\nextends = {urls['optional.cfg']}\n")
    node.write(
        "home/.buildout/default.cfg", f"[buildout]\nextends = {urls['defaults.cfg']}\n"
    )
    node.profile(
        site.section(*options, signs=signs),
        buildout=f"extends = {urls['software.cfg']}\noptional-extends = {optional}",
    )
    return node


@pytest.mark.parametrize("cached", [False, True])
def test_all_is_published(site, cached):
    """With buildout's own cache of profiles too, as slapos has it."""
    name = f"all{cached}".lower()
    urls = add(site, name)
    node = node_of(site, urls, signs=site.one)
    arguments = ["-N"]
    if cached:
        folder = node.root / "extends"
        folder.mkdir()
        arguments.append(f"buildout:extends-cache={folder}")
    run = node.buildout(*arguments)
    assert run.code == 0, run.said
    for file, url in urls.items():
        assert len(site.entries(url)) == 1, file
        assert stored(site.cache, site.origin.pages[f"/{name}/{file}"].body), file
    extension = f"{name}extension"
    (found,) = entries(site.cache, f"pypi:{extension}=1.0")
    assert stored(site.cache, (site.folder / found["basename"]).read_bytes())
    (found,) = entries(site.cache, page_key(f"{site.origin.index}{extension}/"))
    assert found["requirement"] == extension
    # Once by buildout, once more to be published.
    paths = [request.path for request in site.origin.requests]
    for path in (f"/{name}/{file}" for file in PROFILES):
        assert paths.count(path) == 2, path
    assert node.leftovers == []

    site.origin.forget()
    run = node.buildout(*arguments)
    assert run.code == 0, run.said
    # What is installed already is not fetched any more; what the cache has, only by
    # buildout itself.
    paths = [request.path for request in site.origin.requests]
    profiles = [] if cached else [f"/{name}/{file}" for file in PROFILES]
    assert sorted(paths) == sorted(profiles)
    files = len(PROFILES) + 1
    assert run.reports(f"from the local store: {files} files,"), run.report


def test_the_root_profile_is_remote(site):
    url = site.origin.put(
        "/root.cfg",
        f"[buildout]\nparts =\nindex = {site.origin.index}\n"
        f"extensions = slapos.networkcache\n{site.section(signs=site.one)}\n",
    )
    node = site.bare_node()
    run = node.buildout("-N", f"buildout:directory={node.place}", "-c", url)
    assert run.code == 0, run.said
    assert len(site.entries(url)) == 1


def test_a_node_that_does_not_publish(site):
    """It fetches nothing twice, and asks no cache for what it has."""
    urls = add(site, "reader")
    node = node_of(site, urls)
    run = node.buildout("-N")
    assert run.code == 0, run.said
    paths = [request.path for request in site.origin.requests]
    assert len(paths) == len(set(paths)) == len(PROFILES) + 3
    assert run.misses == "1 not-found"
