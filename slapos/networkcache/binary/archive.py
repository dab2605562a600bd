"""A built release as an archive: its files are read once, for everything that has to be
known of them.

Members are sorted, so that the same tree always gives the same bytes. While a file goes
by, the folders that it names are found, what it needs of a host is taken down, and it is
packed, compressed and hashed. Shared parts that are named follow the release, and those
that they name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from ..digest import Digests
from ..download import Progress
from ..urls import has_secret
from .compressed import hides
from .installed import ORIGIN, Signer, is_of_the_node, is_release, signers_in
from .manifest import MANIFEST, Manifest
from .naming import Naming
from .prefixes import Data
from .shared_parts import SharedPart, TreeDigest
from .survey import Survey
from .tar_writing import TarWriter
from .walking import content, entries

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
    packer = _Packer(
        TarWriter(file, format, owner), (folder, *shared_folders), survey, progress
    )
    packer.add_release(top)
    packer.add_shared_parts()
    return packer.finish(top)


class _Packer:
    """Goes through the trees, and tells all others what is there."""

    def __init__(
        self,
        tar: TarWriter,
        prefixes: Sequence[str],
        survey: Survey,
        progress: Progress | None,
    ):
        self._tar = tar
        self._names = Naming(prefixes)
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
