"""Unpacking of archives that nobody vouches for: all of it, or nothing of it.

An archive is refused as a whole where a member is something else than a folder, a file
or a link; where its name is absolute, has ``..`` in it, was there already, or stands below
what is not a folder; where a hard link leads to anything but an earlier file, or a
symbolic one out of the folder; where a file has holes, or runs as somebody else; and
where there is more in it than is expected.

Everything is made in a folder that only its owner may enter, beside the destination:
folders, files and hard links as they come, symbolic links at the end, when all is known.
So nothing is ever written through a link of the archive. Then one rename puts it into its
place.
"""

from __future__ import annotations

import errno
import lzma
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import IO

from .decompression import Readable, decompressed, is_zip
from .digest import pieces_of
from .errors import InvalidArchive
from .printable import readable

GIB = 1 << 30
_DEPTH = 200
"""Folders in each other, at most: what removes a tree later goes down by recursion."""
_HEADERS = 1 << 20
"""Bytes between the data of two members, at most: headers are kept in memory."""
_PADDING = 1 << 24
"""Bytes after the last member, at most: tapes had large blocks."""
_HOPS = 40
"""Links that a system follows in one path, at most."""

Name = tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """How much may come out of an archive: bytes in all its files, as `size`, and
    `members`."""

    size: int = 64 * GIB
    members: int = 1_000_000


def unpack(
    archive: str,
    destination: str,
    *,
    strip_top: bool | None = False,
    limits: Limits | None = None,
) -> None:
    """Unpack the file `archive` as the folder `destination`, which may be there if it is
    empty; the folder that it is in must be there.

    `strip_top` unpacks what is in the only folder at the top instead; with None only
    where there is such a folder. Raises `InvalidArchive`, and `OSError` where it cannot
    be written; then nothing of it is there.
    """
    parent = os.path.dirname(os.path.abspath(destination))
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=parent) as private:
        # In a folder of its own, whose mode is that of any new folder.
        tree = _Tree(os.path.join(private, "tree"), limits or Limits())
        with open(archive, "rb") as file, _as_invalid():
            (_unpack_zip if is_zip(file) else _unpack_tar)(file, tree)
            top = tree.top(strip_top)
            tree.make_links(top)
        os.rename(os.path.join(tree.root, *top), destination)


@contextmanager
def _as_invalid() -> Iterator[None]:
    """What the readers of archives raise for one that is damaged."""
    try:
        yield
    except InvalidArchive:
        raise
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        IndexError,
        NotImplementedError,
        OverflowError,
        RecursionError,
        ValueError,
        struct.error,
    ) as error:
        raise InvalidArchive(f"it is damaged: {readable(error)}") from None
    except OSError as error:
        # Without a number it is gzip or bz2 that says so; zip seeks before the beginning.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise InvalidArchive(f"it is damaged: {readable(error)}") from None


class _Kind(Enum):
    IMPLIED = "an implied folder"
    FOLDER = "a folder"
    FILE = "a file"
    HARD_LINK = "a hard link"
    LINK = "a symbolic link"


_FOLDERS = (_Kind.IMPLIED, _Kind.FOLDER)


