"""Changes of an SQLite file that are committed together.

A sync of the disk costs milliseconds and an insert microseconds. So one thread takes all
changes that wait and commits them in one transaction; meanwhile the next ones gather.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple

from ..errors import StorageFailure

GROUP_LIMIT = 1000
"""Changes that one transaction holds, at most."""

Change = Callable[[sqlite3.Connection], None]
"""What is done within a transaction that others begin and end."""


class _Waiting(NamedTuple):
    change: Change
    done: Future[None]


class GroupCommit:
    """The thread that writes through `connection`, which is in autocommit mode and used
    by nobody else."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name="networkcache-commit", daemon=True
        )
        self._thread.start()

    def commit(self, change: Change) -> None:
        """Have `change` committed, and return when it is.

        Raises what `change` raised: then nothing of it is there, and the others of its
        group are not touched. A failure of the commit is raised to all of the group.
        """
        if not self._thread.is_alive():
            raise StorageFailure("cannot write: the store was closed, or crossed a fork")
        done: Future[None] = Future()
        self._waiting.put(_Waiting(change, done))
        done.result()

    def close(self) -> None:
        """Commit what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            with suppress(queue.Empty):
                while len(group) < GROUP_LIMIT:
                    following = self._waiting.get_nowait()
                    if following is None:
                        self._waiting.put(None)
                        break
                    group.append(following)
            _commit_group(self._connection, group)


def _commit_group(connection: sqlite3.Connection, group: Sequence[_Waiting]) -> None:
    """Commit all of `group` together, and tell each how it went."""
    errors: list[Exception | None] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        errors = [_apply(connection, waiting.change) for waiting in group]
        connection.execute("COMMIT")
    except Exception as error:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        errors = [error] * len(group)
    for waiting, outcome in zip(group, errors, strict=True):
        if outcome is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(outcome)


def _apply(connection: sqlite3.Connection, change: Change) -> Exception | None:
    """Make one change whole or not at all, and return what is wrong with it.

    Raises where SQLite gave up the whole transaction, as it does on a full disk.
    """
    connection.execute("SAVEPOINT change")
    error = None
    try:
        change(connection)
    except Exception as wrong:
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO change")
        error = wrong
    connection.execute("RELEASE change")
    return error
