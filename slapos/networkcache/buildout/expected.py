"""What a profile says that a run will fetch, before it does.

`read_profile` looks through a profile that was read and merged, without asking buildout
for its sections: that would load their recipes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..urls import is_remote, normalised_name, safe_name

if TYPE_CHECKING:
    from ..key import Key

Sections = Mapping[str, Mapping[str, str]]

FETCHING: Mapping[str, tuple[str, ...]] = {
    "collective.recipe.template": ("url",),
    "hexagonit.recipe.cmmi": ("url",),
    "hexagonit.recipe.download": ("url",),
    "slapos.networkcache": ("url",),
    "slapos.recipe.build": ("url",),
    "slapos.recipe.cmmi": ("url",),
    "zc.recipe.cmmi": ("url",),
}
"""The distributions of recipes that are known to fetch what an option names."""
_DEPTH = 8
"""Levels of references in references that are followed."""
_REFERENCE = re.compile(r"\$\{([^:{}$]*):([^:{}$]*)\}")


@dataclass(frozen=True)
class Profile:
    """What a profile names: all `urls`, those that a part of it is certain to fetch when
    it is installed, by part, and the exact `pins` of projects."""

    urls: tuple[str, ...] = ()
    fetched: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Expected:
    """What a run is known to need: `urls` it will fetch, and `pins` and `index`, the URL
    of a package index, which only say what it may."""

    urls: list[str] = field(default_factory=list)
    pins: Mapping[str, str] = field(default_factory=dict)
    index: str | None = None

    @property
    def keys(self) -> list[Key]:
        """Those of the URLs."""
        from ..key import Key
        from ..urls import has_secret

        return [Key.for_file(url) for url in self.urls if not has_secret(url)]

    @property
    def guesses(self) -> list[Key]:
        """Those of the pinned distributions, and of their index pages."""
        return list(_guesses(self.pins, self.index))


def _guesses(pins: Mapping[str, str], index: str | None) -> Iterator[Key]:
    from ..errors import InvalidKey
    from ..key import Key
    from ..urls import has_secret

    for project, version in pins.items():
        name = normalised_name(project)
        if index is not None and is_remote(index) and not has_secret(index):
            yield Key.for_page(f"{index.rstrip('/')}/{name}/")
        for spelling in dict.fromkeys((safe_name(project), name)):
            try:
                yield Key.for_distribution(spelling, version)
            except InvalidKey:
                continue


def read_profile(sections: Sections) -> Profile:
    """What a merged profile names, as far as it can be told from its text."""
    text = _Text(sections)
    urls: dict[str, None] = {}
    fetched = {}
    parts = set(text.value("buildout", "parts").split())
    for name in sections:
        if name == "buildout":
            continue
        options = text.options(name)
        distribution = options.get("recipe", "").partition(":")[0].strip()
        for option in options:
            url = text.value(name, option)
            if is_remote(url) and not re.search(r"[\s${}]", url):
                urls[url] = None
                if name in parts and option in FETCHING.get(distribution, ()):
                    fetched[name] = url
    versions = sections.get(text.value("buildout", "versions") or "versions", {})
    pins = {
        project: version
        for project, version in versions.items()
        if re.fullmatch(r"[0-9][A-Za-z0-9.!+_-]*", version)
    }
    return Profile(tuple(urls), fetched, pins)


class _Text:
    """The options of a profile, with macros and references replaced in their text."""

    def __init__(self, sections: Sections):
        self._sections = sections
        self._merged: dict[str, Mapping[str, str]] = {}

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
        is."""

        def replace(match: re.Match[str]) -> str:
            section = match[1] or name
            if not depth or match[2] not in self.options(section):
                return match[0]
            return self.value(section, match[2], depth - 1)

        return _REFERENCE.sub(replace, self.options(name).get(option, "")).strip()


def to_install(fetched: Mapping[str, str], installed: Iterable[str]) -> dict[str, str]:
    """Of what parts fetch, that of those which are not installed yet."""
    there = set(installed)
    return {part: url for part, url in fetched.items() if part not in there}
