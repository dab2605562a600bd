"""A server in front, such as nginx, that comes through the Unix socket and sends contents
itself."""

from __future__ import annotations

import socket

from aiohttp import web

from ...digest import Digest
from .answers import Answer

_OURS = ("If-Match", "If-Modified-Since", "If-Range", "If-Unmodified-Since")
"""What the server in front would understand in another way than we do."""
_FRONTS = ("Content-Range", "ETag", "X-Content-Type-Options")
"""What the server in front says itself; of all of a content ``Accept-Ranges``, too."""


def came_through_socket(request: web.BaseRequest) -> bool:
    """Whether the request came over the Unix socket."""
    transport = request.transport
    bound = transport.get_extra_info("socket") if transport else None
    return bound is not None and bound.family == socket.AF_UNIX


def client_of(request: web.BaseRequest) -> str:
    """The address of the client; as the server in front says it, where there is one."""
    if came_through_socket(request):
        return request.headers.get("X-Forwarded-For", "")
    return request.remote or ""


def hand_on(
    request: web.BaseRequest, digest: Digest, answer: Answer, prefix: str
) -> Answer:
    """Let the server in front send the content of `answer` from below the path `prefix`,
    or return `answer` where that is not for it: another request, no file, a range or a
    condition that it would see differently."""
    asked, content = request.headers, answer.content
    place = f"{digest.hex[:2]}/{digest.hex[2:4]}/{digest}"
    if content is None or not (content.path or "").endswith(f"/{place}"):
        return answer
    if not came_through_socket(request) or any(name in asked for name in _OURS):
        return answer
    if ("Range" in asked) != (answer.status == 206):
        return answer
    content.close()
    said = _FRONTS if answer.status == 206 else (*_FRONTS, "Accept-Ranges")
    headers = {n: v for n, v in answer.headers.items() if n not in said}
    headers["X-Accel-Redirect"] = prefix + place
    return answer._replace(status=200, headers=headers, content=None)
