"""What there is at the place of a release, and the files there that are of the node: they
are never published."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
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
    """What the file `mark`, an `ORIGIN`, says of signers; None where it does not."""
    try:
        signers = json.loads(read_small(mark))["signers"]
        return tuple(Signer(str(s["name"]), str(s["fingerprint"])) for s in signers)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


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


def is_of_the_node(name: str, *, at_top: bool) -> bool:
    """Whether what has that name in a release, `at_top` or below, is the node's own: a
    mark, a password, a cache, what programs leave at home."""
    if name == ORIGIN:
        return True
    if not at_top or name in _OF_BUILDOUT:
        return False
    return name.startswith(".") or name in _CACHES
