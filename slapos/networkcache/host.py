"""The only module that looks at this computer: what runs on it, and where it says so.

A `Host` is plain values, so that `binary.compatibility` judges without looking. Any
other system that is unpacked in a folder can be looked at as well: `root` is that
folder, and links in it are followed as they would be from inside.

Libraries are searched as the dynamic loader does it: the folders of ``ld.so.conf``, then
those that it trusts. No program is started.
"""

from __future__ import annotations

import glob
import mmap
import os
import re
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from .elf import Abi, Elf
from .links import followed

Distribution = tuple[str, str, str]
"""Its id, version and code name, as the package ``distro`` gives them."""

_CONFIGURATION_LIMIT = 100
"""Files that are read of ``ld.so.conf`` and what it includes."""

_TRIPLETS = {
    # What `gcc -dumpmachine` prints on Debian.
    "i386": "i686-linux-gnu",
    "arm": "arm-linux-gnueabi",
    "ppc64": "powerpc64-linux-gnu",
    "ppc64le": "powerpc64le-linux-gnu",
    "ppc": "powerpc-linux-gnu",
    "mips64el": "mips64el-linux-gnuabi64",
    "x32": "x86_64-linux-gnux32",
}
_FOLDERS_OF_DEBIAN = {"i386": "i386-linux-gnu"}
"""Where the folder of libraries has another name than the triplet."""
_TRUSTED = ("lib64", "usr/lib64", "lib", "usr/lib")
_WITNESSES = (
    "bin/sh",
    "usr/bin/env",
    "lib*/ld-*.so*",
    "lib/*/ld-*.so*",
    "usr/lib*/ld-*.so*",
)
"""Programs and loaders that show what the programs of a system are."""

