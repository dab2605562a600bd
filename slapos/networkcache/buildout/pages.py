"""Index pages, and the 404s in their place: when the cache serves one, and when it is
published.

A page changes with every release of its project. So it is served from the cache only for
a requirement that is pinned with ``==`` and whose version it links, or when its origin
cannot be reached, which is tried once a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from ..binding import Request
from ..urls import without_fragment
from .run import Hit, Run
from .watching import Fetch

STATUSES = (200, 404)
"""Those that are published: what an index says for good."""
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Page:
    """What an index has under a URL; `url` is where redirects led to."""

    url: str
    status: int
    content_type: str
    body: bytes


AskOrigin = Callable[[Fetch], "Page | None"]
"""Asks the origin; None where it did not answer, or not sensibly."""


class Pages:
    """The pages of one run, whoever reads them."""

    def __init__(self, run: Run):
        self._run = run

    def read(
        self,
        url: str,
        project: str,
        ask: AskOrigin,
        suits: Callable[[Page], bool] | None = None,
        *,
        credentials: bool = False,
    ) -> Page | None:
        """The page at `url`, read for `project`, which is empty for a page of links.

        `suits` tells whether a page links what is pinned, and is None where nothing is
        pinned; `credentials` tells that the origin is asked with a password. None where
        nobody has it. Raises `zc.buildout.UserError` where no cache has it and no origin
        may be asked.
        """
        request = Request.for_page(url, project)
        blocked = self._run.config.block_origin
        alone = blocked or _host(url) in self._run.unreachable
        cached: _Cached | Exception | None = None
        if not credentials and (alone or suits is not None):
            cached = self._take(request)
            if isinstance(cached, _Cached) and (alone or (suits and suits(cached.page))):
                return self._used(cached)
        if blocked:
            raise self._run.blocked(
                request, cached if isinstance(cached, Exception) else None
            )
        if alone:
            return None
        page = self._ask_origin(request, ask)
        if page is None or page.status >= _SERVER_ERROR:
            self._run.unreachable.add(_host(url))
            if cached is None and not credentials:
                cached = self._take(request)
            return self._used(cached) if isinstance(cached, _Cached) else page
        return page

    def _ask_origin(self, request: Request, ask: AskOrigin) -> Page | None:
        from ..members import members_of_page

        fetch = Fetch(good=STATUSES)
        page = ask(fetch)
        if page is not None and page.status in STATUSES:
            members = members_of_page(
                request.url or "",
                request.requirement or "",
                page.status,
                page.content_type,
                page.url,
                checked=fetch.secure,
            )
            self._run.giving.give_page(request, fetch, page.body, members)
        return page

    def _take(self, request: Request) -> _Cached | Exception | None:
        """What the cache has, or why it has not; None where there is no cache."""
        if not self._run.config.reads:
            return None
        taken = self._run.take_bytes(request)
        if isinstance(taken, Exception):
            return taken
        hit, body = taken
        members = hit.trusted.members
        page = Page(
            str(members.get("final_url") or request.url),
            int(members.get("status", 200)),
            str(members.get("content_type") or "text/html"),
            body,
        )
        return _Cached(page, hit)

    def _used(self, cached: _Cached) -> Page:
        self._run.count(cached.hit)
        return cached.page


class _Cached(NamedTuple):
    page: Page
    hit: Hit


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def is_root(url: str, index_url: str) -> bool:
    """Whether `url` is the page of an index that lists all its projects."""
    return without_fragment(url).rstrip("/") == index_url.rstrip("/")
