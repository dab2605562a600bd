"""Who may upload: one question per request, answered by one replaceable function."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from ..errors import Code, Refusal
from ..storage import ANONYMOUS
from .options import is_loopback

Authorise = Callable[[web.BaseRequest], str]
"""Returns the account that uploads; raises `Refusal` (``unauthorized``, ``forbidden``).
It is asked before any of the body is read."""

_PASSED_ON = ("Origin", "Via", "Forwarded", "X-Forwarded-For")


def nobody(request: web.BaseRequest) -> str:
    """No uploads: there are no accounts."""
    raise Refusal(
        Code.UNAUTHORIZED, "this server takes uploads from accounts only, and knows none"
    )


def anonymous_nearby(request: web.BaseRequest) -> str:
    """Uploads by everybody on this computer, but not through a browser or a proxy.

    A page in somebody's browser, or a proxy in front, reaches a loopback address too.
    """
    for name in _PASSED_ON:
        if name in request.headers:
            raise Refusal(
                Code.FORBIDDEN,
                f"anonymous uploads come from this computer itself: {name} says that"
                " this one went through a browser or a proxy",
            )
    if not is_loopback(_without_port(request.headers.get("Host", ""))):
        raise Refusal(
            Code.FORBIDDEN, "anonymous uploads are sent to a loopback address by name"
        )
    return ANONYMOUS


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdigit() or not port) else host
