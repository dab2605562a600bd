"""From an archive to an installed release: all of it, or nothing.

What the archive holds is unpacked into folders that only their owner may enter, beside
where it is to be; there its files get the names of their new folders, then symbolic links
are made, and all is checked. Shared parts are renamed to their places, each once, and one
last rename makes the release. So whatever happens on the way, nothing looks installed that
is not.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from typing import IO

from ..download import Progress
from ..errors import InvalidArchive, NotBelieved, Reason
from ..links import Name, leaves
from ..unpacking import as_invalid
from ..unpacking.tar import unpack_tar
from ..unpacking.tree import Bounds, link_out, refused
from .builds import Build
from .compatibility import Look
from .destination import Destination, Move
from .installed import ORIGIN
from .manifest import MANIFEST, Manifest
from .prefixes import Data, leads_into, moved
from .relocation import links_of, relocate
from .shared_parts import SharedPart, digest_of
from .survey import Survey
from .unpacked import Unpacked
from .work_folders import open_folder, work_folder

Marks = Mapping[str, bytes]
"""Files that are added to a release, by their names."""


def install(
    archive: IO[bytes],
    top: str,
    build: Build,
    destination: Destination,
    *,
    look: Look,
    marks: Marks,
    progress: Progress | None = None,
) -> None:
    """Install what is in the open file `archive`, which has the digest that was signed.

    `top` is the folder of the release in it, `build` what was signed beside the digest,
    `marks` are added to the release. Raises `InvalidArchive` for an archive that is not
    what it should be, `NotBelieved` for one that does not fit here, and `OSError` where it
    cannot be written; then nothing of it is there but shared parts that are whole.
    """
    moves = destination.moves(build.prefix, build.shared)
    with ExitStack() as stack:
        work = stack.enter_context(work_folder(os.path.dirname(destination.release), top))
        shared_work = None
        if build.shared:
            assert destination.shared is not None
            os.makedirs(destination.shared, exist_ok=True)
            shared_work = stack.enter_context(work_folder(destination.shared, top))
        bounds = Bounds(build.unpacked_size, build.files)
        unpacked = Unpacked(top, work, shared_work, bounds, progress)
        _unpack(archive, unpacked)
        if (unpacked.members, unpacked.size) != (build.files, build.unpacked_size):
            raise InvalidArchive(
                f"{build.files} members with {build.unpacked_size} bytes are signed, and"
                f" there are {unpacked.members} with {unpacked.size}"
            )
        manifest = _manifest(unpacked, top, build)
        relocate(unpacked, manifest, moves, top)
        _make_links(unpacked, links_of(unpacked, manifest, moves))
        _check(unpacked, top, build, destination, look)
        _write_marks(unpacked, (top,), marks)
        parts = [
            _ComingPart(unpacked, member, manifest, moves, destination)
            for member in sorted(manifest.parts)
        ]
        there = {part.place for part in parts if part.is_there()}
        if shared_work is not None:
            _sync(shared_work)
        for part in parts:
            if part.place not in there:  # be it from two folders of the builder
                part.put(marks)
                there.add(part.place)
        _put_in_place(unpacked, top, destination.release)


def install_as_it_is(
    archive: IO[bytes],
    top: str,
    place: str,
    *,
    marks: Marks,
    progress: Progress | None = None,
) -> None:
    """Install an archive of slapos.core at `place`, for which it was made: it has no
    manifest, and nothing in it is changed. The others, and errors, are those of `install`.
    """
    with work_folder(os.path.dirname(place), top) as work:
        unpacked = Unpacked(top, work, None, Bounds(), progress)
        _unpack(archive, unpacked)
        if not os.path.isdir(unpacked.path((top,))):
            raise InvalidArchive(f"there is no folder {top} in it")
        links = unpacked.links()
        below = {name for name, target in links.items() if leads_into(target, place)}
        for name, target in links.items():
            if name not in below and leaves(name, links, (top,), below):
                raise link_out("/".join(name), target)
        _make_links(unpacked, links)
        _write_marks(unpacked, (top,), marks)
        _put_in_place(unpacked, top, place)


def _unpack(archive: IO[bytes], unpacked: Unpacked) -> None:
    """Unpack a tar, but for its symbolic links. Raises `InvalidArchive`."""
    archive.seek(0)
    with as_invalid():
        unpack_tar(archive, unpacked)


def _manifest(unpacked: Unpacked, top: str, build: Build) -> Manifest:
    name = (top, MANIFEST)
    if not unpacked.is_file(name):
        raise InvalidArchive("there is no manifest in it")
    with open(unpacked.path(name), "rb") as file:
        data = file.read(build.manifest + 1)
    if len(data) != build.manifest:
        raise InvalidArchive("its manifest has another size than was signed")
    manifest = Manifest.parse(data)
    if manifest.prefixes != (build.prefix, *build.shared):
        raise InvalidArchive("its manifest is about other folders than those signed")
    if set(manifest.parts) != unpacked.parts:
        raise InvalidArchive("its manifest names other shared parts than there are")
    return manifest


def _make_links(unpacked: Unpacked, links: Mapping[Name, str]) -> None:
    """Make all symbolic links, now that nothing more is written."""
    for name, target in links.items():
        os.symlink(target, unpacked.path(name))


def _write_marks(unpacked: Unpacked, folder: Name, marks: Marks) -> None:
    """Add files; what the archive has of that name goes."""
    for name, data in marks.items():
        path = unpacked.path((*folder, name))
        if os.path.isdir(path) and not os.path.islink(path):
            member = "/".join((*folder, name))
            raise refused(member, "is a folder, and only a node makes that")
        with suppress(FileNotFoundError):
            os.unlink(path)
        with open(path, "xb") as file:
            file.write(data)


def _check(
    unpacked: Unpacked, top: str, build: Build, destination: Destination, look: Look
) -> None:
    """Refuse a tree in which a library is missing that was there when it was built."""

    def path_there(name: Name) -> str:
        if name[0] == top:
            return "/".join((destination.release, *name[1:]))
        return "/".join((destination.shared or "", *name[2:]))

    survey = Survey(filter(None, (destination.release, destination.shared)))
    for name in unpacked.elves:
        with (
            open(unpacked.path(name), "rb") as file,
            mmap(file.fileno(), 0, access=ACCESS_READ) as data,
        ):
            survey.add(path_there(name), data)
    for name in unpacked.links():
        survey.add_link(path_there(name), os.readlink(unpacked.path(name)))
    missing = {
        soname
        for _, soname in survey.finish(look).missing
        if soname not in build.requirements.unresolved
    }
    if missing:
        raise NotBelieved(
            Reason.UNFIT_HOST, f"libraries would be missing: {', '.join(sorted(missing))}"
        )


def _put_in_place(unpacked: Unpacked, top: str, place: str) -> None:
    """The last step: one rename, of what is on the disk by then."""
    path = unpacked.path((top,))
    os.chmod(path, 0o755)
    _sync(path)
    os.rename(path, place)


def _sync(path: str) -> None:
    """Have the file system write what it was given: else a power cut could leave a release
    that looks complete, of empty files."""
    folder = open_folder(path)
    try:
        with suppress(OSError, AttributeError):  # not every system has it
            ctypes.CDLL(None, use_errno=True).syncfs(folder)
    finally:
        os.close(folder)


@dataclass(frozen=True)
class _ComingPart:
    """A shared part of an archive, on the way to its place."""

    unpacked: Unpacked
    member: str
    manifest: Manifest
    moves: tuple[Move, ...]
    destination: Destination

    @property
    def place(self) -> str:
        """Where it is going to be."""
        part = SharedPart.parse(self.member)
        assert part is not None
        assert self.destination.shared is not None
        return part.path(self.destination.shared)

    def is_there(self) -> bool:
        """Whether it is in its place already. Raises `NotBelieved` for another one."""
        if not os.path.lexists(self.place):
            return False
        self._check_same()
        _close(self.place)  # whoever put it there may have been killed before that
        return True

    def put(self, marks: Marks) -> None:
        """Rename it to its place; if somebody else was faster, theirs must be the same."""
        name = tuple(self.member.split("/"))
        own = {ORIGIN: marks[ORIGIN]} if ORIGIN in marks else {}
        _write_marks(self.unpacked, name, own)
        os.makedirs(os.path.dirname(self.place), exist_ok=True)
        here = self.unpacked.path(name)
        _make_read_only(here)
        try:
            os.rename(here, self.place)
        except OSError:
            if not os.path.lexists(self.place):
                raise
            self._check_same()
        _close(self.place)

    def _check_same(self) -> None:
        path = self.place
        is_folder = os.path.isdir(path) and not os.path.islink(path)
        try:
            there = is_folder and digest_of(path, self._link_as_built, self._file_as_built)
        except PermissionError as error:
            there = str(error)
        if there != self.manifest.parts[self.member]:
            raise NotBelieved(
                Reason.UNFIT_PREFIX,
                f"the shared part {path} is there already, and is not the same: remove it"
                " if nothing uses it",
            )

    def _link_as_built(self, name: str, target: str) -> str:
        number = self.manifest.links.get(f"{self.member}/{name}")
        if number is None:
            return target
        move = self.moves[number]
        if not leads_into(target, move.destination):
            return target
        return moved(target, move.destination, move.built)

    def _file_as_built(self, name: str, data: Data) -> Data | bytearray:
        """What was in a file, with the names that it was built with; what is in it, where
        others stand there than this node would have written."""
        spans = list(self.manifest.spans(f"{self.member}/{name}"))
        if not spans:
            return data
        changed = bytearray(data)
        for span, number in spans:
            move = self.moves[number]
            if changed[span.offset : span.end] != move.new(span.length):
                return data
            changed[span.offset : span.end] = move.old(span.length)
        return changed


def _make_read_only(root: str) -> None:
    """Make it as the recipes that build shared parts leave them, but for the folder itself:
    only root could move that."""
    for folder, folders, files in os.walk(root):
        for path in (os.path.join(folder, name) for name in (*folders, *files)):
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chmod(path, mode & 0o555)


def _close(part: str) -> None:
    """Let nothing be added to a shared part; one of somebody else is left as it is."""
    with suppress(PermissionError):
        os.chmod(part, os.stat(part).st_mode & 0o555)
