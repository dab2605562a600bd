"""Whatever happens to an installation, nothing looks installed that is not whole, and the
next one makes it good."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from caches import ALICE
from commands import TIMEOUT, write_config
from golden_releases import make
from packed import HASH, MARKS, NAME, URL, Archive, Workshop, all_below

from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.installation import install, install_as_it_is
from slapos.networkcache.binary.lock import locked
from slapos.networkcache.host import look_at_host
from slapos.networkcache.testing import NetworkCache

Tree = dict[str, object]
INTERRUPTED = 130


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A release with something of all kinds, and two shared parts."""
    workshop = Workshop(tmp_path)
    release = workshop.release
    xz = workshop.part("xz", {"lib/x.pc": f"prefix={workshop.shared}/xz/{HASH}\n"})
    zlib = workshop.part("zlib", {"bin/x": f"{xz}/lib\n"})
    os.symlink(xz, zlib / "xz")
    workshop.write("bin/script", f"#!/bin/sh\n{release}/x {zlib}/bin/x\n", 0o755)
    workshop.write(".installed.cfg", f"{release}\n")
    workshop.write("parts/a/x", f"{release}/x\n")
    os.link(release / "parts/a/x", release / "parts/a/y")
    os.symlink(release / "bin/script", release / "parts/a/link")
    return workshop


@dataclass
class Victim:
    """A node on which the command is run, and killed; see `dying`."""

    folder: Path
    process: subprocess.Popen[str]

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def shared(self) -> Path:
        return self.folder / "parts"

    def do(self, what: str) -> int:
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def installed(self) -> Tree:
        """All that is under the names of the release and of the parts."""
        return {
            f"{top.name}/{name}": said
            for top in (self.root, self.shared)
            for name, said in tree(top).items()
            if not name.startswith(".networkcache-")
        }

    def clear(self) -> None:
        subprocess.run(["chmod", "-R", "u+w", self.root, self.shared], check=True)
        subprocess.run(["rm", "-rf", self.root, self.shared], check=True)
        self.root.mkdir()
        self.shared.mkdir()


def tree(folder: Path) -> Tree:
    """What is in it; of the mark only that it is there, for it has the time."""
    return {name: _said(folder / name) for name in all_below(folder)}


def _said(path: Path) -> object:
    if path.is_symlink():
        return os.readlink(path)
    mode = path.stat().st_mode
    if path.name == ".completed":
        return mode
    return (mode, path.read_bytes()) if path.is_file() else mode


@pytest.fixture
def victim(tmp_path: Path, workshop: Workshop, near: NetworkCache) -> Iterator[Victim]:
    folder = tmp_path / "node"
    for name in ("root", "parts", "tmp"):
        (folder / name).mkdir(parents=True)
    workshop.pack().publish(near)
    config = folder / "slapos.cfg"
    write_config(
        config,
        slapos={
            "software_root": str(folder / "root"),
            "shared_part_list": str(folder / "parts"),
        },
        networkcache={
            "download-binary-cache-url": near.source.cache_url,
            "download-binary-dir-url": near.source.dir_url,
            "download-from-binary-cache-force-url-list": "http://example.com",
            "signature-certificate-list": ALICE.self_signed("alice", time.time()),
        },
    )
    dying = Path(__file__).with_name("dying.py")
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, dying, config, URL, folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env=os.environ | {"HOME": str(folder), "TMPDIR": str(folder / "tmp")},
        )  # fmt: skip
    yield Victim(folder, process)
    process.stdin.close()
    process.wait(60)
    process.stdout.close()


# -- killed


