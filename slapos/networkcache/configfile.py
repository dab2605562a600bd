"""A node's configuration file: the ``slapos.cfg`` that has a ``[networkcache]`` section."""

from __future__ import annotations

import configparser

from .errors import InvalidConfiguration

SECTION = "networkcache"
"""The section that holds our options."""


def read_section(path: str, section: str = SECTION) -> dict[str, str]:
    """The options of one section, as they stand: nothing is interpolated, and the value
    of an option goes on for as long as lines are indented.

    Raises `InvalidConfiguration` where the file or the section is not there, or does not
    parse.
    """
    sections = read_sections(path)
    if section not in sections:
        raise InvalidConfiguration(
            f"{path} has no section [{section}]; it has"
            f" {', '.join(f'[{name}]' for name in sections) or 'none at all'}"
        )
    return sections[section]


def read_sections(path: str) -> dict[str, dict[str, str]]:
    """All sections of a file. Raises `InvalidConfiguration`."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except configparser.Error as error:
        raise InvalidConfiguration(f"{path} does not parse: {_what(error)}") from None
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(f"{path} is not UTF-8: {error}") from None
    except OSError as error:
        raise InvalidConfiguration(f"{path} cannot be read: {error.strerror}") from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _what(error: configparser.Error) -> str:
    """What is wrong, and where; the line itself may hold a secret."""
    if isinstance(error, configparser.DuplicateOptionError):
        twice = f"{error.option} of [{error.section}]"
        return f"{twice} stands a second time in line {error.lineno}"
    if isinstance(error, configparser.DuplicateSectionError):
        return f"[{error.section}] stands a second time in line {error.lineno}"
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno} stands before any [SECTION]"
    lines = [number for number, _ in getattr(error, "errors", ())]
    where = ", ".join(map(str, lines or [getattr(error, "lineno", "?")]))
    return (
        f"neither [SECTION] nor OPTION = VALUE in line {where}; a value that goes on must"
        " be indented"
    )
