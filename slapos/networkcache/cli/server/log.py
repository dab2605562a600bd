"""Show who did what, and when, oldest first: uploads, entries, and what operators did.

The log is only ever appended to.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import closing

from ...printable import readable
from ...quantities import parse_duration
from ...server.log import Line, Log
from ...server.root import open_root
from .. import DONE, layout
from ..terminal import add_json_argument, escape_output
from .arguments import said
from .root import add_root, root_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_root(parser)
    parser.add_argument(
        "--account",
        metavar="NAME",
        help="what this account did; operator, what commands did",
    )
    parser.add_argument(
        "--since",
        type=said(parse_duration),
        metavar="DURATION",
        help="what was done since so long ago",
    )
    parser.add_argument("--action", metavar="ACTION", help="such as put, or account revoke")
    parser.add_argument(
        "--key", metavar="KEY", help="what was done to this key, digest or account"
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    escape_output()
    since = 0.0 if arguments.since is None else time.time() - arguments.since
    with closing(open_root(root_of(arguments))) as root:
        for line in Log(root.database).lines(
            since=since,
            account=arguments.account,
            action=arguments.action,
            subject=arguments.key,
        ):
            print(json.dumps(line._asdict()) if arguments.json else _readable(line))
    return DONE


def _readable(line: Line) -> str:
    who = line.account or "(anonymous)"
    words = (layout.date(int(line.time)), who, line.action, line.subject, line.detail)
    return readable("  ".join(filter(None, words)))
