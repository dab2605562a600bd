"""Where people reach this cache, as pages tell it."""

from __future__ import annotations

import re

from aiohttp import web

from ..http.front import came_through_socket

UNKNOWN = "cache.example.com"
_HOST = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z"
)


def base_url(request: web.BaseRequest, public_url: str | None) -> str:
    """`public_url` if the operator names one, else what the request was sent to; without a
    final slash."""
    if public_url is not None:
        return public_url.rstrip("/")
    host = request.headers.get("Host", "")
    if not _HOST.match(host):
        host = UNKNOWN
    return f"{'https' if _is_secure(request) else 'http'}://{host}"


def _is_secure(request: web.BaseRequest) -> bool:
    """Whether it was sent over TLS, to a server in front where there is one."""
    if came_through_socket(request):
        return request.headers.get("X-Forwarded-Proto") == "https"
    transport = request.transport
    return transport is not None and transport.get_extra_info("sslcontext") is not None
