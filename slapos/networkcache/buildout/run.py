"""One run of a buildout: the cache first, then the origin, then publishing."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, TypeVar

import zc.buildout

from ..config import Config, Place, merge
from ..digest import Digests, pieces_of
from ..entry import Kind
from ..errors import (
    InvalidConfiguration,
    NetworkcacheError,
    NotFound,
    NotPublished,
    Reason,
    StorageFailure,
)
from ..urls import Checksum, distribution_in, redact
from .origin import Fetch
from .report import Report

if TYPE_CHECKING:
    from ..binding import Request
    from ..client import Client, Outcome
    from ..publisher import Publisher

logger = logging.getLogger("slapos.networkcache")
T = TypeVar("T")


class Run:
    """What the hook needs to know of one run.

    `layers` are the options of the node's own places. The client is made at the first
    fetch, not before.
    """

    def __init__(self, layers: Mapping[Place, Mapping[str, str]]):
        self.report = Report()
        self.config = Config()
        self._layers = dict(layers)
        self._client: Client | None = None
        self._publisher: Publisher | None = None
        self._said: set[str] = set()
        self._broken = False
        self.configure({})

    def configure(self, layers: Mapping[Place, Mapping[str, str]]) -> None:
        """Read the options anew, with what more `layers` say.

        A configuration that does not parse turns the cache off and says why; it fails
        the build only where origins are blocked.
        """
        self._layers.update(layers)
        merged = merge(self._layers)
        self.close()
        self._broken = False
        try:
            self.config = Config.parse(merged.options)
        except InvalidConfiguration as error:
            if merged.options.get("block-origin", "").strip() == "true":
                raise zc.buildout.UserError(f"[networkcache] {error}") from None
            logger.warning("the network cache is off: %s", error)
            self.config = Config()
        for note in (*merged.notes, *self.config.notes):
            logger.info(note)
        for option in self.config.unknown:
            logger.warning("unknown option of [networkcache]: %s", option)

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

    def forgiven(self, what: str, action: Callable[[], T]) -> T | None:
        """Do what the cache is there for; whatever goes wrong costs a line in the log.

        The one place where a failure of the cache is forgiven.
        """
        try:
            return action()
        except NotFound as error:
            logger.debug("%s: %s", what, error)
        except NetworkcacheError as error:
            self._say_once(logging.INFO, what, redact(str(error)))
        except Exception as error:
            why = f"{type(error).__name__}: {redact(str(error))}"
            self._say_once(logging.WARNING, what, why)
            logger.debug("", exc_info=True)
        return None

    def _say_once(self, level: int, what: str, why: str) -> None:
        """A source that is left alone is left alone for hundreds of URLs."""
        logger.log(logging.DEBUG if why in self._said else level, "%s: %s", what, why)
        self._said.add(why)

    # -- take

    def take(self, request: Request, path: str) -> bool:
        """Download what `request` asks for to `path`, if the cache has it."""
        if not self.config.reads or self._broken:
            return False
        taken = self.forgiven(
            f"{_name(request)} is not taken from the network cache",
            lambda: self._take(request, path),
        )
        return taken is True

    def _take(self, request: Request, path: str) -> bool:
        client = self._get_client()
        begin = time.monotonic()
        outcome = client.look_up(request)
        self.report.refused.update(refusal.reason for refusal in outcome.refused)
        try:
            source = client.fetch(outcome, path)
        except NetworkcacheError as error:
            self.report.misses[getattr(error, "reason", Reason.UNREACHABLE)] += 1
            raise
        size = os.path.getsize(path)
        self.report.hit(str(source), size, time.monotonic() - begin)
        self._say_taken(outcome, str(source))
        return True

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
        if self._client is None:
            try:
                self._client = self._make_client()
            except InvalidConfiguration:
                self._broken = True
                raise
            for problem in self._client.certificates.problems:
                logger.warning(problem)
            if not self._client.certificates.certificates:
                logger.warning(
                    "signature-certificate-list holds no certificate that parses: nothing"
                    " in the network cache is believed"
                )
        return self._client

    def _make_client(self) -> Client:
        from ..client import Client
        from ..seen import SeenInMemory, SeenOnDisk, default_path

        try:
            return Client(self.config, seen=SeenOnDisk(default_path()))
        except StorageFailure as error:
            logger.warning("roll-back is noticed within this run only: %s", error)
            return Client(self.config, seen=SeenInMemory())

    # -- origin

    def check_origin(self, url: str) -> None:
        """Raise `zc.buildout.UserError` where no origin may be asked."""
        if self.config.block_origin:
            raise zc.buildout.UserError(
                f"no network cache has {redact(url)}, and block-origin = true: publish it"
                " from a node that may ask its origin"
            )

    # -- give

    def give(self, request: Request, fetch: Fetch, file: IO[bytes]) -> None:
        """Publish what was just fetched from its origin, if it may be."""
        self.report.origin.add(fetch.size, fetch.seconds)
        if not self.config.publishes or self._broken:
            return
        self.forgiven(
            f"{_name(request)} is not published", lambda: self._give(request, fetch, file)
        )

    def _give(self, request: Request, fetch: Fetch, file: IO[bytes]) -> None:
        begin = time.monotonic()
        try:
            published = self._publish(request, fetch, file)
        except NetworkcacheError as error:
            what = getattr(error, "reason", None) or getattr(error, "code", "failed")
            self.report.unpublished[str(what)] += 1
            raise
        if published:
            self.report.published.add(fetch.size, time.monotonic() - begin)
            logger.info("%s is published", _name(request))

    def _publish(self, request: Request, fetch: Fetch, file: IO[bytes]) -> bool:
        url = request.url or ""
        publisher = self._get_publisher()
        if hindrance := publisher.hindrance(url):
            raise hindrance
        content = Digests.of(pieces_of(file))
        matched = _matches(request.checksums, file)
        if fetch.credentials:
            raise NotPublished(Reason.SECRET_URL, "it was fetched with a password")
        if not (matched or fetch.succeeded):
            raise NotPublished(Reason.WRONG_CONTENT, "it is not known to be whole")
        members = _members(request, checked=matched or fetch.secure)
        return publisher.publish(request.key, file, content, members).entry_sent

    def _get_publisher(self) -> Publisher:
        if self._publisher is None:
            from ..publisher import Publisher

            budget = self._client.budget if self._client is not None else None
            self._publisher = Publisher(self.config, budget=budget)
            for warning in self._publisher.warnings:
                logger.warning(warning)
        return self._publisher


def _name(request: Request) -> str:
    return redact(request.url or str(request.key))


def _matches(checksums: Sequence[Checksum], file: IO[bytes]) -> bool:
    """Whether there is a checksum, and all of them match; raises `NotPublished` where
    one does not."""
    for algorithm, value in checksums:
        hash = hashlib.new(algorithm, usedforsecurity=False)
        file.seek(0)
        for piece in pieces_of(file):
            hash.update(piece)
        if hash.hexdigest() != value:
            raise NotPublished(Reason.CHECKSUM, f"its {algorithm} is not {value}")
    return bool(checksums)


def _members(request: Request, *, checked: bool) -> dict[str, Any]:
    from ..publisher import members_of_distribution, members_of_file

    url = request.url or ""
    named = distribution_in(url)
    if request.key.kind is not Kind.DISTRIBUTION or named is None:
        return members_of_file(url, checked=checked)
    return members_of_distribution(
        url, named.basename, named.name, named.version, checked=checked
    )
