"""slapos.core: what its entries say of a build, for which nodes it is, and which of ours it
can take.

It signs ``software_url``, ``software_root``, ``multiarch`` (as ``gcc -dumpmachine`` prints
it) and ``os``, the distribution with its version and codename, and packs the folder of the
release as it is. So an entry fits a node with the same three, and no other. Older ones
have ``machine`` in the place of ``multiarch``, and ``os`` as the text of a tuple.

It takes the first entry whose ``multiarch`` and ``os`` are its own, whatever is in the
archive, and unpacks that in its software root. So what it cannot use must name a
distribution that no node has.

Source: ``slapos/grid/networkcache.py`` and ``distribution.py`` of slapos.core 1.26.1.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import NotBelieved, Reason
from ..host import Distribution, Host
from ..key import urlmd5
from .compatibility import Look
from .destination import Destination


@dataclass(frozen=True)
class IncumbentBuild:
    """What such an entry says of a release."""

    software_url: str
    software_root: str
    multiarch: str
    distribution: Distribution

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> IncumbentBuild:
        """Raises `NotBelieved` with ``bad-entry``."""
        multiarch, distribution = members.get("multiarch"), members.get("os")
        if multiarch is None and members.get("machine") == "x86_64":
            multiarch = "x86_64-linux-gnu"
            distribution = _tuple_in(distribution)
        root = members.get("software_root")
        match distribution, multiarch, root:
            case [str(name), str(version), str(codename)], str(), str():
                url = str(members["software_url"])
                return cls(url, root, multiarch, (name, version, codename))
        raise NotBelieved(
            Reason.BAD_ENTRY,
            "it does not say for which distribution and folder it was built",
        )

    def unfit(self, destination: Destination, look: Look) -> list[NotBelieved]:
        """Why it cannot be used there, on the computer that is looked at."""
        found, host = [], look()
        if destination.release != f"{self.software_root}/{urlmd5(self.software_url)}":
            found.append(
                NotBelieved(
                    Reason.UNFIT_PREFIX,
                    f"it is for the software root {self.software_root} and no other",
                )
            )
        here = host.multiarch, comparable(host.distribution)
        if here != (self.multiarch, comparable(self.distribution)):
            words = " ".join(filter(None, (*self.distribution, self.multiarch)))
            found.append(
                NotBelieved(Reason.UNFIT_HOST, f"it is for {words}, and for no other host")
            )
        return found


def comparable(distribution: Sequence[str]) -> Distribution:
    """A distribution as slapos.core compares it: of Debian only the major release counts,
    and Raspbian is Debian."""
    name, version, codename = distribution
    name = name.lower()
    if name in ("debian", "raspbian"):
        return "debian", version.partition(".")[0], ""
    return name, version, codename


def _tuple_in(text: object) -> object:
    try:
        return ast.literal_eval(text) if isinstance(text, str) else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


# -- what it can take of ours

ROOT = "/opt/slapgrid"
"""The software root of nodes that are out there."""
OWNER = "slapsoft"
"""Who owns it there. They unpack as root, and give each file to whom the archive names."""
_NOBODY = ("networkcache", "2", "")
"""A distribution that no node has."""


def hindrances(folder: str, top: str, format: str, *, shared: bool) -> list[str]:
    """Why its nodes cannot use what is built in `folder` and packed as `format`, under the
    name `top`; `shared` tells whether there are shared parts."""
    found = []
    if folder != f"{ROOT}/{top}":
        found.append(f"they take nothing but what was built in {ROOT}")
    if format != "tar.gz":
        found.append("they open nothing but tar.gz")
    if shared:
        found.append("they have no place for shared parts")
    return found


def members_for(host: Host, *, usable: bool) -> dict[str, Any]:
    """The members of an entry that it reads, of a build that was made on `host`."""
    return {
        "multiarch": host.multiarch,
        "os": list(host.distribution if usable else _NOBODY),
    }
