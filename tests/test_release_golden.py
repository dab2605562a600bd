"""Releases are installed whole, or refused whole: nothing of a bad one stays anywhere."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import strategies  # noqa: F401 - the settings
from golden_releases import make
from hypothesis import event, given, settings
from hypothesis import strategies as st

from slapos.networkcache.binary.builds import Build
from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.installation import install, install_as_it_is
from slapos.networkcache.errors import InvalidArchive
from slapos.networkcache.host import look_at_host

ARCHIVES = make.HERE / make.ARCHIVES
EXPECTED: dict[str, Any] = json.loads((make.HERE / "expected.json").read_text())
OURS = [name for name in EXPECTED if not name.startswith("old-")]
OLD = [name for name in EXPECTED if name.startswith("old-")]
MARKS = {".completed": b"now"}


def of(names: list[str], *, good: bool) -> list[str]:
    return [name for name in names if (EXPECTED[name]["words"] is None) == good]


def signed(name: str) -> Build:
    """What was signed beside the golden archive."""
    return Build.parse(
        {
            "software_url": make.URL,
            "software_root": "/opt/slapgrid",
            "prefix": make.PREFIX,
            "shared": [],
            "archive": "tar.gz",
            "requirements": {},
        }
        | {member: value for member, value in EXPECTED[name].items() if member != "words"}
    )


@pytest.fixture
def places(tmp_path: Path) -> Destination:
    """Of a node; beside its folders is what no archive may reach."""
    for folder in ("root", "parts"):
        (tmp_path / folder).mkdir()
    for name in ("x", "root/x", "parts/x"):
        (tmp_path / name).write_text("untouched")
    return Destination(str(tmp_path / "root" / make.R), str(tmp_path / "parts"))


def take(name: str, places: Destination) -> None:
    """Install a golden archive."""
    with (ARCHIVES / name).open("rb") as archive:
        if name in OLD:
            install_as_it_is(archive, make.R, places.release, marks=MARKS)
        else:
            install(
                archive, make.R, signed(name), places, look=look_at_host, marks=MARKS
            )  # fmt: skip


def all_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# -- refused


@pytest.mark.parametrize("name", of(OURS, good=False) + of(OLD, good=False))
def test_a_bad_one_is_refused_and_leaves_nothing(
    tmp_path: Path, places: Destination, name: str
) -> None:
    before = all_below(tmp_path)
    with pytest.raises(InvalidArchive) as refused:
        take(name, places)
    assert EXPECTED[name]["words"] in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000
    assert all_below(tmp_path) == before
    for untouched in ("x", "root/x", "parts/x"):
        assert (tmp_path / untouched).read_text() == "untouched"


def test_a_bad_one_leaves_what_is_at_its_place(places: Destination) -> None:
    os.mkdir(places.release)
    with pytest.raises(InvalidArchive):
        take("setuid.tar.gz", places)
    assert os.listdir(places.release) == []


# -- installed


@pytest.mark.parametrize("name", of(OURS, good=True))
def test_a_good_one(tmp_path: Path, places: Destination, name: str) -> None:
    before = all_below(tmp_path)
    take(name, places)
    new = Path(places.release)
    # Of a script it is written as it is, so that buildout need not do that again.
    script = f"#!{new}/bin/shell\nexec {new}/bin/other\n"
    assert (new / "bin/script").read_text() == script
    assert (new / "bin/script").stat().st_mode & 0o777 == 0o755
    assert (new / "bin/script").stat().st_mtime == 1_000_000_000
    assert (new / ".completed").read_text() == "now"
    assert new.stat().st_mode & 0o7777 == 0o755
    there = {path.partition("/")[2] for path in all_below(tmp_path) - before}
    assert all(path.startswith((make.R, "zlib")) for path in there), there


def test_names_that_were_filled_up_before(places: Destination) -> None:
    take("good-longer.tar.gz", places)
    text = Path(places.release, "nested").read_bytes()
    assert len(text) == len(make.PREFIX) + 6
    path = text[1:].decode()
    assert os.path.normpath(path) == f"{places.release}/y"


def test_links_of_a_good_one(places: Destination) -> None:
    take("good-links.tar.gz", places)
    new = Path(places.release)
    links = {path.name: os.readlink(path) for path in new.rglob("*") if path.is_symlink()}
    assert links == {
        "inside": "bin/script",
        "absolute": f"{new}/bin/script",
        "through": "absolute",
        "clock": "/etc/localtime",
        "out": "../elsewhere",
        "nowhere": "not/there",
    }


def test_hard_links_of_a_good_one(places: Destination) -> None:
    take("good-hard-link.tar.gz", places)
    new = Path(places.release)
    assert (new / "bin/again").samefile(new / "bin/script")


def test_the_modes_of_folders_are_not_taken(places: Destination) -> None:
    take("good-special-folder.tar.gz", places)
    new = Path(places.release)
    assert (new / "var").stat().st_mode == (new / "bin").stat().st_mode


def test_what_is_in_a_zip_of_a_good_one_stays(places: Destination) -> None:
    """Unlike what is before it."""
    take("good-zip.tar.gz", places)
    program = Path(places.release, "program")
    with zipfile.ZipFile(program) as archive:
        assert archive.read("x") == f"{make.PREFIX}\n".encode()
    begin = program.read_bytes()[: len(make.SHELL)]
    assert make.PREFIX.encode() not in begin
    assert begin.startswith(f"#!/{places.release.split('/')[1]}//".encode())


def test_a_shared_part_of_a_good_one(places: Destination) -> None:
    take("good-shared.tar.gz", places)
    text = Path(places.shared, "zlib", make.HASH, "zlib.pc").read_text()
    assert os.path.normpath(text.strip()) == f"{places.shared}/zlib/{make.HASH}/lib"
    assert len(text) == len(f"{make.PARTS}/zlib/{make.HASH}/lib\n")


def test_a_good_one_of_slapos_core(places: Destination) -> None:
    """It is not moved: what it names is what was built."""
    take("old-good.tar.gz", places)
    new = Path(places.release)
    assert (new / "bin/script").read_bytes() == make.SHELL
    assert (new / "bin/again").samefile(new / "bin/script")
    assert (new / "bin/script").stat().st_mode & 0o777 == 0o750
    assert (new / "bin/script").stat().st_mtime == 1_700_000_000.5
    assert (new / ("größe-" * 30)).read_text() == "x"
    assert os.readlink(new / "inside") == "bin/script"
    assert (new / ".completed").read_text() == "now"


@pytest.mark.parametrize(
    ("target", "more"),
    [
        ("{}/bin/script", ""),
        ("{}/../x", "is a link out of the folder"),
        ("{}-2/x", "is a link out of the folder"),
    ],
)
def test_absolute_links_of_slapos_core(places: Destination, target: str, more: str) -> None:
    """They fit one place alone, so no golden one has them."""
    target = target.format(places.release)
    case = make.old("x", make.link(f"{make.R}/absolute", target))
    archive = BytesIO(case.data)
    if more:
        with pytest.raises(InvalidArchive, match=more):
            install_as_it_is(archive, make.R, places.release, marks=MARKS)
        assert not os.path.lexists(places.release)
    else:
        install_as_it_is(archive, make.R, places.release, marks=MARKS)
        assert os.readlink(f"{places.release}/absolute") == target


def test_a_link_through_an_absolute_one_of_slapos_core(places: Destination) -> None:
    case = make.old(
        "x",
        make.link(f"{make.R}/absolute", f"{places.release}/bin"),
        make.link(f"{make.R}/y", "absolute/../.."),
    )
    with pytest.raises(InvalidArchive, match="is a link out of the folder"):
        install_as_it_is(BytesIO(case.data), make.R, places.release, marks=MARKS)


# -- whatever is in it


_FOLDERS = ("", "a/", "a/b/", "c/")
_step = st.sampled_from(["..", "..", ".", "a", "b", "c", "0", "1", "2", "3"])
_path = st.lists(_step, min_size=1, max_size=5).map("/".join)


@st.composite
def links(draw: st.DrawFn) -> list:
    """Folders, and links with numbers for names, which lead to folders and to each other;
    few are hard links, and few are absolute."""
    members = [make.folder(f"{make.R}/{name[:-1]}") for name in _FOLDERS[1:]]
    for number in range(draw(st.integers(1, 4))):
        name = f"{make.R}/{draw(st.sampled_from(_FOLDERS))}{number}"
        target = draw(_path)
        match draw(st.integers(0, 9)):
            case 0:
                members.append(make.hard_link(name, f"{make.R}/{target}"))
            case 1:
                members.append(make.link(name, f"/{target}"))
            case _:
                members.append(make.link(name, target))
    return members


@settings(max_examples=150)
@given(links())
def test_whatever_is_in_it_stays_in_its_folder(more: list) -> None:
    """Where the system itself says that each link of a release leads."""
    case = make.case("x", *more)
    outcome = _outcome(Build.parse(BESIDE | case.signed), case.data)
    event("installed" if outcome else "refused")


BESIDE = signed("good.tar.gz").members()


def _outcome(said: Build, data: bytes) -> bool:
    """Whether it is installed; nothing is there if it is not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.path.realpath(name))
        outside, root = folder / "x", folder / "root"
        outside.write_text("untouched")
        root.mkdir()
        places = Destination(str(root / make.R))
        try:
            install(BytesIO(data), make.R, said, places, look=look_at_host, marks=MARKS)
        except InvalidArchive:
            assert all_below(folder) == {"x", "root"}
            return False
        assert outside.stat().st_nlink == 1
        assert {path.name for path in root.iterdir()} == {make.R}
        for path in root.rglob("*"):
            assert Path(os.path.realpath(path)).is_relative_to(root / make.R)
        return True


# -- the files


def test_names_say_what_is_good() -> None:
    for name, expected in EXPECTED.items():
        is_good = name.removeprefix("old-").startswith("good")
        assert is_good == (expected["words"] is None), name


def test_the_script_makes_them(tmp_path: Path) -> None:
    """All of them; and byte for byte what no library compresses."""
    make.main(tmp_path)
    assert json.loads((tmp_path / "expected.json").read_text()) == EXPECTED
    made = {path.name for path in (tmp_path / make.ARCHIVES).iterdir()}
    assert made == {path.name for path in ARCHIVES.iterdir()} == set(EXPECTED)
    for name in made:
        assert _held(tmp_path / make.ARCHIVES / name) == _held(ARCHIVES / name), name


def _held(path: Path) -> bytes:
    """What is in a file, decompressed where that is possible."""
    data = path.read_bytes()
    try:
        return gzip.GzipFile(fileobj=BytesIO(data)).read()
    except (OSError, EOFError):
        return data if not data.startswith(b"\x1f\x8b") else b""
