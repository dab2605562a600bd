"""The builds of a release that the network cache has, each judged against this node: one is
taken only if the files themselves say that it will run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import NotBelieved
from ..trust import TrustedEntry
from .builds import Build
from .compatibility import Look
from .destination import Destination
from .incumbent import IncumbentBuild


@dataclass(frozen=True)
class Candidate:
    """A build that is believed.

    `build` is what was signed of it, None where that is damaged; `refusals` say why it
    cannot be used here, and are empty where it can.
    """

    trusted: TrustedEntry
    build: Build | IncumbentBuild | None
    refusals: tuple[NotBelieved, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.refusals


def judge_all(
    believed: Sequence[TrustedEntry], destination: Destination, look: Look
) -> list[Candidate]:
    """Judge what is believed, the best first: what fits before what does not, what says
    what it needs before what was made for one distribution, and else as it came."""
    candidates = [_judge(trusted, destination, look) for trusted in believed]
    return sorted(candidates, key=lambda c: (not c.fits, not isinstance(c.build, Build)))


def _judge(trusted: TrustedEntry, destination: Destination, look: Look) -> Candidate:
    kind = Build if "format" in trusted.members else IncumbentBuild
    try:
        build = kind.parse(trusted.members)
    except NotBelieved as refusal:
        return Candidate(trusted, None, (refusal,))
    return Candidate(trusted, build, tuple(build.unfit(destination, look)))
