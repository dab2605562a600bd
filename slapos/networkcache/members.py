"""What an entry says beside its content: the members that each kind of key asks for."""

from __future__ import annotations

from typing import Any

from .urls import without_fragment

Members = dict[str, Any]


def members_of_file(url: str, *, checked: bool) -> Members:
    """What an entry for the URL of a file says.

    `checked` tells that it came over verified https, or had the checksum that the
    profile or the URL asked for.
    """
    return {"url": url, **_transport_of(checked)}


def members_of_distribution(
    url: str, basename: str, name: str, version: str, *, checked: bool
) -> Members:
    """The same for a Python distribution."""
    return {
        "url": url,
        "basename": basename,
        "name": name,
        "version": version,
        **_transport_of(checked),
    }


def _transport_of(checked: bool) -> dict[str, str]:
    return {} if checked else {"transport": "http"}


def members_of_page(
    url: str,
    requirement: str,
    status: int,
    content_type: str,
    final_url: str,
    *,
    checked: bool,
) -> Members:
    """The same for an index page, read for `requirement`, or a page of links, where that
    is empty. `status` is 200 or 404, `final_url` where redirects led to."""
    return {
        "url": url,
        "requirement": requirement,
        "status": status,
        "content_type": content_type,
        "final_url": without_fragment(final_url),
        **_transport_of(checked),
    }


def members_of_run(profile: str) -> Members:
    """The same for the record of a run; `profile` as `Key.for_run` takes it."""
    return {"profile": profile}


def members_of_bundle(repository: str, revision: str) -> Members:
    """The same for a git bundle."""
    return {"repository": repository, "revision": revision}
