"""What of a tree names the folders that it was built for, collected file by file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..links import Name, leaves
from .compressed import changeable_end
from .manifest import Manifest, Offsets, Spans
from .prefixes import Data, Span, leads_into, occurrences, without_filling
from .shared_parts import SHARED, SharedPart, top_of

T = TypeVar("T")


class Naming:
    """Where the files and links of an archive name one of `prefixes`: the folder of the
    release, then those of shared parts. `used` are the shared parts that are named, `tied`
    the files of shared parts that name the release.
    """

    def __init__(self, prefixes: Sequence[str]):
        self.prefixes = prefixes
        self.used: set[SharedPart] = set()
        self.tied: list[str] = []
        self._found: dict[str, list[list[Span]]] = {}
        self._links: dict[Name, str] = {}

    def in_file(self, member: str, data: Data) -> None:
        end = changeable_end(data)
        found = [list(occurrences(data, prefix)) for prefix in self.prefixes]
        for number, spans in enumerate(found):
            for span in spans:
                self._note_part(number, data, span.end)
        if member.startswith(f"{SHARED}/") and found[0]:
            # It is of many releases: it cannot name the place of each.
            self.tied.append(member)
            found[0] = []
        kept = _apart(found)
        kept = [[span for span in spans if span.end <= end] for spans in kept]
        if any(kept):
            self._found[member] = kept

    def in_link(self, member: str, target: str) -> None:
        self._links[tuple(member.split("/"))] = target
        text = os.fsencode(without_filling(target))
        for number, prefix in enumerate(self.prefixes):
            if leads_into(target, prefix):
                self._note_part(number, text, len(prefix))

    def _note_part(self, number: int, text: Data, end: int) -> None:
        """Note the shared part that is named where the name of a prefix ends."""
        part = SharedPart.named(number - 1, text, end) if number else None
        if part is not None and os.path.isdir(part.path(self.prefixes[number])):
            self.used.add(part)

    def manifest(self, parts: Mapping[SharedPart, str]) -> Manifest:
        # A folder of shared parts of which none is used has nothing to be moved.
        count = 2 + max((part.number for part in parts), default=-1)
        prefixes = tuple(self.prefixes[:count])
        files: dict[str, Offsets] = {}
        longer: dict[str, Spans] = {}
        for name, found in self._found.items():
            used = list(zip(prefixes, found, strict=False))
            offsets = [[s.offset for s in spans if s.length == len(p)] for p, spans in used]
            others: list[list[Sequence[int]]] = [
                [s for s in spans if s.length > len(p)] for p, spans in used
            ]
            if any(offsets):
                files[name] = _without_empty_end(offsets)
            if any(others):
                longer[name] = _without_empty_end(others)
        digests = {part.member: digest for part, digest in parts.items()}
        return Manifest(prefixes, files, longer, self._listed(prefixes), digests)

    def _listed(self, prefixes: Sequence[str]) -> dict[str, int | None]:
        """The links that have to be changed, and those that lead out."""
        listed: dict[Name, int | None] = {}
        for name, target in self._links.items():
            if target.startswith("/"):
                first = int(name[0] == SHARED)  # as in a file, see `in_file`
                into = (
                    number
                    for number, prefix in enumerate(prefixes)
                    if number >= first and leads_into(target, prefix)
                )
                listed[name] = next(into, None)
        for name in self._links:
            if name not in listed and leaves(name, self._links, top_of(name), listed):
                listed[name] = None
        return {"/".join(name): number for name, number in listed.items()}


def _apart(found: list[list[Span]]) -> list[list[Span]]:
    """What stands inside of another name, which is longer, is left out."""
    if sum(map(bool, found)) < 2:
        return found
    kept: list[tuple[Span, int]] = []
    for span, number in sorted((s, n) for n, spans in enumerate(found) for s in spans):
        if kept and kept[-1][0].overlaps(span):
            if span.length <= kept[-1][0].length:
                continue
            kept.pop()
        kept.append((span, number))
    return [[s for s, n in kept if n == number] for number in range(len(found))]


def _without_empty_end(lists: list[list[T]]) -> list[list[T]]:
    while not lists[-1]:
        lists.pop()
    return lists
