"""A built release as an archive: its files are read once, for everything that has to be
known of them.

The same tree always gives the same bytes: members are sorted, have the owner 0, the modes
644 or 755, and the times of files, which bytecode is checked against, to the second. While
a file goes by, the folders that it names are found, what it needs of a host is taken down,
and it is packed, compressed and hashed. Shared parts that are named follow the release, and
those that they name.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol, TypeVar

from ..digest import PIECE, Digests, Hasher
from ..download import Progress
from ..links import Name, leaves
from ..urls import has_secret
from ..zstandard import ZstdCompressor
from .compressed import changeable_end, hides
from .installed import ORIGIN, Signer, is_of_the_node, is_release, signers_in
from .manifest import MANIFEST, Manifest, Offsets, Spans
from .prefixes import Data, Span, leads_into, occurrences, without_filling
from .shared_parts import SHARED, SharedPart, TreeDigest, top_of
from .survey import Survey
from .walking import content, entries, is_program

T = TypeVar("T")

_ZSTD_LEVEL = 3
_GZIP_LEVEL = 6
_GZIP = zlib.MAX_WBITS | 16
_CONFIGURATION = re.compile(
    r"(.*/)?(\.installed\.cfg|buildout\.cfg|[^/]*\.git(/modules/.+)?/config)\Z"
)
"""Files that have URLs in them, and may have passwords in those."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^\s\"'<>]+)")


@dataclass(frozen=True)
class Archived:
    """What was written: its digests; `files`, the members in it; `unpacked_size`, bytes
    in its files; and `manifest_size`, those of the `manifest`.

    For who publishes: files in which a folder is named and cannot be changed (`hidden`),
    what is neither file nor folder nor link (`left_out`), links that lead out of the
    release (`leaving`), files with a secret in a URL (`secret`), files of shared parts that
    are `tied` to the release, since they name it, and what was `taken` from an archive, by
    the file that says so, with those who signed that.
    """

    content: Digests
    manifest: Manifest
    manifest_size: int
    files: int
    unpacked_size: int
    hidden: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    taken: Mapping[str, tuple[Signer, ...]] = field(default_factory=dict)


def write_archive(
    folder: str,
    top: str,
    shared_folders: Sequence[str],
    file: IO[bytes],
    *,
    format: str,
    survey: Survey,
    owner: str = "",
    progress: Progress | None = None,
) -> Archived:
    """Write the release that is in `folder` to `file`, as the folder `top`, and the parts
    of `shared_folders` that it uses.

    `format` is ``tar.zst`` or ``tar.gz``, `owner` the name of the user and group that all
    belongs to, `survey` is told every file and link. Raises `OSError` for what cannot be
    read or written.
    """
    packer = _Packer(_Tar(file, format, owner), (folder, *shared_folders), survey, progress)
    packer.add_release(top)
    packer.add_shared_parts()
    return packer.finish(top)


class _Compressor(Protocol):
    def compress(self, data: Data) -> bytes: ...
    def flush(self) -> bytes: ...


