"""Starting programs so that none is left running, however the demo ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

PATIENCE = 10
"""Seconds that a program gets to end by itself when it is asked to."""


class Failed(Exception):
    """A step did not do what it is there to show."""


def script(name: str) -> str:
    """The path of one of the commands that were installed beside this Python."""
    return os.path.join(sysconfig.get_path("scripts"), name)


def run(
    command: list[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> int:
    """Run a program to its end, with its output in `log`; its exit code."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        with _ended(process):
            return process.wait()


@contextmanager
def server(root: Path, access_log: Path, log: Path) -> Iterator[str]:
    """A ``networkcache server run`` of its own while the block lasts; its URL."""
    command = [script("networkcache"), "server", "run", "--root", str(root)]
    command += ["--port", "0", "--allow-anonymous-upload", "--access-log", str(access_log)]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    with _ended(process):
        assert process.stdout is not None
        ready, _, url = process.stdout.readline().strip().rpartition(" ")
        if ready != "listening on":
            raise Failed(f"the server did not start: see {log}")
        yield url


@contextmanager
def _ended(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> Iterator[None]:
    """See to it that `process`, and what it started, is gone after the block.

    It leads a session of its own, so a Ctrl-C of the terminal reaches the demo alone.
    """
    try:
        yield
    finally:
        if process.poll() is None:
            _signal(process.pid, signal.SIGTERM)
            try:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
            finally:
                _signal(process.pid, signal.SIGKILL)
                process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself
        os.killpg(group, number)


def end_in_order() -> None:
    """Let a request to end reach the `finally` blocks of the demo: SIGTERM and SIGHUP
    like Ctrl-C. A second one while they run is not needed."""

    def end(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        print(f"\nstopped by {signal.Signals(number).name}", file=sys.stderr)
        sys.exit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end)
