"""The signed record: what a directory key means, and its exact bytes.

An **entry** is a JSON object, serialised to a string. A signer signs exactly the
UTF-8 bytes of that string, and a **pair** ``[entry, signature]`` is what a directory
keeps under a **key**. Nothing is ever re-serialised between signing and verifying.

An entry of a file, as it is put under ``file-urlmd5:`` + md5 of its URL::

    {"format": 1,
     "key": "file-urlmd5:a5f0a4e1f4f5a3a8f0a58dc3c8ccb21c",
     "sha512": "cf83e1357eefb8bd…", "size": 4711,
     "created": 1790000000, "signer": "9f86d081884c7d65…",
     "md5": "d41d8cd9…", "sha256": "e3b0c442…",
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
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from .digest import Digest, Digests
from .errors import InvalidEntry, InvalidKey, Reason

PAIR_LIMIT = 64 << 10
"""Bytes of the two strings of a pair together, at most."""
KEY_LIMIT = 255
"""Characters of a key, at most."""
DEPTH_LIMIT = 32
"""Levels of lists and objects inside an entry, at most."""
FORMAT = 1

_KEY = re.compile(rf"[!-~]{{1,{KEY_LIMIT}}}\Z")
_FORBIDDEN_IN_KEY = frozenset("/?#%\\")
_MD5 = re.compile(r"[0-9a-f]{32}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Kind(Enum):
    """What a key stands for, told by its prefix; a release by its 32 hex digits."""

    FILE = "file-urlmd5:"
    DISTRIBUTION = "pypi:"
    PAGE = "page-urlmd5:"
    RUN = "buildout-run:"
    BUNDLE = "git-bundle:"
    RELEASE = "release"
    OLD_PAGE = "pypi-index-"
    OLD_FILE = "slapos-buildout-"
    OLD_DISTRIBUTION = "pypi-buildout-"
    OLD_CHECKOUT = "git-buildout-"
    OTHER = "other"


_PREFIXED = [kind for kind in Kind if kind not in (Kind.RELEASE, Kind.OTHER)]


def urlmd5(url: str) -> str:
    """MD5 of a URL, less its fragment, in hexadecimal: it names a key, nothing else."""
    return hashlib.md5(
        url.partition("#")[0].encode("utf-8", "surrogatepass"), usedforsecurity=False
    ).hexdigest()


@dataclass(frozen=True, order=True)
class Key:
    """A directory key: 1 to 255 characters from ``!`` to ``~``, but none of
    ``/ ? # % \\``, and neither ``.`` nor ``..``."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Key:
        """Raises `InvalidKey` for what is not a key."""
        if (
            not isinstance(text, str)
            or not _KEY.match(text)
            or _FORBIDDEN_IN_KEY.intersection(text)
            or text in (".", "..")
        ):
            raise InvalidKey(
                "expected a key of 1 to 255 characters from ! to ~ without / ? # % \\"
                f" and other than . and .., got {text!r:.100}"
            )
        return cls(text)

    @classmethod
    def for_file(cls, url: str) -> Key:
        """The key of what `url` fetches; the URL as the profile writes it."""
        return cls(Kind.FILE.value + urlmd5(url))

    @classmethod
    def for_distribution(cls, name: str, version: str) -> Key:
        """The key of a Python distribution: its sdist and all its wheels."""
        return cls.parse(f"{Kind.DISTRIBUTION.value}{name}={version}")

    @classmethod
    def for_release(cls, software_url: str) -> Key:
        """The key of a compiled software release."""
        return cls(urlmd5(software_url))

    @property
    def kind(self) -> Kind:
        for kind in _PREFIXED:
            if self.text.startswith(kind.value):
                return kind
        return Kind.RELEASE if _MD5.match(self.text) else Kind.OTHER

    @property
    def suffix(self) -> str:
        """What follows the prefix of the kind."""
        kind = self.kind
        return self.text[len(kind.value) :] if kind in _PREFIXED else self.text

    def __str__(self) -> str:
        return self.text


class Pair(NamedTuple):
    """What a directory keeps: the exact text that was signed, and the signature over
    its UTF-8 bytes in base64, or an empty one."""

    entry: str
    signature: str

    @classmethod
    def parse(cls, value: object) -> Pair:
        """Take one element of a directory's answer.

        Raises `InvalidEntry` unless it is a list of exactly two strings without lone
        surrogates, of at most `PAIR_LIMIT` bytes, whose signature is empty or
        canonical, padded base64.
        """
        if not isinstance(value, list) or [type(member) for member in value] != [str, str]:
            raise InvalidEntry("expected a pair of two strings [entry, signature]")
        pair = cls(*value)
        try:
            size = len(pair.entry.encode()) + len(pair.signature.encode())
        except UnicodeEncodeError:
            raise InvalidEntry("the pair contains half of a surrogate pair") from None
        if size > PAIR_LIMIT:
            raise InvalidEntry(
                f"the pair has {size} bytes, more than the {PAIR_LIMIT} allowed"
            )
        pair.signature_bytes()
        return pair

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
            _check_depth(members)
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

    def string(self, member: str) -> str | None:
        """The member of that name where it is there and a string."""
        value = self.members.get(member)
        return value if isinstance(value, str) else None

    def _integer(self, member: str) -> int | None:
        value = self.members.get(member)
        return value if isinstance(value, int) else None


def _check_depth(value: Any, left: int = DEPTH_LIMIT) -> None:
    if left < 0:
        raise _Malformed("it is nested too deep")
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, (dict, list)):
            _check_depth(inner, left - 1)


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
