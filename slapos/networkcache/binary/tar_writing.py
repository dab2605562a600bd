"""Writes a tar that is always the same for the same tree, compressed and hashed on the way:
members have the owner 0, the modes 644 or 755, and the times of files, which bytecode is
checked against, to the second."""

from __future__ import annotations

import os
import tarfile
import zlib
from typing import IO, Protocol

from ..digest import PIECE, Digests, Hasher
from ..zstandard import ZstdCompressor
from .prefixes import Data
from .walking import is_program

_ZSTD_LEVEL = 3
_GZIP_LEVEL = 6
_GZIP = zlib.MAX_WBITS | 16


class _Compressor(Protocol):
    def compress(self, data: Data) -> bytes: ...
    def flush(self) -> bytes: ...


class TarWriter:
    """Writes to `file` in a `format`, ``tar.zst`` or ``tar.gz``; `owner` is the name of the
    user and group that all belongs to. Counts `members`, and the bytes in files as `size`.
    """

    def __init__(self, file: IO[bytes], format: str, owner: str):
        self._file = file
        self._owner = owner
        self._hasher = Hasher()
        self._compressor: _Compressor
        if format == "tar.zst":
            self._compressor = ZstdCompressor(_ZSTD_LEVEL)
        else:
            self._compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
        self.members = 0
        self.size = 0

    def folder(self, name: str) -> None:
        self._put_header(name, tarfile.DIRTYPE)

    def link(self, name: str, target: str) -> None:
        self._put_header(name, tarfile.SYMTYPE, target=target)

    def hard_link(self, name: str, first: str, status: os.stat_result) -> None:
        # Other programs give the file what the last of its names says.
        self._put_header(name, tarfile.LNKTYPE, status, target=first)

    def file(self, name: str, data: Data, status: os.stat_result | None = None) -> None:
        size = len(data)
        self._put_header(name, tarfile.REGTYPE, status, size=size)
        for begin in range(0, size, PIECE):
            self._write(data[begin : begin + PIECE])
        self._write(bytes(-size % tarfile.BLOCKSIZE))
        self.size += size

    def finish(self) -> Digests:
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._put(self._compressor.flush())
        return self._hasher.digests()

    def _put_header(
        self,
        name: str,
        type: bytes,
        status: os.stat_result | None = None,
        *,
        size: int = 0,
        target: str = "",
    ) -> None:
        """The header of a member; of a file, `status` says its mode and time."""
        member = tarfile.TarInfo(name)
        member.type, member.size, member.linkname = type, size, target
        member.mode = 0o755 if type == tarfile.DIRTYPE else 0o644
        if status is not None:
            member.mtime = max(0, int(status.st_mtime))
            member.mode = 0o755 if is_program(status) else 0o644
        member.uname = member.gname = self._owner
        self._write(member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        self.members += 1

    def _write(self, data: Data) -> None:
        self._put(self._compressor.compress(data))

    def _put(self, data: bytes) -> None:
        self._hasher.update(data)
        self._file.write(data)
