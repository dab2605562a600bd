"""Several workers under one supervisor.

The supervisor binds the sockets and forks before there is any event loop; it answers
nothing itself. A worker that dies is replaced, unless too many do.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable

DEATHS = 5
"""Workers that may die within `WINDOW` seconds before the supervisor gives up."""
WINDOW = 60.0

Work = Callable[[Callable[[], None], int], None]
"""Serves in a worker. Takes what to call when it accepts connections, and a file
descriptor that ends with the supervisor, however that ends."""

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP})


def supervise(
    count: int,
    work: Work,
    announce: Callable[[], None],
    reload: Callable[[], bool] | None,
) -> int:
    """Run `work` in `count` processes until SIGTERM or SIGINT; the exit code.

    `announce` is called once all of them accept connections, `reload` at a SIGHUP, which
    is passed on to them where it says so; without it, a SIGHUP ends them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    supervisor = _Supervisor(work, reload)
    try:
        if not supervisor.start(count):
            _say("a worker ended before it could serve")
            return 1
        announce()
        return supervisor.watch()
    finally:
        supervisor.stop()


class _Supervisor:
    def __init__(self, work: Work, reload: Callable[[], bool] | None):
        self._work = work
        self._reload = reload
        self._workers: set[int] = set()
        self._deaths: deque[float] = deque(maxlen=DEATHS + 1)
        self._lifeline, self._held = os.pipe()

    def start(self, count: int) -> bool:
        """Whether `count` workers began to serve."""
        reader, writer = os.pipe()
        for _ in range(count):
            self._fork(writer)
        os.close(writer)
        ready = 0
        while data := os.read(reader, count):
            ready += len(data)
        os.close(reader)
        return ready == count

    def watch(self) -> int:
        """Replace workers that die, until a signal, or until too many did."""
        while True:
            came = signal.sigwait(_SIGNALS)
            if came == signal.SIGHUP and self._reload is not None:
                self._pass_on(self._reload)
                continue
            if came != signal.SIGCHLD:
                return 0
            for worker, status in self._ended():
                how = os.waitstatus_to_exitcode(status)
                self._deaths.append(time.monotonic())
                if len(self._deaths) > DEATHS and (
                    self._deaths[-1] - self._deaths[0] < WINDOW
                ):
                    _say(f"{len(self._deaths)} workers died within {WINDOW:.0f} s")
                    return 1
                _say(f"worker {worker} died ({how}), another one takes its place")
                self._fork(None)

    def _pass_on(self, reload: Callable[[], bool]) -> None:
        """Let the workers reload what was found good here, so that workers that are made
        later have it, too."""
        if reload():
            for worker in self._workers:
                os.kill(worker, signal.SIGHUP)

    def stop(self) -> None:
        """Ask all workers to end, and wait for that: they have a limit of their own."""
        for worker in self._workers:
            os.kill(worker, signal.SIGTERM)
        for worker in self._workers:
            os.waitpid(worker, 0)
        self._workers.clear()

    def _ended(self) -> list[tuple[int, int]]:
        ended = []
        for worker in sorted(self._workers):
            pid, status = os.waitpid(worker, os.WNOHANG)
            if pid:
                self._workers.discard(pid)
                ended.append((pid, status))
        return ended

    def _fork(self, ready: int | None) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if worker := os.fork():
            self._workers.add(worker)
            return
        status = 1
        try:
            os.close(self._held)
            # A SIGHUP waits until there is somebody to take it.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS - {signal.SIGHUP})
            self._work(lambda: _tell(ready), self._lifeline)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)


def _tell(ready: int | None) -> None:
    if ready is not None:
        os.write(ready, b".")
        os.close(ready)


def _say(text: str) -> None:
    print(f"networkcache server: {text}", file=sys.stderr, flush=True)
