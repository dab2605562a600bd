"""What an ELF file says of itself: compiled here, or made for other computers; and what
comes of damaged ones."""

from __future__ import annotations

import mmap
import re
import struct
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from elves import AARCH64, ARM, I386, Made, compiled, library, versions
from hypothesis import given, settings
from hypothesis import strategies as st

from slapos.networkcache.elf import Abi, Elf
from slapos.networkcache.errors import InvalidElf

MAIN = "int main(void) { return 0; }\n"


def parse(path: Path) -> Elf:
    elf = Elf.parse(path.read_bytes())
    assert elf is not None
    return elf


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("elf")


@pytest.fixture(scope="module")
def versioned(folder: Path) -> Path:
    """A library that defines three versions."""
    script = versions(folder / "script", "V_1", "V_2", "V_3")
    code = "void v_1(void) {} void v_2(void) {} void v_3(void) {}"
    return library(folder / "lib/libversioned.so.1", code, script)


@pytest.fixture(scope="module")
def small(folder: Path) -> bytes:
    """A library with a bit of everything that is read."""
    code = 'extern int puts(const char *); int f(void) { return puts(""); }'
    options = ("-Wl,-rpath,/a:/b", "-g", "-march=haswell", "-Wl,-z,x86-64-v2")
    path = library(folder / "libsmall.so", code, *options, "-Wl,-z,max-page-size=64")
    data = path.read_bytes()
    assert parse(path).compiled_for
    return data


# -- what compilers and linkers write


def test_what_is_no_elf_is_none() -> None:
    for data in (b"", b"\x7fEL", b"#!/bin/sh\n", b"\0" * 64):
        assert Elf.parse(data) is None


def test_a_program(folder: Path) -> None:
    elf = parse(compiled(folder / "program", MAIN, "-lm", "-Wl,--no-as-needed", "-lm"))
    assert elf.executable
    assert elf.loadable
    assert elf.interpreter is not None
    assert elf.interpreter.startswith("/lib")
    assert elf.needed == ("libm.so.6", "libc.so.6")
    assert elf.versions_needed.keys() == {"libc.so.6"}
    assert all(v.startswith("GLIBC_") for v in elf.versions_needed["libc.so.6"])
    assert elf.kernel is not None
    assert elf.kernel >= (2, 6)


def test_a_library(versioned: Path) -> None:
    elf = parse(versioned)
    assert not elf.executable
    assert elf.interpreter is None
    assert elf.soname == "libversioned.so.1"
    assert elf.versions_defined == {"V_1", "V_2", "V_3"}


@pytest.mark.parametrize(
    ("option", "rpath", "runpath"),
    [
        ("--disable-new-dtags", ("$ORIGIN/../lib", "/usr/lib"), ()),
        ("--enable-new-dtags", (), ("$ORIGIN/../lib", "/usr/lib")),
    ],
)
def test_rpath_and_runpath(folder: Path, option, rpath, runpath) -> None:
    options = (f"-Wl,{option}", "-Wl,-rpath,$ORIGIN/../lib:/usr/lib")
    elf = parse(compiled(folder / option, MAIN, *options))
    assert (elf.rpath, elf.runpath) == (rpath, runpath)


def test_the_versions_that_are_used(folder: Path, versioned: Path) -> None:
    code = "extern void v_1(void), v_3(void); int main(void) { v_1(); v_3(); return 0; }"
    elf = parse(compiled(folder / "uses", code, versioned))
    assert elf.versions_needed["libversioned.so.1"] == {"V_1", "V_3"}


@pytest.mark.parametrize("option", ["-static", "-static-pie"])
def test_a_static_program_asks_for_a_kernel_only(folder: Path, option: str) -> None:
    elf = parse(compiled(folder / option, MAIN, option))
    assert elf.loadable
    assert (elf.interpreter, elf.needed, elf.versions_needed) == (None, (), {})
    assert elf.kernel is not None


def test_what_nobody_loads(folder: Path, versioned: Path) -> None:
    objects = compiled(folder / "object.o", MAIN, "-c")
    debugging = folder / "debugging"
    subprocess.run(["objcopy", "--only-keep-debug", versioned, debugging], check=True)
    for path in (objects, debugging):
        elf = parse(path)
        assert not elf.loadable
        assert not elf.versions_defined


def test_section_headers_do_not_matter(small: bytes) -> None:
    whole = Elf.parse(small)
    assert whole is not None
    assert whole.compiled_for == {"haswell"}
    gone = small[:40] + b"\0" * 8 + small[48:60] + b"\0" * 4 + small[64:]
    wrong = small[:40] + b"\xff" * 8 + small[48:]
    for data in (gone, wrong):
        assert Elf.parse(data) == replace(whole, compiled_for=frozenset())


@pytest.mark.parametrize("level", [2, 3, 4])
def test_the_level_of_the_processor(folder: Path, level: int) -> None:
    name = f"x86-64-v{level}"
    elf = parse(compiled(folder / name, MAIN, f"-Wl,-z,{name}"))
    assert elf.cpu_level == level


