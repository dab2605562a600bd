"""The seam below all others: `urllib.request.urlopen`, for recipes that call it
themselves.

It does not see other HTTP libraries, child processes, nor ``urlopen(context=...)``. What
the other seams fetch passes, for they look into the cache themselves.
"""

from __future__ import annotations

import socket
import urllib.request
from ipaddress import ip_address
from typing import Any

from ..urls import is_remote, split
from . import answers
from .answers import bypasses_cache, bypassing_cache
from .run import Run
from .seams import Seams
from .watching import Fetch, asks_as_everybody

_DEFAULT_TIMEOUT: Any = socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]


def install(run: Run, seams: Seams) -> None:
    """Put the cache before whatever opener is there, or will be made."""
    inner: urllib.request.OpenerDirector | None = vars(urllib.request)["_opener"]
    seams.put(urllib.request, "_opener", _Opener(run, inner))


class _Opener(urllib.request.OpenerDirector):
    """In place of `inner`, or of the one that urllib makes when it needs one."""

    def __init__(self, run: Run, inner: urllib.request.OpenerDirector | None):
        self._run = run
        self._inner = inner

    @property
    def handlers(self) -> list[Any]:
        """Those that will really fetch."""
        return getattr(self._inner, "handlers", [])

    def open(self, fullurl: Any, data: Any = None, timeout: Any = _DEFAULT_TIMEOUT) -> Any:
        if self._inner is None:
            self._inner = urllib.request.build_opener()
        url = fullurl if isinstance(fullurl, str) else fullurl.full_url
        if not self._run.active or not _is_plain(fullurl, url, data):
            return self._inner.open(fullurl, data, timeout)
        from ..binding import Request

        request = Request.for_file(url)
        taken = answers.take(self._run, request, url)
        if taken is not None:
            return taken
        asked = urllib.request.Request(url) if isinstance(fullurl, str) else fullurl
        fetch = Fetch()
        with bypassing_cache():
            response = self._inner.open(asked, data, timeout)
        if not hasattr(response, "status"):  # another scheme
            return response
        fetch.saw(asked, response)
        return answers.watched_for(self._run, request, fetch, response)


def _is_plain(fullurl: Any, url: str, data: Any) -> bool:
    """Whether it asks for the whole of what a URL has for everybody."""
    if bypasses_cache() or data is not None or not is_remote(url) or _is_here(url):
        return False
    if isinstance(fullurl, str):
        return True
    return (
        fullurl.get_method() == "GET"
        and fullurl.data is None
        and asks_as_everybody(fullurl)
        and fullurl.get_header("Accept", "*/*") == "*/*"
    )


def _is_here(url: str) -> bool:
    """Whether it asks what answers on this link only: other nodes have something else
    there, such as the metadata of a virtual machine."""
    parts = split(url)
    try:
        return parts is None or ip_address(parts.hostname or "").is_link_local
    except ValueError:  # a name
        return False
