"""``slapos.networkcache:gitclone``, with the real git."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from commands import networkcache
from nodes import asked_of, entries
from repositories import Repository, git
from sections import built, parts, profile, refused, section


@pytest.fixture
def repository(tmp_path) -> Repository:
    """One with two revisions, the first of which has a tag."""
    repository = Repository(tmp_path / "upstream" / "hello")
    repository.commit("hello.txt", "first")
    git(repository.folder, "tag", "v1")
    repository.commit("hello.txt", "second")
    return repository


def revision(repository: Repository, name: str = "HEAD") -> str:
    return git(repository.folder, "rev-parse", name)


def cloning(node, url, buildout: str = "", **options) -> None:
    what = section("gitclone", repository=url, **options)
    profile(node, what, buildout=buildout)


def checkout(node) -> Path:
    return node.place / "parts" / "part"


def head(node) -> str:
    return git(checkout(node), "rev-parse", "HEAD")


def text(node, name: str = "hello.txt") -> str:
    return (checkout(node) / name).read_text()


def bundle_key(url: str, revision: str) -> str:
    return f"git-bundle:{hashlib.md5(url.encode()).hexdigest()}={revision}"


def is_clean(node) -> bool:
    status = git(checkout(node), "status", "--porcelain")
    return status == "" and "-" not in git(checkout(node), "submodule", "status")[:1]


# -- a full revision


def test_a_revision_is_published_and_taken_as_a_bundle(site, repository):
    url = repository.serve(site.origin, "/hello.git")
    wanted = revision(repository, "v1^0")
    one, two = site.node(signs=site.one), site.node()
    cloning(one, url, revision=wanted)
    built(one.networkcache())
    (entry,) = entries(site.cache, bundle_key(url, wanted))
    assert (entry["repository"], entry["revision"]) == (url, wanted)
    site.origin.stop()
    cloning(two, url, revision=wanted)
    built(two.networkcache())
    for node in (one, two):
        assert (head(node), text(node)) == (wanted, "first")
        assert git(checkout(node), "describe", "--tags") == "v1"
        assert git(checkout(node), "remote", "get-url", "origin") == url
        assert is_clean(node)
        assert parts(node) == ["part"]
        assert node.leftovers == []


def test_it_may_be_blocked(site, repository):
    """With block-origin, the bundle is enough, and without one it is an error."""
    url = repository.serve(site.origin, "/blocked.git")
    wanted = revision(repository)
    node = site.node("block-origin = true")
    cloning(node, url, revision=wanted)
    assert f"no network cache has {url} (not-found)" in refused(node.networkcache())
    one = site.node(signs=site.one)
    cloning(one, url, revision=wanted)
    built(one.networkcache())
    site.origin.forget()
    built(node.networkcache())
    assert text(node) == "second"
    assert site.origin.requests == []
    cloning(node, url, branch="main")
    assert "its origin is not asked" in refused(node.networkcache())


def garbage(repository, path):
    path.write_bytes(b"# v2 git bundle\nthis is none")


def of_another(repository, path):
    other = Repository(repository.folder.with_name("other"))
    other.commit("hello.txt", "evil")
    other.bundle(path)


def of_what_came_before(repository, path):
    repository.bundle(path, "v1")


def with_a_gap(repository, path):
    repository.bundle(path, "HEAD", "^v1")


def cut(repository, path):
    data = repository.bundle(path).read_bytes()
    path.write_bytes(data[:-40])


def changed(repository, path):
    data = bytearray(repository.bundle(path).read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize(
    "bundle", [garbage, of_another, of_what_came_before, with_a_gap, cut, changed]
)
def test_a_bundle_that_does_not_hold_the_revision(
    site, repository, tmp_path, bundle, blocked
):
    """git sees it, although a believed signer vouches for it; its origin is asked."""
    path = f"/{bundle.__name__}{blocked}.git"
    url = repository.serve(site.origin, path)
    wanted = revision(repository)
    file = tmp_path / "bundle"
    bundle(repository, file)
    publish(site, file, url, wanted)
    node = site.node("block-origin = true" if blocked else "")
    cloning(node, url, revision=wanted)
    run = node.networkcache()
    assert f"the bundle of {url} is not used" in run.said
    if blocked:
        assert "its origin is not asked" in refused(run)
        assert parts(node) == []
    else:
        built(run)
        assert (head(node), text(node)) == (wanted, "second")
        assert is_clean(node)
    assert node.leftovers == []


def test_a_bundle_of_what_only_leads_to_it(site, repository, tmp_path):
    """What is checked out must be the revision itself, and not what a tag stands for."""
    git(repository.folder, "tag", "--annotate", "--message", "a tag", "v2")
    url = repository.serve(site.origin, "/tagged.git")
    tag = revision(repository, "v2")
    publish(site, repository.bundle(tmp_path / "bundle", "HEAD", "v2"), url, tag)
    node = site.node()
    cloning(node, url, revision=tag)
    run = built(node.networkcache())
    assert f"the bundle of {url} is not used" in run.said
    assert text(node) == "second"


def publish(site, file, url, wanted) -> None:
    """Let `one` vouch for a bundle, with our own command."""
    config = site.node(signs=site.one).root / "slapos.cfg"
    done = networkcache(
        "upload", "-c", config, "-k", bundle_key(url, wanted), "-f", file,
        f"repository={url}", f"revision={wanted}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_revision_that_is_not_there(site, repository):
    url = repository.serve(site.origin, "/lacking.git")
    node = site.node(signs=site.one)
    cloning(node, url, revision="0" * 40)
    assert "git says:" in refused(node.networkcache())
    assert parts(node) == node.leftovers == []
    assert entries(site.cache, bundle_key(url, "0" * 40)) == []


def test_what_is_not_for_everybody_is_not_published(site, repository):
    """Here by a password of this user; neither by one in the URL."""
    url = repository.serve(site.origin, "/private.git", password="me:hunter2")
    wanted = revision(repository)
    node = site.node(signs=site.one)
    netrc = node.home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    netrc.chmod(0o600)
    cloning(node, url, revision=wanted)
    run = built(node.networkcache())
    assert text(node) == "second"
    assert f"the bundle of {url} is not published" in run.said
    assert entries(site.cache, bundle_key(url, wanted)) == []
    with_password = url.replace("http://", "http://me:hunter2@")
    other = site.node(signs=site.one)
    cloning(other, with_password, revision=wanted)
    run = built(other.networkcache())
    assert "hunter2" not in run.said
    assert asked_of(site.cache, bundle_key(with_password, wanted)) == []


def test_what_is_blacklisted_is_not_published(site, repository):
    url = repository.serve(site.origin, "/blacklisted.git")
    node = site.node(f"upload-to-cache-url-blacklist = {site.origin.url}", signs=site.one)
    cloning(node, url, revision=revision(repository))
    built(node.networkcache())
    assert entries(site.cache, bundle_key(url, revision(repository))) == []


# -- what is no business of the cache


@pytest.mark.parametrize("form", ["file://{}", "{}"])
def test_a_local_repository(site, repository, form):
    url, wanted = form.format(repository.folder), revision(repository)
    node = site.node(signs=site.one)
    cloning(node, url, revision=wanted)
    built(node.networkcache())
    assert text(node) == "second"
    assert asked_of(site.cache, bundle_key(url, wanted)) == []


def test_without_a_network_cache(site, repository):
    url = repository.serve(site.origin, "/plain.git")
    node = site.bare_node()
    cloning(node, url, revision=revision(repository).upper())
    built(node.buildout())
    assert text(node) == "second"


@pytest.mark.parametrize("name", ["v1", "short"])
def test_a_tag_or_a_short_revision(site, repository, name):
    url = repository.serve(site.origin, f"/{name}.git")
    first = revision(repository, "v1^0")
    node = site.node(signs=site.one)
    cloning(node, url, revision=first[:12] if name == "short" else name)
    built(node.networkcache())
    assert (head(node), text(node)) == (first, "first")
    assert entries(site.cache, bundle_key(url, first)) == []


# -- branches


@pytest.mark.parametrize("options", [{"branch": "main"}, {}])
def test_a_branch_is_followed(site, repository, options):
    path = f"/followed{len(options)}.git"
    url = repository.serve(site.origin, path)
    node = site.node(signs=site.one)
    for step, newest in enumerate(("true", "true", "false")):
        tip = repository.commit("hello.txt", f"step {step}")
        repository.serve(site.origin, path)
        what = section("gitclone", repository=url, **options)
        profile(node, what, newest=newest)
        built(node.networkcache())
        assert (head(node) == tip) == (newest == "true")
    assert text(node) == "step 1"
    assert entries(site.cache, bundle_key(url, head(node))) == []


def test_a_branch_stays_as_it_is_while_its_origin_is_gone(site, repository):
    url = repository.serve(site.origin, "/gone.git")
    node = site.bare_node()
    cloning(node, url, branch="main")
    built(node.buildout())
    site.origin.stop()
    built(node.buildout("-n"))
    built(node.buildout("-o"))
    assert text(node) == "second"


def test_a_branch_that_is_not_there(site, repository):
    url = repository.serve(site.origin, "/branchless.git")
    node = site.bare_node()
    cloning(node, url, branch="missing")
    assert f"{url} is not cloned" in refused(node.buildout())
    assert parts(node) == []


# -- submodules


@pytest.fixture
def nested(site, tmp_path, request) -> tuple[str, str]:
    """A repository with a submodule, that has another one; its URL, and its revision."""
    top = f"/{request.node.name.partition('[')[0]}"
    inner = Repository(tmp_path / "upstream" / "inner")
    inner.commit("inner.txt", "inner")
    middle = Repository(tmp_path / "upstream" / "middle")
    middle.commit("middle.txt", "middle")
    middle.add_submodule(inner.serve(site.origin, f"{top}/inner.git"), inner, "deep/inner")
    outer = Repository(tmp_path / "upstream" / "outer")
    outer.commit("outer.txt", "outer")
    middle.serve(site.origin, f"{top}/middle.git")
    last = outer.add_submodule("../middle.git", middle, "middle")
    return outer.serve(site.origin, f"{top}/outer.git"), last


def test_submodules_come_as_bundles_too(site, nested):
    url, wanted = nested
    one, two = site.node(signs=site.one), site.node()
    cloning(one, url, revision=wanted)
    built(one.networkcache())
    site.origin.stop()
    cloning(two, url, revision=wanted)
    built(two.networkcache())
    for node in (one, two):
        assert text(node, "middle/deep/inner/inner.txt") == "inner"
        assert (checkout(node) / "middle" / ".git").is_file()
        assert is_clean(node)
        status = git(checkout(node), "submodule", "status", "--recursive").splitlines()
        assert [line.split()[1] for line in status] == ["middle", "middle/deep/inner"]
        assert not any(line.startswith(("-", "+")) for line in status)


def test_submodules_of_a_branch(site, nested):
    url, _ = nested
    node = site.bare_node()
    cloning(node, url, branch="main")
    built(node.buildout())
    assert text(node, "middle/deep/inner/inner.txt") == "inner"


def test_submodules_that_are_not_wanted(site, nested):
    url, wanted = nested
    node = site.bare_node()
    cloning(node, url, revision=wanted, ignore_cloning_submodules="true")
    built(node.buildout())
    assert list((checkout(node) / "middle").iterdir()) == []


def test_a_submodule_that_points_to_this_computer(site, repository, tmp_path):
    """What a repository from elsewhere says reaches no file of this user."""
    outer = Repository(tmp_path / "upstream" / "evil")
    wanted = outer.add_submodule(str(repository.folder), repository, "mine")
    url = outer.serve(site.origin, "/evil.git")
    node = site.bare_node()
    cloning(node, url, revision=wanted)
    assert "transport 'file' not allowed" in refused(node.buildout())
    assert parts(node) == []
    cloning(node, outer.folder, revision=wanted)
    built(node.buildout())
    assert text(node, "mine/hello.txt") == "second"


# -- the part


def test_the_location(site, repository):
    node = site.bare_node()
    wanted = revision(repository)
    cloning(
        node, repository.folder, revision=wanted, location="${buildout:directory}/src/hello"
    )
    built(node.buildout())
    assert (node.place / "src/hello/hello.txt").read_text() == "second"
    assert [path.name for path in (node.place / "src").iterdir()] == ["hello"]
    mine = node.write("buildout/mine/file", "mine")
    cloning(node, repository.folder, revision=wanted, location="${buildout:directory}/mine")
    assert "is there already" in refused(node.buildout())
    assert mine.read_text() == "mine"


def test_an_update_fetches_nothing_unless_it_is_gone(site, repository):
    url = repository.serve(site.origin, "/update.git")
    node = site.bare_node()
    cloning(node, url, revision=revision(repository))
    built(node.buildout())
    site.origin.forget()
    (checkout(node) / "mine").write_text("mine")
    built(node.buildout())
    assert site.origin.requests == []
    assert text(node, "mine") == "mine"
    checkout(node).rename(node.place / "elsewhere")
    built(node.buildout())
    assert text(node) == "second"


def test_offline(site, repository):
    url = repository.serve(site.origin, "/offline.git")
    node = site.node()
    for options in ({"revision": revision(repository)}, {"branch": "main"}):
        cloning(node, url, "offline = true", **options)
        assert "since in offline mode its origin is not asked" in refused(
            node.networkcache()
        )
    assert site.origin.requests == []


def test_from_within_a_hook_of_git(site, repository):
    """Where git says of which repository it is the hook."""
    node = site.bare_node()
    node.environment["GIT_DIR"] = str(repository.folder / ".git")
    node.environment["GIT_INDEX_FILE"] = str(repository.folder / ".git/index")
    cloning(node, repository.folder, revision=revision(repository, "v1^0"))
    built(node.buildout())
    assert text(node) == "first"
    assert revision(repository) != revision(repository, "v1^0")


def test_without_git(site, repository, tmp_path):
    node = site.bare_node()
    cloning(node, repository.folder, revision=revision(repository))
    said = refused(node.buildout(PATH=str(tmp_path / "nothing")))
    assert "git does not run" in said
    assert "git-executable" in said


def test_another_git(site, repository, tmp_path):
    program = tmp_path / "bin" / "my-git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ntouch {tmp_path}/used\nexec git "$@"\n')
    program.chmod(0o755)
    node = site.bare_node()
    cloning(node, repository.folder, branch="main", git_executable=program)
    built(node.buildout())
    assert os.path.exists(tmp_path / "used")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "option repository is missing"),
        ({"repository": "u", "develop": "true"}, "option develop of slapos.recipe.build"),
        ({"repository": "u", "sparse_checkout": "/a"}, "option sparse-checkout of"),
        ({"repository": "u", "ignore_cloning_submodules": "1"}, "expected true or false"),
    ],
)
def test_wrong_options(site, options, words):
    node = site.bare_node()
    profile(node, section("gitclone", **options))
    assert words in refused(node.buildout())
