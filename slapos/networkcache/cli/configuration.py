"""What the commands share: a node's configuration, and a client made of it."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from ..config import Config
from ..configfile import SECTION, read_section
from ..errors import InvalidConfiguration, Refusal, SourceFailure
from .terminal import tell

if TYPE_CHECKING:
    from ..client import Client
    from ..outcome import Outcome


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        required=True,
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
    """The section of the file that ``--config`` names; raises what `parse_file` does."""
    _start_log(arguments.verbose)
    config = parse_file(arguments.config)
    if arguments.verbose:
        for note in config.notes:
            tell(note)
    return config


def parse_file(path: str) -> Config:
    """The section of a node's configuration file.

    Raises `InvalidConfiguration`, for an option that nobody knows too: whoever types a
    command can mend it.
    """
    config = Config.parse(read_section(path))
    if config.unknown:
        raise InvalidConfiguration(
            f"unknown in [{SECTION}] of {path}: {', '.join(config.unknown)}"
        )
    return config


def _start_log(verbose: bool) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(record.getMessage())

    logger = logging.getLogger("slapos.networkcache")
    logger.handlers = [Handler()]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)


def make_client(config: Config, *, remembers: bool = True) -> Client:
    """A client that says what keeps it from believing anybody.

    `remembers` tells whether what was believed in other runs counts against roll-back.
    Raises `InvalidConfiguration` where there is no source.
    """
    from ..client import open_client

    if not config.reads:
        raise InvalidConfiguration(
            f"there is no source to ask: set download-cache-url and download-dir-url in"
            f" [{SECTION}]"
        )
    client, warnings = open_client(config, remembers=remembers)
    for warning in warnings:
        tell(warning)
    return client


def tell_failures(outcome: Outcome) -> None:
    """Say which sources could not be asked."""
    for answer in outcome.answers:
        if isinstance(answer.failure, (Refusal, SourceFailure)):
            tell(f"{answer.source}: {answer.failure}")
