"""The only door through which the client side opens connections.

A `Transport` speaks the protocol with one network cache. Every call either gives what
was asked, raises `NotFound` or `Refusal` for what the server said, or raises
`SourceFailure` for a server that did not say anything sensible in time. What was waited
in vain is charged to the run's budget; a source that keeps failing is left alone.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

import requests

from ..config import TLS, Source
from ..digest import PIECE, Digest
from ..entry import Key, Pair
from ..errors import (
    Code,
    InvalidEntry,
    NotFound,
    Reason,
    Refusal,
    SourceFailure,
    WrongContent,
)
from ..protocol import (
    REDIRECT_HEADER,
    Batch,
    BatchAnswer,
    content_url,
    decode_directory,
    directory_url,
)
from . import redirects
from .exchange import Exchange, Nonsense, announced_length, check_status
from .pacing import Budget, Limits, Pace
from .sessions import CONNECTIONS, Session, leads_inside, paced

__all__ = ["CONNECTIONS", "Budget", "Incoming", "Limits", "Transport"]

_JSON = {"Content-Type": "application/json"}
_OCTETS = {"Content-Type": "application/octet-stream"}
_NO_TLS = TLS()
_LIMITS = Limits()


@dataclass(frozen=True)
class Incoming:
    """A content that begins to arrive, unchecked.

    `start` is the byte that it really begins with (0 from a server that ignores ranges),
    `size` that of the whole, where the server says it, and `pieces` the bytes.
    """

    start: int
    size: int | None
    pieces: Iterator[bytes]


class Transport:
    """The connections to one network cache: a kept session for each of its two services.

    `source` says where it is, `budget` is shared by all sources of a run. `cache_tls`
    and `dir_tls` name the files for https. Safe to use from several threads.
    """

    def __init__(
        self,
        source: Source,
        budget: Budget,
        *,
        cache_tls: TLS = _NO_TLS,
        dir_tls: TLS = _NO_TLS,
        limits: Limits = _LIMITS,
    ):
        self.source = source
        self.batches = True
        self._exchange = Exchange(budget, limits, source)
        self._cache = Session(source.cache_url, cache_tls)
        self._dir = Session(source.dir_url, dir_tls)
        self._elsewhere: dict[str, Session] = {}

    def close(self) -> None:
        for session in (self._cache, self._dir, *self._elsewhere.values()):
            session.close()

    def __str__(self) -> str:
        return str(self.source)

    @property
    def clock_offset(self) -> float | None:
        """Seconds that the server's clock is ahead of ours; None before it answered."""
        return self._exchange.clock_offset

    def ban(self, why: str) -> None:
        """Leave this source alone for the rest of the run."""
        self._exchange.breaker.ban(why)

    # -- SHADIR

    def look_up(self, key: Key) -> list[Pair | InvalidEntry]:
        """The pairs of `key`, and what stood among them that is no pair.

        Raises `NotFound` where the key has none.
        """
        url = directory_url(self.source.dir_url, key)
        body = self._exchange.read(self._dir, lambda: requests.Request("GET", url))
        try:
            return list(decode_directory(body))
        except InvalidEntry as error:
            raise Nonsense(str(error)) from None

    def batch(self, batch: Batch) -> BatchAnswer | None:
        """Ask for many at once; None, from then on, where the server knows no batches."""
        if not self.batches:
            return None
        url, body = self.source.dir_url, batch.encode()
        try:
            answer = self._exchange.read(
                self._dir,
                lambda: requests.Request("POST", url, data=body, headers=_JSON),
            )
            return BatchAnswer.decode(answer, batch)
        except SourceFailure as failure:
            self.batches = failure.reason is Reason.LEFT_ALONE
            if failure.reason is not Reason.UNREACHABLE:
                raise
        except (NotFound, Refusal, InvalidEntry):
            pass
        self.batches = False
        return None

    def put(self, key: Key, body: bytes) -> None:
        """Add a pair, as JSON, under `key`. Raises `Refusal`."""
        url = directory_url(self.source.dir_url, key)
        self._exchange.read(
            self._dir,
            lambda: requests.Request("PUT", url, data=body, headers=_JSON),
            created=True,
        )

    # -- SHACACHE

    def has(self, digest: Digest) -> bool:
        """Whether SHACACHE holds the content."""
        url = content_url(self.source.cache_url, digest)
        try:
            self._exchange.read(self._cache, lambda: requests.Request("HEAD", url))
        except NotFound:
            return False
        return True

    def store(self, digest: Digest, size: int, rewind: Callable[[], IO[bytes]]) -> None:
        """Upload a content of `size` bytes, streamed. Raises `Refusal`.

        `rewind` gives the content from its beginning, for each attempt.
        """
        url = self.source.cache_url
        answer = self._exchange.read(
            self._cache,
            # The library would send an empty file in chunks, without a length.
            lambda: requests.Request(
                "POST", url, data=rewind() if size else b"", headers=_OCTETS
            ),
            created=True,
        )
        if answer.strip() != digest.hex.encode():
            raise Refusal(
                Code.BAD_DIGEST, "the server stored other bytes than those that were sent"
            )

    @contextlib.contextmanager
    def open(
        self, digest: Digest, start: int = 0, *, anew: bool = False
    ) -> Iterator[Incoming]:
        """Begin to read a content at byte `start`. Raises `NotFound`.

        `anew` asks past any mirror in between that may hold wrong bytes.
        """
        url = content_url(self.source.cache_url, digest)
        if anew:
            url += "?" + secrets.token_hex(8)
        headers = {REDIRECT_HEADER: "1"}
        if start:
            headers["Range"] = f"bytes={start}-"
        pace, response, begin, size = self._exchange.twice(
            lambda: self._begin(url, headers, start)
        )
        try:
            yield Incoming(begin, size, self._pieces(response, pace))
        except WrongContent:
            self._exchange.budget.charge(pace.waited)
            raise
        finally:
            response.close()

    def _begin(
        self, url: str, headers: dict[str, str], start: int
    ) -> tuple[Pace, requests.Response, int, int | None]:
        """Ask for a content, up to the head of the answer."""
        pace = self._exchange.begin()
        with contextlib.ExitStack() as undo, self._exchange.charged(pace), paced(pace):
            request = requests.Request("GET", url, headers=headers)
            response = self._follow(self._exchange.send(self._cache, request), headers)
            undo.callback(response.close)
            check_status(response)
            extent = _extent(response, start)
            undo.pop_all()
        return pace, response, *extent

    def _pieces(self, response: requests.Response, pace: Pace) -> Iterator[bytes]:
        with self._exchange.charged(pace, resumable=True):
            while piece := response.raw.read1(PIECE, decode_content=False):
                yield piece

    def _follow(
        self, response: requests.Response, headers: dict[str, str]
    ) -> requests.Response:
        """Follow redirects of a content, as far as they lead nowhere they must not."""
        for _ in range(redirects.CONTENT_LIMIT):
            if response.status_code not in redirects.STATUSES:
                return response
            response.close()
            there = _redirect_target(response)
            request = requests.Request("GET", there, headers=headers)
            response = self._exchange.send(self._session_beyond(there), request)
        if response.status_code in redirects.STATUSES:
            response.close()
            raise Nonsense("it redirects again and again")
        return response

    def _session_beyond(self, url: str) -> Session:
        """The session for a redirect: no credentials, and public addresses only, unless
        the source is itself inside."""
        parts = urlsplit(url)
        server = f"{parts.scheme}://{parts.netloc}"
        if server not in self._elsewhere:
            home = urlsplit(self.source.cache_url).hostname or ""
            self._elsewhere[server] = Session(url, public_only=not leads_inside(home))
        return self._elsewhere[server]


def _redirect_target(response: requests.Response) -> str:
    there = redirects.target(response, response.url)
    if there is None:
        raise Nonsense("it redirects to what is no plain URL")
    if response.url.lower().startswith("https:") and there.startswith("http:"):
        raise Nonsense("it redirects from https to http")
    return there


_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/(?:([0-9]{1,18})|\*)\Z")


def _extent(response: requests.Response, start: int) -> tuple[int, int | None]:
    """Where the body of an answer begins, and how large the whole is."""
    if response.status_code == 206:
        extent = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if extent is None or int(extent[1]) != start:
            raise Nonsense("it sends another range than asked for")
        return start, int(extent[2]) if extent[2] else None
    return 0, announced_length(response)
