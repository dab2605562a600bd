"""What buildout's own options mean stays as it is; local files touch no cache."""

from __future__ import annotations

import pytest
from nodes import asked_of, entries, file_key, make_wheel, part


def test_offline(site):
    """Nothing is fetched from anywhere."""
    url = site.origin.put("/offline.tar.gz", b"offline")
    first, second, bare = site.node(signs=site.one), site.node(), site.bare_node()
    for node in (first, second, bare):
        node.profile(part("a", "fetch", url=url), buildout="parts = a")
    assert first.networkcache().code == 0
    before = asked_of(site.cache, file_key(url))
    run, without = second.networkcache("-o"), bare.buildout("-o")
    assert run.code == without.code == 1
    assert run.stdout == without.stdout.replace(str(bare.root), str(second.root))
    assert "in offline mode" in run.said
    assert asked_of(site.cache, file_key(url)) == before


def test_install_from_cache(site):
    """Distributions come from the download cache, and downloads from nowhere."""
    name = "fromcache"
    site.origin.distribute(name, make_wheel(site.folder, name))
    downloads = site.folder / "downloads"
    head = f"parts = a\ndownload-cache = {downloads}"
    first, second = site.bare_node(), site.node(signs=site.one)
    for node in (first, second):
        node.profile(
            part("a", "egg", eggs=name), f"[versions]\n{name} = 1.0", buildout=head
        )
    assert first.buildout().code == 0
    site.origin.forget()
    run = second.networkcache("buildout:install-from-cache=true")
    assert run.code == 0, run.said
    assert second.eggs == {name}
    assert site.origin.requests == []
    assert asked_of(site.cache, name) == []


def test_download_cache(site):
    """What it holds is taken from it, and nobody vouches for it; what it lacks is put
    there, from a network cache too."""
    url = site.origin.put("/kept.tar.gz", b"kept")
    name = "keptwheel"
    wheel = make_wheel(site.folder, name)
    site.origin.distribute(name, wheel)
    downloads = site.folder / "downloads"

    def node_with_cache(**how):
        node = site.node(**how)
        node.profile(
            part("a", "fetch", url=url),
            part("b", "egg", eggs=name),
            f"[versions]\n{name} = 1.0",
            buildout=f"parts = a b\ndownload-cache = {downloads}",
        )
        return node

    assert node_with_cache(signs=site.one).networkcache().code == 0
    for file in downloads.rglob("*.*"):
        file.unlink()
    site.origin.forget()
    run = node_with_cache().networkcache()
    assert run.code == 0, run.said
    assert (downloads / "kept.tar.gz").read_bytes() == b"kept"
    assert (downloads / "dist" / wheel.name).read_bytes() == wheel.read_bytes()
    assert site.origin.requests == []

    before = asked_of(site.cache, file_key(url)), asked_of(site.cache, name)
    (downloads / "kept.tar.gz").write_bytes(b"kept here")
    node = node_with_cache(signs=site.two)
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.part("a") == b"kept here"
    after = asked_of(site.cache, file_key(url)), asked_of(site.cache, name)
    assert after == before
    assert len(site.entries(url)) == len(entries(site.cache, f"pypi:{name}=1.0")) == 1


@pytest.mark.parametrize("newest", ["true", "false"])
def test_extends_cache(site, newest):
    """With newest the profile is asked for again, and falls back to what is there."""
    profile = site.origin.put(f"/extended-{newest}.cfg", "[buildout]\nparts =\n")
    extends = site.folder / "extends"
    extends.mkdir()
    head = f"extends = {profile}\nextends-cache = {extends}"
    first = site.node(signs=site.one)
    first.profile(buildout=head, newest=newest)
    options = () if newest == "false" else ("annotate",)
    assert first.networkcache(*options).code == 0
    (kept,) = extends.iterdir()
    assert kept.read_bytes() == b"[buildout]\nparts =\n"

    site.origin.stop()
    key = file_key(profile)
    before = asked_of(site.cache, key)
    second = site.node()
    second.profile(buildout=head, newest=newest)
    run = second.networkcache(*options)
    assert run.code == 0, run.said
    asked = len(asked_of(site.cache, key)) - len(before)
    assert (asked > 0) == (newest == "true")

    kept.write_bytes(b"[buildout]\nparts =\nmark = kept here\n")
    blocked = site.node("block-origin = true", believes=[site.two])
    blocked.profile(buildout=head, newest=newest)
    run = blocked.networkcache("query", "buildout:mark")
    assert run.code == 0, run.said
    assert run.stdout.endswith("\nkept here\n")


@pytest.mark.parametrize("form", ["file:", "file://", "path"])
def test_local_files(site, form):
    local = site.folder / "local.tar.gz"
    local.write_bytes(b"local")
    url = str(local) if form == "path" else f"{form}{local}"
    wheels = site.folder / "wheels"
    wheels.mkdir()
    name = "localwheel"
    make_wheel(wheels, name)
    site.origin.put(f"/simple/{name}/", "<html></html>", type="text/html")
    base = site.bare_node().write("base.cfg", "[buildout]\nparts = a b\n")
    node = site.node("block-origin = true", signs=site.one)
    node.profile(
        part("a", "fetch", url=url),
        part("b", "egg", eggs=name),
        f"[versions]\n{name} = 1.0",
        buildout=f"extends = {base}\nfind-links = {wheels}",
    )
    before = len(asked_of(site.cache, "/"))
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.part("a") == b"local"
    assert node.eggs == {name}
    assert len(asked_of(site.cache, "/")) == before + 1  # what this test asks itself
    assert run.report == ["from the network cache: nothing, for nothing was fetched"]


def test_newest_asks_the_index_again(site):
    """A newer distribution is found although an older one is installed."""
    name = "newest"
    site.origin.distribute(name, make_wheel(site.folder, name, "1.0"))
    node = site.node(signs=site.one)
    node.profile(part("a", "egg", eggs=name), buildout="parts = a")
    assert node.networkcache().code == 0
    site.origin.distribute(name, make_wheel(site.folder, name, "2.0"))
    assert node.networkcache().code == 0
    assert len(entries(site.cache, f"pypi:{name}=2.0")) == 0
    # The pinned ones, buildout and setuptools, are looked for again as well.
    for pinned in ("zc-buildout", "wheel", "pip", "setuptools"):
        site.origin.put(f"/simple/{pinned}/", "<html></html>", type="text/html")
    run = node.networkcache("-n")
    assert run.code == 0, run.said
    assert len(entries(site.cache, f"pypi:{name}=2.0")) == 1
