"""Durations and sizes: the one grammar that they have everywhere; and moments, as people
read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# Not every digit of Unicode, and not as many as make a number infinite.
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]+)")


def parse_size(text: str) -> int:
    """A size like ``10 GiB``, in bytes. Raises `ValueError`."""
    return int(_parse(text, _BYTES))


def parse_duration(text: str) -> float:
    """A duration like ``10 s``, in seconds. Raises `ValueError`."""
    return _parse(text, _SECONDS)


def readable_size(size: int) -> str:
    """`size` bytes as a person reads them."""
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def readable_time(seconds: int) -> str:
    """POSIX seconds as a date and a time, ``Z`` for UTC; as they are where no calendar
    reaches."""
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%MZ}"
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _parse(text: str, units: Mapping[str, float]) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    if not match or match[2] not in units:
        raise ValueError(
            f"expected a number and one of {', '.join(units)}, got {text!r:.100}"
        )
    return float(match[1]) * units[match[2]]
