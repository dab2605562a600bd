"""A folder as an archive, and back: a ``tar.gz`` with one folder at its top."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from typing import IO

from ..unpacking import unpack
from .exceptions import raised_as_before


def archive(path: str) -> IO[bytes]:
    """A temporary file with the archive of the folder, or file, at `path`."""
    parent, name = os.path.split(path)
    # Beside it, since /tmp may be too small; closed by the caller.
    file: IO[bytes] = tempfile.TemporaryFile(dir=parent or None)  # noqa: SIM115
    try:
        with tarfile.open(fileobj=file, mode="w:gz") as tar:
            tar.add(path, arcname=name)
    except BaseException:
        file.close()
        raise
    return file


def extract(path: str, fileobj: IO[bytes]) -> None:
    """Unpack the folder in an archive as `path`, which must not be there, or be empty.

    Raises `NetworkcacheException` where `unpacking` refuses it, and `OSError` where it
    cannot be written; then nothing of it is there.
    """
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path) or None) as copy:
        shutil.copyfileobj(fileobj, copy)
        copy.flush()
        with raised_as_before():
            unpack(copy.name, path, strip_top=True)
