"""The table of hosts: for each program and each root with the C library of another suite,
what is said of it, before it is there, is what happens when it runs there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import roots
import suites
from elves import compiled, library
from incumbents import Unavailable

from slapos.networkcache.binary.compatibility import Look, host_for, unmet
from slapos.networkcache.binary.requirements import Requirements
from slapos.networkcache.binary.survey import Survey
from slapos.networkcache.host import look_at_host

pytestmark = pytest.mark.long

HOSTS = (*suites.SUITES, suites.MUSL)
USUAL = "int main(void) { return 0; }\n"
START = """
    extern void exit(int);
    extern int {function}(void);
    int (*volatile used)(void) = {function};
    __attribute__((force_align_arg_pointer)) void _start(void) {{ exit(used == 0); }}
"""
"""A program without what the compiler of this computer would start it with: that part asks
for a version of its own."""


def root(name: str) -> Path:
    try:
        return suites.root(name)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", autouse=True)
def only_root_changes_root() -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("only root can run programs in another root: run these tests with sudo")


@dataclass(frozen=True)
class Tree:
    """`program` is the file that is run, `needed` what the survey of its folder found."""

    folder: Path
    program: Path
    needed: Requirements

    def runs(self, host: Path) -> bool:
        command = [*roots.inside(host, self.folder), self.program]
        done = subprocess.run(command, capture_output=True, text=True)
        # 127: its loader is not there, or there but not its libraries.
        assert done.returncode in (0, 1, 127), done.stderr
        return done.returncode == 0

    def lacks(self, host: Path) -> list[str]:
        return unmet(
            self.needed, host_for(self.needed, partial(look_at_host, root=str(host)))
        )


def tree(program: Path, look: Look = look_at_host) -> Tree:
    folder = program.parent
    survey = Survey([str(folder)])
    for path in folder.iterdir():
        survey.add(str(path), path.read_bytes())
    surveyed = survey.finish(look)
    assert surveyed.missing == ()
    return Tree(folder, program, surveyed.requirements)


# -- programs: some need what is old, some what is new


def usual(folder: Path) -> Tree:
    return tree(compiled(folder / "program", USUAL))


def old(folder: Path) -> Tree:
    return tree(
        compiled(folder / "program", START.format(function="puts"), "-nostartfiles")
    )


def new_mathematics(folder: Path) -> Tree:
    """Another library of the C library than the first one."""
    code = "#include <math.h>\nint main(int c, char **v) { return hypot(c, 0) > 1e9; }"
    return tree(compiled(folder / "program", code, "-lm"))


def own_library(folder: Path) -> Tree:
    own = library(folder / "libown.so", "int own(void) { return 0; }")
    code = "extern int own(void); int main(void) { return own(); }"
    return tree(compiled(folder / "program", code, own, "-Wl,-rpath,$ORIGIN"))


def accidental(folder: Path) -> Tree:
    """A library of the host that only hosts with compilers have."""
    return tree(
        compiled(folder / "program", USUAL, "-Wl,--no-as-needed", "-l:libgomp.so.1")
    )


def static(folder: Path) -> Tree:
    return tree(compiled(folder / "program", USUAL, "-static"))


def static_pie(folder: Path) -> Tree:
    return tree(compiled(folder / "program", USUAL, "-static-pie"))


def musl(folder: Path) -> Tree:
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is not there: apt-get install musl-tools")
    return tree(compiled(folder / "program", USUAL, compiler="musl-gcc"))


def of_suite(folder: Path, suite: str, function: str) -> Tree:
    """Built on that suite, with a function that it was the first to have."""
    host = root(suite)
    (libc,) = host.glob("lib/*/libc.so.6")
    code = START.format(function=function)
    # The libraries of that suite fit each other, and not those of this computer.
    options = (
        "-nostdlib",
        "-fno-builtin",
        "-Wl,--unresolved-symbols=ignore-in-shared-libs",
    )
    program = compiled(folder / "program", code, *options, libc)
    return tree(program, partial(look_at_host, root=str(host)))


PROGRAMS: dict[str, tuple[Callable[[Path], Tree], set[str]]] = {
    "usual": (usual, {"bookworm", "trixie", "forky", "sid"}),
    "old": (old, {"bullseye", "bookworm", "trixie", "forky", "sid"}),
    "new mathematics": (new_mathematics, {"bookworm", "trixie", "forky", "sid"}),
    "own library": (own_library, {"bookworm", "trixie", "forky", "sid"}),
    "accidental": (accidental, set()),
    "static": (static, set(HOSTS)),
    "static-pie": (static_pie, set(HOSTS)),
    "musl": (musl, {"musl"}),
    "of bullseye": (
        partial(of_suite, suite="bullseye", function="getdents64"),
        {"bullseye", "bookworm", "trixie", "forky", "sid"},
    ),
    "of bookworm": (
        partial(of_suite, suite="bookworm", function="arc4random"),
        {"bookworm", "trixie", "forky", "sid"},
    ),
    "of trixie": (
        partial(of_suite, suite="trixie", function="strlcpy"),
        {"trixie", "forky", "sid"},
    ),
    "of sid": (
        partial(of_suite, suite="sid", function="memset_explicit"),
        {"forky", "sid"},
    ),
}
"""Each with the hosts on which it ran when this was written: bullseye has glibc 2.31,
bookworm 2.36, trixie 2.41; forky and sid are on the move."""


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Callable[[str], Tree]:
    made: dict[str, Tree] = {}

    def make(name: str) -> Tree:
        if name not in made:
            made[name] = PROGRAMS[name][0](tmp_path_factory.mktemp("tree"))
        return made[name]

    return make


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_verdict_is_what_happens(program, name: str, host: str) -> None:
    it = program(name)
    lacking = it.lacks(root(host))
    assert it.runs(root(host)) == (not lacking), lacking
    if host not in ("forky", "sid"):
        assert (not lacking) == (host in PROGRAMS[name][1])


def test_more_hosts_than_by_the_name_of_the_distribution(program) -> None:
    built_on = look_at_host().distribution
    hosts = [root(name) for name in HOSTS]
    same = [h for h in hosts if look_at_host(root=str(h)).distribution == built_on]
    served = [host for host in hosts if not program("usual").lacks(host)]
    assert len(served) > len(same)


def test_what_is_said_of_an_older_host(program) -> None:
    (libc, *others) = program("usual").lacks(root("bullseye"))
    assert libc == "libc.so.6 here lacks GLIBC_2.34"
    assert others == []
    said = program("usual").lacks(root("musl"))
    assert said == [
        "the interpreter /lib64/ld-linux-x86-64.so.2 is not here",
        "the library libc.so.6 is not here",
    ]
