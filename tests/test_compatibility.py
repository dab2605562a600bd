"""What a tree needs and what a computer lacks. Where a program can be run here, what the
survey says of it is what the loader does."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from elves import AARCH64, I386, Made, compiled, library, versions
from hypothesis import given
from hypothesis import strategies as st

from slapos.networkcache.binary.compatibility import Look, host_for, unmet
from slapos.networkcache.binary.requirements import Requirements
from slapos.networkcache.binary.survey import Survey, Surveyed
from slapos.networkcache.elf import Abi
from slapos.networkcache.errors import InvalidInput
from slapos.networkcache.host import Host, look_at_host

MAIN = "int main(void) { return 0; }\n"
X86_64 = Abi("x86_64", 64, "little")
LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def survey(*folders: Path, look: Look = look_at_host) -> Surveyed:
    """Of all that is in the folders of one tree."""
    it = Survey(map(str, folders))
    for folder in folders:
        for root, names, files in os.walk(folder):
            for path in (os.path.join(root, name) for name in (*names, *files)):
                if os.path.islink(path):
                    it.add_link(path, os.readlink(path))
                elif os.path.isfile(path):
                    it.add(path, Path(path).read_bytes())
    return it.finish(look)


def runs(program: Path) -> bool:
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0 or "error while loading" in done.stderr
    return done.returncode == 0


def function(name: str, *calls: str) -> str:
    """A function, and what it calls."""
    declared = "".join(f"extern int {call}(void);" for call in calls)
    return f"{declared} int {name}(void) {{ return 0{''.join(f'+{c}()' for c in calls)}; }}"


def host(root: Path, **files: Made) -> Look:
    """Another computer, in a folder, with these libraries (``lib`` and ``.so`` are
    added), and the loader."""
    files = {"c.so.6": Made(versions_defined=["GLIBC_2.2.5", "GLIBC_2.34"]), **files}
    for name, made in files.items():
        path = root / "lib" / (f"lib{name}" if ".so" in name else f"lib{name}.so")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.bytes)
    loader = root / LOADER.lstrip("/")
    loader.parent.mkdir(parents=True, exist_ok=True)
    loader.write_bytes(Made().bytes)
    return partial(look_at_host, root=str(root))


def lacks(requirements: Requirements, look: Look) -> list[str]:
    return unmet(requirements, host_for(requirements, look))


# -- libraries: in the tree, else of the host

RPATH, RUNPATH = "-Wl,--disable-new-dtags", "-Wl,--enable-new-dtags"


def test_a_tree_that_has_its_libraries(tree: Path) -> None:
    library(tree / "lib/libown.so.1", function("own"))
    program = compiled(
        tree / "bin/program",
        function("main", "own"),
        tree / "lib/libown.so.1",
        "-Wl,-rpath,$ORIGIN/../lib",
    )
    assert runs(program)
    surveyed = survey(tree)
    assert surveyed.requirements.libraries.keys() == {"libc.so.6"}
    assert surveyed.requirements.interpreters == (LOADER,)
    assert surveyed.requirements.abi == X86_64
    assert (surveyed.accidental, surveyed.missing, surveyed.damaged) == ({}, (), ())
    assert lacks(surveyed.requirements, look_at_host) == []


@pytest.mark.parametrize("option", [RPATH, RUNPATH])
def test_only_rpath_is_inherited(tree: Path, tmp_path: Path, option: str) -> None:
    """The library of a library is found by what its program says, or not at all."""
    inner = library(tree / "lib/libinner.so", function("inner"))
    outer = library(tree / "lib/libouter.so", function("outer", "inner"), inner)
    paths = ("-Wl,-rpath,$ORIGIN/../lib", f"-Wl,-rpath-link,{tree}/lib")
    program = compiled(
        tree / "bin/program", function("main", "outer"), outer, option, *paths
    )
    surveyed = survey(tree)
    if option == RPATH:
        assert runs(program)
        assert surveyed.missing == ()
    else:
        assert not runs(program)
        assert surveyed.missing == ((str(outer), "libinner.so"),)
        assert surveyed.requirements.unresolved == ("libinner.so",)
    needed = survey(tree, look=host(tmp_path, inner=Made())).requirements.libraries
    assert ("libinner.so" in needed) == (option == RUNPATH)


def test_what_has_runpath_inherits_nothing(tree: Path) -> None:
    inner = library(tree / "lib/libinner.so", function("inner"))
    options = (inner, RUNPATH, "-Wl,-rpath,/nowhere")
    outer = library(tree / "lib/libouter.so", function("outer", "inner"), *options)
    paths = ("-Wl,-rpath,$ORIGIN/../lib", f"-Wl,-rpath-link,{tree}/lib")
    program = compiled(
        tree / "bin/program", function("main", "outer"), outer, RPATH, *paths
    )
    assert not runs(program)
    assert survey(tree).missing == ((str(outer), "libinner.so"),)


def test_rpath_beside_runpath_does_not_count(tree: Path) -> None:
    """Nor is it inherited."""
    both = Made(
        interpreter=LOADER,
        rpath=f"{tree}/lib",
        runpath=f"{tree}/run",
        needed=["liba.so", "libb.so"],
    )
    it = Survey([str(tree)])
    it.add(f"{tree}/bin/both", both.bytes)
    it.add(f"{tree}/run/liba.so", Made(needed=["libc.so"]).bytes)
    it.add(f"{tree}/lib/libb.so", Made().bytes)
    it.add(f"{tree}/lib/libc.so", Made().bytes)
    assert it.finish(look_at_host).missing == (
        (f"{tree}/bin/both", "libb.so"),
        (f"{tree}/run/liba.so", "libc.so"),
    )


def test_a_folder_that_depends_on_where_somebody_stands(tree: Path) -> None:
    program = Made(interpreter=LOADER, runpath=f"{tree}/lib"[1:], needed=["liba.so"])
    it = Survey([str(tree)])
    it.add(f"{tree}/program", program.bytes)
    it.add(f"{tree}/lib/liba.so", Made().bytes)
    assert it.finish(look_at_host).missing == ((f"{tree}/program", "liba.so"),)


def test_a_library_is_known_by_its_own_name_too(tree: Path) -> None:
    """It was linked by another."""
    own = library(tree / "lib/libown.so", function("own"))
    user = library(tree / "lib/libuser.so", function("user", "own"))
    options = ("-Wl,--no-as-needed", own, user, RUNPATH, "-Wl,-rpath,$ORIGIN/../lib")
    program = compiled(tree / "bin/program", function("main", "own", "user"), *options)
    library(own, function("own"), "-Wl,-soname,libown.so.1")
    library(user, function("user", "own"), own)
    assert runs(program)
    assert survey(tree).missing == ()


def test_what_is_loaded_already_is_not_searched(tree: Path, tmp_path: Path) -> None:
    inner = library(tree / "lib/libinner.so", function("inner"))
    outer = library(tree / "lib/libouter.so", function("outer", "inner"), inner)
    program = compiled(
        tree / "bin/program",
        function("main", "outer", "inner"),
        *(outer, inner, RUNPATH, "-Wl,-rpath,$ORIGIN/../lib"),
    )
    assert runs(program)
    surveyed = survey(tree, look=host(tmp_path, inner=Made()))
    assert surveyed.missing == ()
    assert "libinner.so" not in surveyed.requirements.libraries


def test_a_plugin_may_be_opened_by_anybody(tree: Path, tmp_path: Path) -> None:
    """What it does not find itself is the host's where the host has it, and else that of
    whoever opens it, if the tree has it at all."""
    helper = library(tree / "lib/libhelper.so", function("helper"))
    plugin = library(tree / "plugin.so", function("plugin", "helper"), helper)
    surveyed = survey(tree)
    assert (surveyed.missing, surveyed.requirements.unresolved) == ((), ())
    there = survey(tree, look=host(tmp_path, helper=Made()))
    assert "libhelper.so" in there.requirements.libraries
    assert there.accidental == {"libhelper.so": (str(plugin),)}
    helper.unlink()
    nowhere = survey(tree)
    assert nowhere.missing == ((str(plugin), "libhelper.so"),)
    assert nowhere.requirements.unresolved == ("libhelper.so",)
    assert "libhelper.so" not in nowhere.requirements.libraries


@pytest.mark.parametrize(
    "folder",
    [
        "$ORIGIN/../lib",
        "${ORIGIN}/../lib",
        "{tree}/lib",
        "/{tree}///lib/.",
        "{tree}/bin/../lib",
        "{tree}/link",
        "{tree}/away",
        "$ORIGIN/../$LIB",
        "/nowhere:{tree}/lib:/elsewhere",
    ],
)
def test_how_a_folder_may_be_written(tree: Path, folder: str) -> None:
    (tree / "link").symlink_to("lib")
    (tree / "away").symlink_to(f"{tree}//link")
    library(tree / "lib/libown.so.1.2", function("own"), "-Wl,-soname,libown.so.1")
    (tree / "lib/libown.so.1").symlink_to("libown.so.1.2")
    path = f"-Wl,-rpath,{folder.format(tree=tree, ORIGIN='${ORIGIN}')}"
    if "${" in folder:
        path = f"-Wl,-rpath,{folder}"
    program = compiled(
        tree / "bin/program", function("main", "own"), tree / "lib/libown.so.1.2", path
    )
    assert runs(program) or "LIB" in folder
    surveyed = survey(tree)
    assert surveyed.missing == ()
    assert surveyed.requirements.libraries.keys() == {"libc.so.6"}


def test_a_part_that_is_shared_is_inside(tmp_path: Path) -> None:
    release, shared = tmp_path / "release", tmp_path / "shared"
    part = shared / "own/0123"
    library(part / "lib/libown.so", function("own"))
    options = (part / "lib/libown.so", f"-Wl,-rpath,{part}/lib")
    compiled(release / "bin/program", function("main", "own"), *options)
    assert survey(release, shared).missing == ()
    assert survey(release).requirements.libraries.keys() == {
        "libc.so.6",
        f"{part}/lib/libown.so",
    }


def test_a_folder_of_the_host_that_only_the_tree_searches(
    tree: Path, tmp_path: Path
) -> None:
    own = library(tmp_path / "opt/libown.so", function("own"))
    options = (own, f"-Wl,-rpath,{tmp_path}/opt")
    program = compiled(tree / "program", function("main", "own"), *options)
    surveyed = survey(tree)
    assert surveyed.accidental == {str(own): (str(program),)}
    assert lacks(surveyed.requirements, look_at_host) == []
    own.unlink()
    assert lacks(surveyed.requirements, look_at_host) == [f"the library {own} is not here"]
    assert survey(tree).missing == ((str(program), "libown.so"),)


def test_the_first_of_such_folders_counts(tree: Path, tmp_path: Path) -> None:
    first, second = (
        library(tmp_path / name / "libown.so", function("own")) for name in "ba"
    )
    options = (first, f"-Wl,-rpath,/nowhere:{first.parent}:{second.parent}")
    compiled(tree / "program", function("main", "own"), *options)
    assert survey(tree).accidental.keys() == {str(first)}


def test_a_library_of_the_host_by_its_usual_name_wherever_it_is_searched(
    tree: Path,
) -> None:
    """Another host has it in another folder."""
    made = Made(runpath="/usr/lib/x86_64-linux-gnu:/usr/lib64", needed=["libc.so.6"])
    it = Survey([str(tree)])
    it.add(f"{tree}/a.so", made.bytes)
    assert it.finish(look_at_host).requirements.libraries.keys() == {"libc.so.6"}


def test_a_link_of_the_tree_to_a_library_of_the_host(tree: Path, tmp_path: Path) -> None:
    own = library(tmp_path / "opt/libown.so", function("own"))
    (tree / "lib").mkdir()
    (tree / "lib/libown.so").symlink_to(own)
    options = (own, "-Wl,-rpath,$ORIGIN/lib")
    program = compiled(tree / "program", function("main", "own"), *options)
    assert runs(program)
    surveyed = survey(tree)
    assert surveyed.missing == ()
    assert str(own) in surveyed.requirements.libraries


# -- versions of symbols


@pytest.fixture
def versioned(tree: Path, tmp_path: Path) -> Path:
    """A tree that needs two versions of a library, which is on no computer yet."""
    script = versions(tmp_path / "script", "V_1", "V_2", "V_10")
    code = "".join(function(name) for name in ("v_1", "v_2", "v_10"))
    built = library(tmp_path / "libv.so", code, script)
    compiled(tree / "program", function("main", "v_2", "v_10"), built)
    return tree


def test_versions_are_compared_as_sets(versioned: Path, tmp_path: Path) -> None:
    builder = host(tmp_path / "builder", v=Made(versions_defined=["V_1", "V_2", "V_10"]))
    surveyed = survey(versioned, look=builder)
    needed = surveyed.requirements
    assert needed.libraries["libv.so"] == ("V_10", "V_2")
    assert surveyed.accidental.keys() == {"libv.so"}
    for number, (defined, expected) in enumerate(
        (
            (["V_10", "V_2"], []),
            (["V_10", "V_2", "V_11"], []),
            (["V_11", "V_99"], ["libv.so here lacks V_2, V_10"]),
            (["V_10"], ["libv.so here lacks V_2"]),
            ([], ["libv.so here lacks V_2, V_10"]),
        )
    ):
        other = host(tmp_path / str(number), v=Made(versions_defined=defined))
        assert lacks(needed, other) == expected
    assert lacks(needed, host(tmp_path / "bare")) == ["the library libv.so is not here"]


def test_a_version_that_the_builder_lacks_is_not_needed(
    versioned: Path, tmp_path: Path
) -> None:
    surveyed = survey(
        versioned, look=host(tmp_path / "a", v=Made(versions_defined=["V_2"]))
    )
    program = str(versioned / "program")
    assert surveyed.requirements.libraries["libv.so"] == ("V_2",)
    assert surveyed.missing == ((program, "libv.so(V_10)"),)
    older = survey(versioned, look=host(tmp_path / "b", v=Made(versions_defined=["V_1"])))
    assert {what for _, what in older.missing} == {"libv.so(V_10)", "libv.so(V_2)"}


def test_what_is_missing_elsewhere_was_unresolved_here(
    versioned: Path, tmp_path: Path
) -> None:
    """Wherever the requirements are met: that is what is checked after installing."""
    made = Made(versions_defined=["V_2"])
    needed = survey(versioned, look=host(tmp_path / "a", v=made)).requirements
    for number, defined in enumerate((["V_2"], ["V_2", "V_10"])):
        other = host(tmp_path / str(number), v=Made(versions_defined=defined))
        assert lacks(needed, other) == []
        assert {what for _, what in survey(versioned, look=other).missing} <= set(
            needed.unresolved
        )


# -- what is of the host, by accident or not


def test_the_family_of_libc_is_no_accident(tree: Path) -> None:
    names = (
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libstdc++.so.6",
    )
    it = Survey([str(tree)])
    it.add(f"{tree}/a.so", Made(needed=names).bytes)
    surveyed = it.finish(look_at_host)
    assert surveyed.requirements.libraries.keys() >= set(names) - {"libstdc++.so.6"}
    assert set(surveyed.accidental) <= {"libstdc++.so.6"}


def test_programs_of_the_host(tree: Path) -> None:
    scripts = {
        "a": f"#!{sys.executable}\n",
        "b": f"#! {sys.executable} -u\n",
        "c": "#!/bin/sh\n",
        "d": "#!/usr/bin/env python3\n",
        "e": "#!/not/here\n",
        "f": f"#!{tree}/bin/own\n",
        "g": f"#!{tree}/bin/link\n",
        "h": f"#!/bin/sh\n'''exec' {sys.executable} \"$0\" \"$@\"\n' '''\n",
        "i": f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n",
        "j": "#!\n",
        "k": "#!relative\n",
    }
    (tree / "bin").mkdir()
    for name, text in scripts.items():
        (tree / "bin" / name).write_text(text)
    (tree / "bin/own").write_text("#!/bin/sh\n")
    (tree / "bin/link").symlink_to(sys.executable)
    surveyed = survey(tree)
    paths = tuple(f"{tree}/bin/{name}" for name in "abghi")
    assert surveyed.programs == {sys.executable: paths}
    assert surveyed.requirements == Requirements()


def test_all_files_are_named(tree: Path) -> None:
    for number in range(20):
        (tree / f"{number:02}").write_text(f"#!{sys.executable}\n")
    (named,) = survey(tree).programs.values()
    assert named == tuple(f"{tree}/{number:02}" for number in range(20))


# -- Pythons


def with_module(tree: Path, name: str, *scripts: str) -> None:
    (tree / name).write_bytes(Made().bytes)
    for number, path in enumerate(scripts):
        (tree / f"script{number}").write_text(f"#!{path}\n")


def here() -> str:
    return look_at_host(pythons=[sys.executable]).pythons[sys.executable]


def test_a_module_needs_the_python_that_scripts_name(tree: Path) -> None:
    abi = here()
    with_module(tree, f"a.{abi}-x86_64-linux-gnu.so", sys.executable, "/bin/cat")
    needed = survey(tree).requirements
    assert needed.pythons == {sys.executable: abi}
    assert lacks(needed, look_at_host) == []
    other = replace(needed, pythons={sys.executable: "cpython-27"})
    assert lacks(other, look_at_host) == [
        f"the Python {sys.executable} here is {abi}, and it needs cpython-27"
    ]
    nowhere = replace(needed, pythons={"/not/here/python3": abi})
    assert lacks(nowhere, look_at_host) == [
        f"the Python /not/here/python3 ({abi}) is not here"
    ]


def test_a_module_for_any_python(tree: Path) -> None:
    with_module(tree, "a.abi3.so", sys.executable)
    needed = survey(tree).requirements
    assert needed.pythons == {sys.executable: "abi3"}
    assert lacks(needed, look_at_host) == []
    pypy = replace(host_for(needed, look_at_host), pythons={sys.executable: "pypy310-pp73"})
    assert len(unmet(needed, pypy)) == 1


def test_without_a_module_any_python_will_do(tree: Path) -> None:
    with_module(tree, "a.so", sys.executable)
    assert survey(tree).requirements.pythons == {}


def test_a_module_for_another_python_than_that_of_the_scripts(tree: Path) -> None:
    with_module(tree, "a.cpython-27-x86_64-linux-gnu.so", sys.executable)
    assert survey(tree).requirements.pythons == {}


@pytest.mark.parametrize("name", ["bin/python3.{}", "lib/libpython3.{}.so.1.0"])
@pytest.mark.parametrize("suffix", ["{}-x86_64-linux-gnu", "abi3"])
def test_a_module_for_the_python_of_the_tree(tree: Path, name: str, suffix: str) -> None:
    abi = here()
    path = tree / name.format(abi.removeprefix("cpython-3"))
    path.parent.mkdir()
    path.write_bytes(Made().bytes)
    with_module(tree, f"a.{suffix.format(abi)}.so", sys.executable)
    assert survey(tree).requirements.pythons == {}


# -- the processor, the kernel, other machines


def test_what_was_compiled_for_this_processor(tree: Path) -> None:
    compiled(tree / "program", MAIN, "-march=native", "-g")
    needed = survey(tree).requirements
    assert needed.compiled_for
    assert {"sse2", "popcnt"} <= set(needed.cpu_flags)
    assert "hypervisor" not in needed.cpu_flags
    here = host_for(needed, look_at_host)
    assert unmet(needed, here) == []
    other = replace(here, cpu_flags=here.cpu_flags - {"popcnt", "sse2"})
    assert unmet(needed, other) == [
        f"it was compiled for the processor {needed.compiled_for[0]},"
        " and this one lacks popcnt, sse2"
    ]


@pytest.mark.parametrize("options", [("-march=x86-64-v3", "-g"), ("-Wl,-z,x86-64-v3",)])
def test_what_was_compiled_for_a_level(tree: Path, options: tuple[str, ...]) -> None:
    compiled(tree / "program", MAIN, *options)

    def look(level: int, *asked, abi: Abi | None = None) -> Host:
        return replace(look_at_host(*asked, abi=abi), cpu_level=level)

    needed = survey(tree, look=partial(look, 4)).requirements
    assert (needed.cpu_level, needed.cpu_flags) == (3, ())
    assert lacks(needed, partial(look, 3)) == []
    assert lacks(needed, partial(look, 2)) == [
        "it needs a processor of level x86-64-v3, and this one has x86-64-v2"
    ]
    # Nor can it have run where it was built: then something else of the tree did.
    assert survey(tree, look=partial(look, 2)).requirements.cpu_level < 3


def test_the_kernel(tree: Path) -> None:
    compiled(tree / "program", MAIN, "-static")
    needed = survey(tree).requirements
    assert needed.kernel
    assert (needed.libraries, needed.interpreters) == ({}, ())
    here = host_for(needed, look_at_host)
    assert unmet(needed, here) == []
    (sentence,) = unmet(needed, replace(here, kernel=(2, 4, 37)))
    assert re.fullmatch(r"it needs Linux \d+\.\d+\.\d+, and this is 2\.4\.37", sentence)


def test_a_kernel_that_is_newer_than_that_of_the_builder_is_not_needed(tree: Path) -> None:
    for number, kernel in enumerate(((9999, 1, 0), (3, 2, 0), (2, 6, 32))):
        note = struct.pack("<4I", 0, *kernel)
        (tree / f"{number}").write_bytes(Made(notes=[(1, note)]).bytes)
    assert survey(tree).requirements.kernel == (3, 2, 0)


def test_another_machine(tree: Path) -> None:
    compiled(tree / "program", MAIN)
    needed = survey(tree).requirements
    other = replace(host_for(needed, look_at_host), abi=Abi("aarch64", 64, "little"))
    assert unmet(needed, other) == [
        "it was built for x86_64 (64 bit, little-endian),"
        " and this is aarch64 (64 bit, little-endian)"
    ]


def test_files_for_other_machines_are_left_out(tree: Path) -> None:
    compiled(tree / "program", MAIN)
    alone = survey(tree).requirements
    for number, machine in enumerate((AARCH64, AARCH64, AARCH64)):
        other = Made(
            machine=machine, needed=["libother.so"], interpreter="/lib/ld-other.so"
        )
        (tree / f"other{number}").write_bytes(other.bytes)
    assert survey(tree).requirements == alone


def test_a_tree_for_another_machine_than_this(tree: Path, tmp_path: Path) -> None:
    """One of 32 bits runs on 64 where the libraries are."""
    (tree / "a.so").write_bytes(Made(machine=I386, bits=32, needed=["liba.so"]).bytes)
    look = host(tmp_path, a=Made(machine=I386, bits=32))
    needed = survey(tree, look=look).requirements
    assert needed.abi == Abi("i386", 32, "little")
    assert needed.libraries.keys() == {"liba.so"}
    assert lacks(needed, look) == []
    assert lacks(needed, host(tmp_path / "other", a=Made())) == [
        "the library liba.so is not here"
    ]


def test_a_program_whose_loader_is_not_here_asks_for_nothing(
    tree: Path, tmp_path: Path
) -> None:
    """Such as one for another C library, of an egg that has one for each."""
    foreign = Made(
        interpreter="/lib/ld-foreign.so.1", needed=["libforeign.so", "libc.so.6"]
    )
    (tree / "program").write_bytes(foreign.bytes)
    builder, other = host(tmp_path / "builder"), host(tmp_path / "other")
    surveyed = survey(tree, look=builder)
    needed = surveyed.requirements
    assert surveyed.missing == ((f"{tree}/program", "/lib/ld-foreign.so.1"),)
    assert (needed.interpreters, needed.libraries) == ((), {})
    assert lacks(needed, other) == []
    # Where the loader is, something else may be missing: the tree is no worse for that.
    (tmp_path / "other/lib/ld-foreign.so.1").write_bytes(Made().bytes)
    (tmp_path / "other/lib/libc.so.6").unlink()
    there = {what for _, what in survey(tree, look=other).missing}
    assert there == {"libforeign.so", "libc.so.6"}
    assert there <= set(needed.unresolved)


def test_a_host_without_the_loader(tree: Path, tmp_path: Path) -> None:
    compiled(tree / "program", MAIN)
    look = host(tmp_path)
    needed = survey(tree, look=look).requirements
    assert lacks(needed, look) == []
    (tmp_path / LOADER.lstrip("/")).rename(tmp_path / "lib/ld-linux.so.2")
    assert lacks(needed, look) == [f"the interpreter {LOADER} is not here"]


def test_another_c_library(tree: Path) -> None:
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is not there: apt-get install musl-tools")
    program = compiled(tree / "program", MAIN, compiler="musl-gcc")
    surveyed = survey(tree)
    assert runs(program)
    assert surveyed.requirements.interpreters == ("/lib/ld-musl-x86_64.so.1",)
    assert (surveyed.requirements.libraries, surveyed.missing) == ({}, ())
    assert lacks(surveyed.requirements, look_at_host) == []


def test_damaged_files_are_named(tree: Path) -> None:
    (tree / "cut").write_bytes(Made().bytes[:70])
    (tree / "text").write_text("\x7fELF")
    (tree / "empty").write_text("")
    surveyed = survey(tree)
    assert surveyed.damaged == (f"{tree}/cut", f"{tree}/text")
    assert surveyed.requirements == Requirements()
    assert lacks(surveyed.requirements, look_at_host) == []


# -- in a signed entry

names = st.text(min_size=1, max_size=9).filter(str.isprintable)
several = st.lists(names, unique=True, max_size=3).map(lambda found: tuple(sorted(found)))
abis = st.builds(
    Abi,
    names,
    st.sampled_from([32, 64]),
    st.sampled_from(["little", "big"]),
    st.sampled_from([None, "hard", "soft"]),
)


@given(
    st.builds(
        Requirements,
        abi=st.none() | abis,
        kernel=st.lists(st.integers(0, 9), max_size=3).map(tuple).filter(lambda k: k != ()),
        cpu_level=st.integers(0, 4),
        compiled_for=several,
        cpu_flags=several,
        interpreters=several,
        libraries=st.dictionaries(names, several, max_size=3),
        pythons=st.dictionaries(names, names, max_size=3),
        unresolved=several,
    )
)
def test_what_is_signed_is_what_was_found(requirements: Requirements) -> None:
    text = json.dumps(requirements.to_members())
    parsed = Requirements.parse(json.loads(text))
    assert parsed == requirements
    assert json.dumps(parsed.to_members()) == text


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"machine": 1, "bits": 64, "byte_order": "little"},
        {"machine": "x86_64"},
        {"machine": "x86_64", "bits": True, "byte_order": "little"},
        {"machine": "x86_64", "bits": 64, "byte_order": "little", "float_abi": 1},
        {"kernel": "6.1"},
        {"kernel": [6, -1]},
        {"cpu_level": "3"},
        {"cpu_level": -1},
        {"cpu_flags": "sse2"},
        {"cpu_flags": [["a"]]},
        {"interpreters": {"/lib/ld.so": 1}},
        {"interpreters": ["/lib/ld\n.so"]},
        {"libraries": ["libc.so.6"]},
        {"libraries": {"libc.so.6": None}},
        {"libraries": {"": []}},
        {"libraries": {"libc.so.6": ["a" * 1001]}},
        {"libraries": {f"lib{n}": [] for n in range(2001)}},
        {"pythons": {"/usr/bin/python3": 311}},
        {"unresolved": ["\u202e"]},
        {"unresolved": [f"lib{n}" for n in range(2001)]},
        {"a newer\nmember": 1},
    ],
)
def test_damaged_requirements_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        Requirements.parse(value)
    assert str(refused.value).isprintable()


def test_a_requirement_of_a_newer_version_cannot_be_judged() -> None:
    requirements = Requirements.parse({"gpu": ["cuda-12"], "kernel": [9, 9, 9]})
    assert unmet(requirements, look_at_host()) == [
        "it needs what this version cannot judge, a newer one may: gpu"
    ]
