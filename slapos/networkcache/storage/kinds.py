"""The kinds of storage, by the word before the colon of what names a store.

``memory:`` is gone with the process. What has no such word is a folder: contents are in
``<folder>/v1/ab/cd/<digest>``, entries in ``<folder>/entries.sqlite``. A new kind is a
new row in each table for which it has a store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from ..errors import InvalidConfiguration
from . import ContentStore, EntryStore
from .folder import FolderContents
from .memory import MemoryContents, MemoryEntries
from .sqlite import SQLiteEntries

FOLDER = ""
"""The kind of what has no word before a colon."""
CONTENTS: Mapping[str, Callable[[str], ContentStore]] = {
    FOLDER: FolderContents,
    "memory": lambda rest: MemoryContents(),
}
ENTRIES: Mapping[str, Callable[[str], EntryStore]] = {
    FOLDER: lambda root: SQLiteEntries(os.path.join(root, "entries.sqlite")),
    "memory": lambda rest: MemoryEntries(),
}

# Two characters at least and no slash before the colon, as in a URL.
_KIND = re.compile(r"([a-z][a-z0-9+.-]+):(.*)\Z", re.DOTALL)
_Store = TypeVar("_Store")


class Stores(NamedTuple):
    """Where a network cache keeps what it has."""

    contents: ContentStore
    entries: EntryStore

    def close(self) -> None:
        """Close both."""
        try:
            self.contents.close()
        finally:
            self.entries.close()


def open_contents(name: str) -> ContentStore:
    """Open the store of contents that `name` names: ``memory:`` or a folder.

    Raises `InvalidConfiguration` for a kind that is not known, `StorageFailure` where
    it cannot be opened.
    """
    return _open(CONTENTS, "contents", name)


def open_entries(name: str) -> EntryStore:
    """Open the store of entries that `name` names; otherwise as `open_contents`."""
    return _open(ENTRIES, "entries", name)


def open_stores(name: str) -> Stores:
    """Open both stores under one name; otherwise as `open_contents`."""
    contents = open_contents(name)
    try:
        return Stores(contents, open_entries(name))
    except BaseException:
        contents.close()
        raise


def _open(table: Mapping[str, Callable[[str], _Store]], what: str, name: str) -> _Store:
    match = _KIND.match(name)
    kind, rest = match.groups() if match else (FOLDER, name)
    if not name or kind not in table:
        known = " or ".join(f"{known}:" for known in table if known != FOLDER)
        raise InvalidConfiguration(
            f"expected a folder or {known} as the place of {what}, got {name!r}"
        )
    return table[kind](rest)
