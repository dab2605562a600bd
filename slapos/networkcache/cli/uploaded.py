"""What is to be uploaded, as a whole file: a local one, a folder's archive, or what a URL
fetches."""

from __future__ import annotations

import contextlib
import gzip
import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from ..digest import Digests, mismatch, pieces_of
from ..errors import InvalidInput, NotPublished, Reason
from ..urls import checksum_in, is_remote, redact
from .terminal import progress_bar


@dataclass(frozen=True)
class Upload:
    """A complete content in `file`. `checked` is False where somebody on the way could
    have changed it; see "What a signer signs"."""

    file: IO[bytes]
    content: Digests
    checked: bool


@contextlib.contextmanager
def opened(file: str | None, url: str | None) -> Iterator[Upload]:
    """What ``--file`` or else ``--url`` names.

    Raises `InvalidInput` for what can be neither, `NotPublished` where the checksum in
    the URL does not match, and what fetching from an origin raises.
    """
    checksum = None if url is None else checksum_in(url)
    matched = checksum is not None
    with contextlib.ExitStack() as stack:
        checked = True
        if file is not None:
            content = stack.enter_context(_open(file))
        elif url is None:
            raise InvalidInput("either --file or --url is needed")
        elif is_remote(url):
            content = stack.enter_context(tempfile.TemporaryFile())
            checked = _fetch(url, content, whatever_length=matched) or matched
        elif os.path.isdir(url):
            content = stack.enter_context(_temporary_beside(url))
            archive(url, content)
        else:
            content = stack.enter_context(_open(_local_path(url)))
        if checksum is not None:
            content.seek(0)
            if wrong := mismatch([checksum], pieces_of(content)):
                raise NotPublished(Reason.CHECKSUM, wrong)
        content.seek(0)
        yield Upload(content, Digests.of(pieces_of(content)), checked)


def _open(path: str) -> IO[bytes]:
    if not os.path.isfile(path):
        what = "is a folder: give it with --url" if os.path.isdir(path) else "is no file"
        raise InvalidInput(f"{path} {what}")
    return open(path, "rb")


def _local_path(url: str) -> str:
    if url[:5].lower() == "file:":
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        return url2pathname(urlsplit(url).path)
    if os.path.isfile(url):
        raise InvalidInput(f"{url} is a local file: give it with --file")
    raise InvalidInput(f"{redact(url)} is neither a URL nor a folder")


def _fetch(url: str, file: IO[bytes], *, whatever_length: bool) -> bool:
    from ..transport.origin import fetch

    with progress_bar("from its origin") as progress:
        return fetch(url, file, progress, unannounced=whatever_length)


def _temporary_beside(folder: str) -> IO[bytes]:
    """A temporary file where a folder of that size fits in: /tmp may be too small."""
    parent = os.path.dirname(os.path.abspath(folder))
    return tempfile.TemporaryFile(dir=parent if os.access(parent, os.W_OK) else None)


def archive(folder: str, file: IO[bytes]) -> None:
    """Write `folder` to `file` as ``tar.gz``: the same bytes for the same tree.

    Its name stands before all paths. Owners and times are left out.
    """
    name = os.path.basename(os.path.abspath(folder))
    with (
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        tar.add(os.path.realpath(folder), arcname=name, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member
