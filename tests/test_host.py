"""What is seen of a computer: this one, and others that are unpacked in a folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import incumbents
import pytest
from elves import ARM, I386, Made, compiled, library, versions

from slapos.networkcache.elf import Abi, Elf
from slapos.networkcache.host import look_at_host


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with a loader, and nothing that it could load."""
    root = tmp_path / "root"
    put(root / "lib64/ld-linux-x86-64.so.2", Made(soname="ld-linux-x86-64.so.2"))
    (root / "etc").mkdir()
    return root


def put(path: Path, content: Made | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content.bytes)
    return path


def found(root: Path, *libraries: str, abi: Abi | None = None) -> dict[str, set[str]]:
    host = look_at_host(libraries, abi=abi, root=str(root))
    return {name: set(names) for name, names in host.libraries.items()}


# -- this computer


def test_this_computer() -> None:
    elf = Elf.parse(Path(sys.executable).resolve().read_bytes())
    assert elf is not None
    assert elf.interpreter is not None
    host = look_at_host(["libc.so.6", "libnot-here.so"], [elf.interpreter, "/not/here"])
    assert host.abi.fits(elf.abi)
    assert host.interpreters == {elf.interpreter}
    assert host.libraries.keys() == {"libc.so.6"}
    assert elf.versions_needed["libc.so.6"] <= host.libraries["libc.so.6"]
    assert os.uname().release.startswith(".".join(map(str, host.kernel[:2])))


def test_the_triplet_is_that_of_the_compiler() -> None:
    told = subprocess.run(
        ["cc", "-dumpmachine"], check=True, capture_output=True, text=True
    ).stdout.strip()
    if told.count("-") != 2:
        pytest.skip("compilers of this distribution print another triplet than Debian's")
    assert look_at_host().multiarch == told


def test_the_level_of_the_processor_is_that_of_the_loader() -> None:
    loader = "/lib64/ld-linux-x86-64.so.2"
    if not os.path.exists(loader):
        pytest.skip("levels are of x86-64")
    told = subprocess.run([loader, "--help"], capture_output=True, text=True).stdout
    levels = [int(level) for level in re.findall(r"x86-64-v(\d) \(supported", told)]
    assert look_at_host().cpu_level == max(levels, default=1)


def test_the_libraries_that_the_loader_knows_are_found() -> None:
    told = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    own = Elf.parse(Path("/bin/sh").resolve().read_bytes())
    assert own is not None
    known = {
        name: path
        for name, path in re.findall(r"^\s+(\S+) \(libc6\S*\) => (/\S+)$", told, re.M)
        if (elf := Elf.parse(Path(path).read_bytes())) and elf.abi.fits(own.abi)
    }
    assert len(known) > 5
    host = look_at_host(known)
    assert host.libraries.keys() == known.keys()


def test_a_python_has_the_abi_of_its_name() -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    host = look_at_host(pythons=[sys.executable, "/not/here/python3"])
    assert host.pythons.keys() == {sys.executable}
    assert suffix.startswith(f".{host.pythons[sys.executable]}-")


@pytest.mark.parametrize("name", ["poweroff", "python3-config", "python3", "python3.11"])
def test_no_program_is_started(tmp_path: Path, name: str) -> None:
    """The path may be another computer's wish, and this is root."""
    started = tmp_path / "started"
    program = put(tmp_path / name, f"#!/bin/sh\ntouch {started}\n")
    program.chmod(0o755)
    found = look_at_host(pythons=[str(program)]).pythons
    assert list(found.values()) == ["cpython-311"] * (name == "python3.11")
    assert not started.exists()


# -- another one, in a folder


def test_what_is_in_a_folder(root: Path) -> None:
    put(root / "lib/x86_64-linux-gnu/libc.so.6", Made(versions_defined=["GLIBC_2.9"]))
    host = look_at_host(
        ["libc.so.6", "libm.so.6"],
        ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"],
        root=str(root),
    )
    assert host.libraries == {"libc.so.6": {"GLIBC_2.9"}}
    assert host.interpreters == {"/lib64/ld-linux-x86-64.so.2"}
    assert host.multiarch == "x86_64-linux-gnu"


@pytest.mark.parametrize(
    ("made", "multiarch"),
    [
        (Made(machine=I386, bits=32), "i686-linux-gnu"),
        (Made(machine=ARM, bits=32, flags=0x5000400), "arm-linux-gnueabihf"),
        (Made(machine=ARM, bits=32, flags=0x5000200), "arm-linux-gnueabi"),
        (Made(machine=183), "aarch64-linux-gnu"),
        (Made(machine=21, order="<"), "powerpc64le-linux-gnu"),
        (Made(machine=22, order=">"), "s390x-linux-gnu"),
        (Made(machine=243), "riscv64-linux-gnu"),
    ],
)
def test_the_triplet_of_other_machines(tmp_path: Path, made: Made, multiarch: str) -> None:
    """The kernel may be of another kind: that of the programs counts."""
    put(tmp_path / "bin/sh", made)
    host = look_at_host(root=str(tmp_path))
    assert host.multiarch == multiarch
    assert host.cpu_level == 0


