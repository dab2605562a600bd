"""What an upstream said wrongly of single keys and contents: held against itself only
after several, or one that anybody may ask for would keep all from it."""

from __future__ import annotations

from ...digest import Digest
from ...entry import Key, Pair
from .breaker import LYING_PAUSE

Subject = Key | Digest | Pair
"""What a request is about: a key looked up, a content, a pair put."""
SEVERAL = 3
"""Different subjects without a right answer between, of which it is no chance any more."""
_KEPT = 1000


class Doubts:
    """Of which subjects what an upstream says is wrong, as one process knows it.

    Times are POSIX seconds.
    """

    def __init__(self) -> None:
        self._until: dict[Subject, float] = {}
        self._lied: set[Subject] = set()
        self._refused: set[Subject] = set()

    def about(self, subject: Subject, now: float) -> bool:
        """Whether it is not to be asked for `subject`."""
        return now < self._until.get(subject, now) <= now + LYING_PAUSE

    def lied(self, subject: Subject, now: float) -> bool:
        """It gave what is wrong. Whether it does so of several."""
        self._until.pop(subject, None)
        self._until[subject] = now + LYING_PAUSE
        if len(self._until) > _KEPT:
            del self._until[next(iter(self._until))]
        self._lied = {s for s in self._lied if self.about(s, now)} | {subject}
        return len(self._lied) >= SEVERAL

    def refused(self, subject: Subject) -> bool:
        """It said that it cannot. Whether it says so of several."""
        self._refused.add(subject)
        return len(self._refused) >= SEVERAL

    def answered(self, subject: Subject) -> None:
        """It did what was asked; whether a content is right is not known by then."""
        self._refused.clear()
        if not isinstance(subject, Digest):
            self.was_right(subject)

    def was_right(self, subject: Subject) -> None:
        """What it gave is right. One that lies about contents may well be right about
        keys."""
        self._lied = {s for s in self._lied if type(s) is not type(subject)}
