"""The wire, shared by both ends: paths, bodies, limits, and error <-> status.

SHACACHE is contents by digest, SHADIR is a directory of entries by key. What deployed
clients and servers speak is ``GET`` and ``POST``/``PUT`` of both; the batch and the codes
are ours, and never assumed of the other end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from .digest import Digest
from .entry import Pair
from .errors import (
    Code,
    EntryTooLarge,
    InvalidDigest,
    InvalidEntry,
    InvalidKey,
    Refusal,
)
from .key import Key
from .printable import escape

BATCH_LIMIT = 1000
"""Keys, and contents, that one batch may ask for."""
DIRECTORY_LIMIT = 4 << 20
"""Bytes of a directory's answer, for a key or a batch."""
PAIRS_LIMIT = DIRECTORY_LIMIT // 150
"""Elements that are looked at in a directory's answer for a key: a digest alone has 128
characters, so that no more than these can be pairs."""
PUT_LIMIT = 256 << 10
"""Bytes of the body that puts a pair: escaping makes it longer than the pair."""
BATCH_BODY_LIMIT = 1 << 20
"""Bytes of the body of a batch."""

ERROR_HEADER = "Networkcache-Error"
"""Carries the `Code` of every refusal."""
REDIRECT_HEADER = "Networkcache-Redirect"
"""``1`` from a client that follows redirects."""

STATUS: Mapping[Code, int] = {
    Code.BAD_KEY: 400,
    Code.BAD_ENTRY: 400,
    Code.BAD_DIGEST: 400,
    Code.NOT_FOUND: 404,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.MISSING_CONTENT: 409,
    Code.TOO_LARGE: 413,
    Code.QUOTA: 507,
    Code.STORAGE_FULL: 507,
    Code.BAD_REQUEST: 400,
    Code.BAD_METHOD: 405,
    Code.BAD_RANGE: 416,
    Code.BUSY: 503,
    Code.READ_ONLY: 403,
    Code.UPSTREAM: 502,
    Code.INTERNAL: 500,
}
"""The status that says each code. Several codes share one; the header tells which."""

_CODE_OF_STATUS = {
    400: Code.BAD_REQUEST,
    401: Code.UNAUTHORIZED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.BAD_METHOD,
    409: Code.MISSING_CONTENT,
    413: Code.TOO_LARGE,
    416: Code.BAD_RANGE,
    502: Code.UPSTREAM,
    503: Code.BUSY,
    504: Code.UPSTREAM,
    507: Code.STORAGE_FULL,
}


def content_url(base: str, digest: Digest) -> str:
    """Where SHACACHE at `base` has the content."""
    return f"{base.rstrip('/')}/{digest}"


def directory_url(base: str, key: Key) -> str:
    """Where SHADIR at `base` has the entries of `key`, quoted as little as is safe."""
    return f"{base.rstrip('/')}/{quote(key.text, safe=':=+.-_~!@,')}"


def refusal(status: int, code: str | None, body: bytes = b"") -> Refusal:
    """What a server's answer says, be it one of ours or not.

    `code` is the header `ERROR_HEADER`, `body` the first bytes of the answer.
    """
    try:
        known = Code(code)
    except ValueError:
        known = _CODE_OF_STATUS.get(status, Code.INTERNAL)
    message = ""
    try:
        answer = _decode(body)
        if isinstance(answer, dict) and isinstance(answer.get("message"), str):
            message = escape(answer["message"])
    except (ValueError, RecursionError):
        pass
    return Refusal(known, message[:500] or f"the server answered {status}", status)


def error_body(error: Refusal) -> bytes:
    """The JSON that explains a refusal, except for reads of SHACACHE."""
    return json.dumps({"error": error.code.value, "message": str(error)}).encode()


# No body of the wire has a number that is used; a huge one must not fail the whole.
_loads = json.JSONDecoder(parse_int=lambda _: 0, parse_float=lambda _: 0.0).decode


def _decode(text: bytes | str) -> Any:
    """JSON in UTF-8. Raises ValueError, or RecursionError where it is nested too deep."""
    return _loads(text if isinstance(text, str) else text.decode())


# -- directory answers


def encode_directory(pairs: Iterable[Pair]) -> bytes:
    """The answer to a look-up of one key, latest put first."""
    return json.dumps([list(pair) for pair in pairs]).encode()


def decode_directory(body: bytes) -> Iterator[Pair | InvalidEntry]:
    """What a directory answered, each element by itself.

    An element that is no pair comes as the `InvalidEntry` that says why, so that one
    poisoned pair does not hide the others. Raises `InvalidEntry` where the whole is
    not a JSON list.
    """
    yield from _parsed(_elements(body))


def _parsed(elements: list[Any]) -> Iterator[Pair | InvalidEntry]:
    """Each element as a pair, or why it is none."""
    for element in elements[:PAIRS_LIMIT]:
        if isinstance(element, InvalidEntry):
            yield element
            continue
        try:
            yield Pair.parse(element)
        except InvalidEntry as error:
            yield error


def _elements(body: bytes) -> list[Any]:
    try:
        value = _decode(body)
    except RecursionError:
        return _shallow_elements(body.decode())
    except ValueError:
        raise InvalidEntry("the directory's answer is not JSON") from None
    if not isinstance(value, list):
        raise InvalidEntry("the directory's answer is not a JSON list")
    return value