def test_where_libraries_are_searched(root: Path) -> None:
    """In this order: of two, the first one counts."""
    folders = {
        "first": "/opt/first",
        "relative": "/opt/relative",
        "second": "/opt/second",
        "multiarch": "/usr/lib/x86_64-linux-gnu",
        "usual": "/lib",
    }
    put(
        root / "etc/ld.so.conf",
        "# /opt/comment\n/opt/first # why\ninclude ld.so.conf.d/*.conf\n/opt/second",
    )
    put(root / "etc/ld.so.conf.d/b.conf", "hwcap 0 nosegneg\n/opt/relative\n")
    put(root / "etc/ld.so.conf.d/a.conf", "include /etc/ld.so.conf\n")
    put(root / "etc/ld.so.conf.d/c.txt", "/opt/comment\n")
    names = list(folders)
    for position, name in enumerate(names):
        for earlier in names[: position + 1]:
            path = root / folders[name].lstrip("/") / f"lib{earlier}.so"
            put(path, Made(versions_defined=[name]))
    put(root / "opt/comment/libnot.so", Made())
    asked = [f"lib{name}.so" for name in (*names, "not")]
    assert found(root, *asked) == {f"lib{name}.so": {name} for name in names}


def test_only_what_can_be_loaded_is_a_library(root: Path) -> None:
    """What stands in the way is passed by, as the loader does."""
    good = Made(versions_defined=["GOOD"])
    others = {
        "libscript": "GROUP ( libc.so.6 )",
        "libempty": "",
        "libdamaged": "\x7fELF",
        "libother": Made(machine=I386, bits=32, versions_defined=["OTHER"]),
        "libobject": Made(type=1),
    }
    for name, content in others.items():
        put(root / f"lib64/{name}.so", content)
        put(root / f"usr/lib/{name}.so", good)
    (root / "lib64/libfolder.so").mkdir()
    put(root / "usr/lib/libfolder.so", good)
    asked = [f"{name}.so" for name in (*others, "libfolder")]
    assert found(root, *asked) == {name: {"GOOD"} for name in asked}
    own = Abi("i386", 32, "little")
    assert found(root, "libother.so", abi=own) == {"libother.so": {"OTHER"}}


def test_links_lead_where_they_do_inside(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "usr/lib/libout.so.1", Made(versions_defined=["OUTSIDE"]))
    put(root / "usr/lib/libin.so.1.2", Made(versions_defined=["INSIDE"]))
    (root / "lib").symlink_to("usr/lib")
    links = {
        "libabsolute.so": "/usr/lib/libin.so.1.2",
        "libup.so": "../../../../../usr/lib/libin.so.1.2",
        "libtwice.so": "libabsolute.so",
        "libout.so": f"{tmp_path}/usr/lib/libout.so.1",
        "libhigher.so": "../../../usr/lib/libout.so.1",
        "libloop.so": "libloop.so",
    }
    for name, target in links.items():
        (root / "usr/lib" / name).symlink_to(target)
    for number in range(45):  # the kernel follows 40
        target = f"libchain{number - 1}.so" if number else "libin.so.1.2"
        links[f"libchain{number}.so"] = target
        (root / f"usr/lib/libchain{number}.so").symlink_to(target)
    inside = ["libabsolute.so", "libup.so", "libtwice.so"]
    inside += [f"libchain{number}.so" for number in range(40)]
    assert found(root, *links) == {name: {"INSIDE"} for name in inside}


def test_a_library_can_be_asked_for_by_its_path(root: Path) -> None:
    put(root / "opt/a/liba.so", Made(versions_defined=["A"]))
    put(root / "lib/a/liba.so", Made(versions_defined=["A"]))
    asked = ("/opt/a/liba.so", "/opt//a/../a/liba.so", "liba.so", "a/liba.so", "/opt/b.so")
    assert found(root, *asked) == {name: {"A"} for name in asked[:2]}


def test_the_versions_are_those_that_the_linker_wrote(root: Path) -> None:
    script = versions(root / "script", "V_1", "V_2")
    library(root / "lib/libv.so.1", "void v_1(void) {} void v_2(void) {}", script)
    compiled(root / "bin/sh", "int main(void) { return 0; }")
    assert found(root, "libv.so.1") == {"libv.so.1": {"V_1", "V_2"}}


