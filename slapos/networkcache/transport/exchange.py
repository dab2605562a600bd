"""One exchange with a server: sending a request, judging how the answer went, charging
what was waited in vain, and asking once more after a fault that may pass."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import random
import re
import ssl
import time
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

import requests
import urllib3.exceptions

from ..digest import PIECE
from ..errors import Code, NotFound, Reason, Refusal, SourceFailure
from ..printable import escape
from ..protocol import DIRECTORY_LIMIT, ERROR_HEADER, refusal
from . import redirects
from .pacing import Budget, Limits, Pace
from .sessions import Session, paced

Result = TypeVar("Result")

TRANSIENT = frozenset({502, 503, 504})
"""Statuses after which the same request may be asked once more."""
_ERROR_LIMIT = 64 << 10
_RETRY_PAUSE = (0.05, 0.25)
"""Seconds, from and to, before a request is asked once more."""

_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    SourceFailure,
)


class Nonsense(SourceFailure):
    """It answered, but not as a network cache does: it is not asked again."""

    def __init__(self, message: str):
        super().__init__(Reason.UNREACHABLE, message)


class Exchange:
    """What the requests to one source have in common.

    `budget` is the run's, and knows the breaker of `source`.
    """

    def __init__(self, budget: Budget, limits: Limits, source: Hashable = None):
        self.budget = budget
        self.breaker = budget.breaker(source)
        self._limits = limits
        self._dated: tuple[str, float] | None = None

    @property
    def clock_offset(self) -> float | None:
        """Seconds that the server's clock was ahead of ours at its last answer that had
        a date; None before."""
        if self._dated is None:
            return None
        text, ours = self._dated
        try:
            return email.utils.parsedate_to_datetime(text).timestamp() - ours
        except (TypeError, ValueError, OverflowError):
            return None

    def begin(self) -> Pace:
        """Start an attempt; raises `SourceFailure` where the source is left alone."""
        self.budget.check()
        self.breaker.check()
        return Pace(self._limits, self.budget)

    def twice(self, attempt: Callable[[], Result]) -> Result:
        """Make an attempt, and a second one after a fault that may pass."""
        try:
            return attempt()
        except Nonsense:
            raise
        except SourceFailure as failure:
            if failure.reason is not Reason.UNREACHABLE:
                raise
        except Refusal as error:
            if error.status not in TRANSIENT:
                raise
        pause = min(random.uniform(*_RETRY_PAUSE), self.budget.left)
        time.sleep(pause)
        self.budget.charge(pause)
        return attempt()

    def read(
        self,
        session: Session,
        make_request: Callable[[], requests.Request],
        *,
        created: bool = False,
    ) -> bytes:
        """The whole of a short answer, asked for once more after a fault that may pass.

        `make_request` makes the request anew for each attempt; `created` says that only
        a 201 means success. Raises `NotFound`, `Refusal` and `SourceFailure`.
        """
        return self.twice(lambda: self._read_once(session, make_request(), created))

    def _read_once(
        self, session: Session, request: requests.Request, created: bool
    ) -> bytes:
        pace = self.begin()
        with self.charged(pace), paced(pace):
            response = self.send(session, request)
            try:
                check_status(response, created=created)
                return _read_bounded(response, DIRECTORY_LIMIT)
            finally:
                response.close()

    def send(self, session: Session, request: requests.Request) -> requests.Response:
        """Send a request; the body of the answer is still to be read."""
        timeout = max(0.001, min(self._limits.connect, self.budget.share))
        response = session.send(request, timeout)
        if "Date" in response.headers:
            self._dated = response.headers["Date"], time.time()
        return response

    @contextlib.contextmanager
    def charged(self, pace: Pace, *, resumable: bool = False) -> Iterator[None]:
        """Tell the breaker how an attempt went, and charge what gave nothing: all of it,
        or, where it is `resumable`, what brought no bytes."""
        try:
            yield
        except NotFound:
            self.breaker.succeeded()
            raise
        except Refusal:
            self.budget.charge(pace.waited)
            self.breaker.succeeded()
            raise
        except _FAILURES as error:
            failure = _as_failure(error)
            self.budget.charge(pace.lost if resumable else pace.waited)
            self.breaker.failed(failure.reason, str(failure))
            raise failure from error
        self.breaker.succeeded()


def check_status(response: requests.Response, *, created: bool = False) -> None:
    """Raise what an answer other than success says."""
    status = response.status_code
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Nonsense("the answer is compressed, which nobody asked for")
    if status == 201 or (status in (200, 206) and not created):
        return
    if status in redirects.STATUSES:
        raise Nonsense("it redirects, which only contents may")
    body = _read_bounded(response, _ERROR_LIMIT)
    error = refusal(status, response.headers.get(ERROR_HEADER), body)
    if error.code is Code.NOT_FOUND:
        raise NotFound(str(error))
    raise error


_LENGTH = re.compile("[0-9]{1,18}")


def announced_length(response: requests.Response) -> int | None:
    """How many bytes the head of an answer says that its body has; None where it says
    nothing, or that they come in chunks, whose end says it."""
    length = response.headers.get("Content-Length", "")
    known = _LENGTH.fullmatch(length) and not response.raw.chunked
    return int(length) if known else None


def _read_bounded(response: requests.Response, limit: int) -> bytes:
    body = bytearray()
    while piece := response.raw.read1(PIECE, decode_content=False):
        body += piece
        if len(body) > limit:
            raise Nonsense(f"its answer is longer than {limit} bytes")
    return bytes(body)


def _as_failure(error: Exception) -> SourceFailure:
    """What went wrong, in our words."""
    if isinstance(error, SourceFailure):
        return error
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return SourceFailure(Reason.TOO_SLOW, "no connection in time")
    root = _root_of(error)
    if isinstance(root, ssl.SSLCertVerificationError):
        return Nonsense(str(root))
    what = getattr(root, "strerror", None) or str(root) or type(root).__name__
    return SourceFailure(Reason.UNREACHABLE, escape(str(what), 300))


def _root_of(error: BaseException) -> BaseException:
    """What an HTTP library's error was made of."""
    inner = (error.__cause__, getattr(error, "reason", None), *error.args)
    for candidate in inner:
        if isinstance(candidate, BaseException):
            return _root_of(candidate)
    return error
