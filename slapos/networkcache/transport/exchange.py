"""One exchange with a server: sending a request, judging how the answer went, charging
what was waited in vain, and asking once more after a fault that may pass."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import random
import time
from collections.abc import Callable, Iterator

import requests
import urllib3.exceptions

from ..digest import PIECE
from ..errors import Code, NotFound, Reason, Refusal, SourceFailure
from ..protocol import DIRECTORY_LIMIT, ERROR_HEADER, refusal
from .pacing import Breaker, Budget, Limits, Pace
from .sessions import paced

REDIRECTS = frozenset({301, 302, 303, 307, 308})
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


class Exchange:
    """What the requests to one source have in common.

    `budget` is the run's, `breaker` the source's. `clock_offset` is how many seconds
    the server's clock was ahead of ours at its last answer.
    """

    def __init__(self, budget: Budget, limits: Limits):
        self.budget = budget
        self.breaker = Breaker(budget.clock)
        self.clock_offset: float | None = None
        self._limits = limits

    def begin(self) -> Pace:
        """Start an attempt; raises `SourceFailure` where the source is left alone."""
        self.budget.check()
        self.breaker.check()
        return Pace(self._limits, self.budget)

    def read(
        self,
        session: requests.Session,
        make_request: Callable[[], requests.Request],
        *,
        created: bool = False,
    ) -> bytes:
        """The whole of a short answer, asked for once more after a fault that may pass.

        `make_request` makes the request anew for each attempt; `created` says that only
        a 201 means success. Raises `NotFound`, `Refusal` and `SourceFailure`.
        """
        try:
            return self._read_once(session, make_request(), created)
        except SourceFailure as failure:
            if failure.reason is not Reason.UNREACHABLE:
                raise
        except Refusal as error:
            if error.status not in TRANSIENT:
                raise
        pause = min(random.uniform(*_RETRY_PAUSE), self.budget.left)
        time.sleep(pause)
        self.budget.charge(pause)
        return self._read_once(session, make_request(), created)

    def _read_once(
        self, session: requests.Session, request: requests.Request, created: bool
    ) -> bytes:
        pace = self.begin()
        with self.charged(pace), paced(pace):
            response = self.send(session, request)
            try:
                check_status(response, created=created)
                return _read_bounded(response, DIRECTORY_LIMIT)
            finally:
                response.close()

    def send(
        self, session: requests.Session, request: requests.Request
    ) -> requests.Response:
        """Send a request; the body of the answer is still to be read."""
        response = session.send(
            session.prepare_request(request),
            stream=True,
            allow_redirects=False,
            timeout=max(0.001, min(self._limits.connect, self.budget.left)),
            proxies=session.proxies,
        )
        with contextlib.suppress(KeyError, TypeError, ValueError):
            date = email.utils.parsedate_to_datetime(response.headers["Date"])
            self.clock_offset = date.timestamp() - time.time()
        return response

    @contextlib.contextmanager
    def charged(self, pace: Pace) -> Iterator[None]:
        """Tell the breaker how an attempt went, and charge what gave nothing."""
        try:
            yield
        except NotFound:
            self.breaker.succeeded()
            raise
        except Refusal:
            self.budget.charge(pace.lost)
            self.breaker.succeeded()
            raise
        except _FAILURES as error:
            failure = _as_failure(error)
            self.budget.charge(pace.lost)
            self.breaker.failed(failure.reason)
            raise failure from error
        self.breaker.succeeded()


def check_status(response: requests.Response, *, created: bool = False) -> None:
    """Raise what an answer other than success says."""
    status = response.status_code
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise SourceFailure(
            Reason.UNREACHABLE, "the answer is compressed, which nobody asked for"
        )
    if status == 201 or (status in (200, 206) and not created):
        return
    if status in REDIRECTS:
        raise SourceFailure(Reason.UNREACHABLE, "it redirects, which only contents may")
    body = _read_bounded(response, _ERROR_LIMIT)
    error = refusal(status, response.headers.get(ERROR_HEADER), body)
    if error.code is Code.NOT_FOUND:
        raise NotFound(str(error))
    raise error


def _read_bounded(response: requests.Response, limit: int) -> bytes:
    body = b""
    while piece := response.raw.read1(PIECE, decode_content=False):
        body += piece
        if len(body) > limit:
            raise SourceFailure(
                Reason.UNREACHABLE, f"its answer is longer than {limit} bytes"
            )
    return body


def _as_failure(error: Exception) -> SourceFailure:
    """What went wrong, in our words."""
    if isinstance(error, SourceFailure):
        return error
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return SourceFailure(Reason.TOO_SLOW, "no connection in time")
    root: BaseException = error
    while root.__context__ is not None:
        root = root.__context__
    what = getattr(root, "strerror", None) or str(root) or type(root).__name__
    return SourceFailure(Reason.UNREACHABLE, str(what)[:300])
