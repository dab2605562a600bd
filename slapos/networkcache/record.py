"""The record of a run: which keys a buildout used, so that the next node asks for all of
them at once.

A content like any other, under a key of the kind ``buildout-run:``. It is JSON::

    {"format": 1, "used": [{"key": ..., "sha512": ..., "size": ..., "ms": ...}, ...]}

in the order of use. It only names keys to ask: the entries found there decide what is
believed, and it holds no URL. `ms`, where it is known, is how many milliseconds the
origin took, which is what a hit saves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .digest import Digest
from .entry import nested_deeper
from .errors import InvalidInput
from .key import Key

FORMAT = 1
KEYS_LIMIT = 5000
"""Keys that are taken from a record, at most."""
RECORD_LIMIT = KEYS_LIMIT * 720
"""Bytes of a record, at most: a key has 255, each of which may take two, a digest 128."""
_WHOLE_NUMBER_LIMIT = 1 << 53


@dataclass(frozen=True)
class Used:
    """One content that a run used: under which `key`, its `size` in bytes, and, where it
    is known, how many milliseconds its origin took."""

    key: Key
    digest: Digest
    size: int
    milliseconds: int | None = None


def encode_record(used: Iterable[Used]) -> bytes:
    """The content that records a run: the same bytes for the same use. What is beyond
    `KEYS_LIMIT` is left out."""
    first = list({(u.key, u.digest): u for u in used}.values())[:KEYS_LIMIT]
    return json.dumps(
        {"format": FORMAT, "used": [_plain(u) for u in first]}, separators=(",", ":")
    ).encode()


def _plain(used: Used) -> dict[str, Any]:
    plain = {"key": used.key.text, "sha512": used.digest.hex, "size": used.size}
    return plain if used.milliseconds is None else {**plain, "ms": used.milliseconds}


def decode_record(content: bytes) -> list[Used]:
    """What a record names, up to `KEYS_LIMIT` of it. Raises `InvalidInput`."""
    try:
        value = json.loads(content)
        if nested_deeper(value, 4) or _whole_number(value["format"]) != FORMAT:
            raise ValueError("another format")
        return [_used(item) for item in value["used"][:KEYS_LIMIT]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(f"the record of the run does not parse: {error}") from None


def _used(item: object) -> Used:
    if not isinstance(item, dict):
        raise ValueError("what was used is no object")
    milliseconds = item.get("ms")
    return Used(
        Key.parse(item["key"]),
        Digest.parse(item["sha512"]),
        _whole_number(item["size"]),
        None if milliseconds is None else _whole_number(milliseconds),
    )


def _whole_number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _WHOLE_NUMBER_LIMIT:
        raise ValueError("a format, a size or a time is not a whole number of 0 or more")
    return value
