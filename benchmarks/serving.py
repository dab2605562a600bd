"""Look-ups and small contents per second: the incumbent, ours, and nginx with the same
bytes in files; and two workers against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from slapos.networkcache.certificates import generate
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key

from .entries import pair_for, publish
from .processes import cpu_seconds
from .rows import Row, in_turn
from .servers import OurServer, Server, file_server, old_server, our_server

ROUNDS, CONNECTIONS, FILES, SIZE = 7, 32, 100, 10 << 10
ASKED = {"old": 1_000, "ours": 8_000, "nginx": 16_000}
"""Requests of a round: some 0.5 to 1 s."""


class Turn(NamedTuple):
    """Requests a second, CPU of the server in microseconds for each, and the share of the
    time in which the load had a processor."""

    rate: float
    cost: float
    load: float


def ask(url: str, pid: int, paths: Sequence[str], count: int) -> Turn:
    """Ask the server `pid` so often, from a process of its own."""
    before = cpu_seconds(pid)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.asking", url, str(CONNECTIONS), str(count)],
        input=json.dumps(paths),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"asking {url} failed:\n{done.stderr}")
    cost = (cpu_seconds(pid) - before) / count * 1e6
    seconds, busy = json.loads(done.stdout)
    return Turn(count / seconds, cost, busy / seconds)


def fill(*servers: Server) -> tuple[list[str], list[str]]:
    """Put the same contents and pairs everywhere; the paths of pairs and of contents."""
    signer = generate("ed25519")
    keys, digests = [], []
    for number in range(FILES):
        url, content = f"http://example.com/{number}.tar.gz", os.urandom(SIZE)
        pair = pair_for(url, content, signer)
        for server in servers:
            publish(server, url, content, pair)
        keys.append(f"/{Key.for_file(url)}")
        digests.append(f"/{Digest.of(content)}")
    return keys, digests


def _read(base: str, paths: Sequence[str]) -> dict[str, bytes]:
    found = {}
    for path in paths:
        with urllib.request.urlopen(base + path) as answer:
            found[path] = answer.read()
    return found


def _as_files(server: OurServer, keys: list[str], digests: list[str]) -> dict[str, bytes]:
    """The bodies of all answers, by their paths."""
    files = {f"/shadir{path}": data for path, data in _read(server.dir_url, keys).items()}
    for path, data in _read(server.cache_url, digests).items():
        files[f"/shacache{path}"] = data
    return files


def run(folder: Path) -> list[Row]:
    with old_server(folder / "old") as old, our_server(folder / "ours") as ours:
        keys, digests = fill(old, ours)
        files = _as_files(ours, keys, digests)
        with file_server(folder / "nginx", files) as nginx:
            servers = {"old": old, "ours": ours, "nginx": nginx}
            rows = []
            for what, paths, base in (
                ("look-ups", keys, "dir_url"),
                ("contents of 10 KiB", digests, "cache_url"),
            ):
                runs = [
                    partial(ask, getattr(server, base), server.pid, paths, ASKED[name])
                    for name, server in servers.items()
                ]
                rows += _rows(what, in_turn(ROUNDS, *runs))
    return rows


def _rows(what: str, turns: list[list[Turn]]) -> list[Row]:
    columns = list(zip(*turns, strict=True))
    old, ours, nginx = (Turn(*map(median, zip(*c, strict=True))) for c in columns)
    count = f"{ROUNDS}, {CONNECTIONS} connections"
    cost = "server CPU for each of the"
    return [
        Row(f"{what} a second", old.rate, ours.rate, "/s", count, higher_is_better=True),
        Row(
            f"{what} a second, nginx for the incumbent",
            nginx.rate, ours.rate, "/s", count, higher_is_better=True,
        ),
        Row(f"{cost} {what}", old.cost, ours.cost, "us", count),
        Row(f"{cost} {what}, nginx", nginx.cost, ours.cost, "us", count),
        Row(f"{what}: load, of one CPU, nginx", nginx.load, ours.load, "", count),
    ]  # fmt: skip


# -- workers


def run_workers(folder: Path) -> list[Row]:
    """The median of what two workers answer for each that one answers, round by round."""
    with (
        our_server(folder / "one") as one,
        our_server(folder / "two", "--workers", "2") as two,
    ):
        keys, digests = fill(one, two)
        rows = []
        for what, paths, base in (
            ("look-ups", keys, "dir_url"),
            ("contents of 10 KiB", digests, "cache_url"),
        ):
            runs = [
                partial(ask, getattr(server, base), server.pid, paths, ASKED["ours"])
                for server in (one, two)
            ]
            turns = in_turn(ROUNDS, *runs)
            ratio = median(second.rate / first.rate for first, second in turns)
            load = median(second.load for _, second in turns)
            count = f"{ROUNDS} pairs, {os.cpu_count()} CPUs, load took {load:.0%} of one"
            rows.append(Row(f"{what}: two workers for one", None, ratio, "x", count))
    return rows
