"""Real software: what `programs` lists runs at its place, and in a bare root."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import isolation
import pytest
from incumbents import Unavailable
from programs import OF_HOSTS, OWN, PROGRAMS, naming, run, traced
from roots import add_python, bare_root, inside, without
from softwares import Release, build, built, rebuilt, rerun, served, url_of

pytestmark = pytest.mark.long


def of_profile(profile: str) -> Release:
    try:
        return built(profile)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def software() -> Release:
    """`software.cfg`, built once for all workers and later runs."""
    return of_profile("software")


@pytest.fixture(scope="session")
def shared() -> tuple[Release, Release]:
    """Two releases that have shared parts in common."""
    return of_profile("shared-one"), of_profile("shared-two")


@pytest.fixture
def own_mounts() -> None:
    if missing := isolation.missing():
        pytest.skip(missing)


@pytest.mark.parametrize("name", PROGRAMS)
def test_runs_at_its_place(name: str, software: Release, tmp_path: Path, own_mounts: None):
    program = PROGRAMS[name].of(software)
    log = tmp_path / "log"
    assert program.says in run(program.command, traced(log))
    assert naming(log, software.folder)


@pytest.mark.parametrize("name", OWN)
def test_runs_without_compiler(
    name: str, software: Release, tmp_path: Path, own_mounts: None
):
    program = PROGRAMS[name].of(software)
    wrap = inside(bare_root(tmp_path / "root"), software.folder)
    assert program.says in run(program.command, wrap)


@pytest.mark.parametrize("name", OF_HOSTS)
def test_needs_only_c_library(name: str, tmp_path: Path, own_mounts: None):
    release = of_profile("hosts")
    program = PROGRAMS[name].of(release)
    wrap = inside(bare_root(tmp_path / "root"), release.folder)
    assert program.says in run(program.command, wrap)


def test_bare_root_has_no_compiler(tmp_path: Path, own_mounts: None):
    wrap = inside(bare_root(tmp_path / "root"))
    tools = "for tool in cc gcc make python3 perl; do ! command -v $tool; done"
    assert run(["/bin/sh", "-c", f"{tools}; ! test -e /usr/include"], wrap) == ""


def test_command_runs_in_bare_root(tmp_path: Path, own_mounts: None):
    root = bare_root(tmp_path / "root")
    wrap = inside(root, *add_python(root))
    assert "networkcache" in run([sys.executable, "-m", "slapos.networkcache", "-h"], wrap)


def test_nothing_runs_without_its_folder(software: Release, own_mounts: None):
    with pytest.raises(AssertionError, match="ended with"):
        run(PROGRAMS["openssl"].of(software).command, without(software.folder))


def test_buildout_again_rebuilds_what_is_gone(tmp_path: Path):
    of_profile("small")  # or skip
    release = Release(url_of("small"), tmp_path / "root", tmp_path / "shared")
    with served() as origin:
        build(release, origin)
        assert rebuilt(rerun(release, origin)) == []
        shutil.rmtree(release.part("hello"))
        assert rebuilt(rerun(release, origin)) == ["hello", "hello"]


def test_shared_parts_are_built_once(shared: tuple[Release, Release]):
    one, two = shared
    assert one.shared == two.shared
    assert one.part("hello") == two.part("hello")
    assert {path.name for path in one.shared.iterdir()} == {
        "hello", "libxml2", "ncurses", "xz-utils", "zlib",
    }  # fmt: skip
    assert all(len(list(path.iterdir())) == 1 for path in one.shared.iterdir())
    hello = PROGRAMS["hello"].of(one)
    assert hello.says in run(hello.command)
