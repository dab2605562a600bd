"""The places in which the options of a run stand, as zc.buildout keeps them.

A `Buildout` has merged them already, and remembers of each value where it came from; but
what a node said itself must not be lost to a profile (see `config.merge`), so that is
read where it stands.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import zc.buildout
import zc.buildout.buildout
import zc.buildout.configparser

from ..configfile import SECTION, read_section
from ..precedence import Place
from ..urls import has_secret, is_remote, without_fragment

Sections = dict[str, dict[str, str]]
Layers = dict[Place, dict[str, str]]

_SECTION_OPTION = "networkcache-section"
_COMMAND_LINE = "COMMAND_LINE_VALUE"


def of_buildout(buildout: Any) -> Layers:
    """The section that a `zc.buildout.buildout.Buildout` has, by place; empty where it
    has none.

    The node's own places are read anew: a profile may name another section, and where it
    both sets an option and adds to it, buildout forgets who else had set it.
    """
    command_line = CommandLine.parse(sys.argv[1:])
    defaults, files = _read_user_defaults(command_line)
    layers = _own_layers(command_line, defaults)
    name = section_name(buildout["buildout"])
    annotated = getattr(buildout, "_annotated", {}).get(name, {})
    for option, value in _values(buildout, name, annotated).items():
        key = annotated.get(option)
        for item in getattr(key, "history", ()):
            if _place(item.source, files) is Place.PROFILE:
                layers.setdefault(Place.PROFILE, {})[option] = item.value
        # The last word, as buildout merged and substituted it.
        place = _place(getattr(key, "source", ""), files)
        layers.setdefault(place, {})[option] = value
    return layers


def config_file_of(buildout: Any, command_line: CommandLine) -> str:
    """The root profile of a `Buildout`: its URL, or an absolute path. buildout has left
    the folder in which it was started."""
    name = command_line.config_file
    if is_remote(name) or os.path.isabs(name):
        return name
    end = os.path.join(os.sep, os.path.normpath(name))
    for section in getattr(buildout, "_annotated", {}).values():
        for key in section.values():
            source = str(getattr(key, "source", ""))
            if os.path.isabs(source) and source.endswith(end):
                return source
    return os.path.abspath(name)


def root_profile(config_file: str) -> str | None:
    """The name of a root profile in `Key.for_run`: its URL, or the SHA-256 of a local
    file; None where it carries a secret or is not there."""
    if is_remote(config_file):
        return None if has_secret(config_file) else without_fragment(config_file)
    try:
        with open(config_file, "rb") as file:
            return sha256(file.read()).hexdigest()
    except OSError:
        return None


def _values(buildout: Any, name: str, annotated: Mapping[str, Any]) -> dict[str, str]:
    """What buildout made of a section; as it stands where it refers to what is not there,
    so that it is reading the option that fails, and not the build."""
    values = {option: str(key.value) for option, key in annotated.items()}
    try:
        section = buildout[name]
    except zc.buildout.UserError:
        return values
    for option in section:
        with contextlib.suppress(zc.buildout.UserError):
            values[option] = section[option]
    return values


def section_name(options: Mapping[str, str]) -> str:
    """The name of our section, as ``[buildout]`` says."""
    return options.get(_SECTION_OPTION, "").strip() or SECTION


def _place(source: str, user_defaults: Collection[str]) -> Place:
    if source == _COMMAND_LINE:
        return Place.COMMAND_LINE
    return Place.USER_DEFAULTS if source in user_defaults else Place.PROFILE


def of_node(arguments: Sequence[str], config_file: str | None) -> Layers:
    """What can be known before any profile is read.

    `arguments` are buildout's own, `config_file` a node's ``slapos.cfg``. Raises
    `InvalidConfiguration`.
    """
    command_line = CommandLine.parse(arguments)
    defaults, _ = _read_user_defaults(command_line)
    layers = _own_layers(command_line, defaults)
    layers[Place.CONFIG_FILE] = read_section(config_file) if config_file else {}
    return layers


def _own_layers(command_line: CommandLine, defaults: Sections) -> Layers:
    assigned = command_line.assignments
    buildout = {**defaults.get("buildout", {}), **assigned.get("buildout", {})}
    name = section_name(buildout)
    own = dict(defaults.get(name, {}))
    added = assigned.get(name, {})
    _update(own, added)
    said = {option.rstrip(" +-") for option in added}
    return {
        Place.USER_DEFAULTS: defaults.get(name, {}),
        Place.COMMAND_LINE: {option: own[option] for option in said if option in own},
    }


# -- the user's defaults


def _read_user_defaults(command_line: CommandLine) -> tuple[Sections, set[str]]:
    """What they say, and the files that say it, by the names that buildout gives them."""
    files: set[str] = set()
    if not command_line.user_defaults:
        return {}, files
    return _read(user_defaults_file(), files), files


def user_defaults_file() -> str:
    """Where they stand, be it there or not."""
    home = os.path.join(os.path.expanduser("~"), ".buildout")
    return os.path.join(os.environ.get("BUILDOUT_HOME", home), "default.cfg")


def _read(path: str, files: set[str]) -> Sections:
    """The sections of a file and of the local ones that it extends."""
    if path in files or not os.path.exists(path):
        return {}
    files.add(path)
    known = getattr(zc.buildout.buildout, "_default_globals", dict)
    try:
        with open(path, encoding="utf-8") as file:
            sections: Sections = zc.buildout.configparser.parse(file, path, known)
    except Exception:
        # The same file comes next for buildout, which says what is wrong with it.
        return {}
    merged: Sections = {}
    buildout = sections.get("buildout", {})
    for option in ("extends", "optional-extends"):
        for other in buildout.pop(option, "").split():
            if is_remote(other):
                files.add(other)
            else:
                _merge(merged, _read(os.path.join(os.path.dirname(path), other), files))
    _merge(merged, sections)
    return merged


def _merge(into: Sections, sections: Sections) -> None:
    for name, options in sections.items():
        _update(into.setdefault(name, {}), options)


def _update(into: dict[str, str], options: Mapping[str, str]) -> None:
    """Set options, and add to them or take away lines with ``+=`` and ``-=``."""
    for option, value in sorted(options.items(), key=lambda item: item[0].rstrip(" +-")):
        name = option.rstrip(" +-")
        before = into.get(name, "").split("\n")
        if option.endswith("+"):
            value = "\n".join([*before, *value.split("\n")])
        elif option.endswith("-"):
            value = "\n".join(line for line in before if line not in value.split("\n"))
        into[name] = value


# -- the command line


class CommandLine(NamedTuple):
    """Buildout's arguments as far as they concern us: what they assign, by section, the
    `letters` of their options, the root profile, ``buildout.cfg`` by default, and the
    `parts` that alone are to be installed."""

    assignments: Sections
    letters: str
    config_file: str = "buildout.cfg"
    parts: tuple[str, ...] = ()

    @property
    def user_defaults(self) -> bool:
        """Whether the user's defaults count."""
        return "U" not in self.letters

    @property
    def verbosity(self) -> int:
        """How many steps more is to be said; fewer, below 0."""
        return self.letters.count("v") - self.letters.count("q")

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> CommandLine:
        """Read them as `zc.buildout.buildout.main` does."""
        assignments: Sections = {}
        letters = ""
        parts: tuple[str, ...] = ()
        config_file = cls._field_defaults["config_file"]
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if word.startswith("-"):
                cluster, value = _cluster(word, rest)
                letters += cluster
                config_file = config_file if value is None else value
            elif "=" in word:
                target, value = word.split("=", 1)
                section, colon, option = target.partition(":")
                if not colon:
                    section, option = "buildout", target
                assignments.setdefault(section.strip(), {})[option.strip()] = value.strip()
            else:
                parts = tuple(rest) if word == "install" else ()
                break
        return cls(assignments, letters, config_file, parts)


def _cluster(word: str, rest: list[str]) -> tuple[str, str | None]:
    """The letters of a cluster like ``-NUc``, and the profile that it names; takes the
    value of an option from the `rest` of the words."""
    if word.startswith("--"):
        return "", None
    for index, letter in enumerate(word):
        if letter == "c":
            value = word[index + 1 :] or "".join(rest[:1])
            del rest[: int(index + 1 == len(word))]
            return word[1:index], value
        if letter == "t":
            del rest[:1]
            return word[1:index], None
    return word[1:], None
