"""Fetching from an origin what is to be signed: whole, with status 200, and knowing
whether anybody on the way could have changed it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import IO
from urllib.parse import urldefrag

import requests

from ..digest import PIECE
from ..errors import InvalidInput, NotFound, Reason, SourceFailure
from ..urls import redact
from . import redirects
from .exchange import Exchange, announced_length
from .pacing import Budget, Limits
from .sessions import Session, paced

_LIMITS = Limits(connect=30.0, first_byte=60.0, window=60.0)


def fetch(
    url: str,
    file: IO[bytes],
    progress: Callable[[int, int | None], None] | None = None,
    *,
    unannounced: bool = False,
) -> bool:
    """Write what `url` fetches to `file`; whether every hop was verified https.

    No credentials are sent. `unannounced` takes an answer that does not say how long it
    is, too: one that may have been cut. Raises `InvalidInput` unless it is an http or
    https URL, `NotFound` for 404 and 410, and `SourceFailure` for all that is not whole.
    """
    exchange = Exchange(Budget(math.inf), _LIMITS)
    url = urldefrag(url).url
    if not redirects.is_web(url):
        raise InvalidInput(f"expected an http or https URL, got {redact(url)!r:.200}")
    secure = True
    for _ in range(redirects.ORIGIN_LIMIT + 1):
        secure = secure and url.lower().startswith("https:")
        with contextlib.closing(Session(url)) as session:
            pace = exchange.begin()
            with exchange.charged(pace), paced(pace):
                request = requests.Request("GET", url)
                with exchange.send(session, request) as response:
                    if response.status_code not in redirects.STATUSES:
                        _check(response, unannounced)
                        _read(response, file, progress)
                        return secure
                    url = _redirect_target(response, url)
    raise SourceFailure(Reason.UNREACHABLE, "the origin redirects again and again")


def _redirect_target(response: requests.Response, url: str) -> str:
    there = redirects.target(response, url)
    if there is None:
        raise SourceFailure(
            Reason.UNREACHABLE, "the origin redirects to what is no http or https URL"
        )
    return there


def _check(response: requests.Response, unannounced: bool) -> None:
    status = response.status_code
    if status in (404, 410):
        raise NotFound(f"the origin answered {status}")
    if status != 200:
        raise SourceFailure(Reason.UNREACHABLE, f"the origin answered {status}")
    if not (unannounced or response.raw.chunked or announced_length(response) is not None):
        raise SourceFailure(
            Reason.UNREACHABLE,
            "the origin does not say how long it is, so it may have been cut: give its"
            " checksum in the URL (#sha256=...)",
        )


def _read(
    response: requests.Response,
    file: IO[bytes],
    progress: Callable[[int, int | None], None] | None,
) -> None:
    """Take the body as it comes, like buildout: an archive that the server labels as
    compressed stays what it is. The library raises where it ends before its length."""
    count, length = 0, announced_length(response)
    while piece := response.raw.read1(PIECE, decode_content=False):
        file.write(piece)
        count += len(piece)
        if progress is not None:
            progress(count, length)
