"""Shared parts: parts of many releases, each in a folder of its own below a folder that a
node has for them, under its name and a hash of its options."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import NamedTuple

from ..links import Name
from .installed import is_of_the_node, is_release
from .prefixes import Data, without_filling
from .walking import content, entries, is_program

SHARED = "shared"
"""The folder in an archive below which shared parts are, by the number of their folder on
the node that built them: ``shared/0/NAME/HASH``."""
DEPTH = 4
"""Names on the way to a shared part in an archive."""

_NAME = r"(?!\.{1,2}/)[A-Za-z0-9._+@-]+"
_MEMBER = re.compile(rf"{SHARED}/(0|[1-9]\d{{0,2}})/({_NAME})/([0-9a-f]{{32}})\Z")
_NAMED = re.compile(rf"/({_NAME})/([0-9a-f]{{32}})(?![A-Za-z0-9._+@-])".encode())
_NAMED_LIMIT = 512
"""Bytes that are looked at for the name and the hash of a shared part."""


class SharedPart(NamedTuple):
    """A shared part by the `number` of the folder that it was built in."""

    number: int
    name: str
    hash: str

    @classmethod
    def parse(cls, member: str) -> SharedPart | None:
        """The one whose top folder in an archive is `member`; None where there is none."""
        match = _MEMBER.match(member)
        return cls(int(match[1]), match[2], match[3]) if match else None

    @classmethod
    def named(cls, number: int, text: Data, end: int) -> SharedPart | None:
        """The one that is named in `text`, where the name of its folder ends at `end`."""
        match = _NAMED.match(text, end, end + _NAMED_LIMIT)
        return cls(number, match[1].decode(), match[2].decode()) if match else None

    @property
    def top(self) -> Name:
        """Its top folder in an archive."""
        return SHARED, str(self.number), self.name, self.hash

    @property
    def member(self) -> str:
        """The same in one piece."""
        return "/".join(self.top)

    def path(self, folder: str) -> str:
        """Where it is below a folder of shared parts."""
        return os.path.join(folder, self.name, self.hash)


def top_of(name: Name) -> Name:
    """The top folder of the tree that a member belongs to."""
    return name[:DEPTH] if name[0] == SHARED else name[:1]


class TreeDigest:
    """The digest of a shared part: of what is in it, sorted, and as it was built.

    Bytecode beside its source does not count: running Python adds it. Nor do times, and of
    modes only whether a file is a program, since a shared part is made read-only.
    """

    def __init__(self) -> None:
        self._hash = sha256()

    def add_folder(self, name: str) -> None:
        self._add("folder", name, b"")

    def add_link(self, name: str, target: str) -> None:
        if target.startswith("/"):
            target = without_filling(target)
        self._add("link", name, os.fsencode(target))

    def add_file(self, name: str, data: Data | bytearray, status: os.stat_result) -> None:
        self._add("program" if is_program(status) else "file", name, data)

    def _add(self, kind: str, name: str, data: Data | bytearray) -> None:
        if "__pycache__" in name.split("/"):
            return
        head = f"{kind} {len(data)} {name}\0"
        self._hash.update(head.encode("utf-8", "surrogateescape"))
        self._hash.update(data)

    def hex(self) -> str:
        return self._hash.hexdigest()


def digest_of(
    path: str,
    link_as_built: Callable[[str, str], str],
    file_as_built: Callable[[str, Data], Data | bytearray],
) -> str:
    """The digest of the shared part that is at `path`.

    Two functions give, for a member by its name, what a link said and what was in a file
    when it was built; the other names of a hard link go by the first.
    """
    digest = TreeDigest()
    first: dict[tuple[int, int], str] = {}
    for name, entry in _walk(path, ""):
        if entry.is_symlink():
            digest.add_link(name, link_as_built(name, os.readlink(entry.path)))
        elif entry.is_dir():
            digest.add_folder(name)
        elif entry.is_file():
            with content(entry.path) as (data, status):
                built = first.setdefault((status.st_dev, status.st_ino), name)
                digest.add_file(name, file_as_built(built, data), status)
    return digest.hex()


def _walk(folder: str, below: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    found = entries(folder)
    is_home = is_release({entry.name for entry in found})
    for entry in found:
        name = f"{below}{entry.name}"
        if is_of_the_node(entry.name, is_home=is_home):  # in no archive, so not counted
            continue
        yield name, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{name}/")
