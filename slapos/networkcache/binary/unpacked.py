"""The members of a release's archive on their way to disk: which of them there may be.

What any archive must not have is refused by `unpacking`; here, besides, what is in no
folder of the release or of its shared parts, and more of it than was signed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from ..download import Progress
from ..elf import MAGIC
from ..errors import InvalidArchive
from ..links import Name
from ..printable import readable
from ..unpacking.tree import Bounds, Tree, refused
from .shared_parts import DEPTH, SHARED, SharedPart, top_of


class Unpacked:
    """Puts what is in the folder `top` of the archive below the folder `work`, and shared
    parts below `shared_work`, under the names that they have in the archive.

    No more than `bounds`, all together, is taken. `elves` are the files that begin as ELF
    does, `parts` the top folders of shared parts.
    """

    def __init__(
        self,
        top: str,
        work: str,
        shared_work: str | None,
        bounds: Bounds,
        progress: Progress | None = None,
    ):
        self._top = top
        self._bounds = bounds
        self._progress = progress
        self._trees = {top: _tree_in(work, bounds)}
        if shared_work is not None:
            self._trees[SHARED] = _tree_in(shared_work, bounds)
        self.members = 0
        self.size = 0
        self.elves: set[Name] = set()
        self.parts: set[str] = set()

    # -- what `unpacking` tells

    def folder(self, name: str) -> None:
        parts = self._parts(name, is_folder=True)
        if parts[0] == SHARED and len(parts) == DEPTH:
            self.parts.add(name)
        self._tree(parts).folder(name)

    def file(
        self,
        name: str,
        size: int,
        mode: int,
        pieces: Iterable[bytes],
        modified: float | None = None,
    ) -> None:
        parts = self._parts(name, size)
        self._tree(parts).file(name, size, mode, self._watched(parts, pieces), modified)
        if self._progress is not None:
            self._progress(self.size, self._bounds.size)

    def hard_link(self, name: str, target: str) -> None:
        parts, earlier = self._parts(name), tuple(target.split("/"))
        if top_of(earlier) != top_of(parts):
            raise refused(name, f"is a hard link out of its tree, to {readable(target)}")
        self._tree(parts).hard_link(name, target)
        if earlier in self.elves:
            self.elves.add(parts)

    def link(self, name: str, target: str) -> None:
        self._tree(self._parts(name)).link(name, target)

    def _parts(self, name: str, size: int = 0, *, is_folder: bool = False) -> Name:
        self.members += 1
        self.size += size
        if self.members > self._bounds.members or self.size > self._bounds.size:
            raise InvalidArchive(
                f"there is more in it than the {self._bounds.members} members with"
                f" {self._bounds.size} bytes that are expected"
            )
        parts = tuple(name.split("/"))
        if "" in parts or "." in parts or parts[0] not in self._trees:
            raise refused(name, f"is outside of {self._top}, the folder of the release")
        if parts[0] == SHARED and not _is_in_place(parts, is_folder):
            raise refused(name, "is in no shared part")
        return parts

    def _tree(self, parts: Name) -> Tree:
        return self._trees[parts[0]]

    def _watched(self, parts: Name, pieces: Iterable[bytes]) -> Iterator[bytes]:
        first = True
        for piece in pieces:
            if first and piece.startswith(MAGIC):
                self.elves.add(parts)
            first = False
            yield piece

    # -- when all is there

    def path(self, parts: Name) -> str:
        """Where a member is now."""
        return self._tree(parts).path(parts)

    def is_file(self, parts: Name) -> bool:
        """Whether the archive has a file of that name, and not only another name of
        one."""
        tree = self._trees.get(parts[0])
        return tree is not None and tree.is_file(parts)

    def links(self) -> Mapping[Name, str]:
        """All symbolic links, and what each says; none of them is made yet."""
        return {
            name: to for tree in self._trees.values() for name, to in tree.links.items()
        }


def _tree_in(work: str, bounds: Bounds) -> Tree:
    root = os.path.join(work, "tree")
    return Tree(root, bounds, ordered=True, absolute_links=True)


def _is_in_place(parts: Name, is_folder: bool) -> bool:
    """Whether what is below `SHARED` is a shared part, in one, or a folder above them."""
    if is_folder and len(parts) < DEPTH:
        return True
    part = SharedPart.parse("/".join(parts[:DEPTH]))
    return part is not None and (is_folder or len(parts) > DEPTH)
