"""What one node published another one takes, while the origin is switched off."""

from __future__ import annotations

import hashlib

import pytest
from nodes import entries, make_egg, make_sdist, make_wheel, part, stored

MAKERS = {"wheel": make_wheel, "egg": make_egg, "sdist": make_sdist}


def prepare(site, name: str) -> str:
    """An origin with a profile, a tarball and one project of each kind; the profile."""
    origin = site.origin
    tarball = b"tarball of " + name.encode()
    url = origin.put(f"/{name}.tar.gz", tarball)
    for kind, make in MAKERS.items():
        project = f"{name}{kind}"
        origin.distribute(project, make(site.folder, project))
    projects = " ".join(f"{name}{kind}" for kind in MAKERS)
    versions = "".join(f"{name}{kind} = 1.0\n" for kind in MAKERS)
    checked = part("checked", "fetch", url=url, md5sum=hashlib.md5(tarball).hexdigest())
    origin.put(f"/{name}/stack.cfg", f"[versions]\n{versions}")
    return origin.put(
        f"/{name}/software.cfg",
        "[buildout]\nextends = stack.cfg\nparts = plain checked eggs\n"
        f"{part('plain', 'fetch', url=url)}{checked}{part('eggs', 'egg', eggs=projects)}",
    )


def files_of(name: str) -> set[str]:
    """What is asked of an origin if nothing comes from a cache."""
    python = make_egg.__globals__["sys"].version_info
    return {
        f"/{name}/software.cfg",
        f"/{name}/stack.cfg",
        f"/{name}.tar.gz",
        f"/files/{name}wheel-1.0-py3-none-any.whl",
        f"/files/{name}egg-1.0-py{python[0]}.{python[1]}.egg",
        f"/files/{name}sdist-1.0.tar.gz",
        *(f"/simple/{name}{kind}/" for kind in MAKERS),
    }


def asked(site) -> set[str]:
    return {r.path for r in site.origin.requests}


def check_built(node, name: str) -> None:
    assert node.part("plain") == node.part("checked") == b"tarball of " + name.encode()
    assert node.eggs == {f"{name}{kind}" for kind in MAKERS}
    assert node.leftovers == []


def test_command(site):
    profile = prepare(site, "command")
    first, second = site.node(signs=site.one), site.node()
    for node in (first, second):
        node.profile(buildout=f"extends = {profile}")

    run = first.networkcache()
    assert run.code == 0, run.said
    check_built(first, "command")
    assert asked(site) == files_of("command")
    # The tarball is asked for twice: without and with a checksum.
    assert run.reports("from the local store: 1 file,"), run.report
    assert run.reports("from their origin: 9 files"), run.report
    assert run.reports("published: 9 files"), run.report
    assert run.reports("not in the network cache: 9 not-found"), run.report

    site.origin.forget()
    run = second.networkcache()
    assert run.code == 0, run.said
    check_built(second, "command")
    assert asked(site) == set()
    assert run.reports(f"from the network cache {site.cache.dir_url}: 9 files"), run.report
    assert run.reports("from the local store: 1 file,"), run.report
    assert run.reports("from their origin: 0 files"), run.report


@pytest.mark.parametrize("named", [False, True])
def test_extension(site, named):
    name = f"extension{named}".lower()
    profile = prepare(site, name)
    section = f"cache-of-{name}" if named else "networkcache"
    option = f"networkcache-section = {section}\n" if named else ""
    head = f"extends = {profile}\nextensions = slapos.networkcache\n{option}"
    first, second = site.bare_node(), site.bare_node()
    first.profile(site.section(name=section, signs=site.one), buildout=head)
    second.profile(site.section(name=section), buildout=head)
    profiles = {path for path in files_of(name) if path.endswith(".cfg")}

    run = first.buildout()
    assert run.code == 0, run.said
    check_built(first, name)
    assert asked(site) == files_of(name)
    # The profiles came before the extension was there, and are fetched once more.
    assert run.reports("published: 9 files"), run.report
    assert "/simple/slapos-networkcache/" not in {r.path for r in site.origin.requests}

    site.origin.forget()
    run = second.buildout()
    assert run.code == 0, run.said
    check_built(second, name)
    assert asked(site) == profiles
    assert run.reports(f"from the network cache {site.cache.dir_url}: 7 files"), run.report
    assert "unused option" not in run.said


