"""An answer as a value, before it meets a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...digest import Digest
from ...errors import (
    Code,
    InvalidDigest,
    InvalidEntry,
    InvalidKey,
    NetworkcacheError,
    NotFound,
    QuotaExceeded,
    Refusal,
    StorageBusy,
    StorageFull,
    StorageReadOnly,
    WrongContent,
)
from ...protocol import ERROR_HEADER, STATUS, error_body
from ...ranges import Range
from ...storage import Content

Headers = Mapping[str, str]

NO_STORE = "no-store"
SERVER = "slapos.networkcache"
JSON: Headers = {
    "Server": SERVER,
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
}
OCTETS: Headers = {
    "Server": SERVER,
    "Content-Type": "application/octet-stream",
    "X-Content-Type-Options": "nosniff",
    "Content-Disposition": "attachment",
    "Accept-Ranges": "bytes",
}
TEXT: Headers = {
    "Server": SERVER,
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": NO_STORE,
}


class Answer(NamedTuple):
    """What is said to a request.

    `body` is all of it, unless there is a `content`: then `part` of that follows, and
    whoever took the request closes it. `length` is the ``Content-Length`` where it is
    not that of the body (an answer to ``HEAD``). `code` is why it was refused.
    """

    status: int
    headers: Headers
    body: bytes = b""
    content: Content | None = None
    part: Range | None = None
    length: int | None = None
    code: Code | None = None


def created(digest: Digest | None = None) -> Answer:
    """``201``, with the digest of a content, or with nothing for an entry."""
    return Answer(201, TEXT, str(digest).encode() if digest else b"")


def refused(
    error: Refusal, *, silent: bool = False, headers: Headers | None = None
) -> Answer:
    """The answer of a refusal.

    `silent` leaves the body empty: an old client whose content was cut would append it
    and ask again, for ever.
    """
    said = {
        **(OCTETS if silent else JSON),
        "Cache-Control": NO_STORE,
        ERROR_HEADER: error.code.value,
        **(headers or {}),
    }
    body = b"" if silent else error_body(error)
    return Answer(STATUS[error.code], said, body, code=error.code)


_CODES: tuple[tuple[type[NetworkcacheError], Code], ...] = (
    (NotFound, Code.NOT_FOUND),
    (InvalidDigest, Code.BAD_DIGEST),
    (WrongContent, Code.BAD_DIGEST),
    (InvalidKey, Code.BAD_KEY),
    (InvalidEntry, Code.BAD_ENTRY),
    (QuotaExceeded, Code.QUOTA),
    (StorageFull, Code.STORAGE_FULL),
    (StorageBusy, Code.BUSY),
    (StorageReadOnly, Code.READ_ONLY),
)


def refusal_of(error: NetworkcacheError) -> Refusal | None:
    """What an error says to the other end; None where it is our own fault."""
    if isinstance(error, Refusal):
        return error
    for kind, code in _CODES:
        if isinstance(error, kind):
            return Refusal(code, str(error) or code.value)
    return None


def etag_matches(header: str | None, etag: str) -> bool:
    """Whether ``If-None-Match`` names `etag`, compared weakly (RFC 9110, 13.1.2)."""
    if header is None:
        return False
    return any(tag.strip() in (etag, "W/" + etag, "*") for tag in header.split(","))
