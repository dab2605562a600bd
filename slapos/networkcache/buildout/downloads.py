"""The seam of profiles and of the files of recipes: `zc.buildout.download.Download`.

It is patched as a class, since recipes import it by name.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import zc.buildout.download

from ..printable import readable
from ..urls import Checksum, is_remote
from .answers import bypassing_cache, temporary_file
from .run import Run
from .seams import Seams
from .watching import Fetch, urlretrieve, watching

_Download = zc.buildout.download.Download
_original_call = _Download.__call__
_original_download = _Download.download
_current = threading.local()


def install(run: Run, seams: Seams) -> None:
    """Put the cache before the origins of `Download`."""

    def call(
        self: Any,
        url: str,
        md5sum: str | None = None,
        path: str | None = None,
        alternate_url: str | None = None,
    ) -> tuple[str, bool]:
        """`Download.__call__`; `alternate_url` is tried where `url` gives nothing."""
        with _alternate(alternate_url):
            return _original_call(self, url, md5sum, path)  # type: ignore[no-any-return]

    def download(
        self: Any, url: str, md5sum: str | None = None, path: str | None = None
    ) -> tuple[str, bool]:
        """`Download.download`: the path, and whether it is a temporary file."""
        alternate = getattr(_current, "alternate", None)
        try:
            return _fetch(run, self, url, md5sum, path)
        except zc.buildout.download.ChecksumError:
            raise
        except Exception:
            if not alternate or self.offline:
                raise
        self.logger.info("%s gives nothing: trying %s", readable(url), readable(alternate))
        return _fetch(run, self, alternate, md5sum, path, instead_of=url)

    seams.put(zc.buildout.download, "urlretrieve", urlretrieve)
    seams.put(_Download, "__call__", call)
    seams.put(_Download, "download", download)


@contextlib.contextmanager
def _alternate(url: str | None) -> Iterator[None]:
    before = getattr(_current, "alternate", None)
    _current.alternate = url
    try:
        yield
    finally:
        _current.alternate = before


def _fetch(
    run: Run,
    self: Any,
    url: str,
    md5sum: str | None,
    path: str | None,
    instead_of: str | None = None,
) -> tuple[str, bool]:
    if not run.active or self.offline or not is_remote(url):
        return _original_download(self, url, md5sum, path)  # type: ignore[no-any-return]
    from ..binding import Request

    checksums = [Checksum("md5", md5sum)] if md5sum is not None else []
    request = Request.for_file(url, *checksums)
    destination = path or temporary_file()
    try:
        taken = run.take(request, destination)
    except BaseException:
        _discard(destination, path)
        raise
    if taken:
        os.chmod(destination, 0o600)  # as zc.buildout leaves it
        return destination, path is None
    _discard(destination, path)
    with bypassing_cache(), watching() as fetch:
        result: tuple[str, bool] = _original_download(self, url, md5sum, path)
    _give(run, request, fetch, result[0])
    if instead_of is not None:
        original = Request.for_file(instead_of, *checksums)
        if original.checksums and not run.giving.hinders(url):
            _give(run, original, fetch, result[0])  # they say that it stands for the same
    return result


def _give(run: Run, request: Any, fetch: Fetch, path: str) -> None:
    run.giving.give(request, fetch, lambda: run.giving.outgoing.copy(path))


def _discard(destination: str, path: str | None) -> None:
    if path is None:
        os.unlink(destination)