_LEVELS = (
    # The flags of /proc/cpuinfo that make each level of x86-64 above the first.
    {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
    {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
    {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
)
_VERSION_OF_PYTHON = re.compile(r"python3\.(\d+)([a-z]{0,2})\Z")


@dataclass(frozen=True)
class Host:
    """What one computer has. Make one with `look_at_host`.

    `abi` is that of its programs, `kernel` the version of its Linux, `cpu_level` the
    level of x86-64 (0 on another machine) and `cpu_flags` what ``/proc/cpuinfo`` lists.
    `libraries` are those that were looked for and are here, with the versions that each
    one defines; `interpreters` likewise, `pythons` with their ABI ("cpython-311").
    `multiarch` is what ``gcc -dumpmachine`` would print.
    """

    abi: Abi
    kernel: tuple[int, ...]
    cpu_level: int
    cpu_flags: frozenset[str]
    libraries: Mapping[str, frozenset[str]]
    interpreters: frozenset[str]
    pythons: Mapping[str, str]
    multiarch: str
    distribution: Distribution


def look_at_host(
    libraries: Iterable[str] = (),
    interpreters: Iterable[str] = (),
    pythons: Iterable[str] = (),
    *,
    abi: Abi | None = None,
    root: str = "/",
) -> Host:
    """This computer, or the system in the folder `root` on the kernel of this one.

    `libraries` are names as programs ask for them, or absolute paths; `interpreters`
    and `pythons` are absolute paths. Libraries of another `abi` than that of the
    system's programs are found where it is given.
    """
    system = _System(root)
    own = system.abi()
    flags = _cpu_flags()
    search = _Search(system, abi or own)
    found = {name: search.versions(name) for name in libraries}
    asked = {path: system.python_abi(path) for path in pythons}
    return Host(
        abi=own,
        kernel=_kernel(),
        cpu_level=_cpu_level(flags) if own.machine == "x86_64" else 0,
        cpu_flags=flags,
        libraries={
            name: versions for name, versions in found.items() if versions is not None
        },
        interpreters=frozenset(filter(system.is_file, interpreters)),
        pythons={path: python for path, python in asked.items() if python is not None},
        multiarch=_triplet(own),
        distribution=system.distribution(),
    )


class _System:
    """The files of a system below a folder."""

    def __init__(self, root: str):
        self.root = os.path.abspath(root)

    def real_path(self, path: str) -> str | None:
        """Where the bytes of `path` are outside, however its links go inside."""
        inside = followed(path, self._target)
        return None if inside is None else self.root.rstrip("/") + inside

    def _target(self, path: str) -> str | None:
        try:
            return os.readlink(self.root.rstrip("/") + path)
        except OSError:
            return None  # no link, or not there: what comes of it shows at the end

    def is_file(self, path: str) -> bool:
        real = self.real_path(path)
        return real is not None and os.path.isfile(real)

    def text(self, path: str) -> str | None:
        """What stands in a small file; None where it cannot be read."""
        real = self.real_path(path)
        try:
            if real is not None and stat.S_ISREG(os.stat(real).st_mode):
                with open(real, encoding="utf-8", errors="surrogateescape") as file:
                    return file.read(1 << 20)
        except OSError:
            pass
        return None

    def elf(self, path: str) -> Elf | None:
        """The ELF file of that path; None where there is none that can be read."""
        real = self.real_path(path)
        try:
            if real is None or not os.path.isfile(real):
                return None
            with (
                open(real, "rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            ):
                return Elf.parse(data)
        except (OSError, ValueError):  # an empty file, or a damaged one
            return None

    def matching(self, pattern: str) -> list[str]:
        """The paths that match a pattern of the shell, sorted; links lead as inside."""
        folder, _, name = pattern.lstrip("/").rpartition("/")
        folders = [f"/{folder}"] if not glob.has_magic(folder) else self.matching(folder)
        found = []
        for inner in folders:
            real = self.real_path(inner)
            names = glob.glob(name, root_dir=real) if real and os.path.isdir(real) else []
            found += [f"{inner.rstrip('/')}/{name}" for name in sorted(names)]
        return found

    def abi(self) -> Abi:
        """That of its programs."""
        for path in chain.from_iterable(map(self.matching, _WITNESSES)):
            elf = self.elf(path)
            if elf is not None:
                return elf.abi
        return Abi(os.uname().machine, sys.maxsize.bit_length() + 1, sys.byteorder)

    def python_abi(self, path: str) -> str | None:
        """As its extension modules are named: by the name of the file that it really is.
        Nothing is started: the path may be another computer's wish."""
        real = self.real_path(path)
        if real is None or not os.access(real, os.X_OK) or not os.path.isfile(real):
            return None
        match = _VERSION_OF_PYTHON.match(os.path.basename(real))
        return f"cpython-3{match[1]}{match[2]}" if match else None

    def distribution(self) -> Distribution:
        """By the rules of the package ``distro``, which `slapos.core` asks."""
        release = _variables(
            self.text("/etc/os-release") or self.text("/usr/lib/os-release")
        )
        lsb = _variables(self.text("/etc/lsb-release"))
        id = (release.get("id") or lsb.get("distrib_id", "")).lower().replace(" ", "_")
        id = {"ol": "oracle", "opensuse-leap": "opensuse"}.get(id, id)
        version = release.get("version_id") or lsb.get("distrib_release", "")
        if not version and "debian" in (id, *release.get("id_like", "").split()):
            first_line, _, _ = (self.text("/etc/debian_version") or "").partition("\n")
            version = first_line.rstrip()
        codename = _codename(release)
        return (
            id,
            version,
            lsb.get("distrib_codename", "") if codename is None else codename,
        )


class _Search:
    """Libraries of one ABI, where the loader looks."""

    def __init__(self, system: _System, abi: Abi):
        self.system = system
        self.abi = abi
        self._folders: list[str] | None = None

    def versions(self, name: str) -> frozenset[str] | None:
        """Those that a library defines; None where it is not here."""
        if name.startswith("/"):
            paths = [name]
        elif "/" in name:
            return None  # the loader would begin where somebody stands
        else:
            paths = [f"{folder}/{name}" for folder in self.folders()]
        for path in paths:
            elf = self.system.elf(path)
            if elf is not None and elf.loadable and elf.abi.fits(self.abi):
                return elf.versions_defined
        return None

    def folders(self) -> list[str]:
        if self._folders is None:
            triplet = _triplet(self.abi)
            own = _FOLDERS_OF_DEBIAN.get(self.abi.machine, triplet)
            found = [*self._configured("/etc/ld.so.conf", [])]
            found += [f"/lib/{own}", f"/usr/lib/{own}", *(f"/{name}" for name in _TRUSTED)]
            self._folders = list(dict.fromkeys(found))
        return self._folders

    def _configured(self, path: str, seen: list[str]) -> Iterator[str]:
        if path in seen or len(seen) >= _CONFIGURATION_LIMIT:
            return
        seen.append(path)
        for line in (self.system.text(path) or "").splitlines():
            words = line.partition("#")[0].replace(",", " ").replace(":", " ").split()
            if words[:1] == ["include"]:
                for pattern in words[1:]:
                    pattern = os.path.join(os.path.dirname(path), pattern)
                    for included in self.system.matching(pattern):
                        yield from self._configured(included, seen)
            else:
                yield from (word for word in words if word.startswith("/"))


# -- the processor and the kernel


def _kernel() -> tuple[int, ...]:
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", os.uname().release)
    return tuple(int(number or 0) for number in match.groups()) if match else ()


def _cpu_flags() -> frozenset[str]:
    """Of the first processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features", "features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def _cpu_level(flags: frozenset[str]) -> int:
    level = 1
    for needed in _LEVELS:
        if not needed <= flags:
            break
        level += 1
    return level


def _triplet(abi: Abi) -> str:
    if abi.machine == "arm" and abi.float_abi == "hard":
        return "arm-linux-gnueabihf"
    return _TRIPLETS.get(abi.machine, f"{abi.machine}-linux-gnu")


# -- what a distribution says of itself


def _variables(text: str | None) -> dict[str, str]:
    """The assignments of a file that a shell could read, by their names in lower case."""
    lexer = shlex.shlex(text or "", posix=True)
    lexer.whitespace_split = True
    found = {}
    try:
        for token in lexer:
            name, equals, value = token.partition("=")
            if equals:
                found[name.lower()] = value
    except ValueError:
        pass  # a quotation without end: what came before it counts
    return found


def _codename(release: Mapping[str, str]) -> str | None:
    """None where the file does not say; it may also say that there is none."""
    for name in ("version_codename", "ubuntu_codename"):
        if name in release:
            return release[name]
    match = re.search(r"\((\D+)\)|,\s*(\D+)", release.get("version", ""))
    return (match[1] or match[2]) if match else None