@pytest.mark.parametrize("options", [("-g",), ("-frecord-gcc-switches",), ("-g", "-O3")])
def test_what_the_compiler_was_told(folder: Path, options: tuple[str, ...]) -> None:
    path = folder / "told"
    assert parse(compiled(path, MAIN, *options)).compiled_for == {"x86-64"}
    assert parse(compiled(path, MAIN, *options, "-march=haswell")).compiled_for == {
        "haswell"
    }
    both = ("-march=x86-64-v2", "-mtune=haswell")
    assert parse(compiled(path, MAIN, *options, *both)).compiled_for == {"x86-64-v2"}
    (native,) = parse(compiled(path, MAIN, *options, "-march=native")).compiled_for
    assert native not in ("native", "x86-64")


def test_what_a_program_prints_was_not_told_to_the_compiler(folder: Path) -> None:
    code = 'const char *p = "GNU C17 -march=native"; ' + MAIN
    assert parse(compiled(folder / "prints", code, "-g")).compiled_for == {"x86-64"}


def test_a_map_of_a_file_is_as_good(versioned: Path, small: bytes) -> None:
    for data in (versioned.read_bytes(), small):
        with mmap.mmap(-1, len(data)) as map:
            map.write(data)
            assert Elf.parse(map) == Elf.parse(data)


def test_readelf_reads_the_same() -> None:
    """Of the libraries that this Python has loaded."""
    maps = Path("/proc/self/maps").read_text()
    paths = sorted(set(re.findall(r"(/\S+\.so\S*)$", maps, re.M)))
    assert len(paths) > 5
    for path in paths:
        command = ["readelf", "--wide", "--dynamic", "--version-info", path]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        elf = parse(Path(path))
        assert list(elf.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", told), path
        assert elf.soname == (re.findall(r"\(SONAME\).*\[(.*)\]", told) or [None])[0], path
        defined, _, needed = told.partition("Version needs section")
        wanted = set(re.findall(r"Name: (\S+)  Flags: none", needed))
        assert {v for names in elf.versions_needed.values() for v in names} == wanted, path
        names = re.findall(
            r"Flags: (?:none|WEAK)\s+Index: \d+  Cnt: \d+  Name: (\S+)", defined
        )
        assert elf.versions_defined == set(names), path


# -- other computers

KINDS = [(bits, order) for bits in (32, 64) for order in "<>"]


@pytest.mark.parametrize(("bits", "order"), KINDS)
def test_every_class_and_byte_order(bits: int, order: str) -> None:
    kernel = struct.pack(f"{order}4I", 0, 4, 19, 7)
    made = Made(
        bits=bits,
        order=order,
        interpreter="/lib/ld.so.1",
        soname="libmade.so.2",
        needed=["liba.so", "libb.so"],
        rpath="/a:/b",
        runpath="$ORIGIN",
        versions_needed={
            "liba.so": [("A_1", 0), ("A_2", 2), ("A_3", 0)],
            "libb.so": [("B", 2)],
        },
        versions_defined=["M_1", "M_2"],
        notes=[(1, kernel)],
    )
    elf = Elf.parse(made.bytes)
    assert elf is not None
    assert (elf.abi.bits, elf.abi.byte_order) == (bits, "little" if order == "<" else "big")
    assert elf.interpreter == "/lib/ld.so.1"
    assert elf.soname == "libmade.so.2"
    assert elf.needed == ("liba.so", "libb.so")
    assert (elf.rpath, elf.runpath) == (("/a", "/b"), ("$ORIGIN",))
    assert elf.versions_needed == {"liba.so": {"A_1", "A_3"}}
    assert elf.versions_defined == {"M_1", "M_2"}
    assert elf.kernel == (4, 19, 7)
    other = replace(made, notes=[(1, struct.pack(f"{order}4I", 1, 4, 19, 7))])
    hurd = Elf.parse(other.bytes)
    assert hurd is not None
    assert hurd.kernel is None


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Made(machine=62), "x86_64 (64 bit, little-endian)"),
        (Made(machine=62, bits=32), "x32 (32 bit, little-endian)"),
        (Made(machine=I386, bits=32), "i386 (32 bit, little-endian)"),
        (Made(machine=AARCH64), "aarch64 (64 bit, little-endian)"),
        (Made(machine=21, order="<"), "ppc64le (64 bit, little-endian)"),
        (Made(machine=21, order=">"), "ppc64 (64 bit, big-endian)"),
        (Made(machine=22, order=">"), "s390x (64 bit, big-endian)"),
        (Made(machine=243), "riscv64 (64 bit, little-endian)"),
        (Made(machine=4711), "machine-4711 (64 bit, little-endian)"),
        (Made(machine=ARM, bits=32), "arm (32 bit, little-endian)"),
        (
            Made(machine=ARM, bits=32, flags=0x5000400),
            "arm (32 bit, little-endian, hard-float)",
        ),
        (
            Made(machine=ARM, bits=32, flags=0x5000200),
            "arm (32 bit, little-endian, soft-float)",
        ),
    ],
)
def test_machines(made: Made, text: str) -> None:
    elf = Elf.parse(made.bytes)
    assert elf is not None
    assert str(elf.abi) == text


