"""The manifest of a release's archive: which folders it was built for, and where its
files name them.

It is the last member of the archive, since it is only known when all others were read::

    {"format": 1,
     "prefixes": ["/opt/slapgrid/0123…", "/opt/slapgrid/shared"],
     "files": {"0123…/bin/curl": [[17, 9046], [1042]]},
     "longer": {"0123…/parts/base/bin/curl": [[[9046, 62]]]},
     "links": {"0123…/bin/python": 0, "0123…/etc/localtime": null},
     "parts": {"shared/0/zlib/89ab…": "5f70…"}}

`prefixes` are the folder of the release, then those of shared parts. `files` says for
each member, and each prefix in turn, at which offsets that one stands; prefixes at the end
that stand nowhere are left out. `longer` says the same, offset and length, where the name
is filled up with slashes already. `links` has the symbolic links that begin with a prefix,
by its number, and with null those that lead out of the tree and stay as they are. `parts`
has the shared parts, and the digest of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidArchive, NotBelieved
from ..printable import readable
from .installed import MANIFEST as MANIFEST
from .prefixes import Span, check_prefix
from .shared_parts import SharedPart

MANIFEST_LIMIT = 64 << 20
"""Bytes of a manifest, at most."""
_FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

Offsets = Sequence[Sequence[int]]
"""For each prefix, where it stands in a file."""
Spans = Sequence[Sequence[Sequence[int]]]
"""The same with lengths."""


@dataclass(frozen=True)
class Manifest:
    """See the top of this module; make one that came from elsewhere with `parse`."""

    prefixes: tuple[str, ...]
    files: Mapping[str, Offsets] = field(default_factory=dict)
    longer: Mapping[str, Spans] = field(default_factory=dict)
    links: Mapping[str, int | None] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Read what is in an archive, strictly. Raises `InvalidArchive`."""
        try:
            value = json.loads(data, object_pairs_hook=_no_duplicates)
            return _read(value)
        except (ValueError, RecursionError, NotBelieved) as error:
            raise InvalidArchive(f"its manifest is damaged: {readable(error)}") from None

    def serialised(self) -> bytes:
        """The same manifest always gives the same bytes."""
        value = {
            "format": _FORMAT,
            "prefixes": self.prefixes,
            "files": self.files,
            "longer": self.longer,
            "links": self.links,
            "parts": self.parts,
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    def spans(self, member: str) -> Iterator[tuple[Span, int]]:
        """Where a file has to be changed, and the number of the prefix that is there."""
        for number, offsets in enumerate(self.files.get(member, ())):
            length = len(self.prefixes[number])
            yield from ((Span(offset, length), number) for offset in offsets)
        for number, spans in enumerate(self.longer.get(member, ())):
            yield from ((Span(*span), number) for span in spans)

    @property
    def changed(self) -> list[str]:
        """The files that have to be changed."""
        return sorted({*self.files, *self.longer})


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("something in it is named twice")
    return members


def _read(value: Any) -> Manifest:
    expected = {"format", "prefixes", "files", "longer", "links", "parts"}
    is_object = isinstance(value, dict) and type(value.get("format")) is int
    if not is_object or value["format"] != _FORMAT:
        raise ValueError(f"expected an object of format {_FORMAT}")
    if set(value) != expected:
        raise ValueError(f"expected the members {', '.join(sorted(expected))}")
    prefixes = value["prefixes"]
    if not _is_list(prefixes, str) or not prefixes or len(set(prefixes)) != len(prefixes):
        raise ValueError("expected prefixes that differ")
    for prefix in prefixes:
        check_prefix(prefix)
    for name in ("files", "longer", "links", "parts"):
        if not isinstance(value[name], dict):
            raise ValueError(f"expected an object as {name}")
    for member, offsets in value["files"].items():
        if not _has_lists(offsets, prefixes, lambda offset: type(offset) is int):
            raise ValueError(f"expected offsets for each prefix of {member}")
    for member, spans in value["longer"].items():
        if not _has_lists(spans, prefixes, _is_span):
            raise ValueError(f"expected offsets and lengths for each prefix of {member}")
    for member, number in value["links"].items():
        if number is not None and not _is_index(number, prefixes):
            raise ValueError(f"the link {member} names no prefix")
    for member, digest in value["parts"].items():
        part = SharedPart.parse(member)
        if part is None or not _is_index(part.number + 1, prefixes):
            raise ValueError(f"{member} is no shared part")
        if not isinstance(digest, str) or not _SHA256.match(digest):
            raise ValueError(f"the digest of {member} is no SHA-256")
    manifest = Manifest(
        tuple(prefixes), value["files"], value["longer"], value["links"], value["parts"]
    )
    for member in manifest.changed:
        _check_places(manifest, member)
    return manifest


def _check_places(manifest: Manifest, member: str) -> None:
    end = 0
    for span, number in sorted(manifest.spans(member)):
        if span.length < len(manifest.prefixes[number]):
            raise ValueError(f"a name in {member} is shorter than its prefix")
        if span.offset < end:
            raise ValueError(f"an offset in {member} is negative, or two places overlap")
        end = span.end


def _has_lists(
    value: Any, prefixes: Sequence[str], is_right: Callable[[Any], bool]
) -> bool:
    """Whether there is a list for each prefix, or fewer, and all in them is right."""
    return (
        isinstance(value, list)
        and len(value) <= len(prefixes)
        and all(isinstance(each, list) and all(map(is_right, each)) for each in value)
    )


def _is_span(value: Any) -> bool:
    return _is_list(value, int) and len(value) == 2


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(type(each) is kind for each in value)


def _is_index(value: Any, prefixes: Sequence[str]) -> bool:
    return type(value) is int and 0 <= value < len(prefixes)
