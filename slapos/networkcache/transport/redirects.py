"""Redirects: how often they are followed, and where they lead. Which of these places may
be asked is for who follows them to say."""

from __future__ import annotations

from urllib.parse import urldefrag, urljoin, urlsplit

import requests

from ..urls import split

STATUSES = frozenset({301, 302, 303, 307, 308})

CONTENT_LIMIT = 3
"""Redirects of a content: a network cache leads to where the bytes are, not about."""
ORIGIN_LIMIT = 10
"""Redirects of an origin: as many as urllib follows, and so buildout."""


def is_web(url: str) -> bool:
    """Whether it is an http or https URL with a host."""
    parts = split(url)
    return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)


def target(response: requests.Response, url: str) -> str | None:
    """Where an answer for `url` redirects to, without a fragment; None where that is no
    http or https URL, or names a user. The user that `url` names is not carried along."""
    asked = urlsplit(url)
    base = asked._replace(netloc=asked.netloc.rpartition("@")[2]).geturl()
    try:
        there = urldefrag(urljoin(base, response.headers["Location"])).url
    except (KeyError, ValueError):
        return None
    return there if is_web(there) and "@" not in urlsplit(there).netloc else None
