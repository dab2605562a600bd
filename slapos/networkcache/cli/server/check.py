"""Re-hash every content, and look for the content of every entry, while the server serves.

Without --repair nothing is changed. With it, contents that are bad are set aside, and
fetched from other network caches, as are those that are missing; where nobody has one, it
comes with the next upload.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from ...errors import InvalidConfiguration, StorageFailure
from ...printable import readable
from ...quantities import readable_size
from ...server.checking.check import carry_out
from ...server.checking.findings import Findings, write
from ...server.checking.inspection import Inspection
from ...server.configuration.options import Options, UpstreamUrls
from ...server.configuration.table import SIZE, URL
from ...server.root import Root, open_root
from ...server.space.collect import room_of, rules_of
from ...server.threads import Threads
from ...storage.database import SOUND
from .. import DONE, REFUSED, UNKNOWN, layout
from ..terminal import add_json_argument, escape_output, progress_bar, tell
from .arguments import said
from .root import add_root, options_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_root(parser)
    parser.add_argument("--repair", action="store_true", help="mend what can be mended")
    parser.add_argument(
        "--rate",
        type=said(SIZE.read),
        default=0,
        metavar=SIZE.word,
        help="read that much a second, at most (no limit)",
    )
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        type=said(URL.read),
        metavar="CACHE_URL",
        help="fetch contents from there; repeatable, before the upstreams of --config",
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    escape_output()
    options = options_of(arguments)
    began = time.time()
    try:
        with closing(open_root(options.root, tidy=False, progress=tell)) as root:
            # Where it is damaged, nothing that it says is a reason to change anything.
            if (said := root.database.check()) != SOUND:
                found = Findings(database=said)
            else:
                found = asyncio.run(_check(arguments, options, root, began))
                write(root.database, began, found)
    except StorageFailure as error:
        tell(f"networkcache server check: {error}")
        return UNKNOWN
    if arguments.json:
        print(json.dumps(found.plain()))
    else:
        print(*_lines(found, arguments.repair), sep="\n")
    if found.database != SOUND:
        return REFUSED
    if not found.finished:
        return UNKNOWN
    return REFUSED if found.wrong else DONE


async def _check(
    arguments: argparse.Namespace, options: Options, root: Root, began: float
) -> Findings:
    inspection = Inspection(root, repair=arguments.repair, began=began)
    total = root.catalogue.transfers.bytes_held()
    with closing(Threads(1)) as threads, progress_bar("checking") as show:

        def progress(found: Findings) -> None:
            if show is not None:
                show(found.bytes, max(total, found.bytes))

        do = partial(carry_out, inspection, threads, rate=arguments.rate, progress=progress)
        urls = [*(UpstreamUrls(url, "") for url in arguments.sources), *options.upstreams]
        if not arguments.repair or not urls:
            return await do()
        try:
            from ...server.checking.sources import open_sources
        except ModuleNotFoundError:
            raise InvalidConfiguration(
                "to fetch contents takes more than the base installation:"
                " pip install 'slapos.networkcache[server]'"
            ) from None
        room = room_of(root, rules_of(options, root))
        async with open_sources(root, room, options, urls, threads) as sources:
            return await do(sources=sources)


_ROWS: list[tuple[str, Callable[[Findings], int]]] = [
    ("contents", lambda found: found.contents),
    ("pairs", lambda found: found.pairs),
    ("bad contents", lambda found: found.bad_count),
    ("missing contents", lambda found: found.missing_count),
    ("set aside", lambda found: found.aside),
    ("repaired", lambda found: found.repaired),
    ("contents that no pair names", lambda found: found.orphans),
    ("contents that are not in the catalogue", lambda found: found.without_row),
    ("records without a content", lambda found: found.bare_rows),
    ("left-overs of dead processes", lambda found: found.leftovers),
    ("files that are no contents", lambda found: found.unknown_files),
]


def _lines(found: Findings, repair: bool) -> Iterator[str]:
    rows = [(what, str(count(found))) for what, count in _ROWS]
    rows.insert(1, ("bytes", readable_size(found.bytes)))
    rows.insert(0, ("database", readable(found.database)))
    yield from layout.table(("WHAT", "COUNT"), rows, indent="")
    for each in (*found.bad, *found.missing):
        name, of = next(iter(each.items()))
        yield readable(f"{name} {of}: {each['what']}")
    if found.unlisted:
        yield f"and {found.unlisted} more"
    if found.database != SOUND:
        yield "The database is damaged, and nothing else was looked at: restore a backup."
    if found.wrong > found.repaired:
        yield _advice(found, repair)


def _advice(found: Findings, repair: bool) -> str:
    if not repair:
        return "Mend it with --repair."
    return (
        f"{found.wrong - found.repaired} contents not repaired: what is missing comes with"
        " the next upload, or from a network cache that has it, with --from."
    )
