"""Where files name the folder that they were built for, and the same-length name of
another one that takes its place.

The replacement is filled up with slashes after its first component, which no system call
minds: ``/srv/sr/<md5>`` in the place of ``/opt/slapgrid/<md5>`` is ``/srv///////sr/<md5>``.
So nothing in a file has to be parsed: offsets in ELF, lengths in bytecode and in strings
stay right. A name that was filled up before, in a release that is a part of another one,
is found as well, and has a length of its own.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

from ..errors import NotBelieved, Reason

_FIT = re.compile(r"(/[A-Za-z0-9._+@-]+){2,}\Z")
_CONTINUES = re.compile(rb"[A-Za-z0-9_.+@-]")
_PATH_LIMIT = 4000
"""Bytes of a path; a system call takes 4096, and something is to be below it."""
_SLASH = ord("/")
_SLASHES = re.compile("/+")

Data = bytes | mmap
"""What is in a file."""


class Span(NamedTuple):
    """Where a name stands: `length` bytes from `offset` on."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length

    def overlaps(self, other: Span) -> bool:
        return self.offset < other.end and other.offset < self.end


def check_prefix(path: str) -> None:
    """Raise `NotBelieved` with ``unfit-prefix`` unless a tree can be built for, or moved
    to, the folder `path`: it is absolute, normalised, and of characters that neither a
    shell nor the dynamic loader reads as anything else. ``/one`` name alone could stand
    in a file for many other reasons."""
    if not _FIT.match(path) or posixpath.normpath(path) != path or len(path) > _PATH_LIMIT:
        raise NotBelieved(
            Reason.UNFIT_PREFIX,
            "expected an absolute path of two names or more, of letters, digits and"
            f" . _ + @ -, without empty ones, got {path!r:.300}: choose another folder",
        )


def check_move(built: str, destination: str) -> None:
    """Raise `NotBelieved` with ``unfit-prefix`` unless what was built for the folder
    `built` can be moved to `destination`."""
    check_prefix(destination)
    more = len(destination) - len(built)
    if more > 0:
        raise NotBelieved(
            Reason.UNFIT_PREFIX,
            f"it was built for {built}, and {destination} is {more} bytes longer:"
            f" choose a folder of at most {len(built)} bytes, or have it built with"
            f" build-prefix-length = {len(destination)}",
        )


def spelled(path: str, length: int) -> bytes:
    """The name of the folder `path` that has `length` bytes."""
    first, tail = _halves(path.encode())
    return first + b"/" * (length - len(path)) + tail


def _halves(path: bytes) -> tuple[bytes, bytes]:
    """The first component, after which it is filled up, and the others; of a single one
    it is before."""
    end = path.find(b"/", 1)
    return (path[:end], path[end:]) if end > 0 else (b"", path)


def occurrences(data: Data, path: str) -> Iterator[Span]:
    """Where `path` stands as a folder, or as the beginning of a longer path, and not of
    another name."""
    first, tail = _halves(path.encode())
    done = 0
    at = data.find(tail)
    while at >= 0:
        end = at + len(tail)
        begin = at
        while begin > done and data[begin - 1] == _SLASH:
            begin -= 1
        if (
            begin - len(first) >= done
            and data[begin - len(first) : begin] == first
            and _is_whole(data, begin - len(first), end)
        ):
            yield Span(begin - len(first), end - begin + len(first))
            done = end
            at = data.find(tail, end)
        else:  # another may begin in the midst of this one: /a/b/a/b/a
            at = data.find(tail, at + 1)


def _is_whole(data: Data, begin: int, end: int) -> bool:
    """Whether a name ends at `end`: nothing goes on with it, or its length stands before
    it, as in bytecode, where anything may come next."""
    if not _CONTINUES.match(data[end : end + 1]):
        return True
    length = (end - begin).to_bytes(4, "little")
    before = data[max(0, begin - 4) : begin]
    return before == length or (before[-1:] == length[:1] and not any(length[1:]))


def is_within(path: str, folder: str) -> bool:
    """Whether a path is that folder, or below it."""
    return path == folder or path.startswith(f"{folder}/")


def leads_into(target: str, folder: str) -> bool:
    """Whether an absolute link leads to that folder, or below it. One with ``..`` does
    not: where that leads to depends on other links."""
    return is_within(without_filling(target), folder) and ".." not in target.split("/")


def moved(target: str, built: str, destination: str) -> str:
    """What a link says that led into the folder `built`, and is to lead to the same in
    `destination`."""
    return destination + without_filling(target)[len(built) :]


def without_filling(path: str) -> str:
    """A path without the slashes that fill it up."""
    return _SLASHES.sub("/", path)
