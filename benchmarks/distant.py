"""A far-away node: 300 files of 50 KiB, 20 ms each way.

Ours goes the way of a buildout: the record of an earlier run, all keys in one batch, the
contents ahead into the local store, and then, file by file, what buildout asks for. The
incumbent takes the same files from the same server, one after the other, with pairs of
its own and a list of one certificate, the least that it can do.

The bare minimum is one round trip for all keys, and then the bytes over 8 plain sockets,
nothing verified and nothing written. A socket asks for a content when it has the one
before, as every HTTP client does; or, as hardly any does, for all of them at once.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path

from slapos.networkcache.binding import LIFETIME_LIMIT, Request
from slapos.networkcache.buildout.ahead import Ahead
from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.client import Client
from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.localstore import LocalStore
from slapos.networkcache.members import members_of_run
from slapos.networkcache.protocol import Batch
from slapos.networkcache.record import Used, encode_record
from slapos.networkcache.seen import SeenOnDisk

from .distance import CONNECTED, Distance, distance
from .entries import legacy_pair_for, pair_for, publish, publish_under
from .fetch import SIZE, check, empty, fetch_as_incumbent, options_for
from .load import Connection, get_all
from .rows import Row, take_turns
from .servers import Server, our_server

ROUNDS, TIMES, FILES, MILLISECONDS, SOCKETS = 2, 5, 300, 20, 8
EXCHANGES, FACTOR = 3, 20
PROFILE = "http://example.com/software.cfg"


def run(folder: Path) -> list[Row]:
    signer = generate("rsa")
    with our_server(folder / "server") as server:
        used = _publish(server, signer)
        with distance(server.url, MILLISECONDS, folder / "distance.log") as far:
            options = options_for(far, [signer])
            old, ours, one_by_one, at_once = take_turns(
                ROUNDS,
                partial(fetch_as_incumbent, options, _urls("old"), folder / "fetched"),
                _several(partial(_ours, options, folder)),
                _several(partial(_bare, far, used, at_once=False)),
                _several(partial(_bare, far, used, at_once=True)),
            )
            first = len(far.lines())
            _ours(options, folder)
            connections, exchanges = _before_contents(far.lines()[first:], used)
    what = f"{FILES} files of {SIZE >> 10} KiB, {MILLISECONDS} ms away"
    count = f"{ROUNDS} x {TIMES}"
    before = f"{what}: {{}} before the first content is asked for"
    floor = f"{what}: times the bare minimum, {{}} ({{:.2f}} s)"
    asked = floor.format("a request for each", one_by_one)
    asked_at_once = floor.format("all asked at once", at_once)
    return [
        Row(what, old, ours, "s", f"{ROUNDS} / {count}", FACTOR),
        Row(before.format("exchanges"), None, exchanges, "", "1", limit=EXCHANGES),
        Row(before.format("connections"), None, connections, "", "1"),
        Row(asked, None, ours / one_by_one, "x", count),
        Row(asked_at_once, None, ours / at_once, "x", count),
    ]


def _urls(who: str) -> list[str]:
    return [f"http://example.com/{who}/{number}.tar.gz" for number in range(FILES)]


def _publish(server: Server, signer: Signer) -> list[Used]:
    """Put all files, in the way of either, and the record of a run that used ours."""
    used = []
    for old_url, our_url in zip(_urls("old"), _urls("ours"), strict=True):
        content = os.urandom(SIZE)
        used.append(Used(Key.for_file(our_url), Digests.of([content]).sha512, SIZE))
        publish(server, old_url, content, legacy_pair_for(old_url, content, signer))
        publish(server, our_url, content, pair_for(our_url, content, signer))
    record = encode_record(used)
    publish_under(Key.for_run(PROFILE), server, record, _record_pair(record, signer))
    return used


def _record_pair(record: bytes, signer: Signer) -> Pair:
    now = int(time.time())
    entry = Entry.make(
        Key.for_run(PROFILE),
        Digests.of([record]),
        now,
        members_of_run(PROFILE),
        expires=now + LIFETIME_LIMIT,
        signer=signer.fingerprint,
    )
    return Pair(entry.text, signer.sign(entry.text))


def _several(attempt: Callable[[], float]) -> Callable[[], float]:
    """The median of some attempts: those that are quick deserve more of them."""
    return lambda: take_turns(TIMES, attempt)[0]


def _ours(options: dict[str, str], folder: Path) -> float:
    """As `buildout.run.Run` does it, on a node that has nothing."""
    node, destination = folder / "node", folder / "fetched"
    shutil.rmtree(node, ignore_errors=True)
    empty(destination)
    start = time.perf_counter()
    client = Client(
        Config.parse(options),
        seen=SeenOnDisk(node / "seen.sqlite"),
        local=LocalStore(node / "store", 1 << 30),
    )
    ahead = Ahead(client, PROFILE)
    ahead.look((), ())
    for url in _urls("ours"):
        request = Request.for_file(url)
        outcome = client.look_up(request)
        if outcome.trusted is not None:
            ahead.claim(outcome.trusted.digest)
        client.fetch(outcome, str(destination / str(request.key)))
    ahead.close()
    client.close()
    seconds = time.perf_counter() - start
    check(destination, FILES)
    return seconds


def _bare(far: Distance, used: Sequence[Used], *, at_once: bool) -> float:
    start = time.perf_counter()
    connection = Connection(far.dir_url)
    connection.ask("POST", "", Batch([one.key for one in used]).encode())
    connection.close()
    paths = [f"/{one.digest.hex}" for one in used]
    get_all(far.cache_url, paths, SOCKETS, at_once=at_once)
    return time.perf_counter() - start


def _before_contents(lines: Sequence[str], used: Sequence[Used]) -> tuple[int, int]:
    """How many connections and requests went before the first request for a content."""
    contents = {f"GET /shacache/{one.digest.hex}" for one in used}
    before = list(takewhile(lambda line: line not in contents, lines))
    if len(before) == len(lines):
        raise RuntimeError("no content was asked for")
    return before.count(CONNECTED), sum(line != CONNECTED for line in before)
