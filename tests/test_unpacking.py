"""Archives are unpacked whole, or refused whole: nothing of a bad one stays anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from golden_archives import make

from slapos.networkcache.errors import InvalidArchive
from slapos.networkcache.unpacking import Bounds, unpack

ARCHIVES = make.HERE / make.ARCHIVES
EXPECTED: dict[str, str | None] = json.loads((make.HERE / "expected.json").read_text())
GOOD = [name for name, words in EXPECTED.items() if words is None]
BAD = [name for name, words in EXPECTED.items() if words is not None]
UNPACKED = {
    "configure": "#!/bin/sh\nexit 0\n",
    "again": "#!/bin/sh\nexit 0\n",
    "lib/deep/libhello.so.1": "\x7fELF",
    "lib/libhello.so": "-> deep/../deep/libhello.so.1",
    "nowhere": "-> not/there",
    "loop": "-> loop",
    "höflich \udcff": "x",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where is unpacked to, as ``new``; beside it is what no archive may reach."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside").write_text("untouched")
    (folder / "outside").write_text("untouched")
    return folder


def archive(name: str) -> str:
    return str(ARCHIVES / name)


def files(folder: Path) -> dict[str, str]:
    """What is there, but for folders; links as arrows."""
    found = {}
    for root, folders, names in os.walk(folder):
        for path in (Path(root, name) for name in (*folders, *names)):
            name = str(path.relative_to(folder))
            if path.is_symlink():
                found[name] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[name] = path.read_text("latin-1")
    return found


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize("name", [n for n in GOOD if n.startswith("good.tar")])
def test_a_good_tar(folder: Path, name: str) -> None:
    unpack(archive(name), str(folder / "new"), strip_top=True)
    assert files(folder / "new") == UNPACKED
    assert sorted(os.listdir(folder)) == ["new", "outside"]


def test_what_a_member_is_like(folder: Path) -> None:
    umask = os.umask(0o002)
    try:
        unpack(archive("good.tar"), str(folder / "new"), strip_top=True)
    finally:
        os.umask(umask)
    new = folder / "new"
    assert (mode(new), mode(new / "lib")) == (0o775, 0o775)
    assert mode(new / "configure") == 0o755
    assert mode(new / "lib/deep/libhello.so.1") == 0o644
    assert mode(new / "höflich \udcff") == 0o600
    assert (new / "configure").stat().st_mtime == 1_000_000_000
    assert (new / "configure").samefile(new / "again")


def test_a_folder_named_again_is_the_same_folder(folder: Path) -> None:
    unpack(archive("good-folder-twice.tar"), str(folder / "new"))
    assert files(folder / "new") == {"a/one": "1", "a/two": "2"}
    unpack(archive("good-folder-twice.zip"), str(folder / "zip"))
    assert files(folder / "zip") == {"a/one": "1", "a/two": "2"}


def test_a_folder_counts_as_often_as_it_is_named(folder: Path) -> None:
    with pytest.raises(InvalidArchive, match="the limit"):
        unpack(
            archive("good-folder-twice.tar"), str(folder / "new"), bounds=Bounds(members=5)
        )
    assert os.listdir(folder) == ["outside"]


def test_the_modes_of_folders_are_not_taken(folder: Path) -> None:
    """Those of shared file systems are setgid."""
    unpack(archive("good-special-folders.tar"), str(folder / "new"))
    (folder / "made").mkdir()
    usual = mode(folder / "made")
    assert [mode(folder / "new" / name) for name in ("a", "b", "c")] == [usual] * 3


def test_a_good_zip(folder: Path) -> None:
    unpack(archive("good.zip"), str(folder / "new"))
    assert files(folder / "new") == {
        "hello-1.0/configure": "#!/bin/sh\nexit 0\n",
        "hello-1.0/lib/libhello.so": "-> libhello.so.1",
        "hello-1.0/lib/libhello.so.1": "\x7fELF",
    }
    assert mode(folder / "new/hello-1.0/configure") & 0o100


@pytest.mark.parametrize(
    ("name", "strip_top", "top"),
    [
        ("good.tar", False, ["hello-1.0"]),
        (
            "good.tar",
            None,
            ["again", "configure", "höflich \udcff", "lib", "loop", "nowhere"],
        ),
        ("good-two-at-the-top.tar", None, ["a", "file"]),
        ("good-one-file.tar", None, ["file"]),
        ("good-two-at-the-top.tar", True, None),
        ("good-one-file.tar", True, None),
        ("good-unless-stripped.tar", False, ["a"]),
        ("good-unless-stripped.tar", True, None),
    ],
)
def test_the_folder_at_the_top(folder, name, strip_top, top) -> None:
    new = folder / "new"
    if top is not None:
        unpack(archive(name), str(new), strip_top=strip_top)
        assert sorted(os.listdir(new)) == top
        return
    with pytest.raises(InvalidArchive):
        unpack(archive(name), str(new), strip_top=strip_top)
    assert os.listdir(folder) == ["outside"]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_refused_and_leaves_nothing(folder: Path, name: str) -> None:
    with pytest.raises(InvalidArchive) as refused:
        unpack(archive(name), str(folder / "new"))
    assert EXPECTED[name] in str(refused.value)
    assert str(refused.value).isprintable()
    assert os.listdir(folder) == ["outside"]
    assert sorted(os.listdir(folder.parent)) == ["folder", "outside"]
    assert (folder / "outside").read_text() == "untouched"
    assert (folder.parent / "outside").read_text() == "untouched"


@pytest.mark.parametrize("bounds", [Bounds(size=20), Bounds(members=3)])
@pytest.mark.parametrize("name", ["good.tar.gz", "good.zip"])
def test_more_than_is_expected(folder: Path, name: str, bounds: Bounds) -> None:
    with pytest.raises(InvalidArchive, match="the limit"):
        unpack(archive(name), str(folder / "new"), bounds=bounds)
    assert os.listdir(folder) == ["outside"]


def test_as_much_as_is_expected(folder: Path) -> None:
    unpack(archive("good.zip"), str(folder / "new"), bounds=Bounds(size=34, members=5))
    assert (folder / "new").is_dir()


def test_where_something_is_already(folder: Path) -> None:
    (folder / "new").mkdir()
    unpack(archive("good-one-file.tar"), str(folder / "new"))
    with pytest.raises(OSError, match="not empty"):
        unpack(archive("good.tar"), str(folder / "new"))
    assert os.listdir(folder / "new") == ["file"]
    assert sorted(os.listdir(folder)) == ["new", "outside"]


def test_nobody_else_sees_it_before_it_is_whole(tmp_path: Path) -> None:
    """A reader of the archive is held up; meanwhile all there is belongs to its owner."""
    pipe = tmp_path / "pipe.tar"
    os.mkfifo(pipe)
    folder = tmp_path / "folder"
    folder.mkdir()
    code = (
        "import sys\n"
        "from slapos.networkcache.unpacking import unpack\n"
        "unpack(*sys.argv[1:])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, pipe, folder / "new"])
    try:
        with pipe.open("wb"):  # opened: it waits for the first bytes
            (private,) = folder.iterdir()
            assert mode(private) == 0o700
    finally:
        assert process.wait(60) != 0
    assert list(folder.iterdir()) == []


def test_the_script_makes_them(tmp_path: Path) -> None:
    """All of them; and byte for byte what no library compresses."""
    make.main(tmp_path)
    assert json.loads((tmp_path / "expected.json").read_text()) == EXPECTED
    made = {path.name: path.read_bytes() for path in (tmp_path / make.ARCHIVES).iterdir()}
    assert set(made) == {path.name for path in ARCHIVES.iterdir()} == set(EXPECTED)
    for name, data in made.items():
        if name.endswith((".tar", ".zip", ".zst")):
            assert data == (ARCHIVES / name).read_bytes(), name
