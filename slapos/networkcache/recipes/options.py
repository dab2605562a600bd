"""Options of a part. What is wrong with one is said in a `zc.buildout.UserError`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import zc.buildout

from ..urls import Checksum, checksum_in

Options = Mapping[str, str]

_LENGTHS = {"sha512": 128, "sha256": 64, "md5": 32}
"""Hexadecimal digits of a checksum, by its algorithm; the strongest first."""
_MODE = re.compile(r"0?[0-7]{3}\Z")


def required(options: Options, name: str) -> str:
    value = options.get(name, "").strip()
    if not value:
        raise zc.buildout.UserError(f"option {name} is missing")
    return value


def boolean(options: Options, name: str) -> bool | None:
    """None where it is not given."""
    value = options.get(name, "").strip()
    if value not in ("", "true", "false"):
        raise _wrong(name, "true or false", value)
    return {"true": True, "false": False}.get(value)


def mode(options: Options) -> int | None:
    """The permissions of a file, which are written in octal."""
    value = options.get("mode", "").strip()
    if value and not _MODE.match(value):
        raise _wrong("mode", "three octal digits, as in 755", value)
    return int(value, 8) if value else None


def checksums(options: Options, url: str) -> tuple[Checksum, ...]:
    """What ``md5sum``, ``sha256sum``, ``sha512sum`` and the fragment of `url` say, the
    strongest first."""
    found = []
    for algorithm, length in _LENGTHS.items():
        value = options.get(f"{algorithm}sum", "").strip().lower()
        if not value:
            continue
        if not re.fullmatch(f"[0-9a-f]{{{length}}}", value):
            expected = f"{length} hexadecimal digits"
            raise _wrong(f"{algorithm}sum", expected, value)
        found.append(Checksum(algorithm, value))
    in_url = checksum_in(url)
    if in_url is not None and in_url not in found:
        found.append(in_url)
    return tuple(found)


def _wrong(name: str, expected: str, value: str) -> zc.buildout.UserError:
    return zc.buildout.UserError(f"option {name}: expected {expected}, got {value!r:.200}")
