"""What several commands of a server take from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from ...entry import Key
from ..naming import requests_for


def said(read: Callable[[str], object]) -> Callable[[str], object]:
    """`read` with its sentence shown, which argparse does for its own error only."""

    def convert(text: str) -> object:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def add_keys(parser: argparse.ArgumentParser, count: str) -> None:
    """Add the argument that `keys_of` reads."""
    parser.add_argument(
        "what",
        nargs=count,
        metavar="KEY",
        help="a key, a URL, NAME==VERSION, a software URL or the path of a profile",
    )


def keys_of(arguments: argparse.Namespace) -> Sequence[Key]:
    """The keys that are meant, each once. Raises `InvalidKey`."""
    meant = (request.key for what in arguments.what for request in requests_for(what))
    return list(dict.fromkeys(meant))
