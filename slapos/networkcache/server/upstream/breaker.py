"""When an upstream is left alone: a value, told what happened and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

FIRST_PAUSE = 10.0
"""Seconds for which an upstream is left alone that failed."""
LONGEST_PAUSE = 300.0
"""Seconds up to which that doubles as long as it goes on failing."""
LYING_PAUSE = 600.0
"""Seconds for which one is left alone that gave wrong bytes."""
PROBE = 5.0
"""Seconds for which the others wait for the one that tries whether it is back."""


class State(str, Enum):
    """How an upstream is doing."""

    WELL = "well"
    DEAD = "dead"
    LYING = "lying"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Breaker:
    """How an upstream is doing `since` when, and `until` when it is left alone.

    Times are POSIX seconds; `pause` is how long it is left alone at a time, and `error`
    says what it did.
    """

    state: State = State.WELL
    since: float = 0.0
    until: float = 0.0
    pause: float = 0.0
    error: str = ""

    def left_alone(self, now: float) -> bool:
        """Whether it is not to be asked. A clock that was set back does not make that
        longer than it would have been."""
        return self.state is not State.WELL and now < self.until <= now + self.pause

    def tried(self, now: float) -> Breaker:
        """Somebody asks it: one alone, where it was left alone until now."""
        if self.state is State.WELL:
            return self
        return replace(self, until=now + min(PROBE, self.pause))

    def answered(self, now: float) -> Breaker:
        """It did what was asked, or said that it has nothing. One that lied is not
        forgiven for what was asked of it before."""
        if self.state is State.WELL or (self.state is State.LYING and self._waits(now)):
            return self
        return Breaker(since=now)

    def _waits(self, now: float) -> bool:
        """Whether nobody was let through since it was left alone."""
        return self.left_alone(now) and self.until > now + PROBE

    def failed(self, now: float, error: str) -> Breaker:
        """It could not be reached, did not answer in time, or said that it cannot."""
        if self._waits(now):
            return self  # of several that asked at the same time, the first counts
        if self.state is not State.DEAD:
            return Breaker(State.DEAD, now, now + FIRST_PAUSE, FIRST_PAUSE, error)
        pause = min(2 * self.pause, LONGEST_PAUSE)
        return replace(self, until=now + pause, pause=pause, error=error)

    def lied(self, now: float, error: str) -> Breaker:
        """It gave other bytes than it should, or what is no answer at all."""
        since = self.since if self.state is State.LYING else now
        return Breaker(State.LYING, since, now + LYING_PAUSE, LYING_PAUSE, error)
