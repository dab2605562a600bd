"""Where a release is going to be, and by which names its files have to know that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import NotBelieved, Reason
from .prefixes import check_move, spelled


@dataclass(frozen=True)
class Move:
    """From the folder `built` to the folder `destination`.

    Raises `NotBelieved` with ``unfit-prefix`` where it is not possible.
    """

    built: str
    destination: str

    def __post_init__(self) -> None:
        check_move(self.built, self.destination)

    def old(self, length: int) -> bytes:
        """The name, of `length` bytes, that stands in a file."""
        return spelled(self.built, length)

    def new(self, length: int) -> bytes:
        """The one that takes its place."""
        return spelled(self.destination, length)


@dataclass(frozen=True)
class Destination:
    """The folder of a `release`, and the one in which shared parts are below their name and
    hash; None where the node has no such folder."""

    release: str
    shared: str | None = None

    def moves(self, prefix: str, shared: Sequence[str]) -> tuple[Move, ...]:
        """One for each folder that a release was built for: its own `prefix`, those of
        its shared parts. Raises `NotBelieved` with ``unfit-prefix``."""
        if shared and self.shared is None:
            raise NotBelieved(
                Reason.UNFIT_PREFIX,
                "it has shared parts, and no folder for them is configured: set"
                " shared_part_list in [slapos]",
            )
        here = (Move(built, self.shared or "") for built in shared)
        return (Move(prefix, self.release), *here)
