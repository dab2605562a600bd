"""What is published of a release: its archive, and what is signed beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from ..download import Progress
from ..errors import NotBelieved, NotPublished, Reason
from ..key import urlmd5
from ..urls import without_fragment
from . import incumbent
from .archive import Archived, write_archive
from .builds import Build
from .compatibility import Look
from .node import Node
from .prefixes import check_prefix, is_within
from .survey import Survey, Surveyed

_NAMED = 5
"""Files that are named of many."""


@dataclass(frozen=True)
class Packed:
    """A release that is ready to be published, with the `members` of its entry.

    `notes` are sentences for who publishes: what it takes from this host, and what could
    not be relocated. `for_old_programs` tells whether nodes of slapos.core can use it.
    """

    build: Build
    members: Mapping[str, Any]
    archived: Archived
    notes: tuple[str, ...]
    for_old_programs: bool

    def check(self, fingerprint: str) -> None:
        """Raise `NotPublished` where the signer of that `fingerprint` must not vouch for
        it: for a secret in it, or what somebody else built."""
        if self.archived.secret:
            raise NotPublished(
                Reason.SECRET_URL, f"there is a secret in {_some(self.archived.secret)}"
            )
        for mark, signers in sorted(self.archived.taken.items()):
            if fingerprint not in {signer.fingerprint for signer in signers}:
                raise NotPublished(
                    Reason.UNCHECKED_ORIGIN,
                    f"{mark.rpartition('/')[0]} in it was taken from the network cache, on"
                    f" the word of {', '.join(map(str, signers))}: only who built it may"
                    " vouch for it",
                )


def pack(
    node: Node,
    url: str,
    folder: str,
    file: IO[bytes],
    *,
    look: Look,
    progress: Progress | None = None,
) -> Packed:
    """Write the archive of the release of `url`, which was built in `folder`, to `file`.

    Raises `NotBelieved` where nobody could take it from there, and `OSError`.
    """
    _check_real(folder, *node.shared_folders)
    check_prefix(folder)
    top, format = urlmd5(url), node.config.binary_archive
    shared = [
        other
        for other in node.shared_folders
        if not (is_within(other, folder) or is_within(folder, other))
    ]
    survey = Survey((folder, *shared))
    archived = write_archive(
        folder, top, shared, file, format=format, survey=survey, progress=progress,
        owner=incumbent.OWNER if format == "tar.gz" else "",
    )  # fmt: skip
    surveyed = survey.finish(look)
    build = Build(
        software_url=without_fragment(url),
        software_root=node.software_root,
        prefix=folder,
        shared=archived.manifest.prefixes[1:],
        files=archived.files,
        unpacked_size=archived.unpacked_size,
        manifest=archived.manifest_size,
        archive=format,
        requirements=surveyed.requirements,
    )
    Build.parse(build.members())  # what nobody would take is not signed
    usable = not incumbent.hindrances(folder, top, format, shared=bool(build.shared))
    members = {**build.members(), **incumbent.members_for(look(), usable=usable)}
    return Packed(build, members, archived, tuple(_notes(archived, surveyed)), usable)


def _check_real(*folders: str) -> None:
    for folder in folders:
        if (real := os.path.realpath(folder)) != folder:
            raise NotBelieved(
                Reason.UNFIT_PREFIX,
                f"{folder} is reached over a link, and files may name {real} as well: such"
                " a build cannot be moved",
            )


def _notes(archived: Archived, surveyed: Surveyed) -> Iterator[str]:
    for soname, files in sorted(surveyed.accidental.items()):
        yield f"{soname} is taken from this host, by {_some(files)}"
    for program, files in sorted(surveyed.programs.items()):
        yield f"{program} of this host runs {_some(files)}"
    for path, soname in surveyed.missing:
        yield f"{soname} is nowhere, and {path} needs it"
    if surveyed.damaged:
        yield f"damaged, and left as it is: {_some(surveyed.damaged)}"
    if archived.hidden:
        yield (
            "compressed, or with checksums, and the folder of the release in it, which"
            " cannot be relocated:"
            f" {_some(archived.hidden)}"
        )
    if archived.tied:
        yield f"shared parts that name the release, and go on to: {_some(archived.tied)}"
    if archived.leaving:
        yield f"links that lead out of the release: {_some(archived.leaving)}"
    if archived.left_out:
        yield f"neither files nor folders nor links, left out: {_some(archived.left_out)}"


def _some(files: tuple[str, ...]) -> str:
    more = len(files) - _NAMED
    return ", ".join(files[:_NAMED]) + (f" and {more} more" if more > 0 else "")
