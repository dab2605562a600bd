"""The tree that is unpacked: which members of it are refused, and where the others go.

The rules are kept here, for every format.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ..errors import InvalidArchive
from ..links import Name, leaves
from ..printable import readable

_GIB = 1 << 30
_PATH_LIMIT = 4096
"""Bytes of a path, its end included, in system calls."""
_DEPTH = 200
"""Folders in each other, at most: what removes a tree later goes down by recursion."""


@dataclass(frozen=True)
class Bounds:
    """How much may come out of an archive: bytes in all its files, as `size`, and
    `members`."""

    size: int = 64 * _GIB
    members: int = 1_000_000


class MemberSink(Protocol):
    """Takes the members of an archive, as they come."""

    def folder(self, name: str) -> None: ...

    def file(
        self,
        name: str,
        size: int,
        mode: int,
        pieces: Iterable[bytes],
        modified: float | None = None,
    ) -> None: ...

    def hard_link(self, name: str, target: str) -> None: ...

    def link(self, name: str, target: str) -> None: ...


class _Kind(Enum):
    FOLDER = "a folder"
    FILE = "a file"
    HARD_LINK = "a hard link"
    LINK = "a symbolic link"


class Tree:
    """What was unpacked so far, under `root`, which is made here.

    One that is `ordered` refuses a folder that is named twice, or not before what is in
    it. With `absolute_links` these are left to its user, see `links`.
    """

    def __init__(
        self,
        root: str,
        bounds: Bounds,
        *,
        ordered: bool = False,
        absolute_links: bool = False,
    ):
        self.root = root
        self._bounds = bounds
        self._ordered = ordered
        self._absolute_links = absolute_links
        self._kinds: dict[Name, _Kind] = {(): _Kind.FOLDER}
        self._links: dict[Name, str] = {}
        self._members = 0
        self._size = 0
        os.mkdir(root)

    def folder(self, name: str) -> None:
        """Make a folder with the mode of any new one, unless it is there already."""
        parts = self._parts(name)
        if self._ordered or self._kinds.get(parts) is not _Kind.FOLDER:
            os.mkdir(self._new(parts, name, _Kind.FOLDER))

    def file(
        self,
        name: str,
        size: int,
        mode: int,
        pieces: Iterable[bytes],
        modified: float | None = None,
    ) -> None:
        """Write a file of `size` bytes; `mode` as the archive gives it, `modified` in
        POSIX seconds."""
        if mode & (stat.S_ISUID | stat.S_ISGID):
            raise refused(name, "runs as somebody else (setuid or setgid)")
        self._size += size
        if self._size > self._bounds.size:
            raise InvalidArchive(
                f"there are more than {self._bounds.size} bytes in it, the limit"
            )
        path = self._new(self._parts(name), name, _Kind.FILE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(path, flags, _tidy(mode)), "wb") as file:
            for piece in pieces:
                file.write(piece)
            if file.tell() != size:
                raise refused(name, f"has {file.tell()} bytes, and {size} were announced")
        if modified is not None:
            _set_time(path, name, modified)

    def hard_link(self, name: str, target: str) -> None:
        """Make another name of an earlier file."""
        earlier = _parse(target)
        if self._kinds.get(earlier) is not _Kind.FILE:
            raise refused(name, f"is a hard link to {readable(target)}, no earlier file")
        new = self._new(self._parts(name), name, _Kind.HARD_LINK)
        os.link(self.path(earlier), new)

    def link(self, name: str, target: str) -> None:
        """Remember a symbolic link; see `make_links`."""
        absolute = target.startswith("/") and not self._absolute_links
        if not target or absolute or "\0" in target:
            raise link_out(name, target)
        if len(os.fsencode(target)) >= _PATH_LIMIT:
            raise refused(name, "is a link to what is no path: it is too long")
        parts = self._parts(name)
        self._new(parts, name, _Kind.LINK)
        self._links[parts] = target

    def _parts(self, name: str) -> Name:
        """The parts of the name of a member, in a folder that is there now."""
        parts = _parse(name)
        self._count()
        for depth in range(1, len(parts)):
            above = parts[:depth]
            kind = self._kinds.get(above)
            if kind is None:
                if self._ordered:
                    raise refused(name, "is in a folder that was not named before")
                self._count()
                os.mkdir(self._new(above, name, _Kind.FOLDER))
            elif kind is not _Kind.FOLDER:
                raise refused(name, f"is below {kind.value}")
        return parts

    def _new(self, parts: Name, name: str, kind: _Kind) -> str:
        """Where a member is to be made, which must be the first of its name."""
        if parts in self._kinds:
            raise refused(name, "is there twice")
        self._kinds[parts] = kind
        return self.path(parts)

    def _count(self) -> None:
        """A folder counts as often as it is named, or there might be no end of it."""
        self._members += 1
        if self._members > self._bounds.members:
            raise InvalidArchive(
                f"there are more than {self._bounds.members} members in it, the limit"
            )

    def path(self, parts: Name) -> str:
        """Where a member is."""
        return os.path.join(self.root, *parts)

    # -- when all is known

    def top(self, strip: bool | None) -> Name:
        """The folder that is to become the destination."""
        if strip is False:
            return ()
        at_top = [parts for parts in self._kinds if len(parts) == 1]
        if len(at_top) == 1 and self._kinds[at_top[0]] is _Kind.FOLDER:
            return at_top[0]
        if strip:
            raise InvalidArchive("its top is not a single folder, which could be stripped")
        return ()

    @property
    def links(self) -> Mapping[Name, str]:
        """The symbolic links so far, and what each says."""
        return self._links

    def is_file(self, parts: Name) -> bool:
        """Whether a member is a file, and not another name of one."""
        return self._kinds.get(parts) is _Kind.FILE

    def make_links(self, top: Name) -> None:
        """Make the symbolic links, none of which leads out of `top`."""
        for parts, target in self._links.items():
            if leaves(parts, self._links, top):
                raise link_out("/".join(parts), target)
        for parts, target in self._links.items():
            os.symlink(target, self.path(parts))


def refused(name: str, why: str) -> InvalidArchive:
    """The error of an archive in which the member `name` is what it must not be."""
    return InvalidArchive(f"{readable(name)} in it {why}")


def link_out(name: str, target: str) -> InvalidArchive:
    """The same of a symbolic link."""
    return refused(name, f"is a link out of the folder, to {readable(target)}")


def _parse(name: str) -> Name:
    """The parts of a name below the folder that is unpacked to."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if not name or name.startswith("/") or "\0" in name or ".." in parts:
        raise InvalidArchive(f"a name in it leaves the folder: {readable(name)}")
    if len(parts) > _DEPTH:
        raise InvalidArchive(f"there are more than {_DEPTH} folders in each other in it")
    return parts


def _tidy(mode: int) -> int:
    """What its owner may do, the others at most read and run; the umask takes more."""
    mode &= 0o755
    return (mode if mode & 0o100 else mode & ~0o111) | 0o600


def _set_time(path: str, name: str, seconds: float) -> None:
    try:
        nanoseconds = int(seconds * 1_000_000_000)
        os.utime(path, ns=(nanoseconds, nanoseconds))
    except (OverflowError, ValueError, OSError):
        raise refused(name, f"was changed at an impossible time, {seconds}") from None
