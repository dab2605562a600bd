"""Watching a fetch from its origin, to tell whether its signer may vouch for it.

Something counts as fetched from its origin only if the answer was a success, came to its
announced end, and needed no credentials; and as checked only if every hop was verified
https. The functions here stand where zc.buildout calls urllib, and do what it does.
"""

from __future__ import annotations

import contextlib
import email.message
import http.client
import io
import ssl
import threading
import time
import urllib.error
import urllib.request
import urllib.response
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

_BLOCK = 1 << 16
_EVERYBODYS = frozenset({"Accept", "Accept-encoding", "Connection", "Host", "User-agent"})
"""The fields of a request, as urllib spells them, that ask for what everybody gets. With
any other, a token of the user's own among them, the answer may be for this user alone."""


@dataclass
class Fetch:
    """What was seen of one fetch.

    `good` are the statuses that count, `hops` the URLs that were asked in turn,
    `credentials` tells whether any were sent, `unreachable` whether the request did not
    even get there. Of the body, `announced` is the size that
    its header gives, `size` what came, `ended` whether its end was seen where nothing was
    announced, and `overrun` whether more came.
    """

    hops: list[str] = field(default_factory=list)
    status: int | None = None
    announced: int | None = None
    ended: bool = False
    overrun: bool = False
    credentials: bool = False
    unreachable: bool = False
    size: int = 0
    good: tuple[int, ...] = (200,)
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.started

    def saw(self, request: urllib.request.Request, response: Any) -> None:
        """Take from a request and its answer what they tell."""
        redirects: dict[str, int] = getattr(request, "redirect_dict", {})
        self.hops = [request.full_url, *redirects, response.geturl()]
        self.status = getattr(response, "status", None)
        self.announced = _announced(response.info())
        # After a redirect, urllib adds credentials to a request that is not seen here.
        self.credentials = not asks_as_everybody(request) or (
            bool(redirects) and _opener_gives_credentials()
        )
        _Tail.watch(response, self)

    def read(self, block: bytes, headers: email.message.Message) -> None:
        """Take from a block of the body what it tells; the empty one is the end."""
        self.size += len(block)
        if not block:
            self.ended = _chunked(headers)

    @property
    def whole(self) -> bool:
        """Whether the body came to its announced end."""
        return self.announced == self.size or self.ended

    @property
    def succeeded(self) -> bool:
        """Whether this is what the origin has under the URL, for everybody."""
        return self.status in self.good and self.whole and not self.spoiled

    @property
    def spoiled(self) -> bool:
        """Whether it is no success, or shorter or longer than announced: then not even a
        checksum that matches makes it what the origin has."""
        wrong_size = self.announced is not None and self.announced != self.size
        bad_status = self.status is not None and self.status not in self.good
        return bad_status or wrong_size or self.overrun

    @property
    def secure(self) -> bool:
        """Whether every hop was https with a verified certificate."""
        return _verifies_https() and all(
            hop.lower().startswith("https://") for hop in self.hops
        )


def asks_as_everybody(request: urllib.request.Request) -> bool:
    """Whether a request asks for what its URL has for everybody."""
    fields = {name.capitalize(): value for name, value in request.header_items()}
    return (
        fields.keys() <= _EVERYBODYS
        and fields.get("Accept-encoding", "identity") == "identity"
    )


def _verifies_https() -> bool:
    default: object = getattr(ssl, "_create_default_https_context", None)
    if default is not ssl.create_default_context:
        return False
    opener = getattr(urllib.request, "_opener", None)
    contexts = (
        getattr(handler, "_context", None)
        for handler in getattr(opener, "handlers", ())
        if isinstance(handler, urllib.request.HTTPSHandler)
    )
    return all(c is None or c.verify_mode == ssl.CERT_REQUIRED for c in contexts)


def _opener_gives_credentials() -> bool:
    """Whether the opener that was installed may add a password or a cookie by itself."""
    opener = getattr(urllib.request, "_opener", None)
    givers = (
        urllib.request.AbstractBasicAuthHandler,
        urllib.request.AbstractDigestAuthHandler,
        urllib.request.HTTPCookieProcessor,
    )
    return any(isinstance(handler, givers) for handler in getattr(opener, "handlers", ()))


_current = threading.local()


@contextlib.contextmanager
def watching() -> Iterator[Fetch]:
    """What this thread's next `urlretrieve` sees goes into the `Fetch` given."""
    fetch = Fetch()
    _current.fetch = fetch
    try:
        yield fetch
    finally:
        _current.fetch = None


