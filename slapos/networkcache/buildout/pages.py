"""Index pages, and the 404s in their place: when the cache serves one, and when it is
published.

A page changes with every release of its project. So it is served from the cache only for
a requirement that is pinned with ``==`` and whose version it links, or when its origin
cannot be reached, which is tried once a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ..urls import without_fragment, without_secret
from .run import Hit, Run
from .watching import Fetch

if TYPE_CHECKING:
    from ..binding import Request

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

    @property
    def lasting(self) -> bool:
        """Whether it may be published: a page, or the word that there is none."""
        is_page = self.status != 200 or "html" in self.content_type.lower()
        return self.status in STATUSES and is_page


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
        from ..binding import Request

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
        fetch = Fetch(good=STATUSES)
        page = self._ask_origin(request, fetch, ask)
        if page is not None and page.status < _SERVER_ERROR:
            return page
        if cached is None and not credentials:
            cached = self._take(request)
        if fetch.unreachable or isinstance(cached, _Cached):
            # Other trouble, that no cache helps with, may be that of one page.
            self._run.unreachable.add(_host(url))
        return self._used(cached) if isinstance(cached, _Cached) else page

    def _ask_origin(self, request: Request, fetch: Fetch, ask: AskOrigin) -> Page | None:
        from ..members import members_of_page

        page = ask(fetch)
        if page is not None and page.lasting:
            members = members_of_page(
                request.url or "",
                request.requirement or "",
                page.status,
                page.content_type,
                without_secret(page.url),
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


def read_page(response: Any, fetch: Fetch) -> Page:
    """All of an answer of urllib, which is watched; the library raises where it is cut."""
    body = response.read()
    fetch.read(body, response.headers)
    fetch.read(b"", response.headers)
    response.close()
    kind = response.headers.get("Content-Type") or ""
    return Page(response.geturl(), response.code, kind, body)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def is_root(url: str, index_url: str) -> bool:
    """Whether `url` is the page of an index that lists all its projects."""
    return without_fragment(url).rstrip("/") == index_url.rstrip("/")
