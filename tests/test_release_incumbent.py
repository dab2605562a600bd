"""slapgrid of `slapos.core` 1.26.1 and our binary cache, in both directions: binary.md."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import computers
import incumbents
import pytest
from computers import OWNER_ID, SOFTWARE_ROOT, Computer
from nodes import entries
from old_nodes import Done, OldNode
from origin import Origin

from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.incumbent import IncumbentBuild, comparable
from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.errors import NotBelieved
from slapos.networkcache.host import look_at_host
from slapos.networkcache.key import urlmd5

pytestmark = pytest.mark.incumbent


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    if lacks := computers.missing():
        pytest.skip(lacks)
    try:
        incumbents.core_environment()
    except incumbents.Unavailable as error:
        pytest.skip(str(error))


# -- a release


SHARED = SOFTWARE_ROOT / "shared"
PROGRAM = "parts/program"
LONG = "größe-" * 30
MAKEFILE = """\
greeting: greeting.c
	cc -DGREETING='"$(prefix)/share/greeting"' -o $@ $<
install: greeting
	mkdir -p $(prefix)/bin $(prefix)/share
	cp greeting $(prefix)/bin
	ln $(prefix)/bin/greeting $(prefix)/bin/again
	echo hello >$(prefix)/share/greeting
	ln -s greeting $(prefix)/share/LONG
"""
SOURCE = """\
#include <stdio.h>
int main(void) {
  char text[80];
  FILE *file = fopen(GREETING, "r");
  if (!file || !fgets(text, sizeof text, file)) return perror(GREETING), 1;
  return fputs(text, stdout) < 0;
}
"""
"""It says what is in a file whose path is compiled into it."""
PROFILE = """\
[buildout]
parts = program
newest = false

[program]
recipe = slapos.recipe.build
target = ${{greeting:location}}/bin/greeting
install =
  import os
  os.symlink(options["target"], location)

