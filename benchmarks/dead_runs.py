"""What a dead cache adds to a whole run of buildout, which fetches 100 files and would
publish them; the budget is 3 s.

The same run without a cache is what it is compared with, side by side. What the report of
the run says is shown beside: why files were not taken from the cache, and not published.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from nodes import Node, part
from origin import Origin

from slapos.networkcache.certificates import generate

from .dead import WAYS, dead
from .rows import Row, in_turn

ROUNDS, FILES, BUDGET = 3, 100, 3.0
_number = count()


def run(folder: Path) -> list[Row]:
    origin = Origin()
    try:
        rows: list[Row] = []
        for way in WAYS:
            rows += _rows(way, Runs(folder, origin))
        return rows
    finally:
        origin.stop()


def _rows(way: str, runs: Runs) -> list[Row]:
    with dead(way) as url:
        options = runs.options(url)
        seconds = in_turn(ROUNDS, lambda: runs.run([]), lambda: runs.run(options))
    added = median(with_cache - without for without, with_cache in seconds)
    report = runs.report
    missed, unpublished = report["misses"], report["unpublished"]
    told = f"missed: {_reasons(missed)}; not published: {_reasons(unpublished)}"
    what = f"dead cache, {way}"
    added_to = f"{what}: time added to a run of {FILES} files"
    return [
        Row(added_to, None, added, "s", str(ROUNDS), limit=BUDGET),
        Row(f"{what}: files in its report ({told})", None, sum(missed.values()), "", "1"),
    ]


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in counts.items())


class Runs:
    """Runs of buildout, each on a node of its own that has nothing; `report` is that of
    the last one."""

    def __init__(self, folder: Path, origin: Origin):
        self._folder = folder
        self._index = origin.index
        urls = [origin.put(f"/{n}.tar.gz", b"%d" % n * 1000) for n in range(FILES)]
        parts = [part(f"part{n}", "fetch", url=url) for n, url in enumerate(urls)]
        names = " ".join(f"part{n}" for n in range(FILES))
        self._profile = [f"parts = {names}", *parts]
        signer = generate("ed25519")
        self._key = folder / "signature.key"
        self._key.touch(0o600)
        self._key.write_bytes(signer.private_pem())
        self._certificate = signer.self_signed("signer", time.time())
        self.report: dict[str, Any] = {}

    def options(self, url: str) -> list[str]:
        """Those of a node that reads from the cache at `url`, and publishes there."""
        services = [
            f"{direction}-{service}-url = {url}"
            for direction in ("download", "upload")
            for service in ("cache", "dir")
        ]
        return [
            *services,
            f"signature-private-key-file = {self._key}",
            "signature-certificate-list =",
            *(f"  {line}" for line in self._certificate.splitlines()),
            f"cache-time-budget = {BUDGET:g} s",
        ]

    def run(self, options: Sequence[str]) -> float:
        """Seconds from the start of the process to its end."""
        node = Node(self._folder / f"node{next(_number)}", self._index)
        buildout, *sections = self._profile
        node.profile(*sections, buildout=buildout)
        node.configure(*options)
        report = node.root / "report.json"
        start = time.perf_counter()
        done = node.networkcache("--networkcache-report", str(report))
        seconds = time.perf_counter() - start
        if done.code or any(node.part(f"part{n}") is None for n in range(FILES)):
            raise RuntimeError(f"buildout failed:\n{done.said}")
        self.report = json.loads(report.read_text())
        return seconds
