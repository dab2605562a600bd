"""CPU time of the server for one look-up, its access log on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from slapos.networkcache.certificates import generate
from slapos.networkcache.entry import Key

from .entries import pair_for, publish
from .load import get_all
from .processes import cpu_seconds
from .rows import Row, take_turns
from .servers import Server, old_server, our_server

ROUNDS, LOOKUPS, KEYS, CONNECTIONS = 5, 4000, 100, 8


def run(folder: Path) -> list[Row]:
    with old_server(folder / "old") as old, our_server(folder / "ours") as ours:
        for server in (old, ours):
            _fill(server)
            _cost(server)
        theirs, our = take_turns(ROUNDS, partial(_cost, old), partial(_cost, ours))
    count = f"{ROUNDS} x {LOOKUPS} over {CONNECTIONS} connections"
    return [Row("server CPU per look-up", theirs, our, "us", count, 8)]


def _url(number: int) -> str:
    return f"http://example.com/{number}.tar.gz"


def _fill(server: Server) -> None:
    signer = generate("ed25519")
    for number in range(KEYS):
        content = b"%d" % number
        publish(server, _url(number), content, pair_for(_url(number), content, signer))


def _cost(server: Server) -> float:
    paths = [f"/{Key.for_file(_url(n % KEYS))}" for n in range(LOOKUPS)]
    before = cpu_seconds(server.pid)
    get_all(server.dir_url, paths, CONNECTIONS)
    return (cpu_seconds(server.pid) - before) / LOOKUPS * 1e6
