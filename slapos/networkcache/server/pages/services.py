"""From a request to its page."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qs

from aiohttp import web

from ...errors import NetworkcacheError, NotFound
from ...protocol import ERROR_HEADER, STATUS
from ..accounts.nearby import ShowsNames
from ..app import GREETING, Service
from ..http.answers import Answer, refusal_of
from ..threads import Threads
from .address import base_url
from .rendering import STYLE, Page, Renderer
from .views import Asked, Views

_FIELDS = 10
"""Fields of a query, at most."""

View = Callable[[Asked], Awaitable[Page]]


def make_pages(
    views: Views, threads: Threads, *, names: ShowsNames, public_url: str | None
) -> dict[str, Service]:
    """The pages by their first path segment. `names` says who is shown the names of
    accounts and upstreams; `public_url` is where clients reach this cache."""
    renderer = Renderer()

    def service(view: View, *, of_something: bool = False) -> _Pages:
        return _Pages(view, renderer, threads, names, public_url, of_something)

    return {
        "/": _Home(service(views.home)),
        "/search": service(views.search),
        "/entry": service(views.entry, of_something=True),
        "/traffic": service(views.traffic),
        "/accounts": service(views.accounts),
        "/upstreams": service(views.upstreams),
        "/check": service(views.check),
        f"/{STYLE}": _Files(renderer),
    }


class _Pages:
    """The pages of one view: one for each name if it is `of_something`, else one."""

    def __init__(
        self,
        view: View,
        renderer: Renderer,
        threads: Threads,
        names: ShowsNames,
        public_url: str | None,
        of_something: bool,
    ):
        self._view = view
        self._renderer = renderer
        self._threads = threads
        self._names = names
        self._public_url = public_url
        self._of_something = of_something

    def methods(self, name: str | None) -> tuple[str, ...]:
        return ("GET", "HEAD")

    async def answer(self, request: web.BaseRequest, name: str | None) -> Answer:
        """What cannot be shown is said on a page, too."""
        asked = Asked(
            name or "",
            _query(request),
            base_url(request, self._public_url),
            self._names(request),
            time.time(),
        )
        try:
            if bool(name) is not self._of_something:
                raise NotFound("there is no such page")
            return await self._render(await self._view(asked), asked)
        except NetworkcacheError as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            page = Page("refused.html", {"why": str(refusal)}, STATUS[refusal.code])
            answer = await self._render(page, asked)
            headers = {**answer.headers, ERROR_HEADER: refusal.code.value}
            return answer._replace(headers=headers, code=refusal.code)

    async def _render(self, page: Page, asked: Asked) -> Answer:
        return await self._threads.read(self._renderer.page, page, asked)


class _Home:
    """``/``: a page for who asks for HTML, the greeting for programs."""

    def __init__(self, page: _Pages):
        self._page = page

    def methods(self, name: str | None) -> tuple[str, ...]:
        return self._page.methods(name)

    async def answer(self, request: web.BaseRequest, name: str | None) -> Answer:
        if _wants_html(request):
            return await self._page.answer(request, name)
        if name is None:
            return GREETING
        raise NotFound("there is no such page")


class _Files:
    """What pages name: each is the same for ever."""

    def __init__(self, renderer: Renderer):
        self._renderer = renderer

    def methods(self, name: str | None) -> tuple[str, ...]:
        return ("GET", "HEAD")

    async def answer(self, request: web.BaseRequest, name: str | None) -> Answer:
        answer = self._renderer.file(f"{STYLE}/{name}")
        if answer is None:
            raise NotFound("there is no such file")
        return answer


def _wants_html(request: web.BaseRequest) -> bool:
    accepted = ",".join(request.headers.getall("Accept", ()))
    return any(kind.strip().startswith("text/html") for kind in accepted.split(","))


def _query(request: web.BaseRequest) -> Mapping[str, str]:
    text = request.raw_path.partition("?")[2]
    try:
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}
