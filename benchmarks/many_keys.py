"""A million keys with three million pairs: look-ups beside those among a thousand keys,
start-up, memory and collection.

The database is filled without a server, and takes 4 GiB in the temporary folder; of the
contents, which are a few bytes each, some are there as files.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from slapos.networkcache.server.root import open_root
from slapos.networkcache.storage.schema import content_number

from .load import get_all
from .processes import PeakWatch, cpu_seconds, peak_memory
from .rows import Row, take_turns
from .servers import OurServer, our_server

FEW, MANY = 1000, 1_000_000
PAIRS = 3
OLD = 10
"""One key of so many was not asked for within the last year."""
FILES = 10_000
"""Contents that are there."""
ROUNDS, LOOKUPS, CONNECTIONS, STARTS = 5, 4000, 8, 3

_YEAR = 365 * 86400
_CONTENT = "INSERT INTO content VALUES (NULL, ?, ?, ?, 'ann', 0, ?, ?, 1, 0)"
_ENTRY = "INSERT INTO entry VALUES (NULL, ?, 'ann', 0, ?, ?, ?, ?, ?, NULL)"
_USE = "INSERT INTO key_use VALUES (?, ?, 1)"


def run(folder: Path) -> list[Row]:
    few, many = folder / "few", folder / "many"
    _fill(few, FEW)
    _fill(many, MANY)
    with our_server(few) as small, our_server(many) as large:
        looks = [partial(_cost, small, FEW), partial(_cost, large, MANY)]
        _let_rest(large)
        for look in looks:
            look()
        among_few, among_many = take_turns(ROUNDS, *looks)
        memory = peak_memory(large.pid)
    start, late = take_turns(STARTS, partial(_start, few), partial(_start, many))
    quiet, _ = _collect(many, 10 * _YEAR)
    collection, held = _collect(many, _YEAR // 2)
    _check(many)
    count = f"{ROUNDS} x {LOOKUPS} over {CONNECTIONS} connections"
    what = f"{MANY * PAIRS:,} pairs"
    return [
        Row(f"look-up among {FEW:,} keys: server CPU", None, among_few, "us", count),
        Row(
            f"look-up among {MANY:,} keys: server CPU",
            None,
            among_many,
            "us",
            count,
            limit=2 * among_few,
        ),
        Row(f"server over {what}: memory", None, memory, "MiB", "1", limit=192),
        Row(f"server over {FEW * PAIRS:,} pairs: start", None, start, "s", f"{STARTS}"),
        Row(f"server over {what}: start", None, late, "s", f"{STARTS}", limit=start + 1),
        Row(f"collection of nothing of {what}", None, quiet, "s", "1", limit=60),
        Row(f"collection of a {OLD}th of {what}", None, collection, "s", "1", limit=300),
        Row("the same: memory", None, held, "MiB", "1", limit=192),
    ]


# -- a server's folder


def _data(number: int) -> bytes:
    return b"content %d" % number


def _keys(count: int) -> list[str]:
    return sorted(f"file-urlmd5:{hashlib.md5(_data(n)).hexdigest()}" for n in range(count))


def _fill(folder: Path, count: int) -> None:
    """As a server leaves it that has taken `count` keys with `PAIRS` pairs each."""
    open_root(folder, make=True).close()
    with closing(sqlite3.connect(folder / "entries.sqlite")) as database:
        # A log would take the same again.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000"):
            database.execute(f"PRAGMA {pragma}")
        _insert(database, count)
        database.commit()
    for number in range(0, count, max(1, count // FILES)):
        digest = hashlib.sha512(_data(number)).hexdigest()
        shard = folder / "v1" / digest[:2] / digest[2:4]
        shard.mkdir(parents=True, exist_ok=True)
        (shard / digest).write_bytes(_data(number))


def _insert(database: sqlite3.Connection, count: int) -> None:
    now = int(time.time())
    database.executemany(_CONTENT, _contents(count, now))
    for number, key in enumerate(_keys(count)):
        digest = hashlib.sha512(_data(number))
        put = now - 2 * _YEAR
        rows = [
            (key, len(entry), entry, "", put, content_number(digest.digest()))
            for entry in _entries(key, digest.hexdigest(), now)
        ]
        database.executemany(_ENTRY, rows)
        if number % OLD:
            database.execute(_USE, (key, now))


def _contents(count: int, now: int) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        digest = hashlib.sha512(_data(number)).digest()
        used = now - 2 * _YEAR
        yield digest, content_number(digest), len(_data(number)), used, used


def _entries(key: str, sha512: str, now: int) -> Iterator[str]:
    for signer in range(PAIRS):
        members = {
            "format": 1,
            "key": key,
            "sha512": sha512,
            "size": 16,
            "created": now,
            "signer": f"{signer:064x}",
            "url": f"https://example.com/{'x' * 600}",
        }
        yield json.dumps(members)


# -- what is measured


def _cost(server: OurServer, count: int) -> float:
    """Microseconds of CPU for one look-up."""
    chance = random.Random(count)
    numbers = [chance.randrange(count) for _ in range(LOOKUPS)]
    paths = [f"/file-urlmd5:{hashlib.md5(_data(n)).hexdigest()}" for n in numbers]
    before = cpu_seconds(server.pid)
    get_all(server.dir_url, paths, CONNECTIONS)
    return (cpu_seconds(server.pid) - before) / LOOKUPS * 1e6


def _let_rest(server: OurServer) -> None:
    """Let it end the collection that it begins with."""
    used = -1.0
    while (now := cpu_seconds(server.pid)) - used > 0.02:
        used = now
        time.sleep(1)


def _start(folder: Path) -> float:
    """Seconds until it answers."""
    begun = time.monotonic()
    with our_server(folder):
        return time.monotonic() - begun


def _collect(folder: Path, keep: int) -> tuple[float, float]:
    """The seconds that it takes, and the MiB that it holds at most."""
    command = [sys.executable, "-m", "slapos.networkcache", "server", "collect"]
    command += ["--root", str(folder), "--keep", f"{keep} s"]
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    watch = PeakWatch(process.pid)
    if process.wait():
        raise RuntimeError("the collection failed")
    return time.monotonic() - begun, watch.end()


def _check(folder: Path) -> None:
    """It took what nobody asked for, and nothing else."""
    with closing(sqlite3.connect(folder / "entries.sqlite")) as database:
        questions = ("entry", "content", "key_use")
        pairs, contents, keys = (
            database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in questions
        )
    if not pairs == PAIRS * contents == PAIRS * keys < PAIRS * MANY:
        raise RuntimeError(f"left are {pairs} pairs, {contents} contents, {keys} keys")
