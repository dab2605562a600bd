"""Serve until SIGTERM. SIGHUP reads the configuration again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ...errors import InvalidConfiguration
from ...server.configuration.file import combine
from ...server.configuration.options import Options
from ...server.configuration.table import FLAG, OPTIONS, Option
from .. import WRONG_USE
from .arguments import said


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Each argument is kept under the name of its field in `Options`; None is for what
    was not given."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="options in a file, in its section [server]; those given here go before them",
    )
    for option in OPTIONS:
        parser.add_argument(
            f"--{option.name}", dest=option.field, help=_help(option), **_how(option)
        )


def _how(option: Option) -> dict[str, Any]:
    """How the command line has it: a flag without value, also as ``--no-...``; what there
    may be several of with a word for each value."""
    kind = option.kind
    if kind == FLAG:
        return {"action": argparse.BooleanOptionalAction}
    if kind.words:
        return {"action": "append", "nargs": len(kind.words), "metavar": kind.words}
    return {"type": said(kind.read), "metavar": kind.word}


def _help(option: Option) -> str:
    default = option.default
    shown = "" if default in (None, False, ()) else f" ({option.kind.show(default)})"
    return f"{option.help}{shown}".replace("%", "%%")


def options_of(arguments: argparse.Namespace) -> Options:
    """What the command line and its configuration file say, as it is now.

    Raises `InvalidConfiguration`.
    """
    given = {option.field: _given(option, arguments) for option in OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    return combine(given, arguments.config)


def _given(option: Option, arguments: argparse.Namespace) -> object:
    """What the command line says; several values as the lines of a file say them."""
    value: object = getattr(arguments, option.field)
    if not option.kind.words or not isinstance(value, list):
        return value
    try:
        return option.kind.read("\n".join(" ".join(words) for words in value))
    except ValueError as error:
        raise InvalidConfiguration(f"--{option.name}: {error}") from None


def run(arguments: argparse.Namespace) -> int:
    try:
        import aiohttp  # noqa: F401
    except ModuleNotFoundError:
        print(
            "networkcache server run needs more than the base installation:"
            " pip install 'slapos.networkcache[server]'",
            file=sys.stderr,
        )
        return WRONG_USE
    from ...server.runtime.run import run

    return run(options_of(arguments), lambda: options_of(arguments))