def test_what_fits() -> None:
    hard, soft, silent = (Abi("arm", 32, "little", f) for f in ("hard", "soft", None))
    assert hard.fits(silent)
    assert silent.fits(soft)
    assert not hard.fits(soft)
    assert not Abi("x86_64", 64, "little").fits(Abi("x32", 32, "little"))


def test_notes_of_others_mean_something_else() -> None:
    made = Made(notes=[(1, struct.pack("<4I", 0, 4, 19, 7))])
    elf = Elf.parse(made.bytes.replace(b"GNU\0", b"Go\0\0"))
    assert elf is not None
    assert elf.kernel is None


def test_the_last_of_a_list_says_so() -> None:
    """The loader goes by that, not by the number."""
    made = Made(versions_needed={"a": [("A", 0)]})
    elf = Elf.parse(made.bytes.replace(made.pack("HH", 1, 1), made.pack("HH", 1, 65535)))
    assert elf is not None
    assert elf.versions_needed == {"a": {"A"}}


# -- damaged ones


def survives(data: bytes) -> None:
    """Whatever else is raised is a failure."""
    with suppress(InvalidElf):
        Elf.parse(data)


def test_a_cut_one_is_refused_where_the_loader_reads_it(small: bytes) -> None:
    for size in range(4, len(small), 23):
        survives(small[:size])
    for size in (4, 15, 17, 63, 64, 100):
        with pytest.raises(InvalidElf):
            Elf.parse(small[:size])


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        (10, 2, "has no end"),
        (5, 0, "loads nothing at address 0x0"),
        (0x6FFFFFFC, 2**31, "loads nothing at address 0x80000000"),
    ],
)
def test_a_dynamic_section_that_leads_nowhere(tag: int, value: int, words: str) -> None:
    made = Made(soname="liba.so", versions_defined=["A"])
    data = made.bytes
    place = data.rindex(made.pack("W", tag)) + 8
    with pytest.raises(InvalidElf, match=words):
        Elf.parse(data[:place] + made.pack("W", value) + data[place + 8 :])


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_wrong_bytes_never_do_harm(small: bytes, data: st.DataObject) -> None:
    wrong = bytearray(small)
    places = st.integers(0, len(small) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=20)):
        wrong[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    survives(bytes(wrong))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_wrong_numbers_in_headers_never_do_harm(data: st.DataObject) -> None:
    made = Made(
        bits=data.draw(st.sampled_from([32, 64])),
        order=data.draw(st.sampled_from("<>")),
        needed=["a"] * 3,
        versions_needed={"a": [("A", 0)] * 3},
        versions_defined=["B"] * 3,
        notes=[(1, b"\0" * 16), (5, b"\1" * 16)],
    )
    wrong = bytearray(made.bytes)
    numbers = st.sampled_from([0, 1, 2**16 - 1, 2**31, 2**32 - 1])
    for _ in range(data.draw(st.integers(1, 6))):
        place = 4 * data.draw(st.integers(4, len(wrong) // 4 - 1))
        wrong[place : place + 4] = made.pack("I", data.draw(numbers))
    survives(bytes(wrong))


def test_more_than_anybody_writes_is_refused() -> None:
    made = Made(soname="a", versions_defined=["A"])
    data = made.bytes
    headers = data[:56] + made.pack("H", 2000) + data[58:]
    with pytest.raises(InvalidElf, match="2000 program headers"):
        Elf.parse(headers)
    with pytest.raises(InvalidElf, match="notes"):
        Elf.parse(Made(notes=[(9, b"")] * 1001).bytes)
    with pytest.raises(InvalidElf, match="versions"):
        Elf.parse(Made(versions_defined=["A"] * 10_001).bytes)
    with pytest.raises(InvalidElf, match="without end"):
        Elf.parse(Made(needed=["a"] * 10_001).bytes)


def test_versions_that_share_their_lists_are_counted_each_time() -> None:
    """Here thousands times thousands in a small file: each list goes on with the next."""
    count = 3000
    made = Made(versions_needed={f"lib{n}": [("A", 0)] for n in range(count)})
    data = bytearray(made.bytes)
    assert Elf.parse(bytes(data))
    start = data.index(made.pack("HH", 1, 1))
    for entry in range(start, start + 32 * (count - 1), 32):
        data[entry + 2 : entry + 4] = made.pack("H", count)
        data[entry + 28 : entry + 32] = made.pack("I", 32)
    with pytest.raises(InvalidElf, match="more versions of symbols"):
        Elf.parse(bytes(data))
