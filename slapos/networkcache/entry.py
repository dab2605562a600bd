"""The signed record: what a directory key means, and its exact bytes.

An **entry** is a JSON object, serialised to a string. A signer signs exactly the
UTF-8 bytes of that string, and a **pair** ``[entry, signature]`` is what a directory
keeps under a **key**. Nothing is ever re-serialised between signing and verifying.

An entry of a file of the five bytes ``hello``, as it is put under ``file-urlmd5:`` +
md5 of its URL; the ends of long digests are left out here::

    {"format": 1,
     "key": "file-urlmd5:1c1641d7baa9c568940eccb9b1f9ca28",
     "sha512": "9b71d224bd62f378…", "size": 5,
     "created": 1790000000, "signer": "24c80dc81c4e8feb…",
     "md5": "5d41402abc4b2a76b9719d911017c592", "sha256": "2cf24dba5fb0a30e…",
     "url": "http://example.com/hello-1.0.tar.gz"}

`format` 1 is what this package writes. An entry without `format` was made by an
older program; see `trust` for what is believed of those.

Parsing is strict and happens once, here: duplicate members, booleans or floats in
the place of integers, NaN, integers beyond 2**53, text beyond ASCII and an unknown
`format` are refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from .digest import Digest, Digests
from .errors import EntryTooLarge, InvalidEntry, Reason
from .key import KEY_LIMIT as KEY_LIMIT
from .key import Key as Key
from .key import Kind as Kind
from .key import urlmd5 as urlmd5

PAIR_LIMIT = 64 << 10
"""Bytes of the two strings of a pair together, at most."""
DEPTH_LIMIT = 32
"""Levels of lists and objects in an entry, itself the first of them, at most. The JSON
parsers of deployed clients stop at different depths, and one that stops loses all
entries of the key."""
FORMAT = 1

_MD5 = re.compile(r"[0-9a-f]{32}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Pair(NamedTuple):
    """What a directory keeps: the exact text that was signed, and the signature over
    its UTF-8 bytes in base64, or an empty one."""

    entry: str
    signature: str

    @classmethod
    def parse(cls, value: object) -> Pair:
        """Take one element of a directory's answer.

        Raises `InvalidEntry` unless it is a list of exactly two strings without lone
        surrogates, whose signature is empty or canonical, padded base64; and
        `EntryTooLarge` beyond `PAIR_LIMIT` bytes.
        """
        if not isinstance(value, list) or [type(member) for member in value] != [str, str]:
            raise InvalidEntry("expected a pair of two strings [entry, signature]")
        pair = cls(*value)
        try:
            size = pair.size
        except UnicodeEncodeError:
            raise InvalidEntry("the pair contains half of a surrogate pair") from None
        if size > PAIR_LIMIT:
            raise EntryTooLarge(
                f"the pair has {size} bytes, more than the {PAIR_LIMIT} allowed"
            )
        pair.signature_bytes()
        return pair

    @property
    def size(self) -> int:
        """Bytes of the two strings together, as `PAIR_LIMIT` counts them."""
        return len(self.entry.encode()) + len(self.signature.encode())

    def signature_bytes(self) -> bytes:
        """The signature itself; raises `InvalidEntry` unless the base64 is canonical."""
        try:
            signature = base64.b64decode(self.signature, validate=True)
        except (binascii.Error, ValueError):
            signature = None
        if signature is None or base64.b64encode(signature).decode() != self.signature:
            raise InvalidEntry("the signature is not canonical, padded base64")
        return signature


class _Malformed(ValueError):
    """Why the JSON of an entry is refused."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Malformed("a member stands twice")
    return members


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > 1 << 53:
        raise _Malformed(f"the integer {text:.20} is beyond 2**53")
    return int(text)


def _constant(text: str) -> float:
    raise _Malformed(f"{text} is not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_int=_integer, parse_constant=_constant
).decode

_INTEGERS = ("format", "size", "created", "expires", "status", "unpacked_size")
_STRINGS = (
    "key", "sha512", "signer", "md5", "sha256", "salt", "transport", "url", "basename",
    "name", "content_type", "final_url", "requirement", "software_url",
    "software_root", "profile", "repository", "revision", "multiarch", "urlmd5",
    "file_name", "base",
)  # fmt: skip
_REQUIRED = ("key", "size", "created")
_HEX = {"signer": _SHA256, "sha256": _SHA256, "md5": _MD5}


