"""What an ELF file asks of the computer it runs on, and what it offers to others.

Only what the kernel and the dynamic loader read counts: program headers, the dynamic
section, notes. Section headers may be stripped, cut or wrong; they are read for one
thing, the words of the compiler. See ``elf(5)``, the generic ABI of System V, and for
the versions of symbols the Linux Standard Base.

A file may come from anywhere: whatever is in it, `Elf.parse` ends soon, with an `Elf`,
None or `InvalidElf`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from .errors import InvalidElf

if TYPE_CHECKING:
    import mmap

    Data = bytes | mmap.mmap

MAGIC = b"\x7fELF"

_EXECUTABLE, _SHARED, _X86_64 = 2, 3, 62
_LOAD, _DYNAMIC, _INTERPRETER, _NOTE = 1, 2, 3, 4
_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29
_VERNEED, _VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_VERDEF, _VERDEFNUM = 0x6FFFFFFC, 0x6FFFFFFD
_BASE, _WEAK = 1, 2  # flags of a version
_ABI_TAG, _LINUX, _PROPERTIES, _X86_ISA_NEEDED = 1, 0, 5, 0xC0008002
_NOBITS, _COMPRESSED = 8, 0x800

# Far beyond what linkers write; a kernel takes no more than 64 KiB of program headers.
_SEGMENT_LIMIT = 1170
_NOTE_LIMIT = 1000
_DYNAMIC_LIMIT = 10_000
_VERSION_LIMIT = 10_000
_PRODUCER_LIMIT = 100_000
_PROPERTIES_LIMIT = 4096
_TEXT_LIMIT = 4096
_PATH_LIMIT = 1 << 16

_PRODUCERS = {
    # Each begins where a text does and goes on to its end: linear, whatever is there.
    ".debug_str": re.compile(rb"GNU [A-Z][^\0]*"),
    ".GCC.command.line": re.compile(rb"[^\0]+"),
}
_CPU_OPTION = re.compile(rb"(?<![^ ])-m(?:arch|cpu)=([^ ]{1,100})")

_MACHINES = {
    2: "sparc", 3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm",
    43: "sparc64", 62: "x86_64", 183: "aarch64", 243: "riscv64", 258: "loongarch64",
}  # fmt: skip
_OTHER_NAMES = {
    # Machines whose name depends on the class or on the byte order too.
    ("x86_64", 32, "little"): "x32",
    ("ppc64", 64, "little"): "ppc64le",
    ("s390x", 32, "big"): "s390",
    ("riscv64", 32, "little"): "riscv32",
    ("mips", 32, "little"): "mipsel",
    ("mips", 64, "big"): "mips64",
    ("mips", 64, "little"): "mips64el",
    ("aarch64", 64, "big"): "aarch64_be",
    ("arm", 32, "big"): "armeb",
}
_ARM_FLOATS = {0x200: "soft", 0x400: "hard"}


@dataclass(frozen=True)
class Abi:
    """What two files have in common where one can load the other.

    `machine` as ``uname -m`` names it ("i386" for all of that family), `bits` 32 or 64,
    `byte_order` "little" or "big", `float_abi` "hard" or "soft" on arm where the file
    says it.
    """

    machine: str
    bits: int
    byte_order: str
    float_abi: str | None = None

    def fits(self, other: Abi) -> bool:
        """Whether files of both can be in one process, as far as they say."""
        return (self.machine, self.bits, self.byte_order) == (
            other.machine,
            other.bits,
            other.byte_order,
        ) and (
            None in (self.float_abi, other.float_abi) or self.float_abi == other.float_abi
        )

    def __str__(self) -> str:
        float_abi = f", {self.float_abi}-float" if self.float_abi else ""
        return f"{self.machine} ({self.bits} bit, {self.byte_order}-endian{float_abi})"


@dataclass(frozen=True)
class Elf:
    """One ELF file. Make one with `Elf.parse`.

    `loadable` tells it from what only a linker or a debugger reads; the rest is empty
    where it is not. `executable` means that it is never loaded by another.
    `interpreter` is the loader that a program names, `needed` the libraries in their
    order. `rpath` and `runpath` are folders as they are written, with their
    ``$ORIGIN``. `versions_needed` are those of each library's symbols, weak ones left
    out; `versions_defined` what it offers itself. `kernel` is the oldest Linux,
    `cpu_level` the level of x86-64 (2 for x86-64-v2; 0 where it says none),
    `compiled_for` what the compiler was told by ``-march`` or ``-mcpu``.
    """

    abi: Abi
    loadable: bool = True
    executable: bool = False
    interpreter: str | None = None
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    versions_needed: Mapping[str, frozenset[str]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    versions_defined: frozenset[str] = frozenset()
    kernel: tuple[int, int, int] | None = None
    cpu_level: int = 0
    compiled_for: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, data: Data) -> Elf | None:
        """Read a file; None where it is none of ELF. Raises `InvalidElf` for one that is
        cut or damaged where the loader reads it."""
        if data[:4] != MAGIC:
            return None
        return _File(data).elf()


class _Segment(NamedTuple):
    """A program header: `address` in memory, `offset` and `size` in the file."""

    type: int
    offset: int
    address: int
    size: int
    alignment: int


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int


class _File:
    """The bytes of an ELF file, read by its own class and byte order."""

    def __init__(self, data: Data):
        self.data = data
        if len(data) < 16 or data[4] not in (1, 2) or data[5] not in (1, 2):
            raise InvalidElf("an ELF file without a class or a byte order")
        self.bits = 32 * data[4]
        self.order = "<" if data[5] == 1 else ">"
        self.word = "I" if self.bits == 32 else "Q"
        header = self.read(f"HHI{3 * self.word}IHHHHHH", 16)
        self.type, self.machine, _version, _entry, self.segments_at = header[:5]
        self.sections_at, self.flags, _size = header[5:8]
        self.segment_size, self.segment_count = header[8:10]
        self.section_size, self.section_count, self.names_index = header[10:]

    def elf(self) -> Elf:
        abi = self.abi()
        sections = self.sections()
        dynamic_section = sections.get(".dynamic")
        # What was split off for a debugger has the headers of a program, without bytes.
        if self.type not in (_EXECUTABLE, _SHARED) or (
            dynamic_section and dynamic_section.type == _NOBITS
        ):
            return Elf(abi, loadable=False)
        segments = self.segments()
        interpreter = self.interpreter(segments)
        kernel, cpu_level = self.notes(segments)
        dynamic = _Dynamic(self, segments)
        return Elf(
            abi,
            executable=self.type == _EXECUTABLE or interpreter is not None,
            interpreter=interpreter,
            soname=dynamic.soname(),
            needed=dynamic.needed(),
            rpath=dynamic.folders(_RPATH),
            runpath=dynamic.folders(_RUNPATH),
            versions_needed=MappingProxyType(dynamic.versions_needed()),
            versions_defined=dynamic.versions_defined(),
            kernel=kernel,
            cpu_level=cpu_level if self.machine == _X86_64 else 0,
            compiled_for=self.compiled_for(sections),
        )

    # -- bytes

    def read(self, format: str, offset: int) -> tuple[int, ...]:
        """Numbers, as `struct` names them."""
        try:
            return struct.unpack_from(self.order + format, self.data, offset)
        except (struct.error, OverflowError):
            raise InvalidElf(f"an ELF file that ends before byte {offset}") from None

    def text(self, offset: int, end: int, limit: int = _TEXT_LIMIT) -> str:
        """What stands from `offset` to a NUL before `end`."""
        end = min(end, offset + limit, len(self.data))
        stop = self.data.find(b"\0", offset, end) if 0 <= offset < end else -1
        if stop < 0:
            raise InvalidElf(f"an ELF file whose text at byte {offset} has no end")
        return self.data[offset:stop].decode("utf-8", "surrogateescape")

    # -- headers

    def abi(self) -> Abi:
        byte_order = "little" if self.order == "<" else "big"
        machine = _MACHINES.get(self.machine, f"machine-{self.machine}")
        name = _OTHER_NAMES.get((machine, self.bits, byte_order), machine)
        float_abi = _ARM_FLOATS.get(self.flags & 0x600) if machine == "arm" else None
        return Abi(name, self.bits, byte_order, float_abi)

    def segments(self) -> list[_Segment]:
        if self.segment_count > _SEGMENT_LIMIT:
            raise InvalidElf(f"an ELF file with {self.segment_count} program headers")
        return [
            self.segment(self.segments_at + index * self.segment_size)
            for index in range(self.segment_count)
        ]

    def segment(self, at: int) -> _Segment:
        if self.bits == 32:
            type, offset, address, _, size, _, _, alignment = self.read("8I", at)
        else:
            type, _, offset, address, _, size, _, alignment = self.read("II6Q", at)
        return _Segment(type, offset, address, size, alignment)

    def sections(self) -> dict[str, _Section]:
        """The first section of each name; none where their table is missing or cut."""
        found: dict[str, _Section] = {}
        try:
            names = self.section(self.names_index) if self.section_count else None
            for index in range(self.section_count if names else 0):
                section = self.section(index)
                if names:
                    at, end = names.offset + section.name, names.offset + names.size
                    found.setdefault(self.text(at, end), section)
        except InvalidElf:
            return {}
        return found

    def section(self, index: int) -> _Section:
        at = self.sections_at + index * self.section_size
        return _Section(*self.read(f"II{4 * self.word}", at))

    # -- what they lead to

    def interpreter(self, segments: list[_Segment]) -> str | None:
        for segment in segments:
            if segment.type == _INTERPRETER:
                return self.text(segment.offset, segment.offset + segment.size)
        return None

    def notes(self, segments: list[_Segment]) -> tuple[tuple[int, int, int] | None, int]:
        """The oldest kernel, and the level of x86-64."""
        kernel, cpu_level = None, 0
        for type, at, size in self.notes_of_gnu(segments):
            if type == _ABI_TAG and size >= 16:
                system, *version = self.read("4I", at)
                if system == _LINUX:
                    kernel = (version[0], version[1], version[2])
            elif type == _PROPERTIES and size <= _PROPERTIES_LIMIT:
                cpu_level = max(cpu_level, self.cpu_level(at, at + size))
        return kernel, cpu_level

    def notes_of_gnu(self, segments: list[_Segment]) -> Iterator[tuple[int, int, int]]:
        """Type, offset and size of each."""
        count = 0
        for segment in segments:
            if segment.type != _NOTE:
                continue
            at, end = segment.offset, segment.offset + segment.size
            alignment = 8 if segment.alignment == 8 else 4
            while at + 12 <= end:
                count += 1
                if count > _NOTE_LIMIT:
                    raise InvalidElf("an ELF file with more notes than anybody reads")
                name_size, size, type = self.read("3I", at)
                content = _aligned(at + 12 + name_size, alignment)
                if name_size == 4 and self.data[at + 12 : at + 16] == b"GNU\0":
                    yield type, content, size
                at = _aligned(content + size, alignment)

    def cpu_level(self, at: int, end: int) -> int:
        """The level of x86-64 among the properties of a program."""
        level = 0
        while at + 8 <= end:
            type, size = self.read("II", at)
            if type == _X86_ISA_NEEDED and size == 4:
                (levels,) = self.read("I", at + 8)
                level = max(level, (levels & 0xF).bit_length())
            at = _aligned(at + 8 + size, self.bits // 8)
        return level

    def compiled_for(self, sections: Mapping[str, _Section]) -> frozenset[str]:
        found = set()
        for name, pattern in _PRODUCERS.items():
            section = sections.get(name)
            if section is None or section.type == _NOBITS or section.flags & _COMPRESSED:
                continue
            end = min(section.offset + section.size, len(self.data))
            producers = pattern.finditer(self.data, min(section.offset, end), end)
            for producer in islice(producers, _PRODUCER_LIMIT):
                if option := _CPU_OPTION.search(producer[0]):
                    found.add(option[1])
        return frozenset(name.decode("ascii", "backslashreplace") for name in found)


class _Dynamic:
    """The dynamic section; nothing for a static program."""

    def __init__(self, file: _File, segments: list[_Segment]):
        self.file = file
        self.loaded = [segment for segment in segments if segment.type == _LOAD]
        self.values: dict[int, list[int]] = {}
        self.steps = 0
        for segment in segments:
            if segment.type == _DYNAMIC:
                self._collect(segment)
                break

    def _collect(self, segment: _Segment) -> None:
        step = self.file.bits // 4
        for index in range(segment.size // step):
            tag, value = self.file.read(2 * self.file.word, segment.offset + index * step)
            if tag == 0:
                break
            if index > _DYNAMIC_LIMIT:
                raise InvalidElf("an ELF file with a dynamic section without end")
            self.values.setdefault(tag, []).append(value)

    def needed(self) -> tuple[str, ...]:
        return tuple(self._text(offset) for offset in self.values.get(_NEEDED, ()))

    def soname(self) -> str | None:
        offset = self._value(_SONAME)
        return None if offset is None else self._text(offset)

    def folders(self, tag: int) -> tuple[str, ...]:
        offset = self._value(tag)
        if offset is None:
            return ()
        return tuple(filter(None, self._text(offset, _PATH_LIMIT).split(":")))

    def versions_needed(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for entry in self._entries(_VERNEED, _VERNEEDNUM, next_at=12):
            _, count, library, first = self.file.read("HHII", entry)
            names = set()
            for version in self._chain(entry + first, count, next_at=12):
                _, flags, _, name = self.file.read("IHHI", version)
                if not flags & _WEAK:
                    names.add(self._text(name))
            key = self._text(library)
            found[key] = found.get(key, frozenset()) | names
        return {library: names for library, names in found.items() if names}

    def versions_defined(self) -> frozenset[str]:
        names = set()
        for entry in self._entries(_VERDEF, _VERDEFNUM, next_at=16):
            _, flags, _, count, _, first = self.file.read("HHHHII", entry)
            if count and not flags & _BASE:  # the base names the library itself
                (name,) = self.file.read("I", entry + first)
                names.add(self._text(name))
        return frozenset(names)

    def _entries(self, table: int, number: int, next_at: int) -> Iterator[int]:
        """The offsets of the entries of one of the two tables of versions."""
        address, count = self._value(table), self._value(number)
        if address is not None and count:
            yield from self._chain(self._offset(address), count, next_at)

    def _chain(self, at: int, count: int, next_at: int) -> Iterator[int]:
        """Offsets where each entry says how far away the next one is."""
        for _ in range(count):
            self.steps += 1
            if self.steps > _VERSION_LIMIT:
                raise InvalidElf("an ELF file with more versions of symbols than exist")
            yield at
            (distance,) = self.file.read("I", at + next_at)
            if distance == 0:
                return
            at += distance

    def _value(self, tag: int) -> int | None:
        values = self.values.get(tag)
        return values[-1] if values else None

    def _text(self, offset: int, limit: int = _TEXT_LIMIT) -> str:
        address, size = self._value(_STRTAB), self._value(_STRSZ)
        if address is None or size is None:
            raise InvalidElf("an ELF file whose dynamic section has no table of texts")
        table = self._offset(address)
        return self.file.text(table + offset, table + size, limit)

    def _offset(self, address: int) -> int:
        """Where in the file is what will be at an address in memory."""
        for segment in self.loaded:
            if segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        raise InvalidElf(f"an ELF file that loads nothing at address {address:#x}")


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
