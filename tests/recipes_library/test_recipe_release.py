"""``slapos.networkcache:release``: releases that are parts of others."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from compiling import PROGRAM, distribute, profile
from nodes import Node, Run, entries
from sections import built, parts, refused, section
from sections import profile as use
from trees import make_tree


@pytest.fixture
def url(site) -> str:
    """A release with a file in it."""
    return put(site, FILE, parts="file")


@pytest.fixture
def compiled(site, tmp_path) -> str:
    """A release with a program that prints where it was built."""
    distribute(site.origin, tmp_path)
    return put(site, PROGRAM)


def put(site, *sections: str, **how: str) -> str:
    """Have the origin serve a profile; a file that it may name is there, too."""
    site.origin.put("/file", "a file\n")
    text = profile(site.origin, *sections, **how).replace("ORIGIN", site.origin.url)
    return site.origin.put("/base/software.cfg", text)


FILE = section("download", "file", url="ORIGIN/file")
BAD = section("download", "bad", url="ORIGIN/gone")


def binary(site, *ways: str) -> list[str]:
    """Options of the binary cache."""
    return [
        f"{way}-binary-{which}-url = {getattr(site.cache, f'{which}_url')}"
        for way in ways
        for which in ("cache", "dir")
    ]


def builder(site, *options: str) -> Node:
    """A node that publishes what it fetches, and releases."""
    return site.node(*binary(site, "download", "upload"), *options, signs=site.one)


def taker(site, *options: str) -> Node:
    """A node that builds nothing."""
    force = f"download-from-binary-cache-force-url-list = {site.origin.url}"
    return site.node(*binary(site, "download"), force, *options)


def installing(node: Node, url: str, buildout: str = "", **options: object) -> None:
    use(
        node,
        section("release", "base", url=url, **options),
        parts="base",
        buildout=buildout,
    )


def published(site, name: str = "base") -> str:
    """The URL of a release that a node has published, and nobody can build."""
    url = f"{site.origin.url}/{name}/software.cfg"
    root = Root(site.folder / f"root-of-{name}-{'x' * 60}", site)
    make_tree(root.folder, url, {"parts/file/file": f"{name}\n"})
    root.release("publish", url)
    return url


def program(place: Path) -> str:
    """What the program of a release says."""
    command = [str(place / "parts/program/program")]
    return subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.strip()


def file(place: Path) -> Path:
    return place / "parts/file/file"


def plain(path: str) -> str:
    """A path that may be filled up with slashes."""
    return os.path.normpath(path)


def base(node: Node) -> Path:
    return node.place / "parts" / "base"


def how(run: Run) -> str:
    """How the part came to be installed."""
    (line,) = (line for line in built(run).said.splitlines() if line.startswith("base: "))
    return line.partition("/software.cfg ")[2]


# -- built, taken


def test_it_is_built_published_and_taken_by_another_node(site, compiled):
    # Of a part, the place is the buildout's: it is not built in a longer one.
    one, two = builder(site, "build-prefix-length = 300"), taker(site)
    installing(one, compiled)
    assert how(one.networkcache()) == "built here"
    assert program(base(one)) == str(base(one) / "parts/program")
    (entry,) = entries(site.cache, hashlib.md5(compiled.encode()).hexdigest())
    assert entry["prefix"] == str(base(one))
    assert site.entries(compiled)  # its build went through the download cache
    shutil.rmtree(base(one))
    site.origin.forget()
    installing(two, compiled)
    assert how(two.networkcache()) == "taken from the network cache"
    assert site.origin.requests == []
    assert plain(program(base(two))) == str(base(two) / "parts/program")
    assert parts(two) == ["base"]


def test_without_a_network_cache(site, url):
    node = site.bare_node()
    installing(node, url)
    assert how(node.buildout()) == "built here"
    assert file(base(node)).read_text() == "a file\n"
    assert (base(node) / "bin/buildout").exists()
    assert parts(node) == ["base"]


def test_the_section_of_the_profile_without_the_extension(site):
    node = site.bare_node()
    own = site.section(*binary(site, "download"), name="mine")
    use(
        node, section("release", "base", url=published(site)), own,
        parts="base", buildout="networkcache-section = mine",
    )  # fmt: skip
    assert how(node.buildout()) == "taken from the network cache"


def test_it_must_come_from_the_cache(site, url):
    node = taker(site)
    installing(node, url)
    said = refused(node.networkcache())
    assert f"{url} must come from the network cache" in said
    assert parts(node) == []


def test_where_origins_are_blocked(site, url):
    """It is taken; its profile need not be in the download cache, unless it is built."""
    node = site.node(*binary(site, "download"), "block-origin = true")
    installing(node, url)
    assert f"buildout failed for {url}" in refused(node.networkcache())
    assert site.origin.requests == []
    shutil.rmtree(base(node))
    installing(node, published(site, "other"))
    assert how(node.networkcache()) == "taken from the network cache"
    assert site.origin.requests == []


def test_a_build_that_fails(site, url):
    """The error says so, and the next run goes on with what was built."""
    node = site.bare_node()
    assert put(site, FILE, BAD, parts="file bad") == url
    installing(node, url)
    assert f"buildout failed for {url}" in refused(node.buildout())
    before = file(base(node)).stat().st_ino
    site.origin.put("/gone", "there now\n")
    assert how(node.buildout()) == "built here"
    assert file(base(node)).stat().st_ino == before


# -- the part


def test_an_update_does_nothing_unless_it_is_gone(site):
    url, node = published(site), taker(site)
    installing(node, url)
    built(node.networkcache())
    before = base(node).stat().st_ino
    assert "base: " not in built(node.networkcache()).said
    assert base(node).stat().st_ino == before
    shutil.rmtree(base(node))
    assert how(node.networkcache()) == "taken from the network cache"


def test_what_is_there_is_used_if_buildout_has_forgotten_it(site):
    url, node = f"{site.origin.url}/there/software.cfg", taker(site)
    make_tree(node.root, url, {}, place=base(node))
    before = base(node).stat().st_ino
    installing(node, url, "offline = true")
    assert how(node.networkcache()) == "was there already"
    assert base(node).stat().st_ino == before


@pytest.mark.parametrize("complete", [True, False])
def test_another_release_in_its_place_does_not_count(site, complete):
    url, node = published(site), taker(site)
    other = f"{site.origin.url}/other/software.cfg"
    make_tree(node.root, other, {"other": ""}, place=base(node))
    if not complete:
        (base(node) / ".completed").unlink()
    installing(node, url)
    assert how(node.networkcache()) == "taken from the network cache"
    assert file(base(node)).exists()
    assert not (base(node) / "other").exists()


def test_another_url(site):
    node = taker(site)
    for name in ("one", "two"):
        installing(node, published(site, name))
        assert how(node.networkcache()) == "taken from the network cache"
        assert file(base(node)).read_text() == f"{name}\n"
    assert parts(node) == ["base"]


@pytest.mark.parametrize("option", ["offline", "install-from-cache"])
def test_offline(site, url, option):
    node = taker(site)
    (node.place / "downloads").mkdir()
    installing(node, url, f"{option} = true\ndownload-cache = downloads")
    said = refused(node.networkcache())
    assert f"{url} is not installed, since in offline mode nothing is fetched" in said
    assert site.origin.requests == []


def test_the_destination_and_uninstalling(site):
    node = taker(site)
    place = node.place / "opt" / "base"
    installing(node, published(site), destination="${buildout:directory}/opt/base")
    assert how(node.networkcache()) == "taken from the network cache"
    assert file(place).exists()
    use(node, parts="")
    built(node.networkcache())
    assert list(place.parent.iterdir()) == []


def test_what_is_at_the_destination_is_not_removed(site, url):
    node = site.bare_node()
    occupied = node.write("occupied/mine", "mine").parent
    installing(node, url, destination=occupied)
    assert f"{occupied} is there already" in refused(node.buildout())
    assert (occupied / "mine").read_text() == "mine"
    assert site.origin.requests == []


def test_wrong_options(site):
    node = site.bare_node()
    use(node, section("release", "base"), parts="base")
    assert "option url is missing" in refused(node.buildout())


# -- a release on another one


def test_a_release_that_is_built_on_another_one(site, compiled, tmp_path):
    """The inner one comes from a longer place, and has slashes in its names when the outer
    one is published; that is installed under another root."""
    url, node = compiled, builder(site)
    installing(node, url, destination=node.root / ("x" * 120))
    assert how(node.networkcache()) == "built here"
    shutil.rmtree(node.root)
    outer = site.origin.put(
        "/outer/software.cfg",
        profile(
            site.origin,
            section("release", "base", url=url),
            PROGRAM + "text = ${base:location}/parts/program/program\n",
        ),
    )
    one, two = (Root(tmp_path / name, site) for name in ("root-one", "root"))
    said = one.release("install", outer)
    assert f"base: {url} taken from the network cache" in said
    assert "is published as" in said
    assert b"//" in (one.place(outer) / "parts/base/parts/program/program").read_bytes()
    shutil.rmtree(one.folder)
    two.release("install", outer, f"download-from-binary-cache-force-url-list = {outer}")
    place = two.place(outer)
    inner = program(place)
    assert plain(inner) == str(place / "parts/base/parts/program/program")
    done = subprocess.run([inner], capture_output=True, text=True, check=True)
    assert plain(done.stdout.strip()) == str(place / "parts/base/parts/program")


class Root:
    """A software root of a node that publishes."""

    def __init__(self, folder: Path, site):
        self.folder = folder
        self.node = builder(site)
        folder.mkdir()

    def release(self, step: str, url: str, *options: str) -> str:
        config = self.node.root / "slapos.cfg"
        text = config.read_text()
        slapos = f"\n[slapos]\nsoftware_root = {self.folder}\n"
        config.write_text("\n".join([text, *options, slapos]))
        command = [str(self.node.python), "-m", "slapos.networkcache", "release", step]
        run = self.node._run([*command, url, "-c", str(config)], {})
        assert run.code == 0, run.said
        return run.said

    def place(self, url: str) -> Path:
        return self.folder / hashlib.md5(url.encode()).hexdigest()
