"""A tree that was unpacked, made to name the folders where it is going to be.

The manifest says where the old names stand. Each must stand there, in a file of the
archive, and none may be left in such a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from mmap import mmap

from ..errors import InvalidArchive
from ..links import Name, leaves
from ..unpacking.tree import link_out, refused
from .compressed import changeable_end
from .destination import Move
from .manifest import Manifest
from .prefixes import Span, leads_into, moved, occurrences
from .shared_parts import top_of
from .unpacked import Unpacked

_PLAIN = (".installed.cfg", "buildout.cfg")
"""Files of buildout at the top of a release. It compares what is in them, as text, with
names that have no slashes too many, and would build everything again."""


Changes = Sequence[tuple[Span, Move]]
"""Where in a file which name is to be replaced."""


def relocate(
    unpacked: Unpacked, manifest: Manifest, moves: Sequence[Move], top: str
) -> None:
    """Change the files of an archive, whose release is in the folder `top`; one move for
    each prefix of the manifest. Raises `InvalidArchive`."""
    for member in manifest.changed:
        name = tuple(member.split("/"))
        if not unpacked.is_file(name):
            raise refused(member, "is named by the manifest, and is no file")
        changes = [(span, moves[number]) for span, number in manifest.spans(member)]
        path = unpacked.path(name)
        status = os.stat(path, follow_symlinks=False)
        _rewrite(path, member, changes)
        if _is_plain(name, top, path):
            _shorten(path, changes)
        # Bytecode is checked against the time of its source.
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _rewrite(path: str, member: str, changes: Changes) -> None:
    if not changes:
        return
    if not os.path.getsize(path):
        raise _misplaced(member)
    flags = os.O_RDWR | os.O_NOFOLLOW
    with open(os.open(path, flags), "r+b") as file, mmap(file.fileno(), 0) as data:
        end = changeable_end(data)
        for span, move in changes:
            # What it says may be longer than anything that fits into memory.
            if span.end > end or data[span.offset : span.end] != move.old(span.length):
                raise _misplaced(member)
            data[span.offset : span.end] = move.new(span.length)
        written = [span for span, _ in changes]
        for move in {move for _, move in changes if move.built != move.destination}:
            for span in occurrences(data, move.built):
                # A new name may have the old one in it.
                if span.end <= end and not any(map(span.overlaps, written)):
                    raise refused(
                        member, f"names {move.built} where the manifest does not say"
                    )


def _misplaced(member: str) -> InvalidArchive:
    return refused(member, "does not have the name of a folder where the manifest says so")


def _is_plain(name: Name, top: str, path: str) -> bool:
    """Whether names of folders are to be written in a file as they are, without slashes
    that fill them up: in those of `_PLAIN`, and in scripts, which buildout would generate
    anew."""
    if name[0] != top:
        return False
    if len(name) == 2:
        return name[1] in _PLAIN
    return len(name) == 3 and name[1] == "bin" and _is_script(path)


def _is_script(path: str) -> bool:
    """Whether it is text that a program runs, all of it: after a first line, an archive may
    come, or what has offsets."""
    with open(path, "rb") as file:
        if file.read(2) != b"#!":
            return False  # a program may be large
        rest = file.read()
    try:
        return "\0" not in rest.decode()
    except UnicodeDecodeError:
        return False


def _shorten(path: str, changes: Changes) -> None:
    with open(path, "r+b") as file:
        data = file.read()
        file.seek(0)
        end = 0
        for span, move in sorted(changes, key=lambda change: change[0]):
            file.write(data[end : span.offset] + move.destination.encode())
            end = span.end
        file.write(data[end:])
        file.truncate()


def links_of(
    unpacked: Unpacked, manifest: Manifest, moves: Sequence[Move]
) -> Mapping[Name, str]:
    """What each symbolic link is to say. Raises `InvalidArchive` where one leads out of
    its tree, unless the manifest lists it."""
    links = unpacked.links()
    listed = {tuple(member.split("/")): n for member, n in manifest.links.items()}
    for name in listed:
        if name not in links:
            raise refused("/".join(name), "is named by the manifest, and is no link")
    return dict(_links(links, listed, moves))


def _links(
    links: Mapping[Name, str],
    listed: Mapping[Name, int | None],
    moves: Sequence[Move],
) -> Iterator[tuple[Name, str]]:
    for name, target in links.items():
        number = listed.get(name)
        if number is not None:
            move = moves[number]
            if not leads_into(target, move.built):
                raise link_out("/".join(name), target)
            target = moved(target, move.built, move.destination)
        elif name not in listed and leaves(name, links, top_of(name), listed):
            raise link_out("/".join(name), target)
        yield name, target
