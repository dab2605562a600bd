"""The places in which the options of a run stand, as zc.buildout keeps them.

A `Buildout` has merged them already, but remembers where each value came from; what a
node said itself must not be lost to a profile (see `config.merge`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import zc.buildout.buildout
import zc.buildout.configparser

from ..config import Place
from ..configfile import SECTION, read_section
from ..errors import InvalidConfiguration

_SECTION_OPTION = "networkcache-section"
_COMMAND_LINE = "COMMAND_LINE_VALUE"


def of_buildout(buildout: Any) -> dict[Place, dict[str, str]]:
    """The section that a `zc.buildout.buildout.Buildout` has, by place; empty where it
    has none."""
    name = section_name(buildout["buildout"])
    if name not in buildout:
        return {}
    layers: dict[Place, dict[str, str]] = {}
    annotated = getattr(buildout, "_annotated", {}).get(name, {})
    for option, value in buildout[name].items():
        key = annotated.get(option)
        for item in getattr(key, "history", ()):
            layers.setdefault(_place(item.source), {})[option] = item.value
        # The last word, as buildout merged and substituted it.
        layers.setdefault(_place(getattr(key, "source", "")), {})[option] = value
    return layers


def section_name(options: Mapping[str, str]) -> str:
    """The name of our section, as ``[buildout]`` says."""
    return options.get(_SECTION_OPTION, "").strip() or SECTION


def _place(source: str) -> Place:
    if source == _COMMAND_LINE:
        return Place.COMMAND_LINE
    if source and source == _user_defaults_path():
        return Place.USER_DEFAULTS
    return Place.PROFILE


def _user_defaults_path() -> str:
    home = os.environ.get("BUILDOUT_HOME") or os.path.join(
        os.path.expanduser("~"), ".buildout"
    )
    return os.path.join(home, "default.cfg")


def of_node(
    arguments: Sequence[str], config_file: str | None
) -> dict[Place, dict[str, str]]:
    """What can be known before any profile is read.

    `arguments` are buildout's own, `config_file` a node's ``slapos.cfg``. Raises
    `InvalidConfiguration`.
    """
    assignments, user_defaults = _parse_arguments(arguments)
    defaults = _read_user_defaults() if user_defaults else {}
    buildout = {**defaults.get("buildout", {}), **assignments.get("buildout", {})}
    name = section_name(buildout)
    return {
        Place.USER_DEFAULTS: defaults.get(name, {}),
        Place.CONFIG_FILE: read_section(config_file) if config_file else {},
        Place.COMMAND_LINE: assignments.get(name, {}),
    }


def _read_user_defaults() -> dict[str, dict[str, str]]:
    path = _user_defaults_path()
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            sections: dict[str, dict[str, str]] = zc.buildout.configparser.parse(file, path)
    except (OSError, ValueError, zc.buildout.configparser.Error) as error:
        raise InvalidConfiguration(f"{path} does not parse: {error}") from None
    return sections


def _parse_arguments(
    arguments: Sequence[str],
) -> tuple[dict[str, dict[str, str]], bool]:
    """Assignments by section, and whether the user's defaults count, as
    `zc.buildout.buildout.main` reads its command line."""
    assignments: dict[str, dict[str, str]] = {}
    user_defaults = True
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            letters, takes_value, attached = _option_letters(word)
            user_defaults = user_defaults and "U" not in letters
            if takes_value and not attached and rest:
                rest.pop(0)
        elif "=" in word:
            target, value = word.split("=", 1)
            section, colon, option = target.partition(":")
            if not colon:
                section, option = "buildout", target
            assignments.setdefault(section.strip(), {})[option.strip()] = value.strip()
        else:
            break
    return assignments, user_defaults


def _option_letters(word: str) -> tuple[str, bool, str]:
    """The letters of a cluster like ``-NUc``, whether its last one takes a value, and
    the value where it is attached."""
    for index, letter in enumerate(word):
        if letter == "c":
            return word[:index], True, word[index + 1 :]
        if letter == "t":
            return word[:index], True, ""
    return word, False, ""
