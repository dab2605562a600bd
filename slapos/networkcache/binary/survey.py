"""What the files of a tree need of a computer, and how they fare on the one where it was
built.

How a library is found
    Each program is loaded as the dynamic loader does it (`loading`): what it reaches is
    found with the RPATH of all that led there, and what is loaded already is not searched
    again. So a library that has its own libraries through its program asks nothing of
    the host.
    What no program reaches, a plug-in or an extension module, may be opened by anybody:
    it is loaded by itself. A library that its own paths do not find is taken from the
    host if the host has it; then it is needed everywhere, though the program may bring
    another one: the files do not tell. If the host does not have it but the tree does,
    the program must be bringing it.

What is no requirement
    What this computer lacks itself, for the tree was built here and works without: a
    library, some versions of its symbols, a loader. It is `Requirements.unresolved`, so
    that nobody finds the tree broken elsewhere. Files for another machine than this
    computer's programs, which some eggs bring along, are left out.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from ..elf import MAGIC, Abi, Elf
from ..errors import InvalidElf
from ..host import Host
from .compatibility import Look
from .loading import Loadables, Process, load, normal
from .prefixes import Data
from .requirements import ANY_PYTHON, Requirements, is_cpython

_LIBC_FAMILY = re.compile(
    # What every system with that libc has: all of one package, and libgcc_s, which libc
    # itself loads to end a thread. Not libstdc++, libgomp or libcrypt: they are packages
    # of their own, and a system without a compiler may well lack them.
    r"(ld-linux.*|ld64|ld-musl-.*|libc\.musl-.*|lib(c|m|mvec|dl|rt|pthread|util|resolv|anl"
    r"|thread_db|nss_[a-z]+|BrokenLocale|gcc_s))\.so(\.\d+)*\Z"
)
_SHEBANG = re.compile(rb"#![ \t]*(/[^ \t\r\n\0]{1,4096})")
_LONG_SHEBANG = re.compile(rb"#![ \t]*/bin/sh *\n'''exec' \"?(/[^ \"\r\n\0]{1,4096})")
"""What pip writes where the first line would be too long."""
_EVERYWHERE = ("/bin/sh", "/usr/bin/sh", "/bin/env", "/usr/bin/env")
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*[a-z]{0,2}\Z")
_PYTHON_OF_TREE = re.compile(r"(?:lib)?python3\.(\d+)([a-z]{0,2})(?:\.so[.0-9]*)?\Z")
_EXTENSION_MODULE = re.compile(r"\.(?:((?:cpython|pypy\d+)-[a-z0-9]+)-[^/]*|(abi3))\.so\Z")
_LEVEL = re.compile(r"x86-64(?:-v([1-4]))?\Z")
_ANY_PROCESSOR = {
    # What compilers are told for all processors of a machine, beside levels of x86-64.
    "i386": {"i386", "i486", "i586", "i686", "pentium", "pentiumpro"},
    "aarch64": {"armv8-a"},
    "arm": {"armv5te", "armv6", "armv6+fp", "armv7-a", "armv7-a+fp"},
    "ppc64le": {"power8", "powerpc64le"},
    "s390x": {"z196"},
    "riscv64": {"rv64gc", "rv64imafdc", "rv64imafdc_zicsr_zifencei"},
}
_INSTRUCTIONS = frozenset(
    {
        # Of the flags of an x86 in /proc/cpuinfo, those that compilers make use of.
        *("mmx", "sse", "sse2", "pni", "ssse3", "sse4_1", "sse4_2", "sse4a", "popcnt"),
        *("avx", "avx2", "fma", "fma4", "xop", "f16c", "bmi1", "bmi2", "abm", "tbm"),
        *("movbe", "cx16", "lahf_lm", "xsave", "adx", "rdrand", "rdseed", "aes", "vaes"),
        *("pclmulqdq", "vpclmulqdq", "gfni", "sha_ni", "sha512", "sm3", "sm4"),
        *("avx_vnni", "avx_ifma", "avx_vnni_int8", "avx_vnni_int16", "avx_ne_convert"),
        *("avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl", "avx512ifma"),
        *("avx512vbmi", "avx512_vbmi2", "avx512_vnni", "avx512_bitalg", "avx512_bf16"),
        *("avx512_vpopcntdq", "avx512_vp2intersect", "avx512_fp16", "avx512er"),
        *("avx512pf", "avx512_4vnniw", "avx512_4fmaps", "amx_tile", "amx_int8", "amx_bf16"),
    }
)
Files = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Surveyed:
    """What the files of a tree say, and how they fare on the computer that was looked at.

    `accidental` are libraries of the host that do not come with every one, `programs`
    those of the host that scripts name in their first line, each with the files that use
    it. `missing` are pairs of a file and what it needs that neither the tree nor
    the host has; `damaged` are ELF files that cannot be read.
    """

    requirements: Requirements
    accidental: Files
    programs: Files
    missing: tuple[tuple[str, str], ...]
    damaged: tuple[str, ...]


class Survey:
    """The files of one tree, one after the other, then what they need together.

    `inside` are the absolute folders of the tree, as they are at the destination: that
    of the release, those of its shared parts.
    """

    def __init__(self, inside: Iterable[str]):
        self._tree = Loadables(inside)
        self._scripts: dict[str, list[str]] = {}
        self._damaged: list[str] = []

    def add(self, path: str, data: Data) -> None:
        """A regular file, by its absolute path; what is neither ELF nor a script costs
        next to nothing."""
        start = data[:4]
        if start == MAGIC:
            try:
                elf = Elf.parse(data)
            except InvalidElf:
                self._damaged.append(path)
                return
            if elf is not None and elf.loadable:
                self._tree.elves[normal(path)] = elf
        elif start[:2] == b"#!":
            match = _LONG_SHEBANG.match(data) or _SHEBANG.match(data)
            if match:
                program = match[1].decode("utf-8", "surrogateescape")
                self._scripts.setdefault(program, []).append(path)

    def add_link(self, path: str, target: str) -> None:
        """A symbolic link, by its absolute path, and what stands in it."""
        self._tree.links[normal(path)] = target

    def finish(self, look: Look) -> Surveyed:
        """What the tree needs; `look` says what this computer has."""
        tree = self._tree
        abi = _common_abi(tree.elves.values(), look().abi)
        tree.keep(abi)
        scripts = self._scripts_of_host()
        modules = _extension_modules(tree)
        pythons = [path for path in scripts if _PYTHON.match(posixpath.basename(path))]
        loaders = {elf.interpreter for elf in tree.elves.values() if elf.interpreter}
        loaders = {path for path in loaders if not tree.has(path)}
        host = look(
            {name for elf in tree.elves.values() for name in elf.needed},
            [*loaders, *scripts],
            pythons if modules else (),
            abi=abi,
        )
        needs = _Needs(tree, host, _elsewhere(tree, host, look, abi))
        processor = _processor(tree.elves.values(), host)
        requirements = Requirements(
            abi=abi,
            kernel=_kernel(tree.elves.values(), host),
            cpu_level=processor.level,
            compiled_for=processor.compiled_for,
            cpu_flags=processor.flags,
            interpreters=tuple(sorted(loaders & host.interpreters)),
            libraries=needs.libraries(),
            pythons=_pythons(host, modules),
            unresolved=tuple(sorted(needs.unresolved)),
        )
        return Surveyed(
            requirements=requirements,
            accidental=_files(needs.accidental()),
            programs=_files({p: scripts[p] for p in scripts if p in host.interpreters}),
            missing=tuple(sorted(needs.missing)),
            damaged=tuple(sorted(self._damaged)),
        )

    def _scripts_of_host(self) -> dict[str, list[str]]:
        """The scripts by the program outside the tree that runs them, be it over a link
        of the tree."""
        found: dict[str, list[str]] = {}
        for program, scripts in self._scripts.items():
            path = self._tree.real_path(program)
            if path not in _EVERYWHERE and not self._tree.has(path):
                found.setdefault(path, []).extend(scripts)
        return found


class _Needs:
    """What comes of loading all there is in a tree.

    `elsewhere` are libraries that the host's own programs would not find, by name: the
    path of each, and its versions.
    """

    def __init__(
        self,
        tree: Loadables,
        host: Host,
        elsewhere: Mapping[str, tuple[str, frozenset[str]]],
    ):
        self._tree = tree
        self._names = tree.names()
        self._paths = {name: path for name, (path, _) in elsewhere.items()}
        self._defined = {**host.libraries, **dict(elsewhere.values())}
        self._versions: dict[str, set[str]] = {}
        self._users: dict[str, list[str]] = {}
        self.missing: set[tuple[str, str]] = set()
        self.unresolved: set[str] = set()
        self._load_all(host.interpreters)

    def libraries(self) -> Files:
        return MappingProxyType(
            {name: tuple(sorted(self._versions[name])) for name in sorted(self._versions)}
        )

    def accidental(self) -> dict[str, list[str]]:
        return {
            name: self._users[name]
            for name in sorted(self._users)
            if not _LIBC_FAMILY.match(posixpath.basename(name))
        }

    def _load_all(self, loaders: frozenset[str]) -> None:
        reached = set()
        for path, elf in sorted(self._tree.elves.items()):
            if not elf.executable:
                continue
            reached.add(path)
            loader = elf.interpreter
            process = load(path, self._tree, self._on_host)
            if loader and loader not in loaders and not self._tree.has(loader):
                # It cannot run here: where it can, it may lack whatever it asks for.
                self.missing.add((path, loader))
                self.unresolved.update(process.asked)
            else:
                self._take(process)
                self._miss(process, known=set())
                reached |= {file.path for file in process.files}
        for path in sorted(self._tree.elves.keys() - reached):
            process = load(path, self._tree, self._on_host)
            self._take(process)
            self._miss(process, known=self._names)
        self.unresolved |= {what for _, what in self.missing}

    def _take(self, process: Process) -> None:
        """What is taken from the host."""
        for name, here in process.host.items():
            self._versions.setdefault(here, set())
            self._users.setdefault(here, []).append(process.asked[name])
        for file in process.files:
            for name, versions in file.elf.versions_needed.items():
                if name in process.host:
                    defined = self._defined[process.host[name]]
                    self._versions[process.host[name]] |= versions & defined
                    lacking = versions - defined
                    self.missing |= {(file.path, f"{name}({v})") for v in lacking}

    def _miss(self, process: Process, known: set[str]) -> None:
        """What nobody has, but for the names of libraries that others may bring."""
        for name, asking in process.asked.items():
            if name not in process.host and name not in known:
                self.missing.add((asking, name))

    def _on_host(self, name: str) -> str | None:
        return name if name in self._defined else self._paths.get(name)


def _elsewhere(
    tree: Loadables, host: Host, look: Look, abi: Abi | None
) -> dict[str, tuple[str, frozenset[str]]]:
    """The libraries that are found only where the tree leads: the path and the versions of
    each."""
    names = {name for elf in tree.elves.values() for name in elf.needed}
    paths = {name: tree.paths_on_host(name) for name in sorted(names - {*host.libraries})}
    wanted = {path for found in paths.values() for path in found}
    there = look(wanted, abi=abi).libraries if wanted else {}
    return {
        name: (path, there[path])
        for name, found in paths.items()
        for path in reversed(found)  # of several, the first
        if path in there
    }


def _common_abi(elves: Iterable[Elf], own: Abi) -> Abi | None:
    """That of this computer where any file has it, else the most frequent one; of those
    that fit each other the one that says more."""
    count = Counter(elf.abi for elf in elves)
    return max(
        count,
        key=lambda abi: (abi.fits(own), abi.float_abi is not None, count[abi], str(abi)),
        default=None,
    )


def _kernel(elves: Iterable[Elf], host: Host) -> tuple[int, ...]:
    kernels = {elf.kernel for elf in elves if elf.kernel is not None}
    return max((kernel for kernel in kernels if kernel <= host.kernel), default=())


class _Processor(NamedTuple):
    level: int
    compiled_for: tuple[str, ...]
    flags: tuple[str, ...]


def _processor(elves: Iterable[Elf], host: Host) -> _Processor:
    levels, named = {0}, set()
    for elf in elves:
        levels.add(elf.cpu_level)
        for name in elf.compiled_for:
            if match := _LEVEL.match(name):
                levels.add(int(match[1] or 1))
            elif name not in _ANY_PROCESSOR.get(elf.abi.machine, ()):
                named.add(name)
    level = max(level for level in levels if level <= host.cpu_level)
    flags = host.cpu_flags
    if host.abi.machine in ("x86_64", "i386"):
        flags &= _INSTRUCTIONS
    return _Processor(level, tuple(sorted(named)), tuple(sorted(flags)) if named else ())


def _extension_modules(tree: Loadables) -> set[str]:
    """The ABIs of Python that modules of the tree are for and none of its Pythons has."""
    names = [posixpath.basename(path) for path in tree.elves]
    wanted = {
        match[1] or match[2] for match in map(_EXTENSION_MODULE.search, names) if match
    }
    brought = {
        f"cpython-3{match[1]}{match[2]}"
        for match in map(_PYTHON_OF_TREE.match, names)
        if match
    }
    return wanted - brought - ({ANY_PYTHON} if brought else set())


def _pythons(host: Host, modules: set[str]) -> Mapping[str, str]:
    """The Pythons of the host that load extension modules of the tree."""
    found = {}
    for path, abi in sorted(host.pythons.items()):
        if abi in modules:
            found[path] = abi
        elif ANY_PYTHON in modules and is_cpython(abi):
            found[path] = ANY_PYTHON
    return MappingProxyType(found)


def _files(files: Mapping[str, Iterable[str]]) -> Files:
    return MappingProxyType(
        {name: tuple(sorted(set(paths))) for name, paths in files.items()}
    )
