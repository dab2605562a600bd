"""The other half of a run: what it publishes, and the record of what it used."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..binding import LIFETIME_LIMIT, Request
from ..digest import Digest, Digests
from ..errors import NotPublished, Reason, StorageFailure
from ..key import Key, Kind
from ..members import members_of_distribution, members_of_file, members_of_run
from ..printable import readable
from ..record import Used, encode_record
from ..urls import distribution_in, has_secret
from .outgoing import Outgoing
from .report import name_of, reason_of
from .usage import Usage, worth_recording

if TYPE_CHECKING:
    from ..outbox import Offer, Outbox, Sent
    from ..publisher import Publisher
    from ..spool import Spool
    from .earlier import Earlier
    from .session import Session
    from .watching import Fetch

logger = logging.getLogger("slapos.networkcache")

PATIENCE = 60.0
"""Seconds by which publishing delays the end of a run, at most."""


class Giving:
    """What the run of `session` publishes, in the background."""

    def __init__(self, session: Session):
        self._session = session
        self._publisher: Publisher | None = None
        self._retired: list[Publisher] = []
        self._outbox: Outbox | None = None
        self.usage = Usage()
        self._lock = threading.RLock()
        self.outgoing = Outgoing(session.local_store)
        self.earlier: Earlier | None = None
        """What came before the hook was there, where that is to be published too."""
        self._finished = False

    @property
    def left(self) -> int:
        """How much is not sent yet."""
        return 0 if self._outbox is None else self._outbox.left

    @property
    def wanted(self) -> bool:
        """Whether there is anybody to publish to."""
        return self._session.config.publishes

    # -- what is published

    def give(self, request: Request, fetch: Fetch, keep: Callable[[], str]) -> bool:
        """Publish what was just fetched from its origin, if it may be.

        `keep` gives the path of a file of `outgoing` that holds it, and is not the
        caller's from then on. Whether it was called.
        """
        self._session.report.origin.add(fetch.size, fetch.seconds)
        if not self.wanted:
            return False
        kept = []

        def offer() -> None:
            self._check(request, fetch)
            kept.append(keep())
            members = _members(request, fetch)
            self._offer(request, kept[0], members, fetch.seconds)

        self._forgiven(f"{name_of(request)} is not published", offer)
        return bool(kept)

    def offer(self, key: Key, path: str, members: Mapping[str, Any]) -> None:
        """Publish a copy of the file at `path`, which was built here, or fetched from its
        origin in this run by who calls. Never raises for what the cache is to blame for."""
        if not self.wanted:
            return

        def offer() -> None:
            request = Request(key)
            self._offer(request, self.outgoing.copy(path), members, None)

        self._forgiven(f"{key} is not published", offer)

    def _offer(
        self,
        request: Request,
        path: str,
        members: Mapping[str, Any],
        seconds: float | None,
        expires: int | None = None,
    ) -> None:
        from ..outbox import Offer

        offer = Offer(
            request.key, path, members, request.checksums, expires, _milliseconds(seconds)
        )
        self.usage.expect(offer.path)
        self.outbox().put(offer)

    def give_page(
        self, request: Request, fetch: Fetch, body: bytes, members: Mapping[str, Any]
    ) -> None:
        """Publish an index page, or the 404 in its place, for as long as pages may be
        believed."""
        self._session.report.origin.add(fetch.size, fetch.seconds)
        if not self.wanted:
            return

        def offer() -> None:
            self._check(request, fetch)
            with self.outgoing.new_file() as file:
                file.write(body)
            expires = int(time.time()) + LIFETIME_LIMIT
            self._offer(request, file.name, members, fetch.seconds, expires)

        self._forgiven(f"{name_of(request)} is not published", offer)

    def _check(self, request: Request, fetch: Fetch) -> None:
        """Raise `NotPublished` for what must not be signed."""
        if hindrance := self.publisher().hindrance(request.url or ""):
            raise hindrance
        if fetch.credentials:
            raise NotPublished(Reason.SECRET_URL, "it was fetched with a password")
        if fetch.spoiled or not (request.checksums or fetch.succeeded):
            raise NotPublished(Reason.WRONG_CONTENT, "it is not known to be whole")

    def _forgiven(self, what: str, action: Callable[[], object]) -> None:
        failure = self._session.forgiven(what, action)
        if failure is not None:
            with self._lock:
                self._session.report.unpublished[reason_of(failure)] += 1

    def _told(self, sent: Sent) -> None:
        """What became of an offer."""
        with self._lock:
            if sent.failure is not None:
                self._say_failure(sent)
            if sent.content is None or (sent.failure is not None and not sent.kept):
                return
            self._note(sent.offer, sent.content)
            if sent.entry_sent and sent.offer.key.kind is not Kind.RUN:
                self._session.report.published.add(sent.content.size, sent.seconds)
                logger.info("%s is published", _what(sent))
        local = self._session.local_store()
        if local is not None and not sent.kept:
            with contextlib.suppress(StorageFailure):
                local.add(sent.content.sha512, sent.offer.path)

    def _say_failure(self, sent: Sent) -> None:
        assert sent.failure is not None
        self._session.forgive(f"{_what(sent)} is not published", sent.failure)
        if sent.offer.key.kind is not Kind.RUN:
            self._session.report.unpublished[reason_of(sent.failure)] += 1
            self._session.report.kept += sent.kept

    def _note(self, offer: Offer, content: Digests) -> None:
        if offer.key.kind is not Kind.RUN:
            self.usage.published(
                offer.path,
                Used(offer.key, content.sha512, content.size, offer.milliseconds),
            )

    def wait_for(self, key: Key, seconds: float) -> bool:
        """Wait until nothing about `key` is on its way to be published; whether anything
        was published under it."""
        if self._outbox is None:
            return False
        self._outbox.wait_for(key, seconds)
        return self.usage.has_published(key)

    def hinders(self, url: str) -> bool:
        """Whether what `url` fetches is never published."""
        return bool(
            has_secret(url) or self._session.config.upload_blacklist.match(url) is not None
        )

    # -- the record

    def used(self, key: Key, digest: Digest, size: int, seconds: float | None) -> None:
        """Note that the run took a content from a cache, for which its origin had taken
        so many seconds."""
        if self.wanted:
            self.usage.taken(Used(key, digest, size, _milliseconds(seconds)))

    def finish(self, tick: Callable[[int], None], recorded: Sequence[Used]) -> None:
        """Send what is left, within `PATIENCE`, keep the rest for the next run, and record
        what was used, beside what was `recorded` before. `tick` is told how many are left
        to send. Once a run."""
        if self._finished:
            return
        self._finished = True
        end = time.monotonic() + PATIENCE
        try:
            if self.earlier is not None:
                self.earlier.wait(PATIENCE / 2)
            if self._session.succeeded and self._outbox is None:
                self._session.forgiven("what was kept is not sent", self._send_kept)
            if self._outbox is not None:
                self._outbox.drain(end, tick)
        except KeyboardInterrupt:
            end = time.monotonic()  # whoever looks on has waited long enough
        if self._outbox is not None:
            self._outbox.close()
        if (
            self._session.succeeded
            and self.wanted
            and self._session.profile
            and self.usage.all()
        ):
            self._forgiven(
                "the record of this run is not published",
                lambda: self._put_record(recorded, end),
            )

    def _send_kept(self) -> None:
        """Send what earlier runs could not, though this one has nothing to publish."""
        from ..localstore import folder_of
        from ..spool import spool_of

        config = self._session.config
        if self.wanted and spool_of(folder_of(config)).is_dir():
            spool, target = self._spool(), config.upload
            if spool is not None and target is not None and spool.has(target):
                self.outbox()

    def _put_record(self, recorded: Sequence[Used], end: float) -> None:
        from ..outbox import Offer

        profile = self._session.profile
        assert profile is not None
        used = worth_recording(self.usage.all(), recorded, complete=self._session.complete)
        with self.outgoing.new_file() as file:
            file.write(encode_record(used))
        expires = int(time.time()) + LIFETIME_LIMIT
        key = Request.for_run(profile).key
        offer = Offer(key, file.name, members_of_run(profile), expires=expires)
        self.outbox().put_last(offer, send=time.monotonic() < end)

    # -- what is made when it is first needed

    def outbox(self) -> Outbox:
        """Starts sending what earlier runs could not, too."""
        with self._lock:
            if self._outbox is None:
                from ..outbox import Outbox

                self._outbox = Outbox(self.publisher, self._spool(), self._told)
                self._outbox.send_spooled()
            return self._outbox

    def _spool(self) -> Spool | None:
        from ..errors import StorageFailure
        from ..spool import Spool, spool_of

        local = self._session.local_store()
        if local is None:
            return None
        try:
            return Spool(spool_of(local.folder), local.size)
        except StorageFailure as error:
            self._session.say(logging.WARNING, f"no spool: {readable(error)}")
            return None

    def publisher(self) -> Publisher:
        """Raises `InvalidConfiguration`."""
        with self._lock:
            if self._publisher is None:
                from ..publisher import Publisher

                self._publisher = Publisher(
                    self._session.config, budget=self._session.budget()
                )
                for warning in self._publisher.warnings:
                    self._session.say(logging.WARNING, warning)
            return self._publisher

    def start_anew(self) -> None:
        """Another configuration holds from now on."""
        with self._lock:
            if self._publisher is not None:
                self._retired.append(self._publisher)
            self._publisher = None

    def close(self) -> None:
        """Let go of everything."""
        for publisher in (*self._retired, self._publisher):
            if publisher is not None:
                publisher.close()
        self.outgoing.close()


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _what(sent: Sent) -> str:
    members = sent.offer.members
    return readable(members.get("url") or sent.offer.key)


def _members(request: Request, fetch: Fetch) -> dict[str, Any]:

    url = request.url or ""
    # The checksums are compared before anything is signed.
    checked = bool(request.checksums) or fetch.secure
    named = distribution_in(url)
    if request.key.kind is not Kind.DISTRIBUTION or named is None:
        return members_of_file(url, checked=checked)
    return members_of_distribution(
        url, named.basename, named.name, named.version, checked=checked
    )
