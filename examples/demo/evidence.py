"""What came from where: read from the server's access log, not from what nodes say."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodes import Node
from processes import Failed

from slapos.networkcache.binding import Request
from slapos.networkcache.quantities import readable_size
from slapos.networkcache.urls import basename


@dataclass(frozen=True)
class Published:
    """A file as the directory of the server has it: fetched by somebody from `url`."""

    url: str
    key: str
    sha512: str
    size: int


def published(node: Node, origin: str, server: str) -> list[Published]:
    """The entries of what `node` fetched: one look-up each, ``GET /shadir/KEY``."""
    found: dict[str, Published] = {}
    for url in node.urls:
        request = _request(url, origin)
        # Where an index redirects, one file has two URLs.
        if request is not None and str(request.key) not in found:
            entry = _newest(f"{server}/shadir/{request.key}", url)
            found[str(request.key)] = Published(
                url, str(request.key), entry["sha512"], entry["size"]
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


def _request(url: str, origin: str) -> Request | None:
    """What the hook asked the cache about `url`; None for an index page, which it does
    not ask about yet."""
    if url.startswith(origin):
        return Request.for_file(url)
    return Request.for_distribution(url)


def pages(node: Node, origin: str) -> list[str]:
    """The index pages that a node opened."""
    return [url for url in node.urls if _request(url, origin) is None]


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
        if served:
            return "refused"
        where = "origin" if file.url.startswith(origin) else "index"
        return f"{where}, published" if log.taken(node, file) else where
    return "network cache" if served else "-"


def rows(
    log: AccessLog, nodes: Sequence[Node], files: Iterable[Published], origin: str
) -> Iterator[list[str]]:
    """The table, a list of cells for each row."""
    yield ["", "size", *(node.name for node in nodes)]
    for file in files:
        cells = [source(log, node, file, origin) for node in nodes]
        yield [basename(file.url), readable_size(file.size), *cells]
    counts = [f"{len(pages(node, origin))}, from their index" for node in nodes]
    yield ["index pages", "", *counts]
    yield ["time", "", *(f"{node.seconds:.1f} s" for node in nodes)]


def draw(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table as lines of text, with a rule under its head and above its sums."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("-" * width for width in widths)
    for number, row in enumerate(rows):
        if number in (1, len(rows) - 2):
            yield rule
        cells = (
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