# A string that never ends goes up to the end of the text: it is looked through once.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)


def _shallow_elements(text: str) -> list[Any]:
    """Parse the elements of a JSON list one by one, where nesting defeats the parser."""
    if not text.lstrip().startswith("["):
        raise InvalidEntry("the directory's answer is not a JSON list")
    elements: list[Any] = []
    depth = 0
    start = text.index("[") + 1
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in ("[", "{"):
            depth += 1
        elif mark in ("]", "}"):
            depth -= 1
        if (mark == "," and depth == 1) or depth == 0:
            element = text[start : token.start()]
            start = token.end()
            try:
                elements.append(_decode(element))
            except (ValueError, RecursionError):
                elements.append(InvalidEntry("an element is no JSON, or nested too deep"))
            if depth == 0:
                return elements
    return [*elements, InvalidEntry("the directory's answer is cut")]


def encode_put(pair: Pair) -> bytes:
    """The body that puts `pair`."""
    return json.dumps(list(pair)).encode()


def decode_put(body: bytes) -> Pair:
    """The pair that somebody puts.

    Raises `Refusal`: ``too-large`` for a pair beyond `entry.PAIR_LIMIT`, else
    ``bad-entry``.
    """
    try:
        return Pair.parse(_decode(body))
    except EntryTooLarge as error:
        raise Refusal(Code.TOO_LARGE, str(error)) from None
    except InvalidEntry as error:
        raise Refusal(Code.BAD_ENTRY, str(error)) from None
    except (ValueError, RecursionError):
        raise Refusal(Code.BAD_ENTRY, "the body is not the JSON of a pair") from None


# -- batches


@dataclass(frozen=True)
class Batch:
    """Many look-ups in one request.

    `keys` are asked for their pairs, `contents` for whether they are held; of each at
    most `BATCH_LIMIT`.
    """

    keys: Sequence[Key] = ()
    contents: Sequence[Digest] = ()

    def encode(self) -> bytes:
        return json.dumps(
            {
                "keys": [key.text for key in self.keys],
                "contents": [digest.hex for digest in self.contents],
            }
        ).encode()

    @classmethod
    def decode(cls, body: bytes) -> Batch:
        """Raises `Refusal` where the body is not a batch or asks too much.

        A key or digest that is none never fails the batch: it is left out.
        """
        try:
            asked = _decode(body)
        except (ValueError, RecursionError):
            raise Refusal(Code.BAD_REQUEST, "the body of a batch is JSON") from None
        if not isinstance(asked, dict):
            raise Refusal(Code.BAD_REQUEST, "the body of a batch is a JSON object")
        keys = _asked(asked, "keys")
        contents = _asked(asked, "contents")
        return cls(
            tuple(dict.fromkeys(_valid(Key.parse, keys))),
            tuple(dict.fromkeys(_valid(Digest.parse, contents))),
        )


def _asked(body: dict[str, Any], name: str) -> list[Any]:
    values = body.get(name, [])
    if not isinstance(values, list):
        raise Refusal(Code.BAD_REQUEST, f"{name} is a list of strings")
    if len(values) > BATCH_LIMIT:
        raise Refusal(
            Code.TOO_LARGE, f"a batch has {BATCH_LIMIT} {name} at most, not {len(values)}"
        )
    return values


Name = TypeVar("Name", Key, Digest)


def _valid(parse: Callable[[str], Name], values: list[Any]) -> Iterator[Name]:
    """Those of `values` that parse."""
    for value in values:
        try:
            yield parse(value)
        except (InvalidKey, InvalidDigest):
            continue


@dataclass(frozen=True)
class BatchAnswer:
    """What a server answers to a `Batch`.

    `entries` holds the pairs of every key that has any, `missing_content` the digests,
    of those pairs and of the contents asked for, that SHACACHE does not hold, `later`
    the keys whose pairs did not fit: ask again.
    """

    entries: Mapping[Key, Sequence[Pair | InvalidEntry]] = field(default_factory=dict)
    missing_content: frozenset[Digest] = frozenset()
    later: Sequence[Key] = ()

    def encode(self) -> bytes:
        return json.dumps(
            {
                "entries": {
                    key.text: [list(pair) for pair in pairs if isinstance(pair, Pair)]
                    for key, pairs in self.entries.items()
                },
                "missing_content": sorted(digest.hex for digest in self.missing_content),
                "later": [key.text for key in self.later],
            }
        ).encode()

    @classmethod
    def decode(cls, body: bytes, asked: Batch) -> BatchAnswer:
        """Take an answer, less what was not asked.

        Raises `InvalidEntry` where it is not such an answer at all: the other end does
        not know batches.
        """
        try:
            answer = _decode(body)
            entries = answer["entries"]
            missing = answer["missing_content"]
            later = answer["later"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InvalidEntry("not an answer to a batch") from None
        if not (
            isinstance(entries, dict)
            and isinstance(missing, list)
            and isinstance(later, list)
        ):
            raise InvalidEntry("not an answer to a batch")
        keys = {key.text: key for key in asked.keys}
        return cls(
            {
                keys[text]: tuple(_parsed(pairs))
                for text, pairs in entries.items()
                if text in keys and isinstance(pairs, list)
            },
            frozenset(_valid(Digest.parse, missing)),
            tuple(keys[text] for text in later if isinstance(text, str) and text in keys),
        )
