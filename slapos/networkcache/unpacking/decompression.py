"""What is compressed, as a stream of what it holds; told by how it begins, not by its
name.

gzip, bzip2, xz and lzip are of the standard library. Zstandard is from Python 3.14 on;
before that it takes ``backports.zstd`` or the program ``zstd``.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any, Protocol

from ..errors import InvalidArchive
from ..printable import readable

_GZIP, _BZIP2, _XZ, _LZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"LZIP"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZIP = (b"PK\3\4", b"PK\5\6")
_WINDOW_LOG = 27
"""Of Zstandard: 128 MiB of memory, at most."""


class Readable(Protocol):
    """A stream that is only read, up to its end."""

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


def is_zip(file: IO[bytes]) -> bool:
    """Whether `file` begins as a zip archive does."""
    return _beginning(file).startswith(_ZIP)


def _beginning(file: IO[bytes]) -> bytes:
    begin = file.read(6)
    file.seek(0)
    return begin


@contextmanager
def decompressed(file: IO[bytes]) -> Iterator[Readable]:
    """What the regular `file` holds, or itself where it is not compressed.

    Raises `InvalidArchive` where nothing here can decompress it; reading raises what the
    library for the format does.
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
    library = _zstd_library()
    if library is not None:
        limit = {library.DecompressionParameter.window_log_max: _WINDOW_LOG}
        try:
            with library.ZstdFile(file, options=limit) as stream:
                yield stream
        except library.ZstdError as error:
            raise InvalidArchive(f"it is damaged: {readable(error)}") from None
        return
    program = shutil.which("zstd")
    if program is None:
        raise InvalidArchive(
            "it is compressed with Zstandard, which this Python does not know: install the"
            " program zstd, or the package backports.zstd"
        )
    with _running([program, "-dcq", f"--memory={1 << _WINDOW_LOG}"], file) as stream:
        yield stream


def _zstd_library() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


@contextmanager
def _running(command: list[str], file: IO[bytes]) -> Iterator[_Output]:
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # what was read ahead here, it must read too
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, stdin=file, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        try:
            yield _Output(process, errors)
        finally:
            process.kill()


class _Output:
    """What a program makes of a file; that it failed is told in the place of the end."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]):
        self._process = process
        self._errors = errors

    def read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        if not data and self._process.wait():
            self._errors.seek(0)
            said = self._errors.read(2000).decode(errors="replace").strip()
            raise InvalidArchive(f"it is damaged: {readable(said)}")
        return data
