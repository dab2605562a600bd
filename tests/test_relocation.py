"""An installed release names its own folders, and those of its shared parts."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import tracemalloc
import zipapp
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from elves import compiled, library
from golden_releases import make
from packed import HASH, MARKS, NAME, Workshop, all_below, put

from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.installation import install_as_it_is
from slapos.networkcache.errors import NotBelieved, Reason


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def moved(workshop: Workshop, places: Destination | None = None) -> Path:
    """The release at its new place; what was built is gone."""
    places = places or workshop.places()
    packed = workshop.pack()
    os.rename(workshop.release.parents[1], workshop.folder / "gone")
    packed.install(places)
    return Path(places.release)


def test_names_get_the_same_length_filled_up_with_slashes(workshop: Workshop) -> None:
    built = str(workshop.release)
    workshop.write("lib/x", f"\0{built}/lib\0{built}\0")
    workshop.write("etc/x", f"x = {built}/etc\n")
    new = moved(workshop)
    first, _, tail = str(new)[1:].partition("/")
    filled = f"/{first}" + "/" * (1 + len(built) - len(str(new))) + tail
    assert len(filled) == len(built)
    assert (new / "lib/x").read_text() == f"\0{filled}/lib\0{filled}\0"
    assert (new / "etc/x").read_text() == f"x = {filled}/etc\n"


def test_files_that_buildout_compares_are_written_as_they_are(workshop: Workshop) -> None:
    """Else it would build everything again."""
    built, shared = str(workshop.release), str(workshop.shared)
    part = workshop.part("zlib", {"x": "x"})
    longer = built.replace("/", "/" * 9, 2).replace("/" * 9, "/", 1)
    text = f"[buildout]\nlocation = {built}/parts/x\nshared = {part}\nlonger = {longer}\n"
    for name in (".installed.cfg", "buildout.cfg"):
        workshop.write(name, text)
        workshop.write(f"parts/{name}", text)
    new = moved(workshop)
    places = workshop.places()
    plain = text.replace(longer, built)
    plain = plain.replace(built, str(new)).replace(shared, places.shared)
    for name in (".installed.cfg", "buildout.cfg"):
        assert (new / name).read_text() == plain
        assert len((new / f"parts/{name}").read_text()) == len(text)


def test_scripts_run(workshop: Workshop) -> None:
    """They are written as they are, too; a program in their folder is not."""
    script = f"#!/bin/sh\n. {workshop.release}/etc/x\n"
    workshop.write("etc/x", "echo $0")
    workshop.write("bin/script", script, 0o755)
    workshop.write("bin/other", f"\x7fELF{workshop.release}", 0o755)
    workshop.write("bin/below/script", script, 0o755)
    workshop.write("lib/script", script, 0o755)
    new = moved(workshop)
    plain = f"#!/bin/sh\n. {new}/etc/x\n"
    assert (new / "bin/script").read_text() == plain
    assert len((new / "bin/other").read_bytes()) == len(f"\x7fELF{workshop.release}")
    for name in ("bin/script", "bin/below/script", "lib/script"):
        done = subprocess.run([new / name], capture_output=True, text=True)
        assert done.stdout == f"{new / name}\n", done.stderr
        assert (len((new / name).read_text()) == len(script)) == (name != "bin/script")


@pytest.mark.parametrize("rest", [b"\0", b"\xff\n", "größe\n".encode("latin-1")])
def test_a_script_with_more_than_text_keeps_its_length(
    workshop: Workshop, rest: bytes
) -> None:
    """What follows may count from the beginning."""
    script = f"#!/bin/sh\nexec echo {workshop.release}/x\n".encode() + rest
    workshop.write("bin/script", script, 0o755)
    new = moved(workshop)
    data = (new / "bin/script").read_bytes()
    assert len(data) == len(script)
    assert data.endswith(rest)
    done = subprocess.run([new / "bin/script"], capture_output=True, text=True)
    assert os.path.normpath(done.stdout.strip()) == f"{new}/x"


def test_a_zip_is_not_changed(workshop: Workshop) -> None:
    """Its members have checksums: eggs, wheels and jars."""
    text = f"PLACE = {str(workshop.release)!r}\n"
    for name, how in (("x.egg", zipfile.ZIP_STORED), ("x.jar", zipfile.ZIP_DEFLATED)):
        file = BytesIO()
        with zipfile.ZipFile(file, "w", how) as archive:
            archive.writestr("module.py", text)
        workshop.write(name, file.getvalue())
    before = {name: (workshop.release / name).read_bytes() for name in ("x.egg", "x.jar")}
    new = moved(workshop)
    for name, data in before.items():
        assert (new / name).read_bytes() == data
        with zipfile.ZipFile(new / name) as archive:
            assert archive.testzip() is None


@pytest.mark.parametrize("comment", [b"", b"made by hand"])
def test_a_program_in_a_zip_runs(workshop: Workshop, comment: bytes) -> None:
    """Its first line is changed; the archive behind that stays where it is."""
    source = workshop.folder / "source"
    put(source / "__main__.py", f"print({str(workshop.release)!r})\n")
    program = workshop.release / "bin/program"
    program.parent.mkdir()
    os.symlink(sys.executable, program.with_name("python"))
    zipapp.create_archive(source, program, f"{workshop.release}/bin/python")
    with zipfile.ZipFile(program, "a") as archive:
        archive.comment = comment
    size, built = program.stat().st_size, str(workshop.release)
    new = moved(workshop)
    program = new / "bin/program"
    assert program.stat().st_size == size
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{built}\n", "")
    with zipfile.ZipFile(program) as archive:
        assert archive.testzip() is None


def test_a_large_program_takes_no_memory(workshop: Workshop) -> None:
    text = f"\x7fELF{workshop.release}\0"
    os.truncate(workshop.write("bin/program", text, 0o755), 64 << 20)
    packed = workshop.pack()
    tracemalloc.start()
    try:
        packed.install(workshop.places())
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_times_are_kept(workshop: Workshop) -> None:
    for name in ("bin/script", "lib/x"):
        text = f"#!/bin/sh\n{workshop.release}"
        os.utime(workshop.write(name, text), (1, 1_000_000_000))
    new = moved(workshop)
    for name in ("bin/script", "lib/x"):
        assert (new / name).stat().st_mtime == 1_000_000_000


def test_bytecode_stays_fresh(workshop: Workshop) -> None:
    """It knows the time and the size of its source. What it says of the folder is followed
    by the letter N."""
    source = workshop.write("lib/module.py", f"PLACE = {str(workshop.release)!r}\n")
    py_compile.compile(str(source), doraise=True)
    new = moved(workshop)
    run = [sys.executable, "-v", "-c", "import module; print(module.PLACE)"]
    done = subprocess.run(
        run, capture_output=True, text=True, env={"PYTHONPATH": str(new / "lib")}
    )
    assert os.path.normpath(done.stdout.strip()) == str(new)
    cached = str(new / "lib/__pycache__")
    assert f"# {cached}/module.cpython-" in done.stderr
    assert "code object from" in done.stderr
    assert f"wrote '{cached}" not in done.stderr


def test_compiled_programs_run(workshop: Workshop) -> None:
    """With a library of a shared part, which is found by its new folder alone."""
    part = workshop.shared / "zz" / HASH
    library(part / "lib/libzz.so", f'const char *zz(void) {{ return "{part}/etc"; }}')
    compiled(
        workshop.release / "bin/program",
        "#include <stdio.h>\nconst char *zz(void);\n"
        f'int main() {{ puts("{workshop.release}/share"); puts(zz()); return 0; }}',
        *(f"-L{part}/lib", "-lzz", f"-Wl,-rpath,{part}/lib"),
    )
    new = moved(workshop)
    done = subprocess.run([new / "bin/program"], capture_output=True, text=True)
    paths = [os.path.normpath(path) for path in done.stdout.split()]
    assert paths == [f"{new}/share", f"{workshop.places().shared}/zz/{HASH}/etc"]


@pytest.mark.parametrize("name", ["a/core/program", "libexec/core/program"])
def test_a_program_with_a_name_in_another_folder(workshop: Workshop, name: str) -> None:
    """Its libraries are where it leads to from the other name; no host has them."""
    release = workshop.release
    library(release / "lib/libown.so", "int own(void) { return 7; }")
    program = compiled(
        release / "bin/program",
        "int own(void);\nint main() { return own(); }",
        *(f"-L{release}/lib", "-lown", "-Wl,--enable-new-dtags"),
        "-Wl,-rpath,$ORIGIN/../lib",
    )
    (release / name).parent.mkdir(parents=True)
    os.link(program, release / name)
    new = moved(workshop)
    assert (new / name).samefile(new / "bin/program")
    assert subprocess.run([new / "bin/program"]).returncode == 7


def test_a_library_that_would_be_missing(workshop: Workshop) -> None:
    """One that the host had when this was built: it is what this host lacks now."""
    there = workshop.folder / "host"
    library(there / "libgone.so", "int gone(void) { return 0; }")
    compiled(
        workshop.release / "bin/program",
        "int gone(void);\nint main() { return gone(); }",
        *(f"-L{there}", "-lgone", f"-Wl,-rpath,{there}"),
    )
    packed = workshop.pack()
    os.rename(there, workshop.folder / "gone")
    places = workshop.places()
    with pytest.raises(NotBelieved, match=r"libraries would be missing: libgone\.so") as no:
        packed.install(places)
    assert no.value.reason is Reason.UNFIT_HOST
    assert all_below(Path(places.release).parent) == set()


def test_the_place_it_was_built_for(workshop: Workshop) -> None:
    workshop.write("x", str(workshop.release))
    packed = workshop.pack()
    os.rename(workshop.release, workshop.folder / "gone")
    packed.install(Destination(str(workshop.release)))
    assert (workshop.release / "x").read_text() == str(workshop.release)


def test_a_place_where_shared_parts_were(workshop: Workshop) -> None:
    """Its new name has another old one in it."""
    part = workshop.part("zlib", {"x": str(workshop.release)})
    workshop.write("x", f"{workshop.release}/a {part}/x\n")
    packed = workshop.pack()
    os.rename(workshop.release.parents[1], workshop.folder / "gone")
    workshop.shared.mkdir(parents=True)
    places = replace(workshop.places(), release=f"{workshop.shared}/release")
    packed.install(places)
    own, other = Path(places.release, "x").read_text().split()
    assert os.path.normpath(own) == f"{places.release}/a"
    assert os.path.normpath(other) == f"{places.shared}/zlib/{HASH}/x"


def test_a_folder_whose_path_ends_as_another_one(workshop: Workshop) -> None:
    """What stands in a longer name is a part of it, and no name."""
    part = workshop.part("zlib", {"x": f"{workshop.shared}/zlib/{HASH}/x"})
    workshop.release = workshop.folder / f"x{workshop.shared}" / NAME
    names = (workshop.release, part, workshop.release, workshop.shared)
    workshop.write("x", "/x\n".join(map(str, names)))
    workshop.write("y", f"{workshop.release}/y")
    archive, places = workshop.pack(), workshop.places()
    archive.install(places)
    new, there = Path(places.release), f"{places.shared}/zlib/{HASH}"
    assert [os.path.normpath(name) for name in (new / "x").read_text().split()] == [
        f"{new}/x", f"{there}/x", f"{new}/x", places.shared,
    ]  # fmt: skip
    assert os.path.normpath((new / "y").read_text()) == f"{new}/y"
    assert os.path.normpath(Path(there, "x").read_text()) == f"{there}/x"


def test_a_longer_place(workshop: Workshop) -> None:
    workshop.write("x", str(workshop.release))
    packed = workshop.pack()
    root = workshop.folder / ("long" * 40)
    root.mkdir()
    with pytest.raises(NotBelieved, match="bytes longer") as refused:
        packed.install(Destination(str(root / NAME)))
    assert refused.value.reason is Reason.UNFIT_PREFIX
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("folder", ["a folder", "a:b", "$ORIGIN", "é", "a\nb"])
def test_a_place_that_can_be_no_folder(workshop: Workshop, folder: str) -> None:
    root = workshop.folder / folder
    root.mkdir()
    with pytest.raises(NotBelieved, match="expected an absolute path") as refused:
        workshop.pack().install(Destination(str(root / NAME)))
    assert refused.value.reason is Reason.UNFIT_PREFIX
    assert list(root.iterdir()) == []


def test_an_archive_of_a_moved_release(workshop: Workshop) -> None:
    """What was filled up with slashes is found again, and moved on."""
    workshop.write("x", f"{workshop.release}/x")
    first = moved(workshop)
    assert f"{first}/x" != (first / "x").read_text()
    for name in MARKS:
        (first / name).unlink()
    workshop.release = first
    packed = workshop.pack()
    assert list(packed.manifest().longer) == [f"{NAME}/x"]
    place = workshop.folder / "n"
    place.mkdir()
    packed.install(Destination(str(place / NAME)))
    assert os.path.normpath((place / NAME / "x").read_text()) == f"{place / NAME}/x"


def test_marks_are_in_the_place_of_what_the_archive_has(workshop: Workshop) -> None:
    """It cannot say that it is installed."""
    case = make.old("x", make.link(f"{make.R}/.completed", "bin/script"))
    places = workshop.places()
    install_as_it_is(BytesIO(case.data), make.R, places.release, marks=MARKS)
    mark = Path(places.release, ".completed")
    assert mark.read_bytes() == MARKS[".completed"]
    assert not mark.is_symlink()
