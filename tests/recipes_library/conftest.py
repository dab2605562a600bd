"""The site of the tests of the hook, and archives that were made once."""

from __future__ import annotations

from golden_archives.make import ARCHIVES, HERE
from hook.conftest import origin, site

__all__ = ["origin", "read_archive", "site"]


def read_archive(name: str) -> bytes:
    """A golden archive."""
    return (HERE / ARCHIVES / name).read_bytes()