class _Tree:
    """What was unpacked so far, under `root`; the rules are kept here, for every format."""

    def __init__(self, root: str, limits: Limits):
        self.root = root
        self._limits = limits
        self._kinds: dict[Name, _Kind] = {}
        self._links: dict[Name, str] = {}
        self._size = 0
        os.mkdir(root)

    def folder(self, name: str, mode: int) -> None:
        """Make a folder; `mode` as the archive gives it."""
        _check_mode(name, mode)
        parts = self._new(name, _Kind.FOLDER)
        if parts and not os.path.isdir(self._path(parts)):
            os.mkdir(self._path(parts))

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
        _check_mode(name, mode)
        self._size += size
        if self._size > self._limits.size:
            raise InvalidArchive(
                f"there are more than {self._limits.size} bytes in it, the limit"
            )
        path = self._path(self._new(name, _Kind.FILE))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(path, flags, _tidy(mode)), "wb") as file:
            for piece in pieces:
                file.write(piece)
            if file.tell() != size:
                raise _refused(name, f"has {file.tell()} bytes, and {size} were announced")
        if modified is not None:
            _set_time(path, name, modified)

    def hard_link(self, name: str, target: str) -> None:
        """Make another name of an earlier file."""
        parts = _parse(target)
        if self._kinds.get(parts) is not _Kind.FILE:
            raise _refused(name, f"is a hard link to {readable(target)}, no earlier file")
        os.link(self._path(parts), self._path(self._new(name, _Kind.HARD_LINK)))

    def link(self, name: str, target: str) -> None:
        """Remember a symbolic link; see `make_links`."""
        if not target or target.startswith("/") or "\0" in target:
            raise _refused(name, f"is a link out of the folder, to {readable(target)}")
        self._links[self._new(name, _Kind.LINK)] = target

    def _new(self, name: str, kind: _Kind) -> Name:
        """The parts of a name that may be made now, in a folder that is there."""
        parts = _parse(name)
        if not parts and kind is _Kind.FOLDER:
            return parts
        for depth in range(1, len(parts)):
            self._imply(parts[:depth], name)
        known = self._kinds.get(parts)
        if not parts or (known and (known, kind) != (_Kind.IMPLIED, _Kind.FOLDER)):
            raise _refused(name, "is there twice")
        self._count()
        self._kinds[parts] = kind
        return parts

    def _imply(self, parts: Name, name: str) -> None:
        known = self._kinds.get(parts)
        if known is None:
            self._count()
            os.mkdir(self._path(parts))
            self._kinds[parts] = _Kind.IMPLIED
        elif known not in _FOLDERS:
            raise _refused(name, f"is below {known.value}")

    def _count(self) -> None:
        if len(self._kinds) >= self._limits.members:
            raise InvalidArchive(
                f"there are more than {self._limits.members} members in it, the limit"
            )

    def _path(self, parts: Name) -> str:
        return os.path.join(self.root, *parts)

    # -- when all is known

    def top(self, strip: bool | None) -> Name:
        """The folder that is to become the destination."""
        if strip is False:
            return ()
        at_top = [parts for parts in self._kinds if len(parts) == 1]
        if len(at_top) == 1 and self._kinds[at_top[0]] in _FOLDERS:
            return at_top[0]
        if strip:
            raise InvalidArchive("its top is not a single folder, which could be stripped")
        return ()

    def make_links(self, top: Name) -> None:
        """Make the symbolic links, none of which leads out of `top`."""
        for parts, target in self._links.items():
            if self._leaves(parts, top):
                raise _refused(
                    "/".join(parts), f"is a link out of the folder, to {readable(target)}"
                )
        for parts, target in self._links.items():
            os.symlink(target, self._path(parts))

    def _leaves(self, link: Name, top: Name) -> bool:
        """Follow a link as the system would, through the other ones; what is not there
        counts as a folder, since it may become one."""
        place = list(link[:-1])
        ahead = self._links[link].split("/")[::-1]
        hops = 1
        while ahead:
            step = ahead.pop()
            if step in ("", "."):
                continue
            if step == "..":
                if len(place) <= len(top):
                    return True
                place.pop()
                continue
            place.append(step)
            target = self._links.get(tuple(place))
            if target is not None:
                place.pop()
                ahead += target.split("/")[::-1]
                hops += 1
                if hops > _HOPS:  # a loop leads nowhere, but not all programs know
                    return ".." in ahead
        return False


