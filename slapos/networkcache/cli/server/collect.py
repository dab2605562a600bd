"""Remove what is old, what nothing names and what is beyond the limit, as the server does
every hour by itself; see what that would be with --dry-run.

Pinned keys keep their pairs, and those their contents. It may run while the server serves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from ...quantities import readable_size
from ...server.configuration.file import combine
from ...server.configuration.table import BY_NAME
from ...server.root import Root, open_root
from ...server.space.collect import rules_of, steps
from ...server.space.rules import Collected, Gone, Rules
from .. import DONE, layout
from ..terminal import escape_output
from .arguments import said
from .root import add_root, root_of

_OPTIONS = {
    "keep": "remove pairs that were put, and whose key was asked for, longer ago than that",
    "max-size": "of all contents together: remove what upstreams gave, least used first",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_root(parser)
    parser.add_argument("--dry-run", action="store_true", help="remove nothing, only tell")
    parser.add_argument(
        "--list", action="store_true", help="name every pair and every content"
    )
    for name, what in _OPTIONS.items():
        kind = BY_NAME[name].kind
        parser.add_argument(
            f"--{name}",
            type=said(kind.read),
            metavar=kind.word,
            help=f"{what} (what --config says)",
        )


def run(arguments: argparse.Namespace) -> int:
    escape_output()
    with closing(open_root(root_of(arguments))) as root:
        collected = Collected()
        rules = _rules(arguments, root)
        for gone in steps(root, rules, now=time.time(), dry_run=arguments.dry_run):
            collected.add(gone)
            if arguments.list:
                _list(gone)
    _print(collected, arguments.dry_run)
    return DONE


def _rules(arguments: argparse.Namespace, root: Root) -> Rules:
    """As the server has them. Without its configuration nobody says that it has no
    upstream: then what upstreams gave is for the limit alone."""
    given = {"root": root.folder, "keep": arguments.keep, "max_size": arguments.max_size}
    values = {name: value for name, value in given.items() if value is not None}
    rules = rules_of(combine(values, arguments.config), root)
    return rules if arguments.config else replace(rules, origin=False)


def _list(gone: Sequence[Gone]) -> None:
    for each in gone:
        print(f"{each.why.what} {each.name}: {each.why}, {readable_size(each.size)}")


def _print(collected: Collected, dry_run: bool) -> None:
    rows = [
        (why.what, str(why), str(total.count), readable_size(total.size))
        for why, total in collected.sums.items()
    ]
    if rows:
        print(*layout.table(("WHAT", "WHY", "COUNT", "SIZE"), rows, indent=""), sep="\n")
    else:
        print("Nothing would go." if dry_run else "Nothing went.")
