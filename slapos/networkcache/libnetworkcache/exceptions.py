"""What `slapos.libnetworkcache` raised, made of what this package raises, and its logger.

Its programs catch `HTTPError` for what a server says (`code` is the status), `OSError` for
that and for a server that cannot be asked, and `NetworkcacheException` for all else.
"""

from __future__ import annotations

import contextlib
import io
import logging
import traceback
from collections.abc import Iterator
from email.message import Message
from http import HTTPStatus
from urllib.error import HTTPError

from ..config import Source
from ..errors import (
    NetworkcacheError,
    NotFound,
    Reason,
    Refusal,
    SourceFailure,
    WrongContent,
)
from ..printable import readable
from ..transport.exchange import Nonsense

logger = logging.getLogger("networkcache")
# Its programs see what it tells without setting anything.
logger.setLevel(logging.INFO)


class NetworkcacheException(NetworkcacheError):
    """What is neither an error of HTTP nor one of the connection."""


DirectoryNotFound = UploadError = NetworkcacheException


class UnusableAnswer(NetworkcacheException, ConnectionError):
    """Something answered, but not as a network cache does."""


@contextlib.contextmanager
def raised_as_before(source: Source | None = None) -> Iterator[None]:
    """Raise what the old module raised, in place of an error of this package. `source`
    gives an error of HTTP its URL."""
    try:
        yield
    except NetworkcacheException:
        raise
    except NetworkcacheError as error:
        raise _as_before(error, str(source or "")) from error


def _as_before(error: NetworkcacheError, url: str) -> Exception:
    text = readable(error)
    if isinstance(error, NotFound):
        return _http_error(url, 404, HTTPStatus.NOT_FOUND.phrase)
    if isinstance(error, Refusal) and error.status is not None:
        return _http_error(url, error.status, text)
    if isinstance(error, Refusal):
        return NetworkcacheException(f"Failed to upload data to SHACACHE Server. {text}")
    if isinstance(error, WrongContent):
        return NetworkcacheException(
            f"Failed to download data to SHACACHE Server: invalid checksum. {text}"
        )
    if isinstance(error, Nonsense):
        return UnusableAnswer(f"Failed to parse json response or content ({text})")
    if isinstance(error, SourceFailure):
        late = error.reason is Reason.TOO_SLOW
        return (TimeoutError if late else ConnectionError)(text)
    return NetworkcacheException(text)


def _http_error(url: str, status: int, message: str) -> HTTPError:
    return HTTPError(readable(url), status, message, Message(), io.BytesIO())


def log_forgiven(error: Exception) -> None:
    """Log what goes no further."""
    if isinstance(error, NetworkcacheException):
        logger.info("%s", error)
        return
    frame = traceback.extract_tb(error.__traceback__, 1)[0]
    what = readable("".join(traceback.format_exception_only(error)).rstrip())
    logger.info(
        "ignored unhandled exception at %s:%s\n%s", frame.filename, frame.lineno, what
    )
