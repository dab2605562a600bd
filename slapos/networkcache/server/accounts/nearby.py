"""Who is shown the names of accounts and upstreams: who sits at this computer.

``GET`` of SHADIR tells nobody who put an entry, nor where else a server looks.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from ...errors import Refusal
from ..configuration.options import is_loopback
from .authorisation import anonymous_nearby

ShowsNames = Callable[[web.BaseRequest], bool]
"""Whether who asks is shown them."""


def is_nearby(request: web.BaseRequest) -> bool:
    """Whether it comes from this computer: over a loopback address that was asked for by
    name, and through no proxy. A Unix socket is for a server in front, so for everybody."""
    try:
        anonymous_nearby(request)
    except Refusal:
        return False
    return is_loopback(request.remote or "")


def everybody(request: web.BaseRequest) -> bool:
    """The operator wants it so."""
    return True
