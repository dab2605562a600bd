"""What the commands share: a node's configuration, and a client made of it."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from ..config import Config
from ..configfile import SECTION, read_section
from ..errors import InvalidConfiguration, Refusal, SourceFailure, StorageFailure
from .terminal import tell

if TYPE_CHECKING:
    from ..client import Client, Outcome


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
    """The section of the file that ``--config`` names.

    Raises `InvalidConfiguration`, for an option that nobody knows too: whoever types a
    command can mend it.
    """
    _start_log(arguments.verbose)
    config = Config.parse(read_section(arguments.config))
    if config.unknown:
        raise InvalidConfiguration(
            f"unknown in [{SECTION}] of {arguments.config}: {', '.join(config.unknown)}"
        )
    if arguments.verbose:
        for note in config.notes:
            tell(note)
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
    from ..client import Client
    from ..seen import SeenInMemory, SeenOnDisk, default_path

    if not config.reads:
        raise InvalidConfiguration(
            f"there is no source to ask: set download-cache-url and download-dir-url in"
            f" [{SECTION}]"
        )
    try:
        seen = SeenOnDisk(default_path()) if remembers else SeenInMemory()
    except StorageFailure as error:
        tell(f"roll-back is not noticed: {error}")
        seen = SeenInMemory()
    client = Client(config, seen=seen)
    for problem in client.certificates.problems:
        tell(problem)
    if not client.certificates.certificates:
        tell("signature-certificate-list holds no certificate: nobody is believed")
    return client


def tell_failures(outcome: Outcome) -> None:
    """Say which sources could not be asked."""
    for answer in outcome.answers:
        if isinstance(answer.failure, (Refusal, SourceFailure)):
            tell(f"{answer.source}: {answer.failure}")
