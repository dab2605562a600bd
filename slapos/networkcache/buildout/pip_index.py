"""A package index on loopback for pip, which fetches the build requirements of source
distributions in a process of its own.

Its pages are those of the configured indexes, with every link leading here; what is asked
for comes from the cache, or from its origin and is published. A random token in the path
keeps other users of the computer out, and no URL is fetched that no page of this run had.
"""

from __future__ import annotations

import contextlib
import html
import http.client
import http.server
import secrets
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from html.parser import HTMLParser
from typing import Any

import zc.buildout

from ..binding import Request
from ..printable import readable
from ..urls import basename, distribution_in, is_remote, normalised_name
from . import answers
from .answers import bypassing_cache
from .pages import Page, Pages, read_page
from .pip_settings import LOOPBACK, PipSettings
from .run import Run
from .watching import Fetch, WatchedOpener

_BLOCK = 1 << 16
_TIMEOUT = 60.0
"""Seconds that an origin may be silent."""
_PAGE = {
    "Accept": "application/vnd.pypi.simple.v1+html, text/html;q=0.9",
    "User-Agent": "slapos.networkcache",
}
_ERRORS = (OSError, ValueError, http.client.HTTPException)
"""What an origin that does not answer, or not sensibly, ends in."""
_KEPT = ("data-requires-python", "data-yanked")


class PipIndex:
    """The index while it runs; use it in ``with``.

    `refused` is what no cache has while no origin may be asked, by its URL.
    """

    def __init__(self, run: Run, settings: PipSettings):
        self._pages = Pages(run)
        self._run = run
        self._token = secrets.token_urlsafe(24)
        self._asked: list[str] = []
        self._files: list[str] = []
        self._read: dict[str, Page | None] = {}
        self._lock = threading.RLock()
        self._opener = _make_opener(settings)
        self.refused: dict[str, zc.buildout.UserError] = {}
        handler = type("Handler", (_Handler,), {"index": self})
        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), handler)
        self._server.daemon_threads = True

    def __enter__(self) -> PipIndex:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        """Who it is, as the header ``Host`` says."""
        return f"{LOOPBACK}:{self._server.server_port}"

    def url_for(self, url: str) -> str:
        """By which URL a package index, a page of links, or a file, is asked for here."""
        with self._lock:
            if distribution_in(url) is not None:
                return f"http://{self.host}{self._place(url)}"
            self._asked.append(url)
            return f"http://{self.host}/{self._token}/index/{len(self._asked) - 1}/"

    def answer(self, path: str) -> Page | Any | None:
        """What is at a path: a page, an answer of urllib to be read, or None."""
        token, _, rest = path.lstrip("/").partition("/")
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return None
        kind, _, rest = rest.partition("/")
        number, _, name = rest.partition("/")
        with self._lock:
            known = {"index": self._asked, "file": self._files}.get(kind, [])
            if not number.isdigit() or int(number) >= len(known):
                return None
            url = known[int(number)]
            if kind == "index":  # once, however often it is asked for at a time
                return self._page(url, name)
        return self._file(url)

    # -- pages

    def _page(self, url: str, name: str) -> Page | None:
        project = normalised_name(urllib.parse.unquote(name).strip("/"))
        if project:
            url = f"{url.rstrip('/')}/{project}/"
        if url not in self._read:  # one index may be configured twice
            self._read[url] = self._unless_refused(
                url, lambda: self._pages.read(url, project, partial(self._ask, url))
            )
        page = self._read[url]
        if page is None or page.status != 200:
            return page
        links = _Links(page)
        return Page(page.url, 200, "text/html; charset=utf-8", self._render(links))

    def _ask(self, url: str, fetch: Fetch) -> Page | None:
        request = urllib.request.Request(url, headers=_PAGE)
        try:
            with contextlib.closing(self._open(request, fetch)) as answer:
                return read_page(answer, fetch)
        except _ERRORS as error:
            self._run.forgive(f"{readable(url)} cannot be read", error)
            return None

    def _open(self, request: urllib.request.Request, fetch: Fetch) -> Any:
        try:
            with bypassing_cache():
                return WatchedOpener(self._opener.open, fetch)(request, None, _TIMEOUT)
        except urllib.error.HTTPError as answer:
            return answer

    def _render(self, links: _Links) -> bytes:
        lines = []
        for url, attributes in links:
            name = basename(url.partition("#")[0])
            place = self._place(url)
            more = "".join(f' {n}="{html.escape(v)}"' for n, v in attributes.items())
            lines.append(f'<a href="{html.escape(place)}"{more}>{html.escape(name)}</a>')
        return "\n".join(["<!DOCTYPE html><html><body>", *lines, "</body></html>"]).encode()

    def _place(self, url: str) -> str:
        """The path under which a file is from now on."""
        self._files.append(url)
        bare, mark, fragment = url.partition("#")
        name = urllib.parse.quote(basename(bare))
        return f"/{self._token}/file/{len(self._files) - 1}/{name}{mark}{fragment}"

    def _unless_refused(self, url: str, read: Callable[[], Any]) -> Any:
        """What `read` gives; None where no cache has it and no origin may be asked."""
        try:
            return read()
        except zc.buildout.UserError as error:
            self.refused[url] = error
            return None

    # -- files

    def _file(self, url: str) -> Any:
        request = Request.for_distribution(url) or Request.for_file(url)
        taken = self._unless_refused(url, lambda: answers.take(self._run, request, url))
        if taken is not None or url in self.refused:
            return taken
        fetch = Fetch()
        asked = urllib.request.Request(url.partition("#")[0])
        try:
            answer = self._open(asked, fetch)
        except _ERRORS as error:
            self._run.forgive(f"{readable(url)} cannot be fetched", error)
            return Page(url, 503, "text/plain", b"")  # pip tries again
        if answer.code != 200:
            return Page(url, answer.code, "text/plain", b"")
        return answers.watched_for(self._run, request, fetch, answer)


