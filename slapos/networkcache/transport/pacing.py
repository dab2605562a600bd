"""How long anything may take: the budget of a run, the breaker of a source, and the pace
that a transfer must keep. Nothing here opens a connection; the clock is an argument."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ..errors import Reason, SourceFailure

Clock = Callable[[], float]

SLOWEST = 1024
"""Bytes per second that a transfer must keep; see ``cache-time-budget``."""
_BUFFERED = 16 << 20
"""Bytes of an upload that the system may have taken without the peer seeing any."""


@dataclass(frozen=True)
class Limits:
    """Seconds that one attempt may wait: to connect, for the first byte of an answer,
    and for the `window` over which a transfer must keep `SLOWEST` bytes a second."""

    connect: float = 4.0
    first_byte: float = 5.0
    window: float = 10.0


class Budget:
    """What all caches together may cost one run in vain; safe to share among threads.

    `seconds` is ``cache-time-budget``. Time is charged when an attempt has given
    nothing, and counts once where several threads waited at the same time; once the
    budget is spent, every source is left alone. It lives as long as the run does, and so
    do the breakers that it hands out.
    """

    def __init__(self, seconds: float, clock: Clock = time.monotonic):
        self.seconds = seconds
        self.clock = clock
        self._spent = 0.0
        self._charged: list[tuple[float, float]] = []  # from and to, in order, apart
        self._breakers: dict[Hashable, Breaker] = {}
        self._lock = threading.Lock()

    def breaker(self, source: Hashable) -> Breaker:
        """The one of `source` for the whole run, whoever asks it."""
        with self._lock:
            return self._breakers.setdefault(source, Breaker(self.clock))

    @property
    def left(self) -> float:
        """Seconds that may still be lost."""
        return max(0.0, self.seconds - self._spent)

    @property
    def share(self) -> float:
        """Seconds that one attempt may lose, so that one dead source leaves something
        to the others: half of what is left, and all of the last moments."""
        return self.left / 2 if self.left > self.seconds / 64 else self.left

    def charge(self, seconds: float) -> None:
        """Count time that was waited in vain, up to now."""
        with self._lock:
            now = self.clock()
            begin = now - max(0.0, seconds)
            while self._charged and self._charged[-1][1] >= begin:
                earlier, until = self._charged.pop()
                self._spent -= until - earlier
                begin = min(begin, earlier)
            self._spent += now - begin
            self._charged.append((begin, now))

    def check(self) -> None:
        """Raise `SourceFailure` with ``left-alone`` where nothing is left."""
        if self.left <= 0:
            raise SourceFailure(
                Reason.LEFT_ALONE,
                f"the caches have cost {self.seconds:g} s in vain (cache-time-budget)",
            )


class Breaker:
    """Leaves a source alone for a while after it failed, and for the run after it lied.

    `TRIES` failures one after the other open it, one timeout alone does too. Then one
    attempt is let through every `pause` seconds, which doubles each time.
    """

    TRIES = 3
    PAUSE = 30.0

    def __init__(self, clock: Clock = time.monotonic):
        self._clock = clock
        self._failures = 0
        self._pause = self.PAUSE
        self._until: float | None = None
        self._banned = self._why = ""
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise `SourceFailure` with ``left-alone`` while the source is left alone."""
        with self._lock:
            if self._banned:
                raise SourceFailure(Reason.LEFT_ALONE, self._banned)
            if self._until is not None:
                if self._clock() < self._until:
                    raise SourceFailure(
                        Reason.LEFT_ALONE, f"it failed a moment ago{self._why}"
                    )
                self._until = self._clock() + self._pause

    def succeeded(self) -> None:
        """The source answered, be it "not found"."""
        with self._lock:
            self._failures = 0
            self._pause = self.PAUSE
            self._until = None

    def failed(self, reason: Reason, why: str = "") -> None:
        """An attempt failed; after ``too-slow`` no second one is made right away."""
        with self._lock:
            self._why = why and f": {why}"
            self._failures += self.TRIES if reason is Reason.TOO_SLOW else 1
            if self._failures >= self.TRIES:
                self._until = self._clock() + self._pause
                self._pause *= 2

    def ban(self, why: str) -> None:
        """Leave the source alone for the rest of the run."""
        with self._lock:
            self._banned = why


class Pace:
    """The pace of one attempt: how long its next wait may be, and whether it moves.

    Waits for the first byte are bounded by `Limits.first_byte`; from then on, every
    `Limits.window` of waiting must bring `SLOWEST` bytes a second. No wait is longer
    than the attempt's share of the budget, or, for a transfer that has shown that it
    moves, than what is left of it. Only time spent waiting for the peer counts, not
    what the reader does with what came.
    """

    def __init__(self, limits: Limits, budget: Budget):
        self._clock = budget.clock
        self._first = min(limits.first_byte, budget.share)
        self._window = min(limits.window, budget.share)
        self._trusting = min(limits.window, budget.left)
        self._proof = SLOWEST * limits.window
        self._moving = False
        # Of the current window, and of those before.
        self._count, self._count_before = 0, 0
        self._waited, self._waited_before = 0.0, 0.0
        self._waiting_since: float | None = self._clock()

    @property
    def waited(self) -> float:
        """Seconds waited in all."""
        return self._waited_before + self._waited_here

    @property
    def lost(self) -> float:
        """Seconds waited for nothing: since the transfer last kept its pace, or all that
        the bytes which came would not have taken at the slowest pace."""
        earned = (self._count_before + self._count) / SLOWEST
        return max(self._waited_here, self.waited - earned)

    @property
    def _waited_here(self) -> float:
        if self._waiting_since is None:
            return self._waited
        return self._waited + self._clock() - self._waiting_since

    @property
    def _allowed(self) -> float:
        """Seconds that the current window has."""
        if self._count_before + self._count >= self._proof:
            return self._trusting
        return self._window if self._moving else self._first

    def next_wait(self) -> float:
        """Seconds that the read or write that now begins may take, above 0.

        Raises `SourceFailure` with ``too-slow`` where the pace was not kept.
        """
        self._waiting_since = self._clock()
        allowed = self._allowed
        if self._waited >= allowed:
            if not self._moving or self._count < SLOWEST * allowed:
                raise self.too_slow()
            self._begin_window()
            allowed = self._allowed
        return allowed - self._waited

    def moved(self, count: int) -> None:
        """The read or write is over, and `count` bytes went by."""
        self._waited, self._waiting_since = self._waited_here, None
        self._count += count
        if count and not self._moving:
            self._moving = True
            self._begin_window()

    def expect_answer(self) -> None:
        """All is sent: the next wait is for the first byte of the answer."""
        self._moving = False
        self._begin_window()
        if self._count_before < _BUFFERED:
            self._proof += self._count_before

    def too_slow(self) -> SourceFailure:
        """What a wait that ran out raises."""
        what = f"fewer than {SLOWEST} bytes a second" if self._moving else "no answer"
        return SourceFailure(Reason.TOO_SLOW, f"{what} for {self._waited_here:.1f} s")

    def _begin_window(self) -> None:
        self._count_before += self._count
        self._waited_before += self._waited
        self._count, self._waited = 0, 0.0
