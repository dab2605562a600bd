"""Which keys are asked for: by the record of a run, by release, by prefix, or all."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import NamedTuple

from ...entry import Key
from ...errors import InvalidInput, NotFound
from ...record import RECORD_LIMIT, decode_record
from ...storage import Stored
from ..directory import named_content
from ..root import Root


class Asked(NamedTuple):
    """A key that is asked for. One that somebody named is `expected` to have pairs; of the
    others, some only wait for their content."""

    key: Key
    expected: bool


Choice = Callable[[Root], Iterator[Asked]]
"""What is asked for, in the order of keys."""


def run(profile: str) -> Choice:
    """The record of the runs of a profile, named as `Key.for_run` does, and what they
    used."""

    def choose(root: Root) -> Iterator[Asked]:
        key = Key.for_run(profile)
        used = {key}
        for stored in root.entries.get([key]).get(key, ()):
            used.update(_used(root, stored))
        return (Asked(key, True) for key in sorted(used))

    return choose


def _used(root: Root, record: Stored) -> Sequence[Key]:
    """What a record names; nothing where it is none, or not here."""
    digest = named_content(record)
    with suppress(NotFound, InvalidInput):
        if digest is not None:
            with root.contents.open(digest) as content:
                text = content.read(0, RECORD_LIMIT + 1)
            return [used.key for used in decode_record(text)]
    return ()


def release(software_url: str) -> Choice:
    """A compiled software release."""
    return lambda root: iter([Asked(Key.for_release(software_url), True)])


def beginning_with(prefix: str) -> Choice:
    """All keys with that prefix."""
    return lambda root: (Asked(k, False) for k in root.entries.beginning_with(prefix))


def all_of(root: Root, choices: Sequence[Choice]) -> Iterator[Asked]:
    """What any of the `choices` gives, in order, each key once."""
    merged = heapq.merge(*(choice(root) for choice in choices))
    for key, asked in groupby(merged, lambda each: each.key):
        yield Asked(key, any(each.expected for each in asked))
