"""What is compressed, as a stream of what it holds; told by how it begins, not by its
name.

gzip, bzip2, xz, lzip and Zstandard.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from ..errors import InvalidArchive
from ..printable import readable
from ..zstandard import ZstdError, open_zstd

_GZIP, _BZIP2, _XZ, _LZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"LZIP"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZIP = (b"PK\3\4", b"PK\5\6")


class Readable(Protocol):
    """A stream that is only read, up to its end."""

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


def is_zip(file: IO[bytes]) -> bool:
    """Whether `file` begins as a zip archive does."""
    return _beginning(file).startswith(_ZIP)


def is_compressed(begin: bytes) -> bool:
    """Whether a file is compressed whose first bytes these are: six, if it has so many."""
    return begin.startswith((_GZIP, _BZIP2, _XZ, _LZIP, _ZSTD))


def _beginning(file: IO[bytes]) -> bytes:
    begin = file.read(6)
    file.seek(0)
    return begin


@contextmanager
def decompressed(file: IO[bytes]) -> Iterator[Readable]:
    """What the regular `file` holds, or itself where it is not compressed.

    Reading raises what the library for the format does, and `InvalidArchive` where
    Zstandard would need more than 128 MiB of memory.
    """
    begin = _beginning(file)
    if begin.startswith(_ZSTD):
        with _zstd(file) as stream:
            yield stream
    elif begin.startswith(_GZIP):
        with gzip.GzipFile(fileobj=file) as unzipped:
            yield unzipped
    elif begin.startswith(_BZIP2):
        with bz2.BZ2File(file) as unzipped:
            yield unzipped
    elif begin.startswith((_XZ, _LZIP)):
        with lzma.LZMAFile(file) as unzipped:
            yield unzipped
    else:
        yield file


@contextmanager
def _zstd(file: IO[bytes]) -> Iterator[Readable]:
    try:
        with open_zstd(file) as stream:
            yield stream
    except ZstdError as error:
        raise InvalidArchive(f"it is damaged: {readable(error)}") from None
