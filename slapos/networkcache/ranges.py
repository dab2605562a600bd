"""Part of a content: the ``Range`` header of HTTP, as far as SHACACHE serves it."""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import Code, Refusal


class Range(NamedTuple):
    """Bytes `start` up to but not including `stop` of a content."""

    start: int
    stop: int

    def header(self, size: int) -> str:
        """The value of ``Content-Range``."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z", re.IGNORECASE)


def parse_range(header: str | None, size: int) -> Range | None:
    """What a ``Range`` header asks of a content of `size` bytes (RFC 9110, 14.2).

    None where all of it is to be sent: no header, several ranges, another unit, or
    nonsense. Raises `Refusal` with ``bad-range`` for what lies beyond the end.
    """
    match = _RANGE.match(header.strip()) if header else None
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= stop:
        raise Refusal(Code.BAD_RANGE, f"the content has {size} bytes")
    return Range(start, stop)
