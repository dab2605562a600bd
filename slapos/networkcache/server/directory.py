"""Which pairs a directory takes, and which it shows: rules without I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence

from ..digest import Digest
from ..entry import DEPTH_LIMIT, Entry, Key, Pair, nested_deeper
from ..errors import Code, InvalidDigest, InvalidEntry, Reason, Refusal
from ..protocol import DIRECTORY_LIMIT, encode_directory
from ..storage import Stored

_WORST = 6
"""Times that JSON may lengthen a string: a control character becomes ``\\u0000``."""


def accept(key: Key, pair: Pair) -> tuple[Digest, bool]:
    """The content that a pair put under `key` names, and whether it may come later.

    Later only for a pair of an old client, which has no `format`; it is hidden until
    then. An entry of a `format` newer than ours is taken as it is. Raises `Refusal`
    (``bad-entry``) for what makes old clients fail for the whole key, and for an entry
    of ours that nobody would believe.
    """
    digest, members = _statement(pair.entry)
    if "format" not in members:
        return digest, True
    try:
        entry = Entry.parse(pair.entry)
    except InvalidEntry as error:
        if error.reason is Reason.UNKNOWN_FORMAT:
            return digest, False
        raise Refusal(Code.BAD_ENTRY, str(error)) from None
    if entry.key != key.text:
        raise Refusal(
            Code.BAD_ENTRY, f"the entry is about the key {entry.key!r:.300}, not {key}"
        )
    return digest, False


def named_content(stored: Stored) -> Digest | None:
    """The content that a pair names, None where it names none."""
    try:
        return _statement(stored.pair.entry)[0]
    except Refusal:
        return None


def _statement(text: str) -> tuple[Digest, dict[str, object]]:
    """What deployed clients must be able to read of an entry."""
    try:
        members = json.loads(text)
        json.dumps(members, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refusal(Code.BAD_ENTRY, "the entry holds half of a surrogate pair") from None
    except (ValueError, RecursionError):
        raise Refusal(Code.BAD_ENTRY, "the entry is not JSON") from None
    if not isinstance(members, dict):
        raise Refusal(Code.BAD_ENTRY, "the entry is not a JSON object")
    if nested_deeper(members):
        raise Refusal(
            Code.BAD_ENTRY, f"the entry is nested deeper than {DEPTH_LIMIT} levels"
        )
    try:
        return Digest.parse(members.get("sha512", "")), members
    except InvalidDigest as error:
        raise Refusal(Code.BAD_ENTRY, f"member sha512 of the entry: {error}") from None


def visible(rows: Sequence[Stored], has: Callable[[Digest], bool]) -> list[Stored]:
    """`rows` less the hidden ones whose content `has` not come yet."""
    return [row for row in rows if not row.hidden or _came(row, has)]


def _came(row: Stored, has: Callable[[Digest], bool]) -> bool:
    digest = named_content(row)
    return digest is not None and has(digest)


def together(rows: Sequence[Stored], others: Sequence[Stored]) -> list[Stored]:
    """`rows`, and what of `others` has another pair."""
    if not others:
        return list(rows)
    pairs = {row.pair for row in rows}
    return [*rows, *(other for other in others if other.pair not in pairs)]


def fit(rows: Sequence[Stored], limit: int = DIRECTORY_LIMIT) -> list[Pair]:
    """The pairs whose answer has at most `limit` bytes, latest put first as `rows` are.

    Where not all fit, the newest pair of each account goes before the second of any, so
    that nobody hides a key under entries of their own.
    """
    pairs = [row.pair for row in rows]
    raw = sum(len(entry) + len(signature) + 8 for entry, signature in pairs)
    if raw * _WORST <= limit:
        return pairs
    earlier: Counter[str] = Counter()
    turns = []
    for place, row in enumerate(rows):
        turns.append((earlier[row.account], place))
        earlier[row.account] += 1
    kept = []
    left = limit
    for _, place in sorted(turns):
        # The brackets around one alone are as long as the comma after it in the list.
        left -= len(encode_directory([pairs[place]]))
        if left < 0:
            break
        kept.append(place)
    return [pairs[place] for place in sorted(kept)]