@dataclass(frozen=True)
class Entry:
    """What a signer says of a key. Make one with `Entry.parse` or `Entry.make`.

    `text` is the exact text that is signed, `members` what it says, `sha512` the
    digest of the content it names.
    """

    text: str
    members: Mapping[str, Any] = field(compare=False, repr=False)
    sha512: Digest = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Entry:
        """Read the text of an entry, strictly; see the top of this module.

        Raises `InvalidEntry`; its `reason` may be ``unknown-format``.
        """
        try:
            if not text.isascii():
                raise _Malformed("there is text beyond ASCII")
            members = _decode(text)
            if not isinstance(members, dict):
                raise _Malformed("it is not a JSON object")
            _check_format(members)
            _check_types(members)
            if nested_deeper(members):
                raise _Malformed(f"it is nested deeper than {DEPTH_LIMIT} levels")
            if "\\" in text:  # only an escape can hide a lone surrogate
                json.dumps(members, ensure_ascii=False).encode()
            digest = Digest.parse(members.get("sha512", ""))
        except InvalidEntry:
            raise
        except (ValueError, RecursionError) as error:
            raise InvalidEntry(f"bad entry: {error}") from None
        return cls(text, MappingProxyType(members), digest)

    @classmethod
    def make(
        cls,
        key: Key,
        content: Digests,
        created: int,
        members: Mapping[str, Any],
        *,
        expires: int | None = None,
        signer: str | None = None,
        salt: str | None = None,
    ) -> Entry:
        """Write an entry of `format` 1.

        `created` and `expires` are POSIX seconds, `signer` the SHA-256 of the
        signer's public key, `members` what the kind of `key` asks for, `salt` what a
        legacy signature needs in front. Members that are None are left out. Raises
        `InvalidEntry` where the result would not parse.
        """
        stated: dict[str, Any] = {
            "salt": salt,
            "format": FORMAT,
            "key": key.text,
            "sha512": content.sha512.hex,
            "size": content.size,
            "created": created,
            "expires": expires,
            "signer": signer,
            "md5": content.md5,
            "sha256": content.sha256,
        }
        if clash := sorted(set(stated).intersection(members)):
            raise InvalidEntry(f"{', '.join(clash)} cannot be chosen freely")
        stated.update(members)
        return cls.parse(json.dumps({k: v for k, v in stated.items() if v is not None}))

    @property
    def legacy(self) -> bool:
        """Whether an older program made it: it has no `format`."""
        return "format" not in self.members

    @property
    def key(self) -> str | None:
        return self.string("key")

    @property
    def size(self) -> int | None:
        return self._integer("size")

    @property
    def created(self) -> int | None:
        return self._integer("created")

    @property
    def expires(self) -> int | None:
        return self._integer("expires")

    @property
    def signer(self) -> str | None:
        return self.string("signer")

    @property
    def transport(self) -> str | None:
        return self.string("transport")

    def string(self, member: str) -> str | None:
        """The member of that name where it is there and a string."""
        value = self.members.get(member)
        return value if isinstance(value, str) else None

    def _integer(self, member: str) -> int | None:
        value = self.members.get(member)
        return value if isinstance(value, int) else None


def nested_deeper(value: object, levels: int = DEPTH_LIMIT) -> bool:
    """Whether lists and objects are nested in more than `levels` levels in `value`."""
    inner: Iterable[object]
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return levels == 0 or any(nested_deeper(member, levels - 1) for member in inner)


def _check_format(members: dict[str, Any]) -> None:
    """Comes before all else: another format may have other members."""
    format = members.get("format", FORMAT)
    if type(format) is int and format != FORMAT:
        raise InvalidEntry(
            f"the entry has format {format}, this version reads {FORMAT}; a newer one"
            " may read it",
            Reason.UNKNOWN_FORMAT,
        )


def _check_types(members: dict[str, Any]) -> None:
    for name in _INTEGERS:
        value = members.get(name, 0)
        if type(value) is not int or value < 0:
            raise _Malformed(f"{name} is not a whole number of 0 or more")
    for name in _STRINGS:
        if not isinstance(members.get(name, ""), str):
            raise _Malformed(f"{name} is not a string")
    for name, pattern in _HEX.items():
        if name in members and not pattern.match(members[name]):
            raise _Malformed(f"{name} is not in lower-case hexadecimal of its length")
    if "format" in members:
        for name in _REQUIRED:
            if name not in members:
                raise _Malformed(f"{name} is missing")