class _Tar:
    """Writes members, compressed and hashed; counts them and the bytes in files."""

    def __init__(self, file: IO[bytes], format: str, owner: str):
        self._file = file
        self._owner = owner
        self._hasher = Hasher()
        self._compressor: _Compressor
        if format == "tar.zst":
            self._compressor = ZstdCompressor(_ZSTD_LEVEL)
        else:
            self._compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
        self.members = 0
        self.size = 0

    def folder(self, name: str) -> None:
        self._put_header(name, tarfile.DIRTYPE)

    def link(self, name: str, target: str) -> None:
        self._put_header(name, tarfile.SYMTYPE, target=target)

    def hard_link(self, name: str, first: str, status: os.stat_result) -> None:
        # Other programs give the file what the last of its names says.
        self._put_header(name, tarfile.LNKTYPE, status, target=first)

    def file(self, name: str, data: Data, status: os.stat_result | None = None) -> None:
        size = len(data)
        self._put_header(name, tarfile.REGTYPE, status, size=size)
        for begin in range(0, size, PIECE):
            self._write(data[begin : begin + PIECE])
        self._write(bytes(-size % tarfile.BLOCKSIZE))
        self.size += size

    def finish(self) -> Digests:
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._put(self._compressor.flush())
        return self._hasher.digests()

    def _put_header(
        self,
        name: str,
        type: bytes,
        status: os.stat_result | None = None,
        *,
        size: int = 0,
        target: str = "",
    ) -> None:
        """The header of a member; of a file, `status` says its mode and time."""
        member = tarfile.TarInfo(name)
        member.type, member.size, member.linkname = type, size, target
        member.mode = 0o755 if type == tarfile.DIRTYPE else 0o644
        if status is not None:
            member.mtime = max(0, int(status.st_mtime))
            member.mode = 0o755 if is_program(status) else 0o644
        member.uname = member.gname = self._owner
        self._write(member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        self.members += 1

    def _write(self, data: Data) -> None:
        self._put(self._compressor.compress(data))

    def _put(self, data: bytes) -> None:
        self._hasher.update(data)
        self._file.write(data)


class _Names:
    """Where the files and links of the archive name one of `prefixes`."""

    def __init__(self, prefixes: Sequence[str]):
        self.prefixes = prefixes
        self.used: set[SharedPart] = set()
        self.tied: list[str] = []
        """Files of shared parts that name the release."""
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


class _Packer:
    """Goes through the trees, and tells all others what is there."""

    def __init__(
        self,
        tar: _Tar,
        prefixes: Sequence[str],
        survey: Survey,
        progress: Progress | None,
    ):
        self._tar = tar
        self._names = _Names(prefixes)
        self._survey = survey
        self._progress = progress
        self._folders: set[str] = set()
        self._hard: dict[tuple[str, int, int], str] = {}
        self._parts: dict[SharedPart, str] = {}
        self._hidden: list[str] = []
        self._left_out: list[str] = []
        self._secret: list[str] = []
        self._taken: dict[str, tuple[Signer, ...]] = {}

    def add_release(self, top: str) -> None:
        self._add_folder(top)
        self._walk(_Place(top, ""), self._names.prefixes[0])

    def add_shared_parts(self) -> None:
        """Add the parts that are named by what was added, and so on."""
        while wanted := sorted(self._names.used - set(self._parts)):
            part = wanted[0]
            for depth in range(1, len(part.top) + 1):
                self._add_folder("/".join(part.top[:depth]))
            digest = TreeDigest()
            folder = self._names.prefixes[part.number + 1]
            self._walk(_Place(part.member, "", digest), part.path(folder))
            self._parts[part] = digest.hex()

    def _walk(self, place: _Place, path: str) -> None:
        found = entries(path)
        is_top = place.is_top_of_release
        is_home = is_top or is_release({entry.name for entry in found})
        for entry in found:
            inner = place.inner(entry.name)
            if is_of_the_node(entry.name, is_home=is_home, is_top=is_top):
                self._note_origin(inner, entry.path)
            elif entry.is_symlink():
                self._add_link(inner, entry.path)
            elif entry.is_dir():
                self._add_folder(inner.member)
                if inner.digest is not None:
                    inner.digest.add_folder(inner.below)
                self._walk(inner, entry.path)
            elif entry.is_file():
                self._add_file(inner, entry.path)
            else:
                self._left_out.append(inner.member)

    def _note_origin(self, place: _Place, path: str) -> None:
        signers = signers_in(path) if place.member.endswith(f"/{ORIGIN}") else None
        if signers is not None:
            self._taken[place.member] = signers

    def _add_folder(self, member: str) -> None:
        if member not in self._folders:
            self._folders.add(member)
            self._tar.folder(member)

    def _add_link(self, place: _Place, path: str) -> None:
        target = os.readlink(path)
        self._tar.link(place.member, target)
        self._names.in_link(place.member, target)
        self._survey.add_link(path, target)
        if place.digest is not None:
            place.digest.add_link(place.below, target)

    def _add_file(self, place: _Place, path: str) -> None:
        with content(path) as (data, status):
            identity = place.top, status.st_dev, status.st_ino
            first = self._hard.setdefault(identity, place.member)
            if first != place.member:
                self._tar.hard_link(place.member, first, status)
                self._survey.add(path, data)
            else:
                self._take(place.member, path, data, status)
            if place.digest is not None:
                place.digest.add_file(place.below, data, status)

    def _take(self, member: str, path: str, data: Data, status: os.stat_result) -> None:
        self._tar.file(member, data, status)
        self._names.in_file(member, data)
        self._survey.add(path, data)
        if hides(data, self._names.prefixes):
            self._hidden.append(member)
        if _CONFIGURATION.match(member) and _has_secret(data):
            self._secret.append(member)
        if self._progress is not None:
            self._progress(self._tar.size, None)

    def finish(self, top: str) -> Archived:
        manifest = self._names.manifest(self._parts)
        data = manifest.serialised()
        Manifest.parse(data)  # what nobody would take is not packed
        self._tar.file(f"{top}/{MANIFEST}", data)
        return Archived(
            self._tar.finish(),
            manifest,
            len(data),
            self._tar.members,
            self._tar.size,
            tuple(self._hidden),
            tuple(self._left_out),
            tuple(name for name, number in manifest.links.items() if number is None),
            tuple(self._secret),
            tuple(self._names.tied),
            self._taken,
        )


@dataclass(frozen=True)
class _Place:
    """A member of the archive: the tree that it is in by its `top`, its name `below` that,
    and the `digest` of the tree, of a shared part only."""

    top: str
    below: str
    digest: TreeDigest | None = None

    @property
    def member(self) -> str:
        return f"{self.top}/{self.below}" if self.below else self.top

    @property
    def is_top_of_release(self) -> bool:
        return self.digest is None and not self.below

    def inner(self, name: str) -> _Place:
        below = f"{self.below}/{name}" if self.below else name
        return _Place(self.top, below, self.digest)


def _without_empty_end(lists: list[list[T]]) -> list[list[T]]:
    while not lists[-1]:
        lists.pop()
    return lists


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


def _has_secret(data: Data) -> bool:
    """Whether there is a URL with a password, or a header with one."""
    text = data[:].decode("utf-8", "replace")
    if "extraheader" in text.lower():
        return True
    for scheme, rest in _URL.findall(text):
        user, at, _ = rest.partition("/")[0].rpartition("@")
        is_web = scheme.lower() in ("http", "https")
        if (at and ":" in user) or (is_web and has_secret(f"{scheme}://{rest}")):
            return True
    return False
