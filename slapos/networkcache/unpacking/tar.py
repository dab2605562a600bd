"""Tar, as it is or compressed."""

from __future__ import annotations

import tarfile
from typing import IO

from ..digest import pieces_of
from ..errors import InvalidArchive
from .decompression import Readable, decompressed
from .tree import MemberSink, refused

_HEADERS = 1 << 20
"""Bytes between the data of two members, at most, besides those that are read ahead:
headers are kept in memory."""
_BUFFER = 1 << 18
"""Bytes read at a time."""
_PADDING = 1 << 24
"""Bytes after the last member, at most: tapes had large blocks."""


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


def unpack_tar(file: IO[bytes], sink: MemberSink) -> None:
    """Put all members of the tar `file`, which may be compressed, into `sink`."""
    with decompressed(file) as stream:
        read_tar(stream, sink)


def read_tar(stream: Readable, sink: MemberSink) -> None:
    """Put all members of a tar into `sink`, and read it to its very end, never back."""
    metered = _Metered(stream)
    metered.allow(0)
    with tarfile.open(
        fileobj=metered,  # type: ignore[call-overload]
        mode="r|",
        bufsize=_BUFFER,
        tarinfo=_Member,
        encoding="utf-8",
        errors="surrogateescape",
    ) as tar:
        for member in tar:
            metered.allow(member.size)
            _take_member(tar, member, sink)
            metered.allow(0)
            tar.members.clear()  # it would keep them all
    # Whether what was compressed is right is told by its very end.
    metered.allow(_PADDING)
    while metered.read(1 << 16):
        pass


def _take_member(tar: tarfile.TarFile, member: tarfile.TarInfo, sink: MemberSink) -> None:
    name = member.name
    if member.issparse() or any(key.startswith("GNU.sparse") for key in member.pax_headers):
        raise refused(name, "has holes (a sparse file)")
    if member.isreg():
        data = tar.extractfile(member)
        assert data is not None
        sink.file(name, member.size, member.mode, pieces_of(data), member.mtime)
    elif member.isdir():
        sink.folder(name)
    elif member.islnk():
        sink.hard_link(name, member.linkname)
    elif member.issym():
        sink.link(name, member.linkname)
    else:
        raise refused(name, f"is no file, folder or link (type {member.type!r})")