def _parse(name: str) -> Name:
    """The parts of a name below the folder that is unpacked to."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if not name or name.startswith("/") or "\0" in name or ".." in parts:
        raise InvalidArchive(f"a name in it leaves the folder: {readable(name)}")
    if len(parts) > _DEPTH:
        raise InvalidArchive(f"there are more than {_DEPTH} folders in each other in it")
    return parts


def _refused(name: str, why: str) -> InvalidArchive:
    return InvalidArchive(f"{readable(name)} in it {why}")


def _check_mode(name: str, mode: int) -> None:
    if mode & (stat.S_ISUID | stat.S_ISGID):
        raise _refused(name, "runs as somebody else (setuid or setgid)")


def _tidy(mode: int) -> int:
    """What its owner may do, the others at most read and run; the umask takes more."""
    mode &= 0o755
    return (mode if mode & 0o100 else mode & ~0o111) | 0o600


def _set_time(path: str, name: str, seconds: float) -> None:
    try:
        nanoseconds = int(seconds * 1_000_000_000)
        os.utime(path, ns=(nanoseconds, nanoseconds))
    except (OverflowError, ValueError, OSError):
        raise _refused(name, f"was changed at an impossible time, {seconds}") from None


# -- tar


class _Metered:
    """A stream of which no more is read than was allowed: what is decompressed may be
    far more than the file."""

    def __init__(self, file: Readable):
        self._file = file
        self._left = 0

    def allow(self, size: int) -> None:
        """Let `size` bytes more be read, and `_HEADERS`; not what was left of earlier."""
        self._left = size + _HEADERS

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InvalidArchive("it is damaged: there is no end of its headers")
        return data


class _Member(tarfile.TarInfo):
    """A member of a tar, at which reading also stops where it is damaged: `tarfile` would
    take that for the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Member:
        try:
            member = super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise InvalidArchive(f"it is no archive, or damaged: {error}") from None
        if member.size < 0:
            raise InvalidArchive("it is damaged: a member has a negative size")
        return member


def _unpack_tar(file: IO[bytes], tree: _Tree) -> None:
    with decompressed(file) as stream:
        metered = _Metered(stream)
        metered.allow(0)
        with tarfile.open(
            fileobj=metered,  # type: ignore[call-overload]
            mode="r|",
            tarinfo=_Member,
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            for member in tar:
                metered.allow(member.size)
                _take_member(tar, member, tree)
                metered.allow(0)
        # Whether what was compressed is right is told by its very end.
        metered.allow(_PADDING)
        while metered.read(1 << 16):
            pass


def _take_member(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: _Tree) -> None:
    name = member.name
    if member.issparse() or any(key.startswith("GNU.sparse") for key in member.pax_headers):
        raise _refused(name, "has holes (a sparse file)")
    if member.isreg():
        data = tar.extractfile(member)
        assert data is not None
        tree.file(name, member.size, member.mode, pieces_of(data), member.mtime)
    elif member.isdir():
        tree.folder(name, member.mode)
    elif member.islnk():
        tree.hard_link(name, member.linkname)
    elif member.issym():
        tree.link(name, member.linkname)
    else:
        raise _refused(name, f"is no file, folder or link (type {member.type!r})")


# -- zip

_UNIX = 3
_ENCRYPTED = 1
_TARGET_LIMIT = 4096
"""Bytes of the target of a link."""


def _unpack_zip(file: IO[bytes], tree: _Tree) -> None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            _take_zipped(archive, member, tree)


def _take_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo, tree: _Tree) -> None:
    name = member.filename
    if member.flag_bits & _ENCRYPTED:
        raise _refused(name, "is encrypted")
    mode = member.external_attr >> 16 if member.create_system == _UNIX else 0
    kind = stat.S_IFMT(mode)
    if name.endswith("/") and kind in (0, stat.S_IFDIR):
        tree.folder(name, mode)
    elif kind in (0, stat.S_IFREG) and not name.endswith("/"):
        with archive.open(member) as data:
            tree.file(name, member.file_size, mode or 0o644, pieces_of(data))
    elif kind == stat.S_IFLNK and member.file_size <= _TARGET_LIMIT:
        with archive.open(member) as data:
            tree.link(name, os.fsdecode(data.read(_TARGET_LIMIT + 1)))
    else:
        raise _refused(name, f"is no file, folder or link (type {kind:o})")
