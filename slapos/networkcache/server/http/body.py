"""The bytes of a request: limits, ``Expect: 100-continue``, and bodies that are cut."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from ...digest import PIECE
from ...errors import Code, Refusal
from .connection import ClientGone, connection_of


def announced(request: web.BaseRequest, limit: int) -> int | None:
    """The ``Content-Length``, or None where the body is chunked.

    Raises `Refusal`: ``too-large`` for more than `limit` bytes, ``bad-request`` for a
    body that is encoded, since what is stored are exactly the bytes that come.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(Code.BAD_REQUEST, "send the body without Content-Encoding")
    if "Content-Length" not in request.headers:
        return None if request.body_exists else 0
    length = int(request.headers["Content-Length"])
    if length > limit:
        raise _too_large(limit)
    return length


async def pieces(request: web.BaseRequest, limit: int) -> AsyncIterator[list[bytes]]:
    """The body in lists of bytes of `PIECE` together, as they come.

    Asks the client to go on first where it waits for that: every refusal that needs no
    body comes before the first step of this. Raises `Refusal` for more than `limit`
    bytes and for a malformed body, `ClientGone` for a cut one.
    """
    connection = connection_of(request)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    count = 0
    gathered: list[bytes] = []
    size = 0
    while True:
        connection.expect_progress()
        try:
            data = await request.content.readany()
        except web.RequestPayloadError as error:
            raise Refusal(Code.BAD_REQUEST, f"the body is malformed: {error}") from None
        except (OSError, RuntimeError) as error:
            if request.transport is not None:  # only its writing side is closed, or worse
                raise Refusal(Code.BAD_REQUEST, "the body is cut or malformed") from None
            raise ClientGone(
                "the connection was lost before the end of the body"
            ) from error
        finally:
            connection.rest()
        if not data:
            break
        count += len(data)
        if count > limit:
            raise _too_large(limit)
        gathered.append(data)
        size += len(data)
        if size >= PIECE:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


async def whole(request: web.BaseRequest, limit: int) -> bytes:
    """A small body, as a whole; raises as `pieces` and `announced` do."""
    announced(request, limit)
    return b"".join([b"".join(some) async for some in pieces(request, limit)])


def _too_large(limit: int) -> Refusal:
    return Refusal(Code.TOO_LARGE, f"the body may have {limit} bytes at most")
