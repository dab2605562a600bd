"""The hook: zc.buildout's two ways to fetch a file, with the cache before the origin.

`zc.buildout.download.Download.download` fetches profiles and the files of recipes;
`AllowHostsPackageIndex.open_url` fetches distributions, and index pages, which pass.
Both are patched as methods, since recipes import the classes. The names are the same in
zc.buildout 3.3 to 6.0.
"""

from __future__ import annotations

import email.message
import os
import sys
import tempfile
import urllib.request
import urllib.response
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import zc.buildout.download
import zc.buildout.easy_install

from ..printable import readable
from ..urls import Checksum, is_remote
from .run import Run
from .watching import Fetch, WatchedOpener, WatchedResponse, urlretrieve, watching

if TYPE_CHECKING:
    from ..binding import Request

_Download = zc.buildout.download.Download
_Index = zc.buildout.easy_install.AllowHostsPackageIndex
_original_download = _Download.download
_original_open_url = _Index.open_url

_run: Run | None = None


def current() -> Run | None:
    """The run whose hook is in place."""
    return _run


def install(run: Run) -> None:
    """Put the hook in place for `run`, in the place of an earlier one."""
    global _run
    _run = run
    zc.buildout.download.urlretrieve = urlretrieve
    _Download.download = _download
    _Index.open_url = _open_url


def uninstall() -> None:
    """Leave zc.buildout as it was."""
    global _run
    _run = None
    zc.buildout.download.urlretrieve = urllib.request.urlretrieve
    _Download.download = _original_download
    _Index.open_url = _original_open_url


def _download(
    self: Any, url: str, md5sum: str | None = None, path: str | None = None
) -> tuple[str, bool]:
    """In place of `Download.download`; the path, and whether it is a temporary file."""
    run = _run
    if run is None or not run.active or self.offline or not is_remote(url):
        return _original_download(self, url, md5sum, path)  # type: ignore[no-any-return]
    from ..binding import Request

    checksums = [Checksum("md5", md5sum)] if md5sum is not None else []
    request = Request.for_file(url, *checksums)
    destination = path or _temporary_file()
    try:
        taken = run.take(request, destination)
    except BaseException:
        _discard(destination, path)
        raise
    if taken:
        os.chmod(destination, 0o600)  # as zc.buildout leaves it
        return destination, path is None
    _discard(destination, path)
    with watching() as fetch:
        result: tuple[str, bool] = _original_download(self, url, md5sum, path)
    with open(result[0], "rb") as file:
        run.give(request, fetch, file)
    return result


def _discard(destination: str, path: str | None) -> None:
    if path is None:
        os.unlink(destination)


def _temporary_file() -> str:
    handle, path = tempfile.mkstemp(prefix="buildout-")
    os.close(handle)
    return path


def _open_url(self: Any, url: str, warning: str | None = None) -> Any:
    """In place of `AllowHostsPackageIndex.open_url`: an answer to be read and closed."""
    run = _run
    # With a warning it is a page that is wanted, without one a file.
    if run is None or not run.active or warning is not None or not is_remote(url):
        return _original_open_url(self, url, warning)
    from ..binding import Request

    request = Request.for_distribution(url) or Request.for_file(url)
    taken = _take(run, request, url)
    if taken is not None:
        return taken
    fetch = Fetch()
    opener = self.opener
    self.opener = WatchedOpener(opener, fetch)
    try:
        response = _original_open_url(self, url, warning)
    finally:
        self.opener = opener
    return _watched(run, request, fetch, response)


def _take(run: Run, request: Request, url: str) -> Any:
    """The distribution from the cache as an answer, or None."""
    path = _temporary_file()
    try:
        if not run.take(request, path, password=_has_password(url)):
            return None
        file = open(path, "rb")  # noqa: SIM115 - closed by who reads the answer
    finally:
        os.unlink(path)
    headers = email.message.Message()
    headers["Content-Type"] = "application/octet-stream"
    headers["Content-Length"] = str(os.fstat(file.fileno()).st_size)
    return urllib.response.addinfourl(file, headers, url, 200)


def _has_password(url: str) -> bool:
    """Whether the user's .pypirc has a password for `url`; zc.buildout would send it."""
    # Where PyPIConfig lives depends on the version: beside what is patched here.
    module = sys.modules[_original_open_url.__module__]
    find: Any = getattr(module, "PyPIConfig", None)
    try:
        return find is not None and find().find_credential(url) is not None
    except Exception:
        return True  # zc.buildout is about to say what is wrong with the file


def _watched(run: Run, request: Request, fetch: Fetch, response: Any) -> Any:
    if (
        fetch.status != 200
        or "html" in (response.headers.get("Content-Type") or "").lower()
    ):
        return response
    copy = _Copy(run, request, fetch)
    return WatchedResponse(response, fetch, copy.keep, copy.close)


class _Copy:
    """What a reader is given of an answer, kept until it can be published."""

    def __init__(self, run: Run, request: Request, fetch: Fetch):
        self._run = run
        self._request = request
        self._fetch = fetch
        self._file: IO[bytes] | None = None
        if run.config.publishes:
            self._forgiven(self._open)

    def _open(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the answer

    def _forgiven(self, action: Callable[[], object]) -> None:
        what = f"{readable(self._request.url)} cannot be kept to be published"
        if self._run.forgiven(what, action) is not None:
            self._file = None

    def keep(self, block: bytes) -> None:
        file = self._file
        if file is not None:
            self._forgiven(lambda: file.write(block))

    def close(self) -> None:
        self._run.give(self._request, self._fetch, self._file)
        if self._file is not None:
            self._file.close()
