"""The seam below all others: `urllib.request.urlopen`, for recipes that call it
themselves.

It does not see other HTTP libraries, child processes, nor ``urlopen(context=...)``. What
the other seams fetch passes, for they look into the cache themselves.
"""

from __future__ import annotations

import contextlib
import email.message
import os
import socket
import threading
import urllib.request
import urllib.response
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..printable import readable
from ..urls import is_remote
from .run import Run
from .seams import Seams
from .watching import Fetch, watched

if TYPE_CHECKING:
    from ..binding import Request

_passing = threading.local()
_OF_A_PART = frozenset({"Range", "If-range", "If-none-match", "If-modified-since"})
_CREDENTIALS = frozenset({"Authorization", "Cookie", "Proxy-authorization"})


@contextlib.contextmanager
def passing() -> Iterator[None]:
    """What this thread opens in the block goes to its origin."""
    before = getattr(_passing, "on", False)
    _passing.on = True
    try:
        yield
    finally:
        _passing.on = before


def install(run: Run, seams: Seams) -> None:
    """Put the cache before whatever opener is there, or will be made."""
    inner: urllib.request.OpenerDirector | None = vars(urllib.request)["_opener"]
    seams.put(urllib.request, "_opener", _Opener(run, inner))


class _Opener(urllib.request.OpenerDirector):
    """In place of `inner`, or of the one that urllib makes when it needs one."""

    def __init__(self, run: Run, inner: urllib.request.OpenerDirector | None):
        self._run = run
        self._inner = inner

    @property
    def handlers(self) -> list[Any]:
        """Those that will really fetch."""
        return getattr(self._inner, "handlers", [])

    def open(self, fullurl: Any, data: Any = None, timeout: Any = _passing) -> Any:
        if self._inner is None:
            self._inner = urllib.request.build_opener()
        wait = socket._GLOBAL_DEFAULT_TIMEOUT if timeout is _passing else timeout  # type: ignore[attr-defined]
        url = fullurl if isinstance(fullurl, str) else fullurl.full_url
        if not self._run.active or not _is_plain(fullurl, url, data):
            return self._inner.open(fullurl, data, wait)
        from ..binding import Request

        request = Request.for_file(url)
        taken = take(self._run, request, url)
        if taken is not None:
            return taken
        asked = urllib.request.Request(url) if isinstance(fullurl, str) else fullurl
        fetch = Fetch()
        with passing():
            response = self._inner.open(asked, data, wait)
        if not hasattr(response, "status"):  # another scheme
            return response
        fetch.saw(asked, response)
        return watched_for(self._run, request, fetch, response)


def _is_plain(fullurl: Any, url: str, data: Any) -> bool:
    """Whether it asks for the whole of what a URL has for everybody."""
    if getattr(_passing, "on", False) or data is not None or not is_remote(url):
        return False
    if isinstance(fullurl, str):
        return True
    fields = {name for name, _ in fullurl.header_items()}
    return (
        fullurl.get_method() == "GET"
        and fullurl.data is None
        and not fields & (_OF_A_PART | _CREDENTIALS)
    )


def take(run: Run, request: Request, url: str, *, password: bool = False) -> Any:
    """What the cache has, as an answer of urllib, or None."""
    from .downloads import temporary_file

    path = temporary_file()
    try:
        if not run.take(request, path, password=password):
            return None
        file = open(path, "rb")  # noqa: SIM115 - closed by who reads the answer
    finally:
        os.unlink(path)
    headers = email.message.Message()
    headers["Content-Type"] = "application/octet-stream"
    headers["Content-Length"] = str(os.fstat(file.fileno()).st_size)
    return urllib.response.addinfourl(file, headers, url, 200)


def watched_for(run: Run, request: Request, fetch: Fetch, response: Any) -> Any:
    """An answer of urllib that is published when it was read to its end."""
    copy = _Copy(run, request, fetch)
    return watched(response, fetch, copy.keep, copy.finish)


class _Copy:
    """What a reader is given of an answer, kept until it can be published."""

    def __init__(self, run: Run, request: Request, fetch: Fetch):
        self._run = run
        self._request = request
        self._fetch = fetch
        self._file: Any = None
        self._done = False
        if run.giving.wanted:
            self._forgiven(self._open)

    def _open(self) -> None:
        self._file = self._run.giving.new_file()

    def _forgiven(self, action: Any) -> None:
        what = f"{readable(self._request.url)} cannot be kept to be published"
        if self._run.forgiven(what, action) is not None:
            self._drop()

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
            with contextlib.suppress(OSError):
                os.unlink(file.name)

    def keep(self, block: bytes) -> None:
        file = self._file
        if file is not None:
            self._forgiven(lambda: file.write(block))

    def finish(self) -> None:
        if self._done:
            return
        self._done = True
        if self._file is not None:
            self._forgiven(self._file.flush)
        if self._run.giving.give(self._request, self._fetch, self._path):
            self._file.close()
        else:
            self._drop()

    def _path(self) -> str:
        if self._file is None:
            raise OSError("it could not be kept")
        return str(self._file.name)
