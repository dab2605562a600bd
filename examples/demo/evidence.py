"""What came from where: read from the server's access log, not from what nodes say.

What nodes ask elsewhere is what `watch` saw in each of their Pythons.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodes import Node
from processes import Failed

from slapos.networkcache.binding import Request
from slapos.networkcache.key import Kind
from slapos.networkcache.quantities import readable_size
from slapos.networkcache.urls import basename

LOOPBACK = "127.0.0.1:"
SUMS = 4
"""Rows below the files."""


@dataclass(frozen=True)
class Published:
    """A file, or an index page, as the directory of the server has it: fetched by
    somebody from `url`."""

    url: str
    key: str
    sha512: str
    size: int
    page: bool


def published(node: Node, origin: str, server: str) -> list[Published]:
    """The entries of what `node` fetched: one look-up each, ``GET /shadir/KEY``."""
    found: dict[str, Published] = {}
    for url in node.urls:
        key = _request(url, origin).key
        # Where an index redirects, one file has two URLs.
        if str(key) not in found:
            entry = _newest(f"{server}/shadir/{key}", url)
            found[str(key)] = Published(
                url, str(key), entry["sha512"], entry["size"], key.kind is Kind.PAGE
            )
    return list(found.values())


def _newest(address: str, url: str) -> dict[str, Any]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address) as answer:
            pairs: list[list[str]] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failed(f"node one did not publish {url}: {error}") from None
    entry: dict[str, Any] = json.loads(pairs[0][0])
    return entry


def _request(url: str, origin: str) -> Request:
    """What the hook asks the cache about `url`."""
    if url.startswith(origin):
        return Request.for_file(url)
    return Request.for_distribution(url) or Request.for_page(url, "")


def asked_elsewhere(node: Node, origin: str) -> int:
    """How many requests went to the origin, or away from this computer: to an index."""
    return sum(
        not host.startswith(LOOPBACK) or host == origin.removeprefix("http://")
        for host in node.hosts
    )


class AccessLog:
    """The lines that the server wrote: a JSON object for each request."""

    def __init__(self, path: Path):
        self._lines = [json.loads(line) for line in path.read_text().splitlines()]

    def between(self, begin: float, end: float) -> list[dict[str, Any]]:
        """The requests of a time, in POSIX seconds."""
        return [line for line in self._lines if begin <= line["time"] <= end]

    def served(self, node: Node, file: Published) -> int:
        """How many times the server sent the content of `file` to `node`."""
        path = f"/shacache/{file.sha512}"
        return sum(
            line["method"] == "GET"
            and line["path"].partition("?")[0] == path
            and line["status"] == 200
            and line["sent"] == file.size
            for line in self.between(node.begin, node.end)
        )

    def taken(self, node: Node, file: Published) -> bool:
        """Whether the server took the entry of `file` from `node`."""
        path = f"/shadir/{file.key}"
        return any(
            (line["method"], line["path"], line["status"]) == ("PUT", path, 201)
            for line in self.between(node.begin, node.end)
        )


def source(log: AccessLog, node: Node, file: Published, origin: str) -> str:
    """Where `node` has `file` from, in two or three words."""
    served = log.served(node, file)
    if file.url in node.urls:
        if served and not file.page:
            return "refused"
        where = "origin" if file.url.startswith(origin) else "index"
        return f"{where}, published" if log.taken(node, file) else where
    return "network cache" if served else "-"


def _sources(log: AccessLog, node: Node, pages: Sequence[Published], origin: str) -> str:
    """The same for all index pages together; how many, where it is not the same."""
    counts = Counter(source(log, node, page, origin) for page in pages)
    counts.pop("-", None)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {where}" for where, count in counts.most_common())


def rows(
    log: AccessLog, nodes: Sequence[Node], files: Iterable[Published], origin: str
) -> Iterator[list[str]]:
    """The table, a list of cells for each row."""
    yield ["", "size", *(node.name for node in nodes)]
    pages = []
    for file in files:
        if file.page:
            pages.append(file)
            continue
        cells = [source(log, node, file, origin) for node in nodes]
        yield [basename(file.url), readable_size(file.size), *cells]
    size = readable_size(sum(page.size for page in pages))
    cells = [_sources(log, node, pages, origin) for node in nodes]
    yield [f"{len(pages)} index pages", size, *cells]
    asked = [len(log.between(node.begin, node.end)) for node in nodes]
    yield ["requests to the network cache", "", *map(str, asked)]
    asked = [asked_elsewhere(node, origin) for node in nodes]
    yield ["requests to origin and index", "", *map(str, asked)]
    yield ["time", "", *(f"{node.seconds:.1f} s" for node in nodes)]


def draw(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table as lines of text, with a rule under its head and above its sums."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("-" * width for width in widths)
    for number, row in enumerate(rows):
        if number in (1, len(rows) - SUMS):
            yield rule
        cells = (
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
