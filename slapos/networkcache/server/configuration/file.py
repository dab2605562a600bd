"""The configuration file of a server: one section ``[server]`` with the options of
`table`.

The command line goes before the file, and the file before the defaults.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from configparser import ConfigParser
from io import StringIO
from pathlib import Path

from ...configfile import read_sections
from ...errors import InvalidConfiguration
from ...printable import printable
from .options import Options
from .table import BY_NAME

SECTION = "server"

Values = Mapping[str, object]
"""Fields of `Options` -> values, of the options that were given."""


def read(path: Path) -> Values:
    """What the file at `path` says. Raises `InvalidConfiguration`."""
    sections = read_sections(str(path))
    if others := sorted(set(sections) - {SECTION}):
        raise InvalidConfiguration(
            f"{path} has a section [{printable(others[0])}], and nobody reads it: all"
            f" options stand in [{SECTION}]"
        )
    if SECTION not in sections:
        raise InvalidConfiguration(f"{path} has no section [{SECTION}]")
    try:
        return parse(sections[SECTION], path.absolute().parent)
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{path}: {error}", error.option) from None


def parse(section: Mapping[str, str], folder: Path) -> Values:
    """Read the options of a section; those without a value count for nothing, and paths
    are relative to `folder`.

    Raises `InvalidConfiguration` for what nobody knows, and for what does not parse.
    """
    values = {}
    for name, text in section.items():
        if name not in BY_NAME:
            raise InvalidConfiguration(f"[{SECTION}] has no option {_guess(name)}", name)
        option, text = BY_NAME[name], text.strip()
        if not text:
            continue
        try:
            value = option.kind.read(text)
        except ValueError as error:
            raise InvalidConfiguration(f"{name}: {printable(str(error))}", name) from None
        values[option.field] = folder / value if isinstance(value, Path) else value
    return values


def text_of(section: Mapping[str, str], folder: Path) -> str:
    """The text of a file with these options, which says the same wherever it stands: paths
    are written in full. Raises as `parse` does."""
    values = parse(section, folder)
    parser, written = ConfigParser(interpolation=None), StringIO()
    parser[SECTION] = section
    for name in section:
        if isinstance(value := values.get(BY_NAME[name].field), Path):
            parser[SECTION][name] = str(value)
    parser.write(written)
    return written.getvalue()


def _guess(name: str) -> str:
    near = difflib.get_close_matches(name, list(BY_NAME), 1)
    known = f" (did you mean {near[0]}?)" if near else ""
    return f"{printable(name)!r:.100}{known}"


def root_of(values: Values, path: Path | None) -> Path:
    """The folder that `values` name, some of which the file at `path` says. Raises
    `InvalidConfiguration` where nobody does."""
    if "root" not in values:
        raise InvalidConfiguration(
            f"{path} has no option root: give it there, or --root DIR"
            if path
            else "nobody says where everything is kept: give --root DIR, or --config FILE"
        )
    return Path(str(values["root"]))


def combine(given: Values, path: Path | None) -> Options:
    """The options that were `given`, and for the others what the file at `path` says.

    Raises `InvalidConfiguration`, for options that contradict each other too.
    """
    values = {**(read(path) if path else {}), **given}
    root_of(values, path)
    options = Options(**values)  # type: ignore[arg-type]
    try:
        options.check()
    except InvalidConfiguration as error:
        where = f"{path}: " if path else ""
        raise InvalidConfiguration(f"{where}{error}") from None
    return options