class _Handler(http.server.BaseHTTPRequestHandler):
    index: PipIndex
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer = None
        if self.headers.get("Host") == self.index.host:
            answer = self.index.answer(urllib.parse.urlsplit(self.path).path)
        if answer is None:
            self._send(404, "text/plain", b"")
        elif isinstance(answer, Page):
            self._send(answer.status, answer.content_type or "text/html", answer.body)
        else:
            with contextlib.closing(answer):
                self._stream(answer)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self._head(status, kind, str(len(body)))
        self.wfile.write(body)

    def _stream(self, answer: Any) -> None:
        length = answer.headers.get("Content-Length")
        self._head(200, "application/octet-stream", length)
        sent = 0
        with contextlib.suppress(*_ERRORS):
            while block := answer.read(_BLOCK):
                self.wfile.write(block)
                sent += len(block)
        if str(sent) != length:
            self.close_connection = True  # pip sees that it was cut

    def _head(self, status: int, kind: str, length: str | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")  # the port is another the next time
        if length is None:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", length)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The log of buildout is no access log."""


class _Links(HTMLParser):
    """The links of a page, each with what pip reads of its attributes."""

    def __init__(self, page: Page):
        super().__init__()
        self._base = page.url
        self._found: dict[str, Mapping[str, str]] = {}
        # The library of Python raises where a page is no HTML at all.
        with contextlib.suppress(ValueError, AssertionError):
            self.feed(page.body.decode("utf-8", "replace"))

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        return iter(self._found.items())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        href = found.get("href")
        if tag == "base" and href:
            self._base = urllib.parse.urljoin(self._base, href)
        if tag != "a" or not href:
            return
        with contextlib.suppress(ValueError):
            url = urllib.parse.urljoin(self._base, href)
            if is_remote(url):
                kept = {n: found[n] or "" for n in _KEPT if n in found}
                self._found.setdefault(url, kept)


def _make_opener(settings: PipSettings) -> urllib.request.OpenerDirector:
    """One that reaches the origins as pip would."""
    handlers: list[Any] = []
    if settings.proxy is not None:
        proxies = dict.fromkeys(("http", "https"), settings.proxy)
        handlers.append(urllib.request.ProxyHandler(proxies))
    if settings.cert is not None:
        context = ssl.create_default_context(cafile=settings.cert)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)
