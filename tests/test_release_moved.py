"""Real software that is published, and installed under other roots with the first one
gone: shorter, as long, and longer than the software root that it was built for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import isolation
import pytest
import suites
from incumbents import Unavailable
from programs import OF_HOSTS, OWN, PROGRAMS, Program, naming, run, traced
from roots import add_python, bare_root, inside, without
from softwares import (
    PREFIX_LENGTH,
    Release,
    built,
    of_length,
    options_of_reader,
    rebuilt,
    rerun,
    served,
    take_server_root,
)

from slapos.networkcache.binary.compatibility import host_for, unmet
from slapos.networkcache.binary.requirements import Requirements
from slapos.networkcache.host import look_at_host

pytestmark = pytest.mark.long

HOSTS = (*suites.SUITES, suites.MUSL)
ROOTS = {
    # Bytes more than the root that it was built for has; the last one is as long as the
    # folder in which it was built.
    "shorter": -20,
    "equal": 0,
    "longer": 30,
    "longest": None,
}


def of_profile(profile: str) -> Release:
    if missing := isolation.missing():
        pytest.skip(missing)
    try:
        return built(profile)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def software() -> Release:
    return of_profile("software")


Served = Callable[[Release], list[str]]


@pytest.fixture(scope="module")
def reading(make_shared_server, tmp_path_factory) -> Served:
    """Serves what was published of a release; the options of a node that takes it."""

    def serve(release: Release) -> list[str]:
        root = tmp_path_factory.mktemp("cache") / "server"
        server = make_shared_server(root=take_server_root(release, root))
        return options_of_reader(release, server)

    return serve


@pytest.fixture(scope="module")
def options(software: Release, reading: Served) -> list[str]:
    """What a node needs to take it."""
    return reading(software)


def networkcache(*words: str, wrap: isolation.Wrap = (), home: Path) -> str:
    done = subprocess.run(
        [*wrap, sys.executable, "-m", "slapos.networkcache", *words],
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module", params=ROOTS)
def moved(request, software: Release, options: list[str], tmp_path_factory) -> Release:
    """The release at another root, taken while the first one was not there."""
    folder = tmp_path_factory.mktemp("m")
    more = ROOTS[request.param]
    length = PREFIX_LENGTH - 33 if more is None else len(str(software.root)) + more
    release = software.at(of_length(folder, length), folder / "shared")
    config = str(release.configure(*options))
    said = networkcache(
        "release", "install", release.url, "-c", config,
        wrap=without(software.home), home=folder / "home",
    )  # fmt: skip
    assert "taken from the network cache" in said
    return release


@pytest.mark.parametrize("name", PROGRAMS)
def test_runs_and_names_the_old_place_nowhere(
    name: str, moved: Release, software: Release, tmp_path: Path
) -> None:
    program = PROGRAMS[name].of(moved)
    log = tmp_path / "log"
    said = run(program.command, (*without(software.home), *traced(log)))
    assert program.says in said
    assert naming(log, software.home) == []
    assert str(software.home) not in said


def test_buildout_again_rebuilds_nothing(moved: Release) -> None:
    with served() as origin:
        assert rebuilt(rerun(moved, origin)) == []


def test_installed_and_run_without_compiler(
    software: Release, options: list[str], tmp_path: Path
) -> None:
    root = bare_root(tmp_path / "bare")
    node = tmp_path / "node"
    release = software.at(node / "root")
    config = str(release.configure(*options))
    wrap = inside(root, *add_python(root), node)
    tools = "for tool in cc gcc make perl; do ! command -v $tool; done"
    assert run(["/bin/sh", "-c", f"{tools}; ! test -e /usr/include"], wrap) == ""
    said = networkcache(
        "release", "install", release.url, "-c", config, wrap=wrap, home=node / "home"
    )
    assert "taken from the network cache" in said
    for name in OWN:
        program = PROGRAMS[name].of(release)
        assert program.says in run(program.command, wrap), name


# -- the table of hosts


@pytest.fixture(scope="module")
def on_many_hosts(reading: Served, tmp_path_factory) -> tuple[Release, Requirements]:
    """What needs nothing but a C library, and what was signed of it."""
    built_here = of_profile("hosts")
    options = reading(built_here)
    folder = tmp_path_factory.mktemp("hosts")
    release = built_here.at(folder / "root")
    config = str(release.configure(*options))
    words = ("show", release.url, "-c", config, "--json")
    shown = json.loads(networkcache("release", *words, home=folder))
    networkcache("release", "install", release.url, "-c", config, home=folder)
    members = shown["builds"][0]["members"]
    return release, Requirements.parse(members["requirements"])


def runs(program: Program, wrap: isolation.Wrap) -> bool:
    try:
        return program.says in run(program.command, wrap)
    except AssertionError:
        return False


@pytest.mark.parametrize("host", HOSTS)
def test_the_verdict_is_what_happens(
    host: str, on_many_hosts: tuple[Release, Requirements]
) -> None:
    release, requirements = on_many_hosts
    try:
        root = suites.root(host)
    except Unavailable as error:
        pytest.skip(str(error))
    wrap = inside(root, release.folder)
    programs = [PROGRAMS[name].of(release) for name in OF_HOSTS]
    compiled = [p for p in programs if Path(p.command[0]).read_bytes()[:4] == b"\x7fELF"]
    ran = [runs(program, wrap) for program in compiled]
    look = partial(look_at_host, root=str(root))
    lacking = unmet(requirements, host_for(requirements, look))
    assert len(ran) > 5
    assert all(ran) == (not lacking), lacking
    assert any(ran) == (not lacking), lacking


# -- shared parts


def test_two_releases_bring_their_shared_parts_once(
    reading: Served, tmp_path: Path
) -> None:
    one, two = of_profile("shared-one"), of_profile("shared-two")
    options = reading(two)  # both were published there
    there = [each.at(tmp_path / "root") for each in (one, two)]
    for release in there:
        config = str(release.configure(*options))
        words = ("release", "install", release.url, "-c", config)
        said = networkcache(*words, wrap=without(one.home), home=tmp_path / "home")
        assert "taken from the network cache" in said
    parts = list(there[0].shared.glob("*/*"))
    names = [path.parent.name for path in parts]
    assert sorted(names) == sorted({path.parent.name for path in one.shared.glob("*/*")})
    for release, name in ((there[0], "hello"), (there[1], "hello"), (there[0], "xmllint")):
        program = PROGRAMS[name].of(release)
        log = tmp_path / "log"
        assert program.says in run(program.command, (*without(one.home), *traced(log)))
        assert naming(log, one.home) == []
