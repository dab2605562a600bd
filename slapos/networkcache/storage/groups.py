"""Changes of an SQLite file that are committed together.

A sync of the disk costs milliseconds and an insert microseconds. So one thread takes all
changes that wait and commits them in one transaction; meanwhile the next ones gather.
"""

from __future__ import annotations

import itertools
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from ..errors import StorageFailure

GROUP_LIMIT = 1000
"""Changes that one transaction holds, at most."""

Result = TypeVar("Result")
Change = Callable[[sqlite3.Connection], Result]
"""What is done within a transaction that others begin and end."""


class _Waiting(NamedTuple):
    change: Change[Any]
    done: Future[Any]
    alone: bool


class _Outcome(NamedTuple):
    """What a change returned, or why it is not there."""

    result: object = None
    error: Exception | None = None


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

    def commit(self, change: Change[Result], *, alone: bool = False) -> Result:
        """Have `change` committed, and return what it returned when it is.

        One that is `alone` in its transaction sees nothing that is not on the disk yet.
        Raises what `change` raised: then nothing of it is there, and the others of its
        group are not touched. A failure of the commit is raised to all of the group.
        """
        if not self._thread.is_alive():
            raise StorageFailure("cannot write: the store was closed, or crossed a fork")
        done: Future[Result] = Future()
        self._waiting.put(_Waiting(change, done, alone))
        return done.result()

    def close(self) -> None:
        """Commit what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            waiting = [first]
            with suppress(queue.Empty):
                while len(waiting) < GROUP_LIMIT:
                    following = self._waiting.get_nowait()
                    if following is None:
                        self._waiting.put(None)
                        break
                    waiting.append(following)
            for group in _groups(waiting):
                _commit_group(self._connection, group)


def _groups(waiting: Sequence[_Waiting]) -> Iterator[Sequence[_Waiting]]:
    """`waiting` in its order, and what is to be alone by itself."""
    for alone, some in itertools.groupby(waiting, lambda each: each.alone):
        if alone:
            yield from ([each] for each in some)
        else:
            yield list(some)


def _commit_group(connection: sqlite3.Connection, group: Sequence[_Waiting]) -> None:
    """Commit all of `group` together, and tell each how it went."""
    outcomes: list[_Outcome] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_apply(connection, waiting.change) for waiting in group]
        connection.execute("COMMIT")
    except Exception as error:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        outcomes = [_Outcome(error=error)] * len(group)
    for waiting, outcome in zip(group, outcomes, strict=True):
        if outcome.error is None:
            waiting.done.set_result(outcome.result)
        else:
            waiting.done.set_exception(outcome.error)


def _apply(connection: sqlite3.Connection, change: Change[object]) -> _Outcome:
    """Make one change whole or not at all.

    Raises where SQLite gave up the whole transaction, as it does on a full disk.
    """
    connection.execute("SAVEPOINT change")
    try:
        result = change(connection)
        if isinstance(result, sqlite3.Cursor):
            # Freed in another thread, it would reset its statement while that runs here.
            result.close()
            result = None
        outcome = _Outcome(result)
    except Exception as wrong:
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO change")
        outcome = _Outcome(error=wrong)
    connection.execute("RELEASE change")
    return outcome
