"""Download a content that an entry of the network cache names.

It goes to standard output, or to a file, once it has proved right as a whole: of a wrong
content nothing is handed out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..binding import Request
from ..criteria import Criterion, choose
from ..digest import PIECE
from ..entry import Key
from ..errors import NotFound, Refusal, SourceFailure
from . import DONE, run_command
from .configuration import add_config_arguments, make_client, read_config
from .terminal import progress_bar, tell

if TYPE_CHECKING:
    from ..client import Client
    from ..outcome import Outcome
    from ..trust import TrustedEntry


def main(argv: Sequence[str] | None = None) -> int:
    """The script ``networkcache-download``."""
    return run_command("download", argv, prog="networkcache-download")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-k", "--key", help="the key under which it is indexed")
    what.add_argument("-u", "--url", help="the URL that it was published for")
    parser.add_argument(
        "-l",
        "--list",
        action="store_true",
        help="list all believed entries as JSON, the newest first, and download nothing",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write (standard output)"
    )
    parser.add_argument(
        "criteria",
        nargs="*",
        metavar="KEY{==,<=,>=,<,>,<<,>>}VALUE",
        help="choose among the believed entries; the criteria apply one after the other."
        " VALUE is JSON, a string in double quotes. << and >> choose the lowest and the"
        " highest value under and over VALUE: 'created>>0' is the newest, and"
        " 'level>=[4,2]' 'level<<[9]' the lowest level that is at least [4,2]",
    )


def run(arguments: argparse.Namespace) -> int:
    criteria = [Criterion.parse(text) for text in arguments.criteria]
    request = _request(arguments)
    # The memory against roll-back knows one newest entry per request. Whoever chooses
    # among the entries must see the others too.
    choosing = bool(criteria or arguments.list)
    config = read_config(arguments)
    with make_client(config, remembers=not choosing) as client:
        outcome = client.look_up(request, ask_all=choosing)
        _tell_failures(outcome)
        entries = _choose(outcome, criteria)
        if arguments.list:
            members = [dict(entry.members) for entry in entries]
            print(json.dumps(members, indent=2, sort_keys=True))
        else:
            _download(client, entries[0], outcome, arguments.output)
    return DONE


def _request(arguments: argparse.Namespace) -> Request:
    if arguments.url is not None:
        return Request.for_file(arguments.url)
    return Request(Key.parse(arguments.key), any_kind=True)


def _tell_failures(outcome: Outcome) -> None:
    """Say which sources could not be asked."""
    for answer in outcome.answers:
        if isinstance(answer.failure, (Refusal, SourceFailure)):
            tell(f"{answer.source}: {answer.failure}")


def _choose(outcome: Outcome, criteria: Sequence[Criterion]) -> list[TrustedEntry]:
    """Raises what kept the look-up from success, or `NotFound`."""
    if isinstance(outcome.refusal, SourceFailure):
        raise SourceFailure(outcome.refusal.reason, "no source that answered has it")
    if outcome.trusted is None:
        raise outcome.refusal
    believed = outcome.weighed.believed
    chosen = choose(criteria, believed, lambda entry: entry.members)
    if chosen:
        return chosen
    for answer in outcome.answers:
        if isinstance(answer.failure, SourceFailure):
            raise answer.failure
    raise NotFound(f"none of the {len(believed)} believed entries fits the criteria")


def _download(
    client: Client,
    entry: TrustedEntry,
    outcome: Outcome,
    output: str | None,
) -> None:
    """Write the content to `output`, and nothing where it is wrong."""
    first = outcome.nearest_with(entry.digest)
    with progress_bar(f"{entry.digest.hex[:16]}") as progress:
        if output is not None and _is_replaceable(output):
            path = os.path.realpath(output)
            client.fetch_trusted(entry, path, outcome.request, progress, first)
            return
        with tempfile.TemporaryDirectory(prefix="networkcache-") as folder:
            path = os.path.join(folder, "content")
            client.fetch_trusted(entry, path, outcome.request, progress, first)
            _copy(path, output)


def _is_replaceable(output: str) -> bool:
    """Whether a file may be renamed to `output`: not to a device or a pipe."""
    return os.path.isfile(output) or not os.path.exists(output)


def _copy(path: str, output: str | None) -> None:
    with open(path, "rb") as file:
        if output is None:
            shutil.copyfileobj(file, sys.stdout.buffer, PIECE)
            sys.stdout.buffer.flush()
        else:
            with open(output, "wb") as destination:
                shutil.copyfileobj(file, destination, PIECE)