[greeting]
recipe = slapos.recipe.cmmi
url = {url}
md5sum = {md5sum}
shared = {shared}
configure-command = true
make-options = prefix=@@LOCATION@@
"""
"""Where the compiled program lies is left to its recipe; the release has a link to it.
"""


@dataclass(frozen=True)
class Release:
    url: str

    @property
    def key(self) -> str:
        """That of the directory; the name of its folder, too."""
        return hashlib.md5(self.url.encode()).hexdigest()


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    origin = Origin()
    yield origin
    origin.stop()


@pytest.fixture
def make_release(origin: Origin, key: str) -> Callable[..., Release]:
    """Makes a release with a small program, which nobody has installed yet."""

    def make(*, shared: bool = False) -> Release:
        source = _archive(
            {"Makefile": MAKEFILE.replace("LONG", LONG), "greeting.c": SOURCE}
        )
        url = origin.put("/greeting-1.0.tar.gz", source)
        md5sum = hashlib.md5(source).hexdigest()
        profile = PROFILE.format(url=url, md5sum=md5sum, shared=str(shared).lower())
        return Release(origin.put(f"/{key.partition(':')[2]}/software.cfg", profile))

    return make


@pytest.fixture
def release(make_release: Callable[..., Release]) -> Release:
    return make_release()


def _archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"greeting-1.0/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


# -- nodes


@dataclass(frozen=True)
class Node:
    """A computer where slapgrid and ours install releases, by the same slapos.cfg."""

    old: OldNode

    @property
    def options(self) -> dict[str, str]:
        """Those of ``[networkcache]``; each command reads them as they are then."""
        return self.old.options

    def slapgrid(self, release: Release) -> Done:
        return self.old.slapgrid(release.url)

    def networkcache(
        self, command: str, release: Release
    ) -> subprocess.CompletedProcess[str]:
        """``networkcache release COMMAND``."""
        home = {"HOME": str(self.old.computer.folder)}
        return self.old.computer.run(
            *(sys.executable, "-m", "slapos.networkcache", "release", command),
            *(release.url, "-c", self.old.config),
            env={**os.environ, **home, "XDG_CACHE_HOME": f"{home['HOME']}/cache"},
        )

    def greets(self, release: Release) -> bool:
        """Whether the program of the release is there, and runs."""
        if not self.folder(release).exists():
            return False
        program = self.old.software_root / release.key / PROGRAM
        return self.old.computer.run(program).stdout == "hello\n"

    def folder(self, release: Release) -> Path:
        """That of the release, as it is named here."""
        return self.old.computer.outside(self.old.software_root) / release.key


@pytest.fixture(scope="module")
def signer(tmp_path_factory) -> Signer:
    return generate("rsa")


@pytest.fixture
def make_node(server, signer: Signer, tmp_path: Path) -> Callable[..., Node]:
    """Makes nodes that all sign with the same key, and publish what they built unless
    `publishes` is false; see `OldNode` for `how`."""
    key = tmp_path / "signature.key"
    key.write_bytes(signer.private_pem())
    key.chmod(0o600)
    made: list[Node] = []

    def make(*, publishes: bool = False, os_release: str = "", **how) -> Node:
        options = {
            "download-binary-cache-url": server.cache_url,
            "download-binary-dir-url": server.dir_url,
            "signature-certificate-list": signer.self_signed("nodes", time.time()),
            "signature-private-key-file": str(key),
        }
        if publishes:
            options["upload-binary-cache-url"] = server.cache_url
            options["upload-binary-dir-url"] = server.dir_url
        computer = Computer(tmp_path / f"computer-{len(made)}", os_release)
        made.append(Node(OldNode(computer, options, **how)))
        return made[-1]

    return make


def owners(folder: Path) -> set[int]:
    """Whose the folder of a release is, and what was built or unpacked in it."""
    paths = (path for path in folder.rglob("*") if not is_of_the_node(path))
    return {path.lstat().st_uid for path in (folder, *paths)}


def contents(folder: Path) -> set[tuple[str, int, bytes]]:
    """The files that were built in it, with their times: bytecode is checked by them."""
    return {
        (str(path.relative_to(folder)), int(path.stat().st_mtime), path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not is_of_the_node(path)
    }


def is_of_the_node(path: Path) -> bool:
    """Whether a file only says when and how the release was installed, or is of a cache."""
    marks = path.name == ".completed" or path.name.startswith(".networkcache-")
    return marks or path.parent.name == "extends-cache"


BUILT, TAKEN, NOTHING = "Installing greeting.", "Extracting archive of cached", ""


def what(done: Done) -> str:
    """What slapgrid did for a release: `BUILT`, `TAKEN` or `NOTHING`."""
    assert done.code == 0, done.log
    assert done.told in ([], ["building", "available"])
    found = [word for word in (BUILT, TAKEN) if word in done.log]
    assert len(found) == (1 if done.told else 0), done.log
    return found[0] if found else NOTHING


# -- slapgrid to slapgrid


def test_our_server_between_two_slapgrids(
    server, make_node: Callable[..., Node], release: Release
) -> None:
    builder, other = make_node(publishes=True), make_node(publishes=True)
    assert what(builder.slapgrid(release)) == BUILT
    (entry,) = entries(server, release.key)
    assert list(entry) == ["sha512", "software_url", "software_root", "multiarch", "os"]
    assert what(other.slapgrid(release)) == TAKEN
    assert other.greets(release)
    assert what(other.slapgrid(release)) == NOTHING


# -- from slapgrid to ours


def test_ours_takes_what_slapgrid_published(
    make_node: Callable[..., Node], release: Release
) -> None:
    builder, ours = make_node(publishes=True), make_node()
    builder.slapgrid(release)
    ours.options["signature-legacy"] = "accept"
    must_come_from_the_cache(ours, release)
    done = ours.networkcache("install", release)
    assert done.returncode == 0, done.stderr
    assert ours.greets(release)
    assert contents(ours.folder(release)) == contents(builder.folder(release))
    assert owners(ours.folder(release)) == {OWNER_ID}
    assert what(ours.slapgrid(release)) == NOTHING


def test_only_where_the_old_signature_is_accepted(
    make_node: Callable[..., Node], release: Release
) -> None:
    make_node(publishes=True).slapgrid(release)
    ours = make_node()
    must_come_from_the_cache(ours, release)
    done = ours.networkcache("install", release)
    assert done.returncode == 1
    assert "signature-legacy" in done.stderr
    assert list(ours.folder(release).parent.iterdir()) == []


def only_sometimes(*row: object) -> Any:
    """A row of a table that has many, each of which takes seconds."""
    return pytest.param(*row, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("there", "here", "fits"),
    [
        ("debian 12.5 other", "debian 12 bookworm", True),
        ("debian 11", "debian 12", False),
        only_sometimes("raspbian 12", "debian 12.1", True),
        only_sometimes("ubuntu 12", "debian 12", False),
        only_sometimes("ubuntu 22.04 jammy", "ubuntu 22.04 jammy", True),
        only_sometimes("ubuntu 22.04.1 jammy", "ubuntu 22.04 jammy", False),
        only_sometimes("ubuntu 22.04 other", "ubuntu 22.04 jammy", False),
    ],
)
def test_only_on_the_same_distribution(
    make_node: Callable[..., Node], release: Release, there: str, here: str, fits: bool
) -> None:
    """As slapgrid compares them."""
    make_node(publishes=True, os_release=os_release(there)).slapgrid(release)
    judge, ours = (make_node(os_release=os_release(here)) for _ in range(2))
    ours.options["signature-legacy"] = "accept"
    for node in (judge, ours):
        must_come_from_the_cache(node, release)
    assert (judge.slapgrid(release).code == 0) == fits
    done = ours.networkcache("install", release)
    assert (done.returncode == 0) == fits, done.stderr
    assert ours.greets(release) == fits
    if not fits:
        assert f"it is for {there} " in done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"compiler_for": "aarch64-linux-gnu"}, "aarch64-linux-gnu, and for no other host"),
        (
            {"software_root": SOFTWARE_ROOT / "elsewhere"},
            "it is for the software root /opt/slapgrid/elsewhere",
        ),
    ],
    ids=["multiarch", "software-root"],
)
def test_only_for_the_same_machine_and_place(
    make_node: Callable[..., Node], release: Release, how: dict, said: str
) -> None:
    make_node(publishes=True, **how).slapgrid(release)
    ours = make_node()
    ours.options["signature-legacy"] = "accept"
    must_come_from_the_cache(ours, release)
    done = ours.networkcache("install", release)
    assert done.returncode == 1
    assert said in done.stderr
    assert list(ours.folder(release).parent.iterdir()) == []


RELEASES = {
    "debian": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
    'VERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\n',
    "debian of old": 'ID=debian\nVERSION_ID="9"\nVERSION="9 (stretch)"\n',
    "debian testing": "ID=debian\nPRETTY_NAME='Debian GNU/Linux trixie/sid'\n",
    "raspbian": 'ID=raspbian\nID_LIKE=debian\nVERSION_ID="11"\nVERSION="11 (bullseye)"\n',
    "ubuntu": 'NAME="Ubuntu"\nVERSION="22.04.3 LTS (Jammy Jellyfish)"\nID=ubuntu\n'
    'ID_LIKE=debian\nVERSION_ID="22.04"\nUBUNTU_CODENAME=jammy\n',
    "fedora": 'ID=fedora\nVERSION_ID=41\nVERSION_CODENAME=""\nVERSION="41 (Server)"\n',
    "opensuse": 'ID="opensuse-leap"\nVERSION_ID="15.6"\nVERSION="15.6"\n',
    "arch": "ID=arch\nBUILD_ID=rolling\n",
    "of no name": 'VERSION="1"\n',
}


def test_a_computer_is_named_as_slapgrid_names_it(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in RELEASES]
    for root, text in zip(roots, RELEASES.values(), strict=True):
        (root / "etc").mkdir(parents=True)
        (root / "etc" / "os-release").write_text(text)
    theirs = old_python(NAME, [str(root) for root in roots])
    ours = [list(look_at_host(root=str(root)).distribution) for root in roots]
    assert theirs["roots"] == ours
    here = look_at_host()
    assert theirs["here"] == [here.multiarch, list(here.distribution)]


NAME = """\
import distro
from slapos.grid.networkcache import machine_info_tuple
found = [distro.LinuxDistribution(root_dir=root) for root in given]
answer = {
    "roots": [(d.id(), d.version(), d.codename()) for d in found],
    "here": machine_info_tuple(),
}
"""


def test_distributions_are_compared_as_slapgrid_does() -> None:
    names = (
        "debian",
        "Debian",
        "raspbian",
        "RASPBIAN",
        "ubuntu",
        "Ubuntu",
        "debian 12",
        "",
    )
    versions = ("12", "12.5", "12.5.1", "11", "1", ".5", "")
    systems = [[*system, name] for system in product(names, versions) for name in ("x", "")]
    pairs = list(combinations_with_replacement(systems, 2))
    ours = [comparable(one) == comparable(other) for one, other in pairs]
    judged = zip(pairs, ours, old_python(COMPARE, pairs), strict=True)
    assert [pair for pair, mine, theirs in judged if mine != theirs] == []
    assert len(systems) < sum(ours) < len(pairs)


COMPARE = """\
from slapos.grid.distribution import os_matches
answer = [os_matches(*pair) for pair in given]
"""


HERE = ("x86_64-linux-gnu", ("debian", "12", "bookworm"))
OLDER = {"machine": "x86_64", "os": "('debian', '12.1', '')"}
ENTRIES = {
    "as today": {"multiarch": HERE[0], "os": ["debian", "12.9", "bookworm"]},
    "in capitals": {"multiarch": HERE[0], "os": ["Debian", "12", ""]},
    "another machine": {"multiarch": "i686-linux-gnu", "os": ["debian", "12", ""]},
    "another distribution": {"multiarch": HERE[0], "os": ["ubuntu", "12", "bookworm"]},
    "older": OLDER,
    "older, with a list": {**OLDER, "os": "['debian', '12.1', '']"},
    "older, another machine": {**OLDER, "machine": "i686"},
    "older, another distribution": {**OLDER, "os": "('debian', '11.1', '')"},
    "older, but new text": {"multiarch": HERE[0], "os": OLDER["os"]},
    "older, damaged": {**OLDER, "os": "('debian', "},
    "older, of no value": {**OLDER, "os": "{[]: 1}"},
    "older, a program": {**OLDER, "os": "tuple(['debian', '12', ''])"},
    "of two words": {"multiarch": HERE[0], "os": ["debian", "12"]},
    "of four words": {"multiarch": HERE[0], "os": ["debian", "12", "", ""]},
    "with a number": {"multiarch": HERE[0], "os": ["debian", 12, ""]},
    "without distribution": {"multiarch": HERE[0]},
    "without machine": {"os": ["debian", "12", ""]},
    "without anything": {},
    "for nobody of old": {"multiarch": HERE[0], "os": ["networkcache", "2", ""]},
}
AT = {"software_root": "/opt/slapgrid", "software_url": "http://example.com/software.cfg"}


def test_entries_are_read_as_slapgrid_reads_them() -> None:
    """Whether they fit a node, whatever is in them."""
    host = replace(look_at_host(), multiarch=HERE[0], distribution=HERE[1])
    place = Destination(f"{AT['software_root']}/{urlmd5(AT['software_url'])}")

    def fits(entry: dict[str, Any]) -> bool:
        try:
            build = IncumbentBuild.parse({**entry, **AT})
        except NotBelieved:
            return False
        return not build.unfit(place, lambda *_, **__: host)

    given = {"here": HERE, "entries": [json.dumps(entry) for entry in ENTRIES.values()]}
    theirs = dict(zip(ENTRIES, old_python(FITS, given), strict=True))
    assert {name: fits(entry) for name, entry in ENTRIES.items()} == theirs
    fitting = ["as today", "in capitals", "older", "older, with a list"]
    assert [name for name, verdict in theirs.items() if verdict] == fitting


FITS = """\
from slapos.grid.networkcache import is_compatible, loadJsonEntry
def fits(entry):
    # As download_network_cached does.
    try:
        tags = loadJsonEntry(entry)
        return is_compatible(given["here"], (tags["multiarch"], tags["os"]))
    except Exception:
        return False