@pytest.mark.parametrize("how", ["kill", "raise"])
def test_at_any_moment_nothing_looks_installed_and_the_next_one_is_whole(
    victim: Victim, how: str
) -> None:
    assert victim.do("run") == 0
    victim.clear()
    moments = victim.do("count")
    whole = victim.installed()
    assert f"root/{NAME}/.completed" in whole
    assert f"parts/zlib/{HASH}/bin/x" in whole
    left_over = 0
    for moment in {1 + number * (moments - 1) // 19 for number in range(20)}:
        victim.clear()
        code = victim.do(f"{how} {moment}")
        assert code == (-signal.SIGKILL if how == "kill" else INTERRUPTED)
        check_what_is_there(victim.installed(), whole)
        left_over += bool(all_of_ours(victim))
        assert victim.do("run") == 0
        assert victim.installed() == whole
        assert all_of_ours(victim) == []
        assert os.listdir(victim.folder / "tmp") == []
    assert left_over, "none ended while it was at it: the test shows nothing"


def check_what_is_there(there: Tree, whole: Tree) -> None:
    """What has its name is all there: a release, and each part."""
    for top in (f"root/{NAME}", f"parts/zlib/{HASH}", f"parts/xz/{HASH}"):
        if top in there:
            found, expected = (
                {name: said for name, said in tree.items() if name.startswith(f"{top}/")}
                for tree in (there, whole)
            )
            assert found == expected
    assert set(there) <= set(whole)


def all_of_ours(victim: Victim) -> list[str]:
    """Locks, and folders in which something is made."""
    names = [*os.listdir(victim.root), *os.listdir(victim.shared)]
    return [name for name in names if name.startswith(".")]


# -- interrupted, and in each other's way


def nothing_is_left(places: Destination) -> bool:
    """But the folder of shared parts, which is the node's."""
    return all_below(Path(places.release).parent) <= {"parts"}


def take(archive: Archive, places: Destination, **how) -> None:
    how = {"look": look_at_host, "marks": MARKS, **how}
    install(BytesIO(archive.data), NAME, archive.build, places, **how)


@pytest.mark.parametrize("file", [1, 3, 6])
def test_interrupted_while_it_unpacks(workshop: Workshop, file: int) -> None:
    done = []

    def interrupt(size: int, whole: int | None) -> None:
        done.append((size, whole))
        if len(done) == file:
            raise KeyboardInterrupt

    archive, places = workshop.pack(), workshop.places()
    with pytest.raises(KeyboardInterrupt):
        take(archive, places, progress=interrupt)
    assert nothing_is_left(places)
    assert [whole for _, whole in done] == [archive.build.unpacked_size] * file
    take(archive, places)
    assert Path(places.release, ".completed").exists()


def test_interrupted_when_all_is_there_but_not_checked(workshop: Workshop) -> None:
    def interrupt(*_, **__) -> None:
        raise KeyboardInterrupt

    archive, places = workshop.pack(), workshop.places()
    with pytest.raises(KeyboardInterrupt):
        take(archive, places, look=interrupt)
    assert nothing_is_left(places)


@pytest.mark.parametrize("what", ["folder", "file", "link"])
@pytest.mark.parametrize("which", ["ours", "old"])
def test_what_came_to_its_place_meanwhile_is_left_alone(
    workshop: Workshop, what: str, which: str
) -> None:
    places = workshop.places()
    place = Path(places.release)

    def come(*_) -> None:
        if what == "folder":
            (place / "built").mkdir(parents=True, exist_ok=True)
        elif what == "file":
            place.touch()
        elif not place.is_symlink():
            place.symlink_to("elsewhere")

    with pytest.raises(OSError):
        if which == "ours":
            take(workshop.pack(), places, progress=come)
        else:
            data = make.old("x").data
            release = make.R
            install_as_it_is(
                BytesIO(data), release, places.release, marks=MARKS, progress=come
            )
    there = {"folder": {NAME, f"{NAME}/built"}, "file": {NAME}, "link": {NAME}}
    assert {n for n in all_below(place.parent) if not n.startswith("parts")} == there[what]


def test_a_lock_whose_file_is_gone(tmp_path: Path) -> None:
    """Whatever removes old files may have come by."""
    lock = str(tmp_path / "lock")
    with locked(lock, "it"):
        os.unlink(lock)
    with ExitStack() as first:
        first.enter_context(locked(lock, "it"))
        os.unlink(lock)
        with locked(lock, "it"):
            first.close()
            assert os.path.exists(lock), "it is the next one's"
    assert all_below(tmp_path) == set()


def test_buildout_that_goes_on_alone_keeps_its_lock(tmp_path: Path) -> None:
    """The command that ran it was killed: the next one waits."""
    root = tmp_path / "root"
    root.mkdir()
    config = tmp_path / "slapos.cfg"
    write_config(config, slapos={"software_root": str(root)}, networkcache={})
    with socket.create_server(("127.0.0.1", 0)) as origin:
        origin.settimeout(TIMEOUT)
        url = f"http://127.0.0.1:{origin.getsockname()[1]}/software.cfg"
        command = ["release", "build", url, "-c", str(config)]
        build = subprocess.Popen(
            [sys.executable, "-m", "slapos.networkcache", *command],
            env=os.environ | {"HOME": str(tmp_path)}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            connection, _ = origin.accept()  # buildout waits for its profile
            build.kill()
            build.wait(TIMEOUT)
            (path,) = root.glob(".networkcache-*.lock")
            with connection, path.open() as lock, pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(build.pid, signal.SIGKILL)


# -- disks

_ON_A_DISK = """
import json, os, sys
from pathlib import Path
from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.installation import install
from slapos.networkcache.binary.builds import Build
from slapos.networkcache.host import look_at_host
archive, said, name, disk, options, release, shared = sys.argv[1:]
assert os.system(f"mount -t tmpfs -o size=2m none {disk}") == 0
assert os.system(f"mount -o remount,{options} {disk}") == 0
before = sorted(map(str, Path(disk).rglob("*")))
try:
    install(
        open(archive, "rb"), name, Build.parse(json.loads(said)),
        Destination(release, shared), look=look_at_host, marks={},
    )
except OSError as error:
    print(error.errno)
assert sorted(map(str, Path(disk).rglob("*"))) == before, os.listdir(disk)
"""


@pytest.mark.parametrize("options", ["size=2m", "ro"])
@pytest.mark.parametrize("full", ["release", "shared"])
def test_a_disk_that_is_full_or_read_only(
    workshop: Workshop, unshare: list[str], options: str, full: str
) -> None:
    """It is the disk of the release, or that of shared parts; nothing is left on either."""
    noise = os.urandom(3 << 20)
    if full == "release":
        workshop.write("large", noise)
    else:
        part = workshop.part("large", {"x": "x"})
        (part / "large").write_bytes(noise)
        workshop.write("named", str(part))
    archive = workshop.pack()
    packed = workshop.folder / "archive"
    packed.write_bytes(archive.data)
    node = workshop.folder / "node"
    for name in ("release", "shared"):
        (node / name).mkdir(parents=True)
    said = json.dumps(archive.build.members())
    places = (node / "release" / NAME, node / "shared")
    done = subprocess.run(
        [
            *(*unshare, sys.executable, "-c", _ON_A_DISK),
            *(packed, said, NAME, node / full, options, *places),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == (errno.EROFS if options == "ro" else errno.ENOSPC)
    assert all_below(node) == {"release", "shared"}