def test_no_program_of_another_system_is_started(root: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    for name in ("python3.11", "python3.13t", "python3"):
        put(root / "usr/bin" / name, f"#!/bin/sh\ntouch {started}\n").chmod(0o755)
    (root / "usr/bin/python").symlink_to("/usr/bin/python3.11")
    names = ("python", "python3", "python3.11", "python3.13t", "python3.12")
    host = look_at_host(pythons=[f"/usr/bin/{name}" for name in names], root=str(root))
    assert host.pythons == {
        "/usr/bin/python": "cpython-311",
        "/usr/bin/python3.11": "cpython-311",
        "/usr/bin/python3.13t": "cpython-313t",
    }
    assert not started.exists()


# -- what a distribution calls itself

DISTRIBUTIONS = {
    "debian": (
        {"etc/os-release": 'ID=debian\nVERSION_ID="12"\nVERSION="12 (bookworm)"\n'
         "VERSION_CODENAME=bookworm\n"},
        ("debian", "12", "bookworm"),
    ),
    "debian without a number": (
        {"etc/os-release": "ID=debian\nVERSION_CODENAME=forky\n"
         'PRETTY_NAME="Debian GNU/Linux forky/sid"\n', "etc/debian_version": "forky/sid\n"},
        ("debian", "forky/sid", "forky"),
    ),
    "raspbian": (
        {"etc/os-release": 'ID=raspbian\nID_LIKE=debian\nVERSION_ID="11"\n'
         'VERSION="11 (bullseye)"\n'},
        ("raspbian", "11", "bullseye"),
    ),
    "ubuntu": (
        {"usr/lib/os-release": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\n'
         'VERSION="22.04.3 LTS (Jammy Jellyfish)"\nUBUNTU_CODENAME=jammy\n',
         "etc/debian_version": "bookworm/sid\n"},
        ("ubuntu", "22.04", "jammy"),
    ),
    "fedora": (
        {"etc/os-release": 'ID=fedora\nVERSION_ID=41\nVERSION="41 (Forty One)"\n'
         'VERSION_CODENAME=""\n'},
        ("fedora", "41", ""),
    ),
    "rocky": (
        {"etc/os-release": 'ID="rocky"\nVERSION_ID="9.3"\nVERSION="9.3 (Blue Onyx)"\n'},
        ("rocky", "9.3", "Blue Onyx"),
    ),
    "oracle": ({"etc/os-release": 'ID="ol"\nVERSION_ID="8.9"\n'}, ("oracle", "8.9", "")),
    "suse": (
        {"etc/os-release": 'ID="opensuse-leap"\nVERSION="15.6"\nVERSION_ID="15.6"\n'},
        ("opensuse", "15.6", ""),
    ),
    "alpine": ({"etc/os-release": "ID=alpine\nVERSION_ID=3.20\n"}, ("alpine", "3.20", "")),
    "arch": ({"etc/os-release": "ID=arch\nBUILD_ID=rolling\n"}, ("arch", "", "")),
    "odd": (
        {"etc/os-release": "# ID=a\nID='Some Thing' \nVERSION_ID=\"1\\\"2\"\nrm -rf /\n"},
        ("some_thing", '1"2', ""),
    ),
    "nothing": ({}, ("", "", "")),
}  # fmt: skip


def unpacked(folder: Path, files: dict[str, str]) -> Path:
    (folder / "etc").mkdir(parents=True)
    for name, text in files.items():
        put(folder / name, text)
    return folder


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions(tmp_path: Path, name: str) -> None:
    files, expected = DISTRIBUTIONS[name]
    assert (
        look_at_host(root=str(unpacked(tmp_path / "root", files))).distribution == expected
    )


def test_a_quotation_without_end(tmp_path: Path) -> None:
    root = unpacked(tmp_path / "root", {"etc/os-release": 'ID=debian\nVERSION_ID="12\n'})
    assert look_at_host(root=str(root)).distribution == ("debian", "", "")


def test_the_older_file_is_read_where_there_is_no_other(tmp_path: Path) -> None:
    text = "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=22.04\nDISTRIB_CODENAME=jammy\n"
    root = unpacked(tmp_path / "root", {"etc/lsb-release": text})
    assert look_at_host(root=str(root)).distribution == ("ubuntu", "22.04", "jammy")


@pytest.mark.incumbent
def test_the_package_distro_says_the_same(tmp_path: Path) -> None:
    """It is what slapgrid asks."""
    try:
        python = incumbents.core_environment() / "bin/python"
    except incumbents.Unavailable as error:
        pytest.skip(str(error))
    roots = {
        name: str(unpacked(tmp_path / name, files))
        for name, (files, _) in DISTRIBUTIONS.items()
    }
    code = (
        "import distro, json, sys\n"
        "def told(root):\n"
        "    it = distro.LinuxDistribution(root_dir=root)\n"
        "    return it.id(), it.version(), it.codename()\n"
        "roots = json.load(sys.stdin)\n"
        "print(json.dumps({name: told(root) for name, root in roots.items()}))"
    )
    done = subprocess.run(
        [python, "-c", code],
        input=json.dumps(roots),
        capture_output=True,
        text=True,
        check=True,
    )
    told = {name: tuple(words) for name, words in json.loads(done.stdout).items()}
    assert told == {name: expected for name, (_, expected) in DISTRIBUTIONS.items()}
