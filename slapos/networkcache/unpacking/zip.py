"""Zip, with the modes and links that are written on Unix."""

from __future__ import annotations

import os
import stat
import zipfile
from typing import IO

from ..digest import pieces_of
from .tree import MemberSink, refused

_UNIX = 3
_ENCRYPTED = 1
_TARGET_LIMIT = 4096
"""Bytes of the target of a link."""


def unpack_zip(file: IO[bytes], sink: MemberSink) -> None:
    """Put all members of the zip `file` into `sink`."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            _take_member(archive, member, sink)


def _take_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, sink: MemberSink
) -> None:
    name = member.filename
    if member.flag_bits & _ENCRYPTED:
        raise refused(name, "is encrypted")
    mode = member.external_attr >> 16 if member.create_system == _UNIX else 0
    kind = stat.S_IFMT(mode)
    if name.endswith("/") and kind in (0, stat.S_IFDIR):
        sink.folder(name)
    elif kind in (0, stat.S_IFREG) and not name.endswith("/"):
        with archive.open(member) as data:
            sink.file(name, member.file_size, mode or 0o644, pieces_of(data))
    elif kind == stat.S_IFLNK and member.file_size <= _TARGET_LIMIT:
        with archive.open(member) as data:
            sink.link(name, os.fsdecode(data.read(_TARGET_LIMIT + 1)))
    else:
        raise refused(name, f"is no file, folder or link (type {kind:o})")
