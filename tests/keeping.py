"""A server's folder as it is kept, filled without a server."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.server.root import Root, open_root
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.disk import Disk

DAY = 86400
NOW = int(time.time())


@dataclass(frozen=True)
class SmallDisk(Disk):
    """One of `size` bytes, on which there are contents alone, and those on their way."""

    size: int = 0

    def _available(self) -> int:
        top = Path(self.temporary).parent
        return self.size - sum(f.stat().st_size for f in top.rglob("*") if f.is_file())


def small_disk(root: Root, size: int, *, free: int = 0) -> SmallDisk:
    """A disk of `size` bytes, of which `free` are to stay free."""
    return SmallDisk(root.contents.temporary, free, size)


def make_root(folder: Path) -> Root:
    return open_root(folder, make=True)


def keep(
    root: Root, data: bytes, account: str = "", *, fetched: bool = False, used: int = 0
) -> Digest:
    """Put a content, as `intake` does; its last use was at `used`, POSIX seconds."""
    digest = root.contents.put([data])
    root.catalogue.store(digest, len(data), account, fetched=fetched)
    if used:
        root.catalogue.use({digest: 1}, {}, used)
    return digest


def name(
    root: Root,
    key: str,
    digest: Digest,
    account: str = "",
    *,
    hidden: bool = False,
    **members: object,
) -> Pair:
    """Put a pair under `key` that names a content."""
    entry = {"format": 1, "key": key, "sha512": digest.hex, "size": 1, "created": 1}
    pair = Pair(json.dumps({**entry, **members}), "")
    root.entries.put(Key.parse(key), Stored(pair, account, hidden), digest)
    return pair


def damage(folder: Path) -> None:
    """Spoil the pairs in the database of a server that does not run."""
    with closing(sqlite3.connect(folder / "entries.sqlite")) as database:
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'entry'"
        ).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with open(folder / "entries.sqlite", "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def here(root: Root) -> set[Digest]:
    """The contents that are there, which are those of the catalogue."""
    contents = set(root.contents)
    assert contents == {known.digest for known in root.catalogue}
    return contents


def keys(root: Root) -> set[str]:
    return {key.text for key in root.entries}
