"""Run a server of contents (/shacache) and of signed entries (/shadir)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TypeVar

from ..quantities import parse_duration, parse_size
from ..server.options import Options
from . import WRONG_USE

_Value = TypeVar("_Value")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="serve until SIGTERM"))


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Every argument is kept under the name of its field in `Options`."""
    add = parser.add_argument
    add("--root", type=Path, required=True, metavar="DIR", help="where everything is kept")
    add("--host", help="address to listen on (%(default)s)")
    add("--port", type=int, help="0 picks a free one (%(default)s)")
    add(
        "--allow-anonymous-upload",
        action="store_true",
        dest="anonymous",
        help="take uploads from this computer without an account",
    )
    add("--workers", type=int, metavar="N", help="processes (%(default)s)")
    add("--tls-port", type=int, metavar="M", help="https beside http, 0 picks a port")
    add("--tls-certificate", type=Path, metavar="FILE", help="PEM, with its chain")
    add("--tls-key", type=Path, metavar="FILE", help="PEM, not encrypted")
    add("--access-log", type=Path, metavar="FILE", help="default: standard error")
    add(
        "--max-content-size",
        type=_quantity(parse_size),
        dest="content_limit",
        metavar="SIZE",
        help=f"of one content ({Options.content_limit / (1 << 30):g} GiB)",
    )
    add(
        "--stall-timeout",
        type=_quantity(parse_duration),
        dest="stall",
        metavar="DURATION",
        help="a client that sends and takes nothing is dropped (%(default)g s)",
    )
    add(
        "--shutdown-timeout",
        type=_quantity(parse_duration),
        dest="shutdown",
        metavar="DURATION",
        help="running transfers may take after SIGTERM (%(default)g s)",
    )
    defaults = {field.name: field.default for field in fields(Options)}
    parser.set_defaults(**{k: v for k, v in defaults.items() if v is not MISSING})


def _quantity(parse: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """`parse` with its sentence shown, which argparse does for its own error only."""

    def convert(text: str) -> _Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def options_of(arguments: argparse.Namespace) -> Options:
    """What the command line says."""
    return Options(
        **{field.name: getattr(arguments, field.name) for field in fields(Options)}
    )


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
    from ..server.run import run

    return run(options_of(arguments))
