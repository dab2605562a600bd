"""ELF files for the tests: compiled here, or made byte by byte for computers that are not
here, and for what no linker writes."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ADDRESS = 0x10000
"""Where the made ones are in memory."""
NOTE, LOAD, DYNAMIC, INTERPRETER = 4, 1, 2, 3
X86_64, I386, ARM, AARCH64 = 62, 3, 40, 183


def compiled(path: Path, source: str, *options: str | Path, compiler: str = "cc") -> Path:
    """Compile a program in C; ``-shared`` makes a library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = path.with_name(f"{path.name}.c")
    code.write_text(source)
    command = [compiler, "-o", path, code, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code.unlink()
    return path


def library(path: Path, source: str, *options: str | Path) -> Path:
    """The same for a library that is asked for by the name of its file."""
    return compiled(path, source, "-shared", "-fPIC", f"-Wl,-soname,{path.name}", *options)


def versions(path: Path, *names: str) -> str:
    """Write the version script of a library that defines the function ``V_1`` with the
    version V_1, and so on; the option for the linker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name} {{ global: {name.lower()}; }};\n" for name in names))
    return f"-Wl,--version-script,{path}"


@dataclass(frozen=True)
class Made:
    """An ELF file made byte by byte; `bytes` are its bytes.

    `versions_needed` are pairs of a name and its flags, for each library; `notes` are
    type and content of those of GNU.
    """

    bits: int = 64
    order: str = "<"
    machine: int = X86_64
    type: int = 3
    flags: int = 0
    interpreter: str | None = None
    soname: str | None = None
    needed: Sequence[str] = ()
    rpath: str | None = None
    runpath: str | None = None
    versions_needed: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    versions_defined: Sequence[str] = ()
    notes: Sequence[tuple[int, bytes]] = ()

    @property
    def bytes(self) -> bytes:
        texts = _Texts()
        tags = [(1, texts.at(name)) for name in self.needed]
        tags += [
            (tag, texts.at(text))
            for tag, text in ((14, self.soname), (15, self.rpath), (29, self.runpath))
            if text is not None
        ]
        needed, defined = self._needed(texts), self._defined(texts)
        interpreter = (self.interpreter or "").encode() + b"\0"
        notes = b"".join(self._note(type, content) for type, content in self.notes)
        start = self._header_size + 4 * self._segment_size
        places = {}
        body = b""
        for name, piece in (
            ("texts", texts.bytes),
            ("needed", needed),
            ("defined", defined),
            ("interpreter", interpreter),
            ("notes", notes),
        ):
            body += b"\0" * (-len(body) % 8)
            places[name] = start + len(body)
            body += piece
        tags += [(5, ADDRESS + places["texts"]), (10, len(texts.bytes))]
        if self.versions_needed:
            tags += [(0x6FFFFFFE, ADDRESS + places["needed"])]
            tags += [(0x6FFFFFFF, len(self.versions_needed))]
        if self.versions_defined:
            tags += [(0x6FFFFFFC, ADDRESS + places["defined"])]
            tags += [(0x6FFFFFFD, 1 + len(self.versions_defined))]
        dynamic = b"".join(self.pack("WW", *tag) for tag in (*tags, (0, 0)))
        body += b"\0" * (-len(body) % 8)
        segments = [
            (LOAD, 0, start + len(body) + len(dynamic)),
            (DYNAMIC, start + len(body), len(dynamic)),
            (
                INTERPRETER if self.interpreter else 0,
                places["interpreter"],
                len(interpreter),
            ),
            (NOTE, places["notes"], len(notes)),
        ]
        return b"".join([self._header(), *map(self._segment, segments), body, dynamic])

    def pack(self, format: str, *values: int) -> bytes:
        """As `struct` does; W is a word of this class."""
        word = "I" if self.bits == 32 else "Q"
        return struct.pack(self.order + format.replace("W", word), *values)

    @property
    def _header_size(self) -> int:
        return 52 if self.bits == 32 else 64

    @property
    def _segment_size(self) -> int:
        return 32 if self.bits == 32 else 56

    def _header(self) -> bytes:
        ident = bytes([self.bits // 32, 1 if self.order == "<" else 2, 1])
        sizes = (self._header_size, self._segment_size, 4, 0, 0, 0)
        places = (0, self._header_size, 0)
        return (
            b"\x7fELF"
            + ident.ljust(12, b"\0")
            + self.pack("HHI", self.type, self.machine, 1)
        ) + self.pack("WWWIHHHHHH", *places, self.flags, *sizes)

    def _segment(self, segment: tuple[int, int, int]) -> bytes:
        type, offset, size = segment
        place = (offset, ADDRESS + offset, 0, size, size)
        if self.bits == 32:
            return self.pack("8I", type, *place, 0, 4)
        return self.pack("II6Q", type, 0, *place, 4)

    def _needed(self, texts: _Texts) -> bytes:
        entries = []
        for library, names in self.versions_needed.items():
            versions = [
                self.pack("IHHII", 0, flags, 2, texts.at(name), 16) for name, flags in names
            ]
            versions[-1] = versions[-1][:12] + self.pack("I", 0)
            size = 16 + 16 * len(versions)
            head = self.pack("HHIII", 1, len(versions), texts.at(library), 16, size)
            entries.append(head + b"".join(versions))
        return b"".join(entries)

    def _defined(self, texts: _Texts) -> bytes:
        names = [self.soname or "base", *self.versions_defined]
        return b"".join(
            self.pack("HHHHIII", 1, number == 1, number, 1, 0, 20, 28)
            + self.pack("II", texts.at(name), 0)
            for number, name in enumerate(names, 1)
        )

    def _note(self, type: int, content: bytes) -> bytes:
        return self.pack("III", 4, len(content), type) + b"GNU\0" + content


class _Texts:
    """A table of texts."""

    def __init__(self) -> None:
        self.bytes = b"\0"

    def at(self, text: str) -> int:
        place = len(self.bytes)
        self.bytes += text.encode() + b"\0"
        return place