answer = list(map(fits, given["entries"]))
"""


def old_python(script: str, given: object) -> Any:
    """Run a script that makes an `answer` of what is `given`, with slapos.core."""
    lines = ("import json, sys", "given = json.load(sys.stdin)", script)
    done = subprocess.run(
        [
            incumbents.core_environment() / "bin/python",
            *("-c", "\n".join((*lines, "json.dump(answer, sys.stdout)"))),
        ],
        input=json.dumps(given),
        env=incumbents.clean(),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def os_release(text: str) -> str:
    """That of a distribution with this name, version and code name."""
    name, version, codename = (*text.split(), "")[:3]
    return f'ID={name}\nVERSION_ID="{version}"\nVERSION_CODENAME={codename}\n'


def must_come_from_the_cache(node: Node, release: Release) -> None:
    """Let nobody build it there."""
    node.options["download-from-binary-cache-force-url-list"] = release.url


# -- from ours to slapgrid


@pytest.mark.long
def test_slapgrid_takes_what_ours_published(
    make_node: Callable[..., Node], release: Release
) -> None:
    builder, other = make_node(), make_node()
    assert what(builder.slapgrid(release)) == BUILT
    publish(builder, release)
    assert what(other.slapgrid(release)) == TAKEN
    assert other.greets(release)
    assert what(other.slapgrid(release)) == NOTHING
    assert contents(other.folder(release)) == contents(builder.folder(release))
    assert owners(other.folder(release)) == {OWNER_ID}


@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "options"),
    [
        ({}, {"binary-cache-archive": "tar.zst"}),
        ({}, {"signature-legacy": ""}),
        ({"software_root": SOFTWARE_ROOT / "elsewhere"}, {}),
    ],
    ids=["zstd", "signature", "software-root"],
)
def test_slapgrid_builds_what_it_cannot_use(
    make_node: Callable[..., Node], release: Release, how: dict, options: dict[str, str]
) -> None:
    """It skips the entry, and does as if there were none."""
    builder, other = make_node(**how), make_node()
    builder.slapgrid(release)
    publish(builder, release, **options)
    assert what(other.slapgrid(release)) == BUILT
    assert other.greets(release)


@pytest.mark.long
def test_slapgrid_builds_what_has_shared_parts(
    make_node: Callable[..., Node], make_release: Callable[..., Release]
) -> None:
    release = make_release(shared=True)
    builder, other = (make_node(slapos={"shared_part_list": str(SHARED)}) for _ in "12")
    for node in (builder, other):
        node.old.computer.make(SHARED)
    builder.slapgrid(release)
    publish(builder, release)
    assert what(other.slapgrid(release)) == BUILT
    assert other.greets(release)
    assert list(other.old.computer.outside(SHARED).glob("greeting/*/bin/greeting"))


def publish(node: Node, release: Release, **options: str) -> None:
    """Let ours publish what slapgrid has built, for old nodes but for what `options`
    say."""
    cache = {
        f"upload-binary-{w}-url": node.options[f"download-binary-{w}-url"]
        for w in ("cache", "dir")
    }
    for_old_nodes = {"binary-cache-archive": "tar.gz", "signature-legacy": "publish"}
    node.options.update(cache | for_old_nodes | options)
    done = node.networkcache("publish", release)
    assert done.returncode == 0, done.stderr


# -- slapgrid and ours on the same node


@pytest.mark.long
def test_slapgrid_goes_on_with_what_ours_installed(
    make_node: Callable[..., Node], release: Release
) -> None:
    """It has nothing to do, and what it is made to do all the same, it can."""
    builder, other = make_node(), make_node()
    builder.slapgrid(release)
    publish(builder, release, **{"binary-cache-archive": "tar.zst"})
    must_come_from_the_cache(other, release)
    done = other.networkcache("install", release)
    assert done.returncode == 0, done.stderr
    assert owners(other.folder(release)) == {OWNER_ID}
    assert what(other.slapgrid(release)) == NOTHING
    del other.options["download-from-binary-cache-force-url-list"]
    other.old.slapos["develop"] = "true"
    again = other.slapgrid(release)
    assert again.told == ["building", "available"]
    assert "Updating program." in again.log
    assert BUILT not in again.log
    assert other.greets(release)


def test_ours_builds_as_slapgrid_does(
    make_node: Callable[..., Node], origin: Origin
) -> None:
    """But for recipes: those of slapgrid are not in the Python of these tests."""
    release = Release(origin.put("/empty/software.cfg", "[buildout]\nparts =\n"))
    slapgrid, ours = make_node(), make_node()
    slapgrid.slapgrid(release)
    done = ours.networkcache("install", release)
    assert done.returncode == 0, done.stderr
    assert names(ours.folder(release)) == names(slapgrid.folder(release))
    profiles = [node.folder(release) / "buildout.cfg" for node in (ours, slapgrid)]
    assert len({profile.read_bytes() for profile in profiles}) == 1
    assert what(ours.slapgrid(release)) == NOTHING


def names(folder: Path) -> set[str]:
    """Of all in a folder, but for links to the eggs of a Python."""
    paths = (path for path in folder.rglob("*") if path.suffix != ".egg-link")
    return {str(path.relative_to(folder)) for path in paths}
