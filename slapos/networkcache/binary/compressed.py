"""Names of folders inside what is compressed, or has checksums of its own: nothing can take
their place there."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

from ..errors import InvalidArchive
from ..unpacking import as_invalid
from ..unpacking.decompression import decompressed, is_compressed
from .prefixes import Data, occurrences

_LIMIT = 16 << 20
"""Bytes that are decompressed of a file, at most: this is to warn, not to prove."""
_COMMENT_LIMIT = 22 + (1 << 16)
"""Bytes from the beginning of the end of a zip, with its comment."""
_ZIP_BEGINS, _ZIP_ENDS = b"PK\3\4", b"PK\5\6"


def changeable_end(data: Data) -> int:
    """Where a zip archive begins in a file, be it after a script that runs it: its members
    have checksums, and cannot be changed. The size of a file without one."""
    if not _may_be_zip(data):
        return len(data)
    try:
        with as_invalid(), zipfile.ZipFile(_stream(data)) as archive:
            return min((m.header_offset for m in archive.infolist()), default=len(data))
    except InvalidArchive:
        return len(data)


def _may_be_zip(data: Data) -> bool:
    """Of a script, the end may have a comment."""
    if data[:2] == b"#!":
        return data.rfind(_ZIP_ENDS, max(0, len(data) - _COMMENT_LIMIT)) >= 0
    return data[:4] == _ZIP_BEGINS or data[-22:-18] == _ZIP_ENDS


def hides(data: Data, prefixes: Sequence[str]) -> bool:
    """Whether one of `prefixes` stands in the first 16 MiB of what `data` holds
    compressed, or in a zip archive. What cannot be read hides nothing."""
    if changeable_end(data) < len(data):
        insides = _in_zip(data)
    elif is_compressed(data[:6]):
        insides = _in_stream(data)
    else:
        return False
    try:
        with as_invalid():
            return any(
                next(occurrences(inside, prefix), None) is not None
                for inside in insides
                for prefix in prefixes
            )
    except (InvalidArchive, RuntimeError):  # the latter for what is encrypted
        return False


def _in_stream(data: Data) -> Iterator[bytes]:
    with decompressed(_stream(data)) as stream:
        yield stream.read(_LIMIT)


def _in_zip(data: Data) -> Iterator[bytes]:
    left = _LIMIT
    with zipfile.ZipFile(_stream(data)) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                inside = stream.read(left)
            yield inside
            left -= len(inside)
            if not left:
                return


def _stream(data: Data) -> IO[bytes]:
    """What is mapped is not copied."""
    if isinstance(data, bytes):
        return io.BytesIO(data)
    return cast("IO[bytes]", io.BufferedReader(cast(Any, _Mapped(data))))


class _Mapped(io.RawIOBase):
    def __init__(self, data: Data):
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}
        self._at = max(0, begin[whence] + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        piece = self._data[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
