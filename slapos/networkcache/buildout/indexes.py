"""The seam of index pages and distributions: `AllowHostsPackageIndex`.

`open_url` is asked for both: with a warning for a page, without one for a file. What a
page is read for is known one level up, in `find_packages`.
"""

from __future__ import annotations

import email.message
import http.client
import io
import re
import sys
import threading
import urllib.error
import urllib.parse
import urllib.response
from html import unescape
from typing import Any

import zc.buildout.easy_install

from ..urls import is_remote, normalised_name
from . import answers
from .answers import bypassing_cache
from .pages import Page, Pages, is_root, read_page
from .run import Run
from .seams import Seams
from .watching import Fetch, WatchedOpener

_Index = zc.buildout.easy_install.AllowHostsPackageIndex
_original_open_url = _Index.open_url
_original_find_packages = _Index.find_packages
_HREF = re.compile(r"""href\s*=\s*['"]?([^'"> ]+)""", re.IGNORECASE)
_current = threading.local()


def install(run: Run, seams: Seams) -> None:
    """Put the cache before the origins of a package index."""
    pages = Pages(run)

    def open_url(self: Any, url: str, warning: str | None = None) -> Any:
        """`AllowHostsPackageIndex.open_url`: an answer to be read and closed."""
        if not run.active or not is_remote(url):
            return _original_open_url(self, url, warning)
        if warning is None:
            return _open_file(run, self, url)
        if is_root(url, self.index_url):
            return _open_root(run, self, url, warning)
        return _open_page(pages, self, url, warning)

    def find_packages(self: Any, requirement: Any) -> None:
        """`AllowHostsPackageIndex.find_packages`; remembers what pages are read for."""
        before = getattr(_current, "requirement", None)
        _current.requirement = requirement
        try:
            if run.active and run.config.block_origin and _satisfied(self, requirement):
                return
            _original_find_packages(self, requirement)
        finally:
            _current.requirement = before

    seams.put(_Index, "open_url", open_url)
    seams.put(_Index, "find_packages", find_packages)


def _pinned(requirement: Any) -> bool:
    """Whether one version of the project will do, and no other."""
    return any(
        operator == "===" or (operator == "==" and not version.endswith("*"))
        for operator, version in requirement.specs
    )


def _satisfied(index: Any, requirement: Any) -> bool:
    """Whether what is pinned was found already."""
    found = index[requirement.project_name]
    return _pinned(requirement) and any(_is(dist, requirement) for dist in found)


def _is(dist: Any, requirement: Any) -> bool:
    """Whether a distribution is what is required, however its name is spelled."""
    names = {normalised_name(d.project_name) for d in (dist, requirement)}
    try:
        return len(names) == 1 and dist.version in requirement
    except ValueError:  # its version is none
        return False


# -- pages


def _open_root(run: Run, index: Any, url: str, warning: str) -> Any:
    """The page that lists all projects: of no use where what is wanted was found already,
    and never waited for where other pages come from the cache."""
    requirement = getattr(_current, "requirement", None)
    host = urllib.parse.urlsplit(url).netloc.lower()
    if (
        run.config.block_origin
        or host in run.unreachable
        or (requirement is not None and _satisfied(index, requirement))
    ):
        return None
    with bypassing_cache():
        return _original_open_url(index, url, warning)


def _open_page(pages: Pages, index: Any, url: str, warning: str) -> Any:
    requirement = getattr(_current, "requirement", None)
    no_page: list[Any] = []

    def ask(fetch: Fetch) -> Page | None:
        response = _ask(index, url, warning, fetch)
        if response is None:
            return None
        kind = response.headers.get("Content-Type") or ""
        if response.code == 200 and "html" not in kind.lower():
            no_page.append(response)
            return Page(url, 0, kind, b"")
        return read_page(response, fetch)

    project = ""
    if requirement is not None and url.startswith(index.index_url):
        project = normalised_name(requirement.project_name)
    pinned = bool(project) and _pinned(requirement)

    def links(page: Page) -> bool:
        return page.status == 200 and _links(page, requirement)

    page = pages.read(
        url,
        project,
        ask,
        links if pinned else None,
        credentials=has_password(url),
    )
    if no_page:
        return no_page[0]
    return None if page is None else _answer(page)


def _ask(index: Any, url: str, warning: str | None, fetch: Fetch) -> Any:
    """What the index itself answers, watched."""
    original = index.opener
    index.opener = WatchedOpener(original, fetch)
    try:
        with bypassing_cache():
            return _original_open_url(index, url, warning)
    finally:
        index.opener = original


def _answer(page: Page) -> Any:
    """A page as urllib gives it."""
    headers = email.message.Message()
    headers["Content-Type"] = page.content_type
    headers["Content-Length"] = str(len(page.body))
    body = io.BytesIO(page.body)
    if page.status == 200:
        return urllib.response.addinfourl(body, headers, page.url, page.status)
    why = http.client.responses.get(page.status, "")
    return urllib.error.HTTPError(page.url, page.status, why, headers, body)


def _links(page: Page, requirement: Any) -> bool:
    """Whether a page links a distribution that is the requirement."""
    module: Any = sys.modules[_original_open_url.__module__]
    text = page.body.decode("utf-8", "replace")
    for match in _HREF.finditer(text):
        link = urllib.parse.urljoin(page.url, unescape(match[1]))
        if any(_is(dist, requirement) for dist in module.distros_for_url(link)):
            return True
    return False


# -- files


def _open_file(run: Run, index: Any, url: str) -> Any:
    from ..binding import Request

    request = Request.for_distribution(url) or Request.for_file(url)
    taken = answers.take(run, request, url, password=has_password(url))
    if taken is not None:
        return taken
    fetch = Fetch()
    response = _ask(index, url, None, fetch)
    kind = (response.headers.get("Content-Type") or "").lower()
    if fetch.status != 200 or "html" in kind:
        return response
    return answers.watched_for(run, request, fetch, response)


def has_password(url: str) -> bool:
    """Whether the user's .pypirc has a password for `url`; zc.buildout would send it."""
    # Where PyPIConfig lives depends on the version: beside what is patched here.
    module = sys.modules[_original_open_url.__module__]
    find: Any = getattr(module, "PyPIConfig", None)
    try:
        return find is not None and find().find_credential(url) is not None
    except Exception:
        return True  # zc.buildout is about to say what is wrong with the file
