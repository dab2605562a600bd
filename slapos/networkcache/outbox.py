"""Publishing in the background, while whoever fetched something works on.

What is put into the `Outbox` is hashed, signed and sent by threads of its own. What could
not be sent by the end is kept in the spool, as finished pairs and contents, and the next
run sends it. What came from a spool is sent as it is and never signed again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .digest import ChecksumCheck, Digests, Hasher, pieces_of
from .errors import (
    Code,
    InvalidEntry,
    NetworkcacheError,
    NotPublished,
    Reason,
    Refusal,
    SourceFailure,
    StorageFailure,
)
from .key import Key
from .publisher import Publication, Publisher
from .spool import Spool, Unsent
from .urls import Checksum

THREADS = 4
_ENDING = 10.0
"""Seconds that what was sent gets to be told."""
_TRANSIENT = frozenset(
    {
        Code.BUSY,
        Code.INTERNAL,
        Code.QUOTA,
        Code.READ_ONLY,
        Code.STORAGE_FULL,
        Code.UPSTREAM,
    }
)
"""Refusals that may be none the next time."""


@dataclass(frozen=True)
class Offer:
    """What is to be published, if it may be.

    The content is in the file at `path`, which nobody else changes and which is removed
    afterwards. `members` is what the entry says, `checksums` what the content must agree
    with; `expires` in POSIX seconds bounds how long it is believed.
    """

    key: Key
    path: str
    members: Mapping[str, Any]
    checksums: tuple[Checksum, ...] = ()
    expires: int | None = None
    milliseconds: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Sent:
    """What became of an offer: its content, and whether the `entry_sent` is new there;
    `failure` where it was not sent, and whether it is `kept` for the next run."""

    offer: Offer
    content: Digests | None
    entry_sent: bool = False
    failure: Exception | None = None
    kept: bool = False
    seconds: float = 0.0


class Outbox:
    """Publishes for one run. Safe to use from several threads.

    `open_publisher` makes the publisher when it is first needed, `spool` keeps what could
    not be sent, `told` learns what became of each offer, from any thread, while its file
    is still there.
    """

    def __init__(
        self,
        open_publisher: Callable[[], Publisher],
        spool: Spool | None,
        told: Callable[[Sent], None],
    ):
        self._open_publisher = open_publisher
        self._spool = spool
        self._told = told
        self._lock = threading.Condition()
        self._waiting: deque[Offer] = deque()
        self._running: list[Offer] = []
        self._ending: list[Offer] = []
        self._threads: list[threading.Thread] = []
        self._emptying = False
        self._closed = False

    # -- while the run goes on

    def put(self, offer: Offer) -> None:
        """Publish it, some time soon."""
        with self._lock:
            self._waiting.append(offer)
            if len(self._threads) < THREADS and (thread := _start(self._work)):
                self._threads.append(thread)

    def send_spooled(self) -> None:
        """Send what earlier runs could not, in the background."""
        if self._spool is not None:
            self._emptying = True
            if _start(self._empty_spool) is None:
                self._emptying = False

    def wait_for(self, key: Key, seconds: float) -> None:
        """Wait until nothing about `key` is under way, `seconds` at most."""
        with self._lock:
            self._lock.wait_for(lambda: all(o.key != key for o in self._left()), seconds)

    def _left(self) -> list[Offer]:
        return [*self._ending, *self._running, *self._waiting]

    # -- at its end

    @property
    def left(self) -> int:
        """How many offers are not done."""
        with self._lock:
            return len(self._left())

    def drain(self, until: float, tick: Callable[[int], None] = lambda left: None) -> None:
        """Wait until all is sent, that of earlier runs too, or until the monotonic time
        `until`; `tick` is told how many are left, some times a second."""
        while ((left := self.left) or self._emptying) and time.monotonic() < until:
            tick(left)
            with self._lock:
                self._lock.wait(min(0.2, max(0.0, until - time.monotonic())))
        tick(self.left)

    def close(self) -> None:
        """Keep in the spool what is not sent yet, and start nothing more."""
        with self._lock:
            self._closed = True
            left = [*self._running, *self._waiting]
            self._running.clear()
            self._waiting.clear()
            self._lock.notify_all()
            self._lock.wait_for(lambda: not self._ending, _ENDING)
        for offer in left:
            self._tell(self._finish(offer, send=False))

    def put_last(self, offer: Offer, *, send: bool) -> None:
        """Publish one thing more, after `close`, and wait for it; without `send`, keep it
        for the next run."""
        self._tell(self._finish(offer, send=send))

    # -- the work

    def _work(self) -> None:
        while (offer := self._next()) is not None:
            sent = self._finish(offer, send=True)
            if not self._ends(offer):  # `close` has seen to it
                continue
            try:
                self._tell(sent)
            finally:
                with self._lock:
                    self._ending.remove(offer)
                    self._lock.notify_all()

    def _next(self) -> Offer | None:
        with self._lock:
            if self._closed or not self._waiting:
                self._threads.remove(threading.current_thread())
                return None
            offer = self._waiting.popleft()
            self._running.append(offer)
            return offer

    def _ends(self, offer: Offer) -> bool:
        with self._lock:
            ours = offer in self._running
            if ours:
                self._running.remove(offer)
                self._ending.append(offer)
            return ours

    def _tell(self, sent: Sent) -> None:
        try:
            self._told(sent)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(sent.offer.path)

    def _finish(self, offer: Offer, *, send: bool) -> Sent:
        begin = time.monotonic()
        content: Digests | None = None
        entry_sent = kept = False
        failure: Exception | None = None
        try:
            content = _examine(offer)
            publisher = self._open_publisher()
            publication = publisher.sign(
                offer.key, content, offer.members, expires=offer.expires
            )
            failure, entry_sent = self._send(publisher, publication, offer.path, send)
            kept = failure is not None and self._keep(publisher, publication, offer.path)
        except Exception as error:  # it is told, and forgiven there
            failure = error
        seconds = time.monotonic() - begin
        return Sent(offer, content, entry_sent, failure, kept, seconds)

    def _send(
        self, publisher: Publisher, publication: Publication, path: str, send: bool
    ) -> tuple[Exception | None, bool]:
        """Why it could not be sent for now, and whether a new entry was put."""
        if not send:
            return NotPublished(Reason.TOO_SLOW, "the run ended before it was sent"), False
        try:
            with open(path, "rb") as file:
                return None, publisher.send(publication, file).entry_sent
        except SourceFailure as error:
            return error, False
        except Refusal as error:
            if error.code not in _TRANSIENT:
                raise
            return error, False

    def _keep(self, publisher: Publisher, publication: Publication, path: str) -> bool:
        if self._spool is None:
            return False
        try:
            self._spool.keep(
                publisher.target,
                publication.key,
                publication.pairs,
                publication.digest,
                publication.size,
                path,
            )
        except StorageFailure:
            return False
        return True

    def _empty_spool(self) -> None:
        assert self._spool is not None
        try:
            with contextlib.suppress(NetworkcacheError, OSError):
                publisher = self._open_publisher()
                for unsent in self._spool.waiting(publisher.target):
                    if self._closed or not self._send_unsent(publisher, unsent):
                        return
        finally:
            with self._lock:
                self._emptying = False
                self._lock.notify_all()

    def _send_unsent(self, publisher: Publisher, unsent: Unsent) -> bool:
        """Whether it makes sense to go on."""
        assert self._spool is not None
        publication = Publication(unsent.key, unsent.digest, unsent.size, unsent.pairs)
        try:
            with open(unsent.path, "rb") as file:
                publisher.send(publication, file)
        except (NotPublished, SourceFailure):
            return False
        except Refusal as error:
            if error.code in _TRANSIENT:
                return False
        except InvalidEntry:
            pass  # nobody can send it
        self._spool.done(unsent)
        return True


def _start(work: Callable[[], None]) -> threading.Thread | None:
    """None where the interpreter is about to end, and starts no threads any more: then
    what waits is kept for the next run."""
    thread = threading.Thread(target=work, name="publish", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def _examine(offer: Offer) -> Digests:
    """The digests of the content. Raises `NotPublished` where it is not what the checksums
    ask for."""
    hasher, check = Hasher(), ChecksumCheck(offer.checksums)
    with open(offer.path, "rb") as file:
        for piece in pieces_of(file):
            hasher.update(piece)
            check.update(piece)
    if wrong := check.mismatch():
        raise NotPublished(Reason.CHECKSUM, wrong)
    return hasher.digests()
