"""``slapos.networkcache:download-unpacked``."""

from __future__ import annotations

import pytest
from sections import built, parts, profile, read_archive, refused, section, sums

AT_TOP = ["again", "configure", "höflich \udcff", "lib", "loop", "nowhere"]


def fetching(node, url, **options):
    profile(node, section("download-unpacked", url=url, **options))


def at_top(node, name="parts/part"):
    return sorted(path.name for path in (node.place / name).iterdir())


def test_it_is_published_and_taken_by_another_node(site):
    body = read_archive("good.tar.xz")
    url = site.origin.put("/published.tar.xz", body)
    for node in (site.node(signs=site.one), site.node()):
        fetching(node, url, sha256sum=sums(body)["sha256sum"])
        built(node.networkcache())
        assert at_top(node) == AT_TOP
        assert parts(node) == ["part"]
        assert node.leftovers == []
    assert len(site.origin.asked("/published.tar.xz")) == 1


@pytest.mark.parametrize(
    ("name", "options", "top"),
    [
        ("good.tar.bz2", {}, AT_TOP),
        ("good.zip", {}, ["configure", "lib"]),
        ("good.tar.gz", {"strip_top_level_dir": "true"}, AT_TOP),
        ("good.tar.gz", {"strip_top_level_dir": "false"}, ["hello-1.0"]),
        ("good-two-at-the-top.tar", {}, ["a", "file"]),
    ],
)
def test_what_is_unpacked(site, name, options, top):
    url = site.origin.put(f"/{name}", read_archive(name))
    node = site.bare_node()
    fetching(node, url, **options)
    built(node.buildout())
    assert at_top(node) == top


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("link-dotdot.tar", {}, "a/b in it is a link out of the folder"),
        ("cut.tar.gz", {}, "it is damaged"),
        ("page.tar", {}, "it is no archive"),
        ("good-two-at-the-top.tar", {"strip_top_level_dir": "true"}, "not a single folder"),
    ],
)
def test_what_is_refused_leaves_nothing(site, name, options, words):
    url = site.origin.put(f"/{name}", read_archive(name))
    node = site.bare_node()
    fetching(node, url, **options)
    said = refused(node.buildout())
    assert f"{url} is not unpacked: " in said
    assert words in said
    assert parts(node) == node.leftovers == []


def test_the_destination(site):
    url = site.origin.put("/destination.tar.gz", read_archive("good.tar.gz"))
    node = site.bare_node()
    (node.place / "opt").mkdir()
    fetching(node, url, destination="${buildout:directory}/opt")
    built(node.buildout())
    assert at_top(node, "opt") == AT_TOP
    installed = (node.place / ".installed.cfg").read_text()
    for option in ("location", "target"):
        assert f"\n{option} = {node.place}/opt\n" in installed


def test_what_is_at_the_destination_is_not_removed(site):
    url = site.origin.put("/occupied.tar.gz", read_archive("good.tar.gz"))
    node = site.bare_node()
    mine = node.write("buildout/opt/mine", "mine")
    fetching(node, url, destination="${buildout:directory}/opt")
    assert "is there already" in refused(node.buildout())
    assert mine.read_text() == "mine"


def test_an_update_fetches_nothing_unless_it_is_gone(site):
    url = site.origin.put("/update.tar.gz", read_archive("good.tar.gz"))
    node = site.bare_node()
    fetching(node, url)
    for _ in range(2):
        built(node.buildout())
    assert len(site.origin.asked("/update.tar.gz")) == 1
    (node.place / "parts" / "part").rename(node.place / "elsewhere")
    built(node.buildout())
    assert at_top(node) == AT_TOP
