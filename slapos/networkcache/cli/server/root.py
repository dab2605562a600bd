"""Which server a command is about: the folder of everything that it keeps."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...server.configuration import file
from ...server.configuration.options import Options


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `root_of` and `options_of` read."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--root", type=Path, metavar="DIR", help="the server's folder")
    which.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="its configuration, which names the folder",
    )


def root_of(arguments: argparse.Namespace) -> Path:
    """The server's folder, as the command line or the configuration file says it.

    Raises `InvalidConfiguration`.
    """
    root: Path | None = arguments.root
    if root is not None:
        return root
    return file.root_of(file.read(arguments.config), arguments.config)


def options_of(arguments: argparse.Namespace) -> Options:
    """The server's options, which are the defaults where no configuration is given.

    Raises `InvalidConfiguration`.
    """
    given = {} if arguments.root is None else {"root": arguments.root}
    return file.combine(given, arguments.config)