def urlretrieve(
    url: str, filename: str | None = None, *arguments: Any, **options: Any
) -> tuple[str, email.message.Message]:
    """In place of `urllib.request.urlretrieve`: the same, but it is watched."""
    fetch: Fetch | None = getattr(_current, "fetch", None)
    if fetch is None or filename is None or arguments or options:
        return urllib.request.urlretrieve(url, filename, *arguments, **options)
    request = urllib.request.Request(url)
    with contextlib.closing(urllib.request.urlopen(request)) as response:
        fetch.saw(request, response)
        headers: email.message.Message = response.info()
        with open(filename, "wb") as file:
            while block := response.read(_BLOCK):
                fetch.read(block, headers)
                file.write(block)
        fetch.read(b"", headers)
    if fetch.announced is not None and fetch.size < fetch.announced:
        raise urllib.error.ContentTooShortError(
            f"retrieval incomplete: got only {fetch.size} out of {fetch.announced} bytes",
            (filename, headers),
        )
    return filename, headers


def _announced(headers: email.message.Message) -> int | None:
    lengths = set(headers.get_all("Content-Length") or [])
    length = lengths.pop() if len(lengths) == 1 else ""
    return int(length) if length.isdigit() else None


def _chunked(headers: email.message.Message) -> bool:
    """A body in chunks says where it ends; one that ends with the connection may have
    been cut."""
    return (headers.get("Transfer-Encoding") or "").lower() == "chunked"


class _Tail:
    """The raw end of an answer, in place of `HTTPResponse.fp`: notices what comes after
    the announced end, which the response itself never looks at."""

    PATIENCE = 0.1
    """Seconds that a server may take to close, as it was asked to."""

    def __init__(self, response: http.client.HTTPResponse, fetch: Fetch):
        self._response = response
        self._file: Any = response.fp
        self._fetch = fetch

    @classmethod
    def watch(cls, response: Any, fetch: Fetch) -> None:
        if isinstance(response, http.client.HTTPResponse) and response.length is not None:
            response.fp = cls(response, fetch)  # type: ignore[assignment]

    def close(self) -> None:
        if self._response.length == 0:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._file.raw._sock.settimeout(self.PATIENCE)
                self._fetch.overrun = bool(self._file.peek(1))
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class WatchedOpener:
    """In place of the `opener` of a package index: the same, but it is watched."""

    def __init__(self, opener: Callable[..., Any], fetch: Fetch):
        self._opener = opener
        self._fetch = fetch

    def __call__(self, request: urllib.request.Request, *arguments: Any) -> Any:
        try:
            response = self._opener(request, *arguments)
        except urllib.error.HTTPError as answer:
            self._fetch.saw(request, answer)
            raise
        except urllib.error.URLError:
            self._fetch.unreachable = True
            raise
        self._fetch.saw(request, response)
        return response


class Answer(urllib.response.addinfourl):
    """An answer of urllib, with what recipes read of one that came by http."""

    def __init__(
        self,
        body: Any,
        headers: email.message.Message,
        url: str,
        status: int = 200,
        reason: str = "OK",
    ):
        super().__init__(body, headers, url, status)
        self.reason = self.msg = reason

    def getheader(self, name: str, default: str | None = None) -> str | None:
        values = self.headers.get_all(name)
        return default if values is None else ", ".join(values)

    def getheaders(self) -> list[tuple[str, str]]:
        return list(self.headers.items())


class _WatchedBody(io.RawIOBase):
    """The body of an answer, watched while it is read."""

    def __init__(
        self,
        response: Any,
        fetch: Fetch,
        keep: Callable[[bytes], None],
        finish: Callable[[], None],
    ):
        self._response = response
        self._fetch = fetch
        self._keep = keep
        self._finish = finish

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block: bytes = self._response.read(len(buffer))
        self._fetch.read(block, self._response.headers)
        if block:
            self._keep(block)
        else:
            self._finish()
        buffer[: len(block)] = block
        return len(block)

    def readall(self) -> bytes:
        """All at once, as a reader without an amount asks for it: then the library itself
        raises where it is cut."""
        block: bytes = self._response.read()
        self._fetch.read(block, self._response.headers)
        if block:
            self._keep(block)
            self._fetch.read(b"", self._response.headers)
        self._finish()
        return block

    def close(self) -> None:
        if not self.closed:
            self._response.close()
            self._finish()
        super().close()


def watched(
    response: Any,
    fetch: Fetch,
    keep: Callable[[bytes], None],
    finish: Callable[[], None],
) -> Any:
    """An answer of urllib that is watched while it is read: `keep` is given every block,
    `finish` called when the reader is done, perhaps more than once."""
    body = io.BufferedReader(_WatchedBody(response, fetch, keep, finish), _BLOCK)
    return Answer(body, response.headers, response.geturl(), response.status, response.msg)
