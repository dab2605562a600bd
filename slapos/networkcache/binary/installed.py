"""What there is at the place of a release, and the files there that are of the node: they
are never published."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from configparser import ConfigParser, Error
from dataclasses import dataclass
from enum import Enum

from ..certificates import Certificate
from .walking import read_small

COMPLETED = ".completed"
"""The mark of slapgrid: what has it is installed."""
ORIGIN = ".networkcache-installed.json"
"""The mark of what came from an archive, and from whom; a shared part has it too."""
BUILD_CONFIGURATION = ".networkcache-build.cfg"
"""What buildout is told of the network cache, while it builds."""
BUILD_FOLDER = ".networkcache-build"
"""Beginning of the name of the folder in which releases are built that are moved later."""

MANIFEST = ".networkcache-manifest.json"
"""What the archive has besides the release; see `manifest`."""

_MARKS = frozenset((COMPLETED, ORIGIN, BUILD_CONFIGURATION))
_OURS = ".networkcache-"
_OF_BUILDOUT = (".installed.cfg", ".shared")
_CACHES = ("extends-cache",)


class State(Enum):
    """What there is of a release."""

    ABSENT = "absent"
    INCOMPLETE = "incomplete"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Signer:
    """Somebody on whose word a build was taken."""

    name: str
    fingerprint: str

    def __str__(self) -> str:
        return self.name or self.fingerprint


_UNKNOWN = Signer("somebody unknown", "")


@dataclass(frozen=True)
class Installed:
    """A release, or what there is in its place.

    `url` is None where its profile does not say it; `since` is in POSIX seconds, None
    while it is not complete; `signers` are those on whose word it was taken, None where
    it was built here.
    """

    place: str
    url: str | None
    state: State
    since: float | None
    signers: tuple[Signer, ...] | None


def look_into(place: str) -> Installed:
    """What there is at `place`."""
    state = state_of(place)
    mark = os.path.join(place, COMPLETED)
    since = os.stat(mark).st_mtime if state is State.COMPLETE else None
    origin = os.path.join(place, ORIGIN)
    return Installed(place, software_url(place), state, since, signers_in(origin))


def state_of(place: str) -> State:
    if not os.path.lexists(place):
        return State.ABSENT
    complete = os.path.exists(os.path.join(place, COMPLETED))
    return State.COMPLETE if complete else State.INCOMPLETE


def software_url(folder: str) -> str | None:
    """The software URL of the release in `folder`, as its profile says; None where that
    cannot be read."""
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(read_small(os.path.join(folder, "buildout.cfg")).decode())
        return parser["buildout"]["extends"].strip() or None
    except (OSError, KeyError, ValueError, Error):
        return None


def signers_in(mark: str) -> tuple[Signer, ...] | None:
    """On whose word that was taken which has the file `mark`, an `ORIGIN`; None where there
    is none, or it says that it was built here."""
    try:
        signers = json.loads(read_small(mark))["signers"]
        if signers is None:
            return None
        return tuple(Signer(str(s["name"]), str(s["fingerprint"])) for s in signers)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return (_UNKNOWN,)


def marks_of(
    url: str, digest: str, signers: Sequence[Certificate] | None
) -> Mapping[str, bytes]:
    """The files that a release has more than its archive, in which it is complete;
    `signers` is None for what was built here."""
    named = None
    if signers is not None:
        named = [{"name": c.name, "fingerprint": c.fingerprint} for c in signers]
    origin = {"software_url": url, "sha512": digest, "signers": named}
    return {COMPLETED: now(), ORIGIN: json.dumps(origin, indent=2).encode()}


def now() -> bytes:
    """What slapgrid writes into `COMPLETED`."""
    return time.asctime().encode()


def is_release(names: Collection[str]) -> bool:
    """Whether a folder with these names in it is a release: home, to what builds it."""
    return "buildout.cfg" in names and not _MARKS.isdisjoint(names)


def is_of_the_node(name: str, *, is_home: bool, is_top: bool = False) -> bool:
    """Whether what has that name is the node's own: a mark, a password, a cache, what
    programs leave at home. `is_home` tells whether it is directly in a release, and
    `is_top` whether in the one that is packed, and not in a part of it."""
    if name.startswith(_OURS):
        return is_top or name != MANIFEST
    if name == ".netrc":
        return True
    if not is_home or name in _OF_BUILDOUT or (name == COMPLETED and not is_top):
        return False
    return name.startswith(".") or name in _CACHES
