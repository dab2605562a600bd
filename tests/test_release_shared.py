"""Shared parts come with the release that uses them, each once, and nobody overwrites
them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import pytest
from golden_releases import make
from packed import HASH, MARKS, NAME, Archive, Workshop, all_below, put

from slapos.networkcache.binary import installation
from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.installed import ORIGIN
from slapos.networkcache.binary.work_folders import (
    remove_left_over,
    remove_tree,
    work_folder,
)
from slapos.networkcache.errors import NotBelieved, Reason

NOBODY = 65534


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """With a release that uses a shared part, and that part another one."""
    workshop = Workshop(tmp_path)
    xz = workshop.part("xz", {"lib/liblzma.pc": f"prefix={workshop.shared}/xz/{HASH}\n"})
    zlib = workshop.part("zlib", {"bin/script": f"#!/bin/sh\necho {xz}/lib\n"})
    (zlib / "bin/script").chmod(0o755)
    os.symlink(xz / "lib", zlib / "xz")
    os.symlink("bin/script", zlib / "script")
    os.link(zlib / "bin/script", zlib / "bin/again")
    workshop.write("named", f"{zlib}/bin")
    return workshop


def part_at(places: Destination, name: str = "zlib") -> Path:
    assert places.shared is not None
    return Path(places.shared, name, HASH)


def another(workshop: Workshop, text: str) -> tuple[Archive, Destination]:
    """Another release with `text` in it, which uses the same parts; where it goes."""
    workshop.write("named", text)
    places = workshop.places()
    release = f"{os.path.dirname(places.release)}/{md5(text.encode()).hexdigest()}"
    return workshop.pack(), replace(places, release=release)


def refusal(archive: Archive, places: Destination) -> str:
    """The words with which it is refused; nothing of it is there then."""
    root = Path(places.release).parent
    before = all_below(root)
    with pytest.raises(NotBelieved) as refused:
        archive.install(places)
    assert refused.value.reason is Reason.UNFIT_PREFIX
    assert all_below(root) == before
    return str(refused.value)


# -- installed


def test_they_are_installed_under_their_names(workshop: Workshop) -> None:
    places = workshop.places()
    workshop.pack().install(places)
    zlib, xz = part_at(places), part_at(places, "xz")
    done = subprocess.run([zlib / "bin/script"], capture_output=True, text=True)
    assert os.path.normpath(done.stdout.strip()) == str(xz / "lib")
    assert os.readlink(zlib / "xz") == str(xz / "lib")
    assert os.readlink(zlib / "script") == "bin/script"
    named = Path(places.release, "named").read_text()
    assert os.path.normpath(named) == str(zlib / "bin")
    assert sorted(os.listdir(places.shared)) == ["xz", "zlib"]


def test_they_are_read_only(workshop: Workshop) -> None:
    """As recipes leave them."""
    places = workshop.places()
    workshop.pack().install(places)
    paths = [part_at(places), *part_at(places).rglob("*")]
    modes = {path.name: path.stat().st_mode & 0o777 for path in paths}
    assert all(mode & 0o222 == 0 for mode in modes.values()), modes
    assert (modes[HASH], modes["script"]) == (0o555, 0o555)


def test_without_a_folder_for_them(workshop: Workshop) -> None:
    places = replace(workshop.places(), shared=None)
    assert "set shared_part_list in [slapos]" in refusal(workshop.pack(), places)


def test_a_folder_with_a_longer_path(workshop: Workshop) -> None:
    places = replace(workshop.places(), shared=f"{workshop.shared}{'x' * 9}")
    assert "9 bytes longer" in refusal(workshop.pack(), places)


def test_several_folders_of_shared_parts_become_one(workshop: Workshop) -> None:
    """Each part is named by its own; the node has one that may be written."""
    shared = workshop.shared
    workshop.shared = workshop.folder / "another-folder-that-has-a-long-name" / "parts"
    curl = workshop.part("curl", {"x": f"{shared}/zlib/{HASH}\n"})
    workshop.write("named", str(curl))
    packed = workshop.pack(shared_folders=(shared, workshop.shared))
    assert sorted(packed.manifest().parts) == [
        f"shared/0/xz/{HASH}",
        f"shared/0/zlib/{HASH}",
        f"shared/1/curl/{HASH}",
    ]
    places = workshop.places()
    packed.install(places)
    assert sorted(os.listdir(places.shared)) == ["curl", "xz", "zlib"]
    text = (part_at(places, "curl") / "x").read_text().strip()
    assert os.path.normpath(text) == str(part_at(places))


def test_they_say_where_they_come_from(workshop: Workshop) -> None:
    """As their release does, and are the same for that."""
    places = workshop.places()
    marks = {**MARKS, ORIGIN: b"{}"}
    workshop.pack().install(places, marks)
    for part in (part_at(places), part_at(places, "xz")):
        assert (part / ORIGIN).read_bytes() == b"{}"
        assert not (part / ".completed").exists()
    packed, second = another(workshop, f"{workshop.shared}/zlib/{HASH}/other")
    packed.install(second, marks)


# -- those that are there


def test_a_second_release_uses_those_that_are_there(workshop: Workshop) -> None:
    places = workshop.places()
    workshop.pack().install(places)
    before = (part_at(places) / "bin/script").stat()
    zlib = workshop.shared / "zlib" / HASH
    new = workshop.part("new", {"x": f"{zlib}/x"})
    packed, second = another(workshop, f"{zlib} {new}")
    packed.install(second)
    after = (part_at(places) / "bin/script").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert part_at(places, "new").is_dir()
    assert Path(second.release, ".completed").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda part: (part / "bin/script").write_text("#!/bin/sh\necho another\n"),
        lambda part: (part / "bin/script").chmod(0o644),
        lambda part: (part / "more").write_text("x"),
        lambda part: (part / "bin/more.pyc").write_text("x"),
        lambda part: (part / "folder").mkdir(),
        lambda part: (part / "script").unlink(),
        lambda part: (part / "script").rename(part / "script2"),
        lambda part: _link_again(part / "script", "bin"),
        lambda part: _link_again(part / "xz", "/etc"),
        lambda part: _link_again(part / "bin/script", "/bin/sh"),
    ],
    ids=[
        "text",
        "mode",
        "file",
        "bytecode",
        "folder",
        "gone",
        "name",
        "link",
        "absolute",
        "file-link",
    ],
)
def test_one_that_is_not_the_same_is_neither_used_nor_overwritten(
    workshop: Workshop, change
) -> None:
    places = workshop.places()
    workshop.pack().install(places)
    part = part_at(places)
    for folder in (part, part / "bin"):
        folder.chmod(0o755)
    (part / "bin/script").chmod(0o755)
    change(part)
    before = {name: _said(part / name) for name in all_below(part)}
    packed, second = another(workshop, f"{workshop.shared}/zlib/{HASH}/other")
    words = refusal(packed, second)
    assert f"the shared part {part} is there already, and is not the same" in words
    assert {name: _said(part / name) for name in all_below(part)} == before


def _link_again(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _said(path: Path) -> object:
    if path.is_symlink():
        return os.readlink(path)
    return path.read_bytes() if path.is_file() else None


def test_one_that_is_not_the_same_is_seen_before_another_is_put(workshop: Workshop) -> None:
    places = workshop.places()
    (part_at(places) / "other").mkdir(parents=True)
    refusal(workshop.pack(), places)  # nothing, the part xz neither, is there then


@pytest.mark.parametrize("what", ["file", "link"])
def test_something_else_of_that_name(workshop: Workshop, what: str) -> None:
    """A link is not even followed."""
    places = workshop.places()
    if what == "file":
        put(part_at(places), "x")
    else:
        workshop.pack().install(places)
        part_at(places).chmod(0o755)  # only root could move it as it is
        os.rename(part_at(places), workshop.folder / "moved")
        part_at(places).symlink_to(workshop.folder / "moved")
        places = another(workshop, f"{workshop.shared}/zlib/{HASH}/other")[1]
    assert "is not the same" in refusal(workshop.pack(), places)


def test_slashes_that_a_link_repeats_do_not_count(workshop: Workshop) -> None:
    """Those that lead into a shared part lose them; others are as they were."""
    zlib = workshop.shared / "zlib" / HASH
    os.symlink(f"{zlib}//bin///script", zlib / "slashes")
    os.symlink("/etc//localtime", zlib / "out")
    os.symlink(".//bin", zlib / "relative")
    places = workshop.places()
    workshop.pack().install(places)
    assert os.readlink(part_at(places) / "slashes") == f"{part_at(places)}/bin/script"
    assert os.readlink(part_at(places) / "out") == "/etc//localtime"
    packed, second = another(workshop, f"{zlib}/other")
    packed.install(second)
    packed, third = another(workshop, f"{zlib}/where it was built")
    packed.install(replace(third, shared=str(workshop.shared)))


def test_what_is_the_nodes_own_does_not_count(workshop: Workshop) -> None:
    """It is in no archive, and where it was built it is still there."""
    zlib = workshop.shared / "zlib" / HASH
    base = zlib / "base"
    for name in ("buildout.cfg", ".completed", ".pypirc", "extends-cache/x"):
        put(base / name, "x")
    for name in (".netrc", ".networkcache-build.cfg"):
        put(zlib / name, "x")
    places = replace(workshop.places(), shared=str(workshop.shared))
    workshop.pack().install(places)
    assert Path(places.release, ".completed").exists()


def test_a_part_that_names_the_release_it_was_built_in(workshop: Workshop) -> None:
    """It is of many releases, and cannot name the place of each: it stays as it was."""
    first = workshop.release
    zlib = workshop.shared / "zlib" / HASH
    text = f"#!{first}/bin/python {zlib}/x\n"
    put(zlib / "bin/tied", text)
    os.symlink(first / "bin", zlib / "tied")
    archive, places = workshop.pack(), workshop.places()
    files, links = archive.packed.notes
    assert files.startswith("shared parts that name the release")
    assert files.endswith(f": shared/0/zlib/{HASH}/bin/tied")
    assert links == f"links that lead out of the release: shared/0/zlib/{HASH}/tied"
    archive.install(places)
    assert os.readlink(part_at(places) / "tied") == str(first / "bin")
    tied = (part_at(places) / "bin/tied").read_text()
    interpreter, own = tied.split()
    assert interpreter == f"#!{first}/bin/python"
    assert os.path.normpath(own) == f"{part_at(places)}/x"

    workshop.release = first.with_name("f" * 32)
    workshop.write("named", str(zlib))
    beside = replace(places, release=str(Path(places.release).with_name("f" * 32)))
    other = workshop.pack()
    assert other.packed.notes == (links,)
    other.install(beside)
    archive.install(replace(workshop.places("root"), shared=places.shared))
    assert (part_at(places) / "bin/tied").read_text() == tied


def test_bytecode_of_one_that_was_used_does_not_count(workshop: Workshop) -> None:
    places = workshop.places()
    workshop.pack().install(places)
    part_at(places).chmod(0o755)
    (part_at(places) / "__pycache__").mkdir()
    (part_at(places) / "__pycache__/x.pyc").write_bytes(b"x")
    packed, second = another(workshop, f"{workshop.shared}/zlib/{HASH}/other")
    packed.install(second)


def test_the_same_part_built_here(workshop: Workshop) -> None:
    """In the folder that the release was built for: nothing in it has to be moved."""
    packed = workshop.pack()
    places = replace(workshop.places(), shared=str(workshop.shared))
    packed.install(places)
    assert os.listdir(workshop.shared / "zlib") == [HASH]
    named = Path(places.release, "named").read_text()
    assert named == f"{workshop.shared}/zlib/{HASH}/bin"


# -- races


def test_somebody_was_faster(workshop: Workshop, monkeypatch) -> None:
    """The same part came to be there after it was looked for."""
    places = workshop.places()
    first = workshop.pack()
    packed, second = another(workshop, f"{workshop.shared}/zlib/{HASH}/other")
    make_links = installation._make_links

    def installed_meanwhile(*arguments) -> None:
        make_links(*arguments)
        monkeypatch.undo()
        monkeypatch.setattr(os.path, "lexists", _blind_once(part_at(places)))
        first.install(places)

    monkeypatch.setattr(installation, "_make_links", installed_meanwhile)
    packed.install(second)
    assert Path(second.release, ".completed").exists()
    assert Path(places.release, ".completed").exists()


def _blind_once(place: Path):
    """``os.path.lexists`` that does not see `place` at the first two times."""
    lexists = os.path.lexists
    left = [2]

    def look(path) -> bool:
        if str(path) == str(place) and left[0]:
            left[0] -= 1
            return False
        return lexists(path)

    return look


_INSTALL = """
import sys
from io import BytesIO
from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.installation import install
from slapos.networkcache.host import look_at_host
sys.path.insert(0, sys.argv[1])
import test_release_golden as golden
sys.stdin.readline()
golden.take("good-shared.tar.gz", Destination(*sys.argv[2:]))
"""


def test_two_at_once_in_one_folder_of_shared_parts(tmp_path: Path) -> None:
    """Nodes with software roots of their own."""
    here = str(Path(__file__).parent)
    shared = str(tmp_path / "parts")
    processes = []
    for root in ("a", "b", "c"):
        (tmp_path / root).mkdir()
        command = [
            sys.executable,
            "-c",
            _INSTALL,
            here,
            f"{tmp_path / root / make.R}",
            shared,
        ]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE))
    for process in processes:
        process.stdin.close()
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    for root in ("a", "b", "c"):
        assert (tmp_path / root / make.R / ".completed").exists()
    assert all_below(Path(shared)) == {
        "zlib",
        f"zlib/{make.HASH}",
        f"zlib/{make.HASH}/zlib.pc",
    }


def test_left_over_is_what_nobody_works_on(tmp_path: Path) -> None:
    """Another node may be installing the same release, with the same folder of parts."""
    folder = str(tmp_path)
    dead = tmp_path / f".networkcache-{NAME}-dead"
    (dead / "tree/read-only").mkdir(parents=True)
    (dead / "tree/read-only/x").touch()
    (dead / "tree/read-only").chmod(0o555)
    of_another = tmp_path / f".networkcache-{'0' * 32}-x"
    of_another.mkdir()
    with work_folder(folder, NAME) as alive:
        remove_left_over(folder, NAME)
        assert os.path.isdir(alive)
        assert {path.name for path in tmp_path.iterdir()} == {
            os.path.basename(alive),
            of_another.name,
        }
    assert list(tmp_path.iterdir()) == [of_another]


def test_left_over_is_a_folder(tmp_path: Path) -> None:
    """Nothing else of that name is touched, or followed, or stops anybody."""
    elsewhere = put(tmp_path / "elsewhere/x", "x")
    put(tmp_path / f".networkcache-{NAME}-file", "x")
    (tmp_path / f".networkcache-{NAME}-link").symlink_to(elsewhere.parent)
    before = all_below(tmp_path)
    remove_left_over(str(tmp_path), NAME)
    assert all_below(tmp_path) == before


def test_a_folder_that_cannot_be_removed_is_closed(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with (
        pytest.raises(FileNotFoundError),
        work_folder(str(tmp_path), NAME) as folder,
    ):
        os.rmdir(folder)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("mode", [0o755, 0], ids=["removed", "entered"])
def test_left_over_that_cannot_be_removed_stops_nobody(mode: int) -> None:
    """Root ran what was in it, say, and bytecode that is root's came to be there."""
    before = os.listdir("/proc/self/fd")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        dead = Path(folder, f".networkcache-{NAME}-dead")
        put(dead / "lib/__pycache__/x.pyc", "x")
        os.chown(dead / "lib", NOBODY, NOBODY)
        os.chown(dead, NOBODY, NOBODY)
        dead.chmod(mode)
        os.seteuid(NOBODY)
        try:
            remove_left_over(folder, NAME)
        finally:
            os.seteuid(0)
        assert (dead / "lib/__pycache__/x.pyc").exists()
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_left_over_of_another_user_is_left_to_that_one() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        dead = Path(folder, f".networkcache-{NAME}-dead")
        dead.mkdir(0o700)
        os.seteuid(NOBODY)
        try:
            remove_left_over(folder, NAME)
        finally:
            os.seteuid(0)
        assert dead.is_dir()


def test_folders_that_nobody_may_enter_are_removed() -> None:
    """Root always may: it is another one who does it."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        closed = [tree / "a/b", tree / "a/c", tree / "a", tree]
        for path in reversed(closed):
            path.mkdir()
        put(tree / "a/b/x", "x")
        (tree / "a/link").symlink_to("b")
        is_root = os.geteuid() == 0
        for path in closed:
            path.chmod(0)
            if is_root:
                os.chown(path, NOBODY, NOBODY)
        os.chmod(folder, 0o777)
        if is_root:
            os.seteuid(NOBODY)
        try:
            remove_tree(str(tree))
        finally:
            if is_root:
                os.seteuid(0)
        assert os.listdir(folder) == []


def test_where_there_is_nothing_to_remove(tmp_path: Path) -> None:
    remove_left_over(str(tmp_path / "gone"), NAME)
