"""What the dynamic loader would load of a tree, without running it: see ``ld.so(8)``.

A library that is in the tree is found there; for all others the host is asked. Folders
of the host come in last, though a file may name them first: another host need not have
them, and one that has them finds the same there.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..elf import Abi, Elf
from ..links import followed

_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?!\w))")
_BROUGHT_BY_MUSL = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.")
"""Names of libraries by which the loader of musl understands itself."""
_LIB = ("lib64", "lib", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu")


class Loadables:
    """The ELF files of a tree by their absolute paths, and its links, as they are at the
    destination. `inside` are the folders of the tree."""

    def __init__(self, inside: Iterable[str]):
        self.elves: dict[str, Elf] = {}
        self.links: dict[str, str] = {}
        self._inside = tuple(f"{normal(folder)}/" for folder in inside)
        self._real_paths: dict[str, str] = {}
        self._folders: list[str] | None = None

    def keep(self, abi: Abi | None) -> None:
        """Forget the files that are not of that ABI."""
        kept = {path: elf for path, elf in self.elves.items() if abi and elf.abi.fits(abi)}
        self.elves = kept

    def has(self, path: str) -> bool:
        """Whether an absolute path leads to somewhere in the tree."""
        return f"{self.real_path(path)}/".startswith(self._inside)

    def real_path(self, path: str) -> str:
        """Where a path leads by the links of the tree; those of the host are unknown."""
        if (found := self._real_paths.get(path)) is None:
            found = followed(path, self.links.get) or normal(path)
            self._real_paths[path] = found
        return found

    def names(self) -> set[str]:
        """By which a program could ask for one of its libraries."""
        links = {path for path in self.links if self.real_path(path) in self.elves}
        files = {posixpath.basename(path) for path in (*self.elves, *links)}
        return files | {elf.soname for elf in self.elves.values() if elf.soname}

    def paths_on_host(self, name: str) -> list[str]:
        """Where on the host the tree leads for a library: by folders that are searched,
        by links."""
        folders = self._folders_on_host()
        links = (link for link in self.links if posixpath.basename(link) == name)
        paths = [f"{folder}/{name}" for folder in folders] if "/" not in name else []
        return [*paths, *(self.real_path(link) for link in links if not self.has(link))]

    def _folders_on_host(self) -> list[str]:
        if self._folders is None:
            found = dict.fromkeys(
                self.real_path(folder)
                for path, elf in self.elves.items()
                for folder in _expanded(path, elf, (*elf.rpath, *elf.runpath))
            )
            self._folders = [folder for folder in found if not self.has(folder)]
        return self._folders


@dataclass(frozen=True)
class Loaded:
    """A file that is loaded, and the one that asked for it."""

    path: str
    elf: Elf
    by: Loaded | None = None


@dataclass
class Process:
    """What was loaded for one file.

    `files` are those of the tree, `host` the libraries of the host: the name asked for,
    and the name or path under which the host has it. `asked` are all names that are not
    in the tree, each with the file that asked first.
    """

    files: list[Loaded] = field(default_factory=list)
    host: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)


def load(path: str, tree: Loadables, on_host: Callable[[str], str | None]) -> Process:
    """Load one file of the tree with all that it needs, breadth first.

    `on_host` says for the name of a library under which name or path the host has it.
    """
    root = tree.elves[path]
    by_musl = posixpath.basename(root.interpreter or "").startswith("ld-musl-")
    process = Process([Loaded(path, root)])
    names = {root.soname}
    for file in process.files:  # which grows
        for name in file.elf.needed:
            if name in names or (by_musl and _BROUGHT_BY_MUSL.match(name)):
                continue
            names.add(name)
            found = _search(name, file, tree)
            if found is None:
                process.asked[name] = file.path
                if (host_name := on_host(name)) is not None:
                    process.host[name] = host_name
            elif all(found != loaded.path for loaded in process.files):
                elf = tree.elves[found]
                names.add(elf.soname)
                process.files.append(Loaded(found, elf, file))
    return process


def _search(name: str, file: Loaded, tree: Loadables) -> str | None:
    """The file of the tree that the loader takes for a name, on behalf of `file`."""
    if "/" in name:
        candidates = _expanded(file.path, file.elf, (name,))
    else:
        candidates = (f"{folder}/{name}" for folder in _folders(file))
    for candidate in candidates:
        real = tree.real_path(candidate)
        if real in tree.elves:
            return real
    return None


def _folders(file: Loaded) -> Iterator[str]:
    """Where is searched on behalf of a file, in this order. RPATH counts for all that is
    loaded further on, unless a file has RUNPATH, which counts for itself only."""
    if file.elf.runpath:
        yield from _expanded(file.path, file.elf, file.elf.runpath)
        return
    asking: Loaded | None = file
    while asking is not None:
        if not asking.elf.runpath:
            yield from _expanded(asking.path, asking.elf, asking.elf.rpath)
        asking = asking.by


def _expanded(path: str, elf: Elf, folders: tuple[str, ...]) -> Iterator[str]:
    """The folders that a file names, absolute ones only: others depend on where somebody
    stands. ``$LIB`` is what it can be on any host."""
    meaning = {"ORIGIN": posixpath.dirname(path), "PLATFORM": elf.abi.machine}
    for folder in folders:
        for lib in _LIB if "LIB" in folder else _LIB[:1]:
            expanded = (
                _substituted(folder, {**meaning, "LIB": lib}) if "$" in folder else folder
            )
            if expanded.startswith("/"):
                yield expanded


def _substituted(folder: str, meaning: Mapping[str, str]) -> str:
    return _TOKEN.sub(lambda match: meaning[match[1] or match[2]], folder)


def normal(path: str) -> str:
    """An absolute path without what changes nothing: a relocated one has many slashes."""
    return posixpath.normpath("/" + path.lstrip("/"))
