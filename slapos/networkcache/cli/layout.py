"""What the commands print for people: tables and paragraphs, for a terminal of some 100
columns, and the words in them."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence

from ..printable import readable
from ..quantities import readable_size, readable_time
from ..trust import TrustedEntry

_WIDTH = 100
"""Columns where it cannot be told, and at most: longer lines are hard to read."""


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "  "
) -> Iterator[str]:
    """The lines of a table; no cell is broken, and nothing in it can command a
    terminal."""
    lines = [tuple(headings), *(tuple(map(readable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield (indent + "  ".join(cells)).rstrip()


def count(number: int, one: str, many: str) -> str:
    """So many of what is called `one` or `many`."""
    return f"{number} {one if number == 1 else many}"


def paragraph(text: str, first: str = "", indent: str = "") -> str:
    """`text` in lines that fit; the first one begins with `first`, the others with
    `indent`."""
    columns = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    return textwrap.fill(
        readable(text),
        max(columns, len(indent) + 40),
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def short(digits: str, count: int = 16) -> str:
    """The beginning of a fingerprint or a digest."""
    return digits[:count]


def signer(name: str, fingerprint: str, count: int = 16) -> str:
    """Who signed; one without a name is not in the list."""
    return f"{name or '?'} ({short(fingerprint, count)})"


def date(created: int | None) -> str:
    """POSIX seconds as a date and a time, ``Z`` for UTC; empty where they are not known."""
    return "" if created is None else readable_time(created)


def names_of(trusted: TrustedEntry) -> str:
    """On whose word it is believed; empty where that is nobody's."""
    return ", ".join(c.name or short(c.fingerprint) for c in trusted.signers)


def content_of(trusted: TrustedEntry) -> str:
    """Which content it is that is believed."""
    length = "of unknown size" if trusted.size is None else f"of {trusted.size} bytes"
    return f"the content {short(trusted.digest.hex)}… {length}"


def size(count: int | None) -> str:
    return "" if count is None else readable_size(count)
