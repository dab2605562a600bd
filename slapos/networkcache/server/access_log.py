"""The access log: one JSON object per line and request, in printable ASCII.

    {"time": 1790000000.123, "remote": "127.0.0.1", "method": "GET",
     "path": "/shadir/pypi:x=1", "status": 404, "error": "not-found", "cut": false,
     "received": 0, "sent": 61, "seconds": 0.0002, "agent": "networkcache/1.0"}

`received` and `sent` are bytes of bodies, `error` is the `Code` of a refusal or null,
`status` 0 where nothing was answered, `cut` whether the client went before the end.
Lines are written by a thread, a few times a second: a request costs microseconds, and
a full disk or a slow reader of the log holds up nobody.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from typing import NamedTuple

from ..printable import escape

EVERY = 0.2
"""Seconds between two writes."""
LIMIT = 100_000
"""Lines that wait for a write at most; those beyond are counted and lost."""

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
    """Takes lines and writes them to the file descriptor `fd`, appending."""

    def __init__(self, fd: int):
        self._fd = fd
        self._lines: list[str] = []
        self._lost = 0
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        """Take a line; never blocks."""
        if len(self._lines) >= LIMIT:
            self._lost += 1
            return
        self._lines.append(line.text(time.time()))
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is left."""
        self._closed.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._closed.wait(EVERY)
            self._wake.clear()
            lines, self._lines = self._lines, []
            self._write("".join(lines).encode())

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self._lost += data.count(b"\n")
            self._say(f"the access log cannot be written: {error}")
        if self._lost:
            self._say(f"{self._lost} lines of the access log are lost")
            self._lost = 0

    @staticmethod
    def _say(text: str) -> None:
        with suppress(OSError):  # standard error may be what cannot be written
            print(text, file=sys.stderr, flush=True)
