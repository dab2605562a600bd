"""What the commands share: a node's configuration, where it stands, and a client made of
it."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..config import Config
from ..configfile import SECTION, read_section
from ..errors import InvalidConfiguration, InvalidInput
from ..precedence import Merged, merge
from .terminal import tell

if TYPE_CHECKING:
    from ..client import Client
    from ..transport import Budget


def add_config_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument(
        "-c",
        "--config",
        required=required,
        metavar="SLAPOS_CFG",
        help=f"the node's configuration file: its section [{SECTION}] is read",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="also say what was completed in the configuration, and what is done",
    )


def read_config(arguments: argparse.Namespace) -> Config:
    """The section of the file that ``--config`` names; raises what `parse` does."""
    start_log(arguments.verbose)
    options = read_section(arguments.config)
    return parse(options, arguments.config, verbose=arguments.verbose)


def parse(
    options: Mapping[str, str], path: str | None = None, *, verbose: bool = False
) -> Config:
    """The configuration that `options` make, all of the file at `path` if there is one.

    With `verbose`, also says what was completed or left out. Raises
    `InvalidConfiguration`, for an option that nobody knows too: whoever types a command
    can mend it.
    """
    config = Config.parse(options)
    if config.unknown:
        where = f"[{SECTION}] of {path}" if path else f"[{SECTION}]"
        raise InvalidConfiguration(f"unknown in {where}: {', '.join(config.unknown)}")
    if verbose:
        for note in config.notes:
            tell(note)
    return config


def add_assignments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "assignments",
        nargs="*",
        metavar=f"{SECTION}:OPTION=VALUE",
        help="as on buildout's command line; goes before the configuration file",
    )


def read_places(arguments: argparse.Namespace) -> Merged:
    """The options as ``networkcache buildout`` reads them before any profile: its command
    line, the configuration file, the user's defaults.

    Raises `InvalidConfiguration`, and `InvalidInput` for what assigns nothing.
    """
    from ..buildout import places

    start_log(arguments.verbose)
    words: Sequence[str] = arguments.assignments
    for word in words:
        if ":" not in word.partition("=")[0] or "=" not in word:
            raise InvalidInput(f"expected {SECTION}:OPTION=VALUE, got {word!r:.200}")
    return merge(places.of_node(words, arguments.config))


def start_log(verbose: bool, level: int = logging.WARNING) -> None:
    """Say on standard error what is logged from `level` on, or all of it."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(record.getMessage())

    logger = logging.getLogger("slapos.networkcache")
    logger.handlers = [Handler()]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else level)


def make_client(
    config: Config, *, remembers: bool = True, budget: Budget | None = None
) -> Client:
    """A client that says what keeps it from believing anybody.

    `remembers` tells whether what was believed in other runs counts against roll-back;
    `budget` is shared with another client. Raises `InvalidConfiguration` where there is
    no source.
    """
    from ..client import open_client

    if not config.reads:
        raise InvalidConfiguration(
            f"there is no source to ask: set download-cache-url and download-dir-url in"
            f" [{SECTION}]"
        )
    client, warnings = open_client(config, remembers=remembers, budget=budget)
    for warning in warnings:
        tell(warning)
    return client
