"""Pin keys: no collection takes their pairs, nor the contents that those name.

A URL stands for all that it may name: a file, an index page, a release, the record of a
run. A key may be pinned before anything is under it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing

from ...entry import Key
from ...errors import InvalidConfiguration
from ...server.root import open_root
from ...server.space.pins import Pin, Pins
from .. import DONE, layout
from ..terminal import escape_output
from .arguments import add_keys, keys_of
from .root import add_root, root_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_root(parser)
    parser.add_argument("--list", action="store_true", help="show what is pinned")
    add_keys(parser, "*")


def run(arguments: argparse.Namespace) -> int:
    if bool(arguments.what) == arguments.list:
        raise InvalidConfiguration("give the keys to pin, or --list, and not both")
    if not arguments.list:
        return change(arguments, Pins.add, "pinned", "was pinned already")
    with closing(open_root(root_of(arguments))) as root:
        pins = Pins(root.database).all()
    escape_output()
    if pins:
        print(*layout.table(("KEY", "SINCE", "PAIRS"), _rows(pins), indent=""), sep="\n")
    else:
        print("Nothing is pinned.")
    return DONE


def _rows(pins: Sequence[Pin]) -> Sequence[Sequence[str]]:
    return [(pin.key.text, layout.date(pin.since), str(pin.pairs)) for pin in pins]


def change(
    arguments: argparse.Namespace,
    do: Callable[[Pins, Sequence[Key]], Sequence[Key]],
    done: str,
    was: str,
) -> int:
    """Change the pins of the keys that are meant, and say of each whether it is `done`, or
    `was` so before."""
    keys = keys_of(arguments)
    with closing(open_root(root_of(arguments))) as root:
        changed = do(Pins(root.database), keys)
    for key in keys:
        print(f"{key} {done if key in changed else was}")
    return DONE
