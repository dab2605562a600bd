"""The access log: one JSON object per line and request, in printable ASCII.

    {"time": 1790000000.123, "remote": "127.0.0.1", "method": "GET",
     "path": "/shadir/pypi:x=1", "status": 404, "error": "not-found", "cut": false,
     "received": 0, "sent": 61, "seconds": 0.0002, "agent": "networkcache/1.0"}

`received` and `sent` are bytes of bodies, `error` is the `Code` of a refusal or null,
`status` 0 where nothing was answered, `cut` whether the client went before the end.
Lines are written by a thread, a few times a second: a request costs microseconds, and
a full disk or a slow reader of the log holds up nobody. A line that could not be written
is counted, and standard error told how many those were.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import NamedTuple

from ...printable import escape

EVERY = 0.2
"""Seconds between two writes."""
LIMIT = 100_000
"""Lines that wait for a write at most; those beyond are counted and lost."""
PATIENCE = 5.0
"""Seconds that the last write may take, once the log is closed."""

_quote = json.encoder.encode_basestring_ascii


class Line(NamedTuple):
    """What is told of one request; see the top of this module."""

    remote: str
    method: str
    path: str
    status: int
    error: str | None
    cut: bool
    received: int
    sent: int
    seconds: float
    agent: str

    def text(self, now: float) -> str:
        """The line itself. `now` is POSIX seconds."""
        error = f'"{self.error}"' if self.error else "null"
        return (
            f'{{"time": {now:.3f}, "remote": {_wire(self.remote)},'
            f' "method": {_wire(self.method)}, "path": {_wire(self.path)},'
            f' "status": {self.status}, "error": {error},'
            f' "cut": {"true" if self.cut else "false"},'
            f' "received": {self.received}, "sent": {self.sent},'
            f' "seconds": {self.seconds:.6f}, "agent": {_wire(self.agent)}}}\n'
        )


def _wire(text: str) -> str:
    """Text from the wire as a JSON string without anything that a terminal obeys."""
    if not (text.isascii() and text.isprintable()) or len(text) > 500:
        text = escape(text)
    return _quote(text)


class AccessLog:
    """Takes lines from any thread and writes them to the descriptor `fd`, appending."""

    def __init__(self, fd: int):
        self._fd = fd
        self._lines: deque[str] = deque()
        self._unwritten = memoryview(b"")
        self._lost = 0
        self._counting = threading.Lock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        """Take a line; never blocks."""
        if len(self._lines) >= LIMIT:
            self._lose(1)
            return
        self._lines.append(line.text(time.time()))
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is left; what nobody takes within `PATIENCE` is lost.

        The descriptor stays open, and is not used any more.
        """
        self._closed.set()
        self._wake.set()
        self._thread.join(PATIENCE)
        self._given_up = True
        if self._thread.is_alive() and os.path.sameopenfile(self._fd, 2):
            return  # whoever does not read the log would not read this either
        self._lose(_count(self._unwritten) + len(self._lines))
        self._tell()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._closed.wait(EVERY)
            self._wake.clear()
            self._write()
        self._write()  # what came during the write before

    def _write(self) -> None:
        """Write the lines that are there now. Only the log's thread takes any out."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        self._unwritten = memoryview("".join(lines).encode())
        try:
            while self._unwritten and not self._given_up:
                count = os.write(self._fd, self._unwritten)
                self._unwritten = self._unwritten[count:]
        except OSError as error:
            self._lose(_count(self._unwritten))
            self._unwritten = memoryview(b"")
            self._say(f"the access log cannot be written: {error}")
        if not self._given_up:
            self._tell()

    def _lose(self, count: int) -> None:
        with self._counting:
            self._lost += count

    def _tell(self) -> None:
        with self._counting:
            lost, self._lost = self._lost, 0
        if lost:
            self._say(f"{lost} lines of the access log are lost")

    @staticmethod
    def _say(text: str) -> None:
        with suppress(OSError):  # standard error may be what cannot be written
            print(text, file=sys.stderr, flush=True)


def _count(lines: memoryview) -> int:
    """How many lines end in there."""
    return lines.tobytes().count(b"\n")
