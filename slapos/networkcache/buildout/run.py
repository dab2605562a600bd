"""One run of a buildout: the cache first, then the origin, then publishing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import zc.buildout

from ..config import Config, Source
from ..digest import Digests, mismatch, pieces_of
from ..entry import Kind
from ..errors import (
    InvalidConfiguration,
    NetworkcacheError,
    NotBelieved,
    NotFound,
    NotPublished,
    Reason,
)
from ..precedence import Place, merge
from ..printable import readable
from ..urls import Checksum, distribution_in
from .report import Report
from .watching import Fetch

if TYPE_CHECKING:
    from ..binding import Request
    from ..client import Client
    from ..outcome import Outcome
    from ..publisher import Publisher
    from ..transport import Budget

_BLOCK = Reason.BLOCK_ORIGIN.value
logger = logging.getLogger("slapos.networkcache")


class Run:
    """What the hook needs to know of one run.

    `layers` are the options of the node's own places. The client is made at the first
    fetch, not before. Raises `InvalidConfiguration`; see `configure`.
    """

    def __init__(self, layers: Mapping[Place, Mapping[str, str]]):
        self.report = Report()
        self.config = Config()
        self._layers = dict(layers)
        self._client: Client | None = None
        self._publisher: Publisher | None = None
        self._budget: Budget | None = None
        self._said: set[str] = set()
        self._broken: InvalidConfiguration | None = None
        self.configure({})

    def configure(self, layers: Mapping[Place, Mapping[str, str]]) -> None:
        """Read the options anew, with what more `layers` say.

        A configuration that does not parse turns the cache off and says why. Where it
        blocks origins, nothing could be fetched: then it raises `InvalidConfiguration`.
        """
        self._layers.update(layers)
        merged = merge(self._layers)
        self.close()
        self._broken, self.report.off = None, ""
        try:
            self.config = Config.parse(merged.options)
        except InvalidConfiguration as error:
            # What is not understood here is rather not taken for "false".
            if merged.options.get("block-origin", "").strip() not in ("", "false"):
                raise
            self.config = Config()
            self._turn_off(error)
        for note in (*merged.notes, *self.config.notes):
            self._say(logging.INFO, note)
        for option in self.config.unknown:
            self._say(logging.WARNING, f"unknown option of [networkcache]: {option}")

    def _turn_off(self, error: InvalidConfiguration) -> None:
        self.report.off = readable(error)
        self._say(logging.WARNING, f"the network cache is off: {self.report.off}")

    @property
    def active(self) -> bool:
        """Whether there is anything to do at all."""
        config = self.config
        return config.reads or config.publishes or config.block_origin

    def close(self) -> None:
        """Let go of connections; what is needed again is made again."""
        for part in (self._client, self._publisher):
            if part is not None:
                part.close()
        self._client = self._publisher = None

    def forgiven(self, what: str, action: Callable[[], object]) -> Exception | None:
        """Do what the cache is there for; what goes wrong costs a line in the log, and
        is returned.

        The one place where a failure of the cache is forgiven.
        """
        try:
            action()
        except NotFound as error:
            logger.debug("%s: %s", what, readable(error))
            return error
        except NetworkcacheError as error:
            why = readable(error)
            # What is not published is worth a line each; a source that is left alone is
            # left alone for hundreds of URLs.
            key = what if isinstance(error, NotPublished) else why
            self._say(logging.INFO, f"{what}: {why}", key)
            return error
        except Exception as error:
            why = f"{type(error).__name__}: {readable(error)}"
            self._say(logging.WARNING, f"{what}: {why}", why)
            logger.debug("", exc_info=True)
            return error
        return None

    def _say(self, level: int, text: str, key: str | None = None) -> None:
        """Log it, the first time that `key`, by default the text, has to be said."""
        key = text if key is None else key
        logger.log(logging.DEBUG if key in self._said else level, "%s", text)
        self._said.add(key)

    # -- take

    def take(self, request: Request, path: str, *, password: bool = False) -> bool:
        """Download what `request` asks for to `path`, if the cache has it.

        `password` tells that its origin is asked with one. Raises
        `zc.buildout.UserError` where the cache does not have it and no origin may be
        asked.
        """
        if not (self.config.reads or self.config.block_origin):
            return False
        failure = self.forgiven(
            f"{_name(request)} is not taken from the network cache",
            lambda: self._take(request, path, password),
        )
        if failure is None:
            return True
        self.report.misses[_reason_of(failure)] += 1
        if self.config.block_origin:
            self.report.blocked += 1
            raise zc.buildout.UserError(
                f"{_name(request)} is not taken from the network cache"
                f" ({_reason_of(failure)}: {readable(failure)}), and with {_BLOCK} = true"
                " its origin is not asked"
            )
        return False

    def _take(self, request: Request, path: str, password: bool) -> None:
        if password:
            raise NotBelieved(Reason.SECRET_URL, "its origin is asked with a password")
        client = self._get_client()
        begin = time.monotonic()
        outcome = client.look_up(request)
        refused = outcome.refused
        if outcome.trusted is not None:  # else one of these is the reason of the miss
            refused += outcome.weighed.refused.values()
        self.report.refused.update(_reason_of(refusal) for refusal in refused)
        self.report.only_legacy += outcome.only_legacy
        source = client.fetch(outcome, path, failed=self._source_failed)
        self.report.hit(str(source), os.path.getsize(path), time.monotonic() - begin)
        self._say_taken(outcome, str(source))

    def _source_failed(self, source: Source, error: NetworkcacheError) -> None:
        """A content did not come from one source; another one may have it."""
        if not isinstance(error, NotFound):
            self.report.failed[_reason_of(error)] += 1
            self._say(logging.INFO, f"{source}: {readable(error)}")

    def _say_taken(self, outcome: Outcome, source: str) -> None:
        legacy = outcome.trusted is not None and outcome.trusted.legacy
        self.report.legacy += legacy
        logger.info(
            "%s is taken from the network cache %s%s",
            _name(outcome.request),
            source,
            " (signed in the old way)" if legacy else "",
        )

    def _get_client(self) -> Client:
        if self._broken is not None:
            raise self._broken
        if self._client is None:
            from ..client import open_client

            try:
                self._client, warnings = open_client(self.config, budget=self._get_budget())
            except InvalidConfiguration as error:
                self._broken = error
                self._turn_off(error)
                raise
            for warning in warnings:
                self._say(logging.WARNING, warning)
        return self._client

    def _get_budget(self) -> Budget:
        """One for the run: what was lost, and who lied, is not forgotten when a profile
        adds to the configuration."""
        if self._budget is None:
            from ..transport import Budget

            self._budget = Budget(self.config.time_budget)
        self._budget.seconds = self.config.time_budget
        return self._budget

    # -- give

    def give(self, request: Request, fetch: Fetch, file: IO[bytes] | None) -> None:
        """Publish what was just fetched from its origin, if it may be; `file` is None
        where it was not kept for that."""
        self.report.origin.add(fetch.size, fetch.seconds)
        if file is None or not self.config.publishes or self._broken is not None:
            return
        failure = self.forgiven(
            f"{_name(request)} is not published", lambda: self._give(request, fetch, file)
        )
        if failure is not None:
            self.report.unpublished[_reason_of(failure)] += 1

    def _give(self, request: Request, fetch: Fetch, file: IO[bytes]) -> None:
        begin = time.monotonic()
        if self._publish(request, fetch, file):
            self.report.published.add(fetch.size, time.monotonic() - begin)
            logger.info("%s is published", _name(request))

    def _publish(self, request: Request, fetch: Fetch, file: IO[bytes]) -> bool:
        publisher = self._get_publisher()
        if hindrance := publisher.hindrance(request.url or ""):
            raise hindrance
        if fetch.credentials:
            raise NotPublished(Reason.SECRET_URL, "it was fetched with a password")
        matched = _matches(request.checksums, file)
        if fetch.spoiled or not (matched or fetch.succeeded):
            raise NotPublished(Reason.WRONG_CONTENT, "it is not known to be whole")
        members = _members(request, checked=matched or fetch.secure)
        file.seek(0)
        content = Digests.of(pieces_of(file))
        return publisher.publish(request.key, file, content, members).entry_sent

    def _get_publisher(self) -> Publisher:
        if self._publisher is None:
            from ..publisher import Publisher

            self._publisher = Publisher(self.config, budget=self._get_budget())
            for warning in self._publisher.warnings:
                self._say(logging.WARNING, warning)
        return self._publisher


def _name(request: Request) -> str:
    return readable(request.url or request.key)


def _reason_of(failure: Exception) -> str:
    """What a report calls it: a `Reason`, or the `Code` that a server answered."""
    reason = failure.reason if isinstance(failure, NetworkcacheError) else None
    return str(reason or "failed")


def _matches(checksums: Sequence[Checksum], file: IO[bytes]) -> bool:
    """Whether there is a checksum, and all of them match; raises `NotPublished` where
    one does not."""
    if not checksums:
        return False
    file.seek(0)
    if wrong := mismatch(checksums, pieces_of(file)):
        raise NotPublished(Reason.CHECKSUM, wrong)
    return True


def _members(request: Request, *, checked: bool) -> dict[str, Any]:
    from ..publisher import members_of_distribution, members_of_file

    url = request.url or ""
    named = distribution_in(url)
    if request.key.kind is not Kind.DISTRIBUTION or named is None:
        return members_of_file(url, checked=checked)
    return members_of_distribution(
        url, named.basename, named.name, named.version, checked=checked
    )
