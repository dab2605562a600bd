"""What a profile says that a run will fetch, before it does.

`read_profile` looks through a profile that was read and merged, without asking buildout
for its sections: that would load their recipes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from ..binding import Request
from ..configfile import SECTION
from ..errors import InvalidKey
from ..key import Key, Kind
from ..urls import (
    Checksum,
    checksum_in,
    has_secret,
    is_remote,
    normalised_name,
    safe_name,
    split,
)

Sections = Mapping[str, Mapping[str, str]]

_OURS = "slapos.networkcache"
FETCHING = frozenset(
    {
        "collective.recipe.template", "hexagonit.recipe.cmmi", "hexagonit.recipe.download",
        "slapos.recipe.build", "slapos.recipe.cmmi", "zc.recipe.cmmi", _OURS,
    }
)  # fmt: skip
"""The distributions of recipes that are known to fetch what their option ``url`` names."""
_GITCLONE = (_OURS, "gitclone")
_RELEASE = (_OURS, "release")
"""Whose ``url`` is only fetched where the release is built."""
_DEPTH = 8
"""Levels of references in references that are followed."""
_REFERENCE = re.compile(r"\$\{([^:{}$]*):([^:{}$]*)\}")


class Way(NamedTuple):
    """How a part may come to what it needs: from `url`, as the profile writes it, for
    which it makes the `request`."""

    url: str
    request: Request


@dataclass(frozen=True)
class Profile:
    """What a profile names: all `urls`, and the keys of the `bundles` of revisions; what
    a part of it is certain to fetch when it is installed, by part, with ways of which any
    one will do; and the exact `pins` of projects."""

    urls: tuple[str, ...] = ()
    bundles: tuple[Key, ...] = ()
    fetched: Mapping[str, tuple[Way, ...]] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> Iterator[Key]:
        """Those of what has no secret in its URL."""
        for url in self.urls:
            if not has_secret(url):
                yield Key.for_file(url)
        yield from self.bundles

    def guesses(self, index: str) -> Iterator[Key]:
        """Those of the pinned distributions, and of their pages in the package index at
        that URL: what a run may need."""
        for project, version in self.pins.items():
            name = normalised_name(project)
            if is_remote(index) and not has_secret(index):
                yield Key.for_page(f"{index.rstrip('/')}/{name}/")
            for spelling in dict.fromkeys((safe_name(project), name)):
                with suppress(InvalidKey):
                    yield Key.for_distribution(spelling, version)


def read_profile(sections: Sections) -> Profile:
    """What a merged profile names, as far as it can be told from its text."""
    text = _Text(sections)
    urls: dict[str, None] = {}
    bundles: dict[Key, None] = {}
    fetched: dict[str, tuple[Way, ...]] = {}
    parts = set(text.value("buildout", "parts").split())
    not_parts = {"buildout", text.value("buildout", "networkcache-section") or SECTION}
    for name in sections:
        if name in not_parts:
            continue
        found = [text.value(name, option) for option in text.options(name)]
        urls |= dict.fromkeys(filter(_is_url, found))
        ways = _ways(text, name)
        keys = [way.request.key for way in ways if not has_secret(way.url)]
        bundles |= dict.fromkeys(key for key in keys if key.kind is Kind.BUNDLE)
        if ways and name in parts:
            fetched[name] = ways
    versions = sections.get(text.value("buildout", "versions") or "versions", {})
    pins = {
        project: version
        for project, version in versions.items()
        if re.fullmatch(r"[0-9][A-Za-z0-9.!+_-]*", version)
    }
    return Profile(tuple(urls), tuple(bundles), fetched, pins)


def _ways(text: _Text, part: str) -> tuple[Way, ...]:
    """Those of a section, if it is installed: none where its recipe is not known, or
    something local may do instead."""
    distribution, _, name = text.value(part, "recipe").partition(":")
    recipe = distribution.strip(), name.strip()
    if recipe == _GITCLONE:
        return _ways_of_git(text, part)
    urls = [text.value(part, "url"), text.value(part, "alternate-url")]
    if recipe[0] not in FETCHING or recipe == _RELEASE or not _is_url(urls[0]):
        return ()
    if not urls[1]:
        urls.pop()
    if not all(map(_is_url, urls)):
        return ()
    checksums = list(_checksums(text, part, recipe[0]))
    return tuple(Way(url, Request.for_file(url, *checksums)) for url in urls)


def _ways_of_git(text: _Text, part: str) -> tuple[Way, ...]:
    repository = text.value(part, "repository")
    revision = text.value(part, "revision").lower()
    bundle = Request.for_bundle(repository, revision)
    return (Way(repository, bundle),) if bundle and _is_url(repository) else ()


def _checksums(text: _Text, part: str, distribution: str) -> Iterator[Checksum]:
    """Those that the recipe compares; one that is none is for it to complain of."""
    for algorithm in ("sha512", "sha256", "md5") if distribution == _OURS else ("md5",):
        checksum = checksum_in(f"#{algorithm}={text.value(part, f'{algorithm}sum')}")
        if checksum is not None:
            yield checksum


def _is_url(text: str) -> bool:
    """Whether it is a single URL of somewhere else, and nothing in it is still open."""
    if re.search(r"[\s${}]", text):
        return False
    return is_remote(text) and split(text) is not None


class _Text:
    """The options of a profile, with macros and references replaced in their text."""

    def __init__(self, sections: Sections):
        self._sections = sections
        self._merged: dict[str, Mapping[str, str]] = {}
        self._values: dict[tuple[str, str], str | None] = {}

    def options(self, name: str, depth: int = _DEPTH) -> Mapping[str, str]:
        """Those of a section with those of the macros that it names with ``<``."""
        if name not in self._merged:
            own = self._sections.get(name, {})
            merged: dict[str, str] = {}
            for macro in own.get("<", "").split() if depth else ():
                merged.update(self.options(macro, depth - 1))
            self._merged[name] = {**merged, **own}
        return self._merged[name]

    def value(self, name: str, option: str, depth: int = _DEPTH) -> str:
        """An option with its references replaced; what cannot be replaced stays as it
        is, one that leads back to itself for one."""

        def replace(match: re.Match[str]) -> str:
            section = match[1] or name
            if not depth or match[2] not in self.options(section):
                return match[0]
            return self.value(section, match[2], depth - 1)

        text = self.options(name).get(option, "")
        if (name, option) not in self._values:
            self._values[name, option] = None  # while it is being replaced
            self._values[name, option] = _REFERENCE.sub(replace, text).strip()
        return self._values[name, option] or text


def to_install(
    fetched: Mapping[str, tuple[Way, ...]],
    installed: Collection[str],
    named: Collection[str] = (),
) -> Iterator[tuple[Way, ...]]:
    """Of what parts fetch, that of those which are not installed yet; of those `named`,
    if any are."""
    for part, ways in fetched.items():
        if part not in installed and (not named or part in named):
            yield ways
