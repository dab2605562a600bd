"""Runs ``networkcache release install`` in processes that are killed on their way:
``python tests/dying.py CONFIG URL FOLDER``.

Each line of standard input tells what to do, and each answer is a line: ``count`` tells
how often the command, at its best, does something with a file in the folder; ``kill N``
kills it with SIGKILL before the Nth time; ``raise N`` interrupts it then, as Control-C
does; ``run`` lets it come to its end. The answer is its exit code.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from slapos.networkcache.binary import releases
from slapos.networkcache.cli import main

assert releases  # imported before anybody counts

_EVENTS = {
    *("open", "os.chmod", "os.link", "os.listdir", "os.mkdir", "os.remove", "os.rename"),
    *("os.rmdir", "os.scandir", "os.symlink", "os.truncate", "os.utime"),
}


class Counter:
    """Counts what is done with files of `folder`, and calls `then` at a certain time."""

    def __init__(self, folder: str, at: int = 0, then: Callable[[], None] = lambda: None):
        self.count = 0
        self._folder = folder
        self._at = at
        self._then = then
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if event not in _EVENTS or not self._is_ours(event, arguments[0]):
            return
        self.count += 1
        if self.count == self._at:
            self._then()

    def _is_ours(self, event: str, path: object) -> bool:
        # A tree is removed by names below open folders.
        return event in ("os.remove", "os.rmdir") or str(path).startswith(self._folder)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    raise KeyboardInterrupt


def work(command: list[str], folder: str, what: str, at: int) -> int:
    """In a process of its own; the exit code."""
    then = {"kill": kill, "raise": interrupt}
    counter = Counter(folder, at, then.get(what, lambda: None))
    code = main(command)
    return counter.count if what == "count" else code


def forked(command: list[str], folder: str, what: str, at: int) -> int:
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        code = work(command, folder, what, at)
        os.write(writer, str(code).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        said = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return int(said) if said else status


if __name__ == "__main__":
    config, url, folder = sys.argv[1:]
    command = ["release", "install", "-c", config, url]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        what, _, at = line.partition(" ")
        print(forked(command, folder, what.strip(), int(at or 0)), file=answers, flush=True)