def test_origin_switched_off(site):
    url = site.origin.put("/off.tar.gz", b"off")
    profile = site.origin.put(
        "/off.cfg", f"[buildout]\nparts = a\n{part('a', 'fetch', url=url)}"
    )
    first, second, third = site.node(signs=site.one), site.node(), site.bare_node()
    for node in (first, second, third):
        node.profile(buildout=f"extends = {profile}")
    assert first.networkcache().code == 0
    site.origin.stop()
    run = second.networkcache()
    assert run.code == 0, run.said
    assert second.part("a") == b"off"
    assert third.buildout().code == 1


def test_command_and_extension_together(site):
    """The profile adds to what the command knows; nothing is said twice."""
    url = site.origin.put("/both.tar.gz", b"both")
    node = site.bare_node()
    node.configure("signature-treshold = 1")
    node.profile(
        part("a", "fetch", url=url),
        site.section(signs=site.one),
        buildout="parts = a\nextensions = slapos.networkcache",
    )
    run = node.networkcache()
    assert run.code == 0, run.said
    assert len(site.entries(url)) == 1
    assert sum("signature-treshold" in line for line in run.ours) == 1
    assert run.stderr.count("published: 1 file,") == 1


def test_entries_say_what_they_are(site):
    wheel = make_wheel(site.folder, "members")
    (there,) = site.origin.distribute("members", wheel)
    url = site.origin.put("/members.tar.gz", b"members")
    node = site.node(signs=site.one)
    node.profile(
        part("a", "fetch", url=url),
        part("b", "egg", eggs="members"),
        "[versions]\nmembers = 1.0",
        buildout="parts = a b",
    )
    assert node.networkcache().code == 0
    (file,) = site.entries(url)
    assert (file["url"], file["transport"]) == (url, "http")
    (found,) = entries(site.cache, "pypi:members=1.0")
    wanted = {
        "url": there.partition("#")[0],
        "basename": wheel.name,
        "name": "members",
        "version": "1.0",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "signer": site.one.fingerprint,
    }
    assert wanted.items() <= found.items()
    assert "transport" not in found
    assert stored(site.cache, wheel.read_bytes())


@pytest.mark.parametrize("where", ["plain", "path", "cached", "cached-path"])
def test_a_download_lands_where_and_as_it_always_did(site, where, tmp_path):
    """With a path and without, with a download cache and without: the same file, the
    same mode, the same word on whether it is temporary."""
    url = site.origin.put(f"/{where}.tar.gz", where.encode())
    options = {"url": url}
    if "path" in where:
        options["path"] = str(tmp_path / "placed")
    head = "parts = a\n"
    if "cached" in where:
        head += f"download-cache = {tmp_path / 'downloads'}\n"
    lines = []
    nodes = [site.bare_node(), site.node(signs=site.one), site.node()]
    for node in nodes:
        node.profile(part("a", "fetch", **options), buildout=head)
        (tmp_path / "placed").unlink(missing_ok=True)
        for file in tmp_path.glob("downloads/*.tar.gz"):
            file.unlink()
        run = node.networkcache()
        assert run.code == 0, run.said
        assert node.part("a") == where.encode()
        assert node.leftovers == []
        (line,) = (line for line in run.stdout.splitlines() if line.startswith("a: "))
        lines.append(line if where != "plain" else line.partition(" temporary")[2])
        assert (tmp_path / "placed").exists() == ("path" in where)
        assert len(list(tmp_path.glob("downloads/*.tar.gz"))) == ("cached" in where)
    assert len(set(lines)) == 1, lines
    assert len(site.origin.asked(f"/{where}.tar.gz")) == 2
