"""What a process, and everything it started, has used: read from /proc."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """The process and all its descendants, such as the workers of a server."""
    members = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            for child in (task / "children").read_text().split():
                members += family(int(child))
    return members


def cpu_seconds(pid: int) -> float:
    """User and system time that the process and its descendants have used."""
    return sum(_ticks(member) for member in family(pid)) / _TICK


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # proc(5): utime, stime


def memory(pid: int) -> float:
    """MiB that the process and its descendants hold, what they share counted once (Pss)."""
    return sum(_proportional_set_size(member) for member in family(pid)) / 1024


def _proportional_set_size(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def peak_memory(pid: int) -> float:
    """The most memory, in MiB, that the process or any descendant ever held (VmHWM)."""
    return max(_high_water_mark(member) for member in family(pid))


def _high_water_mark(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


class PeakWatch:
    """Looks at a process that will end by itself, until it ends.

    The mark only ever rises, so the last look tells the peak.
    """

    def __init__(self, pid: int):
        self.peak = 0.0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            try:
                self.peak = max(self.peak, peak_memory(self._pid))
            except OSError:
                return

    def end(self) -> float:
        """The peak in MiB, once the process has ended."""
        self._ended.set()
        self._thread.join()
        return self.peak
