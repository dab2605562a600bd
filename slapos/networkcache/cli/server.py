"""Run a server of contents (/shacache) and of signed entries (/shadir)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..quantities import parse_duration, parse_size
from . import WRONG_USE

Value = TypeVar("Value")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="serve until SIGTERM"))


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--root", type=Path, required=True, metavar="DIR", help="where everything is kept")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=8080, help="0 picks a free one (%(default)s)")
    add(
        "--allow-anonymous-upload",
        action="store_true",
        help="take uploads from this computer without an account",
    )
    add("--workers", type=int, default=1, metavar="N", help="processes (%(default)s)")
    add("--tls-port", type=int, metavar="M", help="https beside http, 0 picks a port")
    add("--tls-certificate", type=Path, metavar="FILE", help="PEM, with its chain")
    add("--tls-key", type=Path, metavar="FILE", help="PEM, not encrypted")
    add("--access-log", type=Path, metavar="FILE", help="default: standard error")
    add(
        "--max-content-size",
        type=_quantity(parse_size),
        default="16 GiB",
        metavar="SIZE",
        help="of one content (%(default)s)",
    )
    add(
        "--stall-timeout",
        type=_quantity(parse_duration),
        default="60 s",
        metavar="DURATION",
        help="a client that sends and takes nothing is dropped (%(default)s)",
    )
    add(
        "--shutdown-timeout",
        type=_quantity(parse_duration),
        default="60 s",
        metavar="DURATION",
        help="running transfers may take after SIGTERM (%(default)s)",
    )


def _quantity(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """`parse` with its sentence shown, which argparse does for its own error only."""

    def convert(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


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
    from ..server.run import Options, run

    return run(
        Options(
            root=arguments.root,
            host=arguments.host,
            port=arguments.port,
            anonymous=arguments.allow_anonymous_upload,
            workers=arguments.workers,
            tls_port=arguments.tls_port,
            tls_certificate=arguments.tls_certificate,
            tls_key=arguments.tls_key,
            access_log=arguments.access_log,
            content_limit=arguments.max_content_size,
            stall=arguments.stall_timeout,
            shutdown=arguments.shutdown_timeout,
        )
    )
