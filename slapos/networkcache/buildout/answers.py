"""What a reader of urllib is given: an answer from the cache, or one of an origin that is
watched, and published once it was read to its end."""

from __future__ import annotations

import contextlib
import email.message
import os
import tempfile
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..printable import readable
from .run import Run
from .watching import Answer, Fetch, watched

if TYPE_CHECKING:
    from ..binding import Request

_thread = threading.local()


@contextlib.contextmanager
def bypassing_cache() -> Iterator[None]:
    """What this thread opens in the block goes to its origin: whoever opens it has looked
    into the cache already."""
    before = bypasses_cache()
    _thread.bypasses = True
    try:
        yield
    finally:
        _thread.bypasses = before


def bypasses_cache() -> bool:
    """Whether this thread is in such a block."""
    return getattr(_thread, "bypasses", False)


def take(run: Run, request: Request, url: str, *, password: bool = False) -> Any:
    """What the cache has, as an answer of urllib, or None."""
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
    return Answer(file, headers, url)


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
        self._file = self._run.giving.outgoing.new_file()

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


def temporary_file() -> str:
    """The path of a new file, named as zc.buildout does."""
    handle, path = tempfile.mkstemp(prefix="buildout-")
    os.close(handle)
    return path
