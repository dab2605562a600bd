"""End the pins of keys: what is under them may be collected again.

A URL stands for all that it may name, as for networkcache server pin.
"""

from __future__ import annotations

import argparse

from ...server.space.pins import Pins
from .arguments import add_keys
from .pin import change
from .root import add_root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_root(parser)
    add_keys(parser, "+")


def run(arguments: argparse.Namespace) -> int:
    return change(arguments, Pins.remove, "unpinned", "was not pinned")
