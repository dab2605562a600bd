"""One run of a buildout: the cache first, then the origin, then publishing."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import zc.buildout

from ..config import Source
from ..errors import (
    InvalidConfiguration,
    NetworkcacheError,
    NotBelieved,
    NotFound,
    Reason,
    SourceFailure,
)
from ..precedence import Place
from ..printable import readable
from .report import LOCAL, name_of, reason_of, write_report
from .session import Session

if TYPE_CHECKING:
    from ..binding import Request
    from ..client import Client
    from ..outcome import Outcome
    from ..record import Used
    from ..trust import TrustedEntry
    from .ahead import Ahead
    from .expected import Profile
    from .giving import Giving

_BLOCK = Reason.BLOCK_ORIGIN.value
_PATIENCE = 30.0
"""Seconds that a look-up waits for the same key to be published by this run."""
logger = logging.getLogger("slapos.networkcache")


@dataclass(frozen=True)
class Hit:
    """What was taken from a cache: from `where`, `size` bytes in so many `seconds`."""

    request: Request
    trusted: TrustedEntry
    where: str
    size: int
    seconds: float


class Run(Session):
    """What the hook needs to know of one run; see `Session` for the rest.

    The client is made at the first fetch, not before.
    """

    def __init__(
        self, layers: Mapping[Place, Mapping[str, str]], profile: str | None = None
    ):
        self._text: Mapping[str, Mapping[str, str]] = {}
        self._index = ""
        self._expected: Profile | None = None
        self.unreachable: set[str] = set()
        """Hosts of index pages that did not answer: they are tried once a run."""
        self.restart: Sequence[str] | None = None
        """The options of ours that a buildout which starts itself anew is to get; None
        where the hook comes with an extension."""
        self.restarted = False
        self.finished = False
        self.process = os.getpid()
        self.report_file: str | None = None
        """Where the report goes, as JSON."""
        self._giving: Giving | None = None
        self._client: Client | None = None
        self._ahead: Ahead | None = None
        self._retired: list[Client] = []
        super().__init__(layers, profile)

    def changed(self) -> None:
        """What was made of another configuration is not used any more; it is closed at
        the end, for its threads may still be at work."""
        if self._client is not None:
            self._retired.append(self._client)
        if self._ahead is not None:
            self._ahead.close()
        self._client = self._ahead = None
        if self._giving is not None:
            self._giving.start_anew()

    def finish(self) -> None:
        """Let go of everything, and write the report. Raises nothing."""
        self.forgiven("not all is put away", self.close)
        if self.report_file is not None:
            write = partial(
                write_report, self.report, self.report_file, merge=self.restarted
            )
            self.forgiven("there is no report", write)

    def close(self) -> None:
        """Let go of everything."""
        if self._ahead is not None:
            self._ahead.close()
        for client in (*self._retired, self._client):
            if client is not None:
                client.close()
        if self._giving is not None:
            self._giving.close()
        self._client = self._ahead = None

    # -- take

    def take(self, request: Request, path: str, *, password: bool = False) -> bool:
        """Download what `request` asks for to `path`, if the cache has it.

        `password` tells that its origin is asked with one. Raises
        `zc.buildout.UserError` where the cache does not have it and no origin may be
        asked.
        """
        if not (self.config.reads or self.config.block_origin):
            return False

        def take() -> None:
            if password:
                raise NotBelieved(Reason.SECRET_URL, "its origin is asked with a password")
            self.count(self._look_up(request, path))

        failure = self.forgiven(
            f"{name_of(request)} is not taken from the network cache", take
        )
        if failure is None:
            return True
        self.report.misses[reason_of(failure)] += 1
        if self.config.block_origin:
            raise self.blocked(request, failure)
        return False

    def blocked(
        self, request: Request, failure: Exception | None = None
    ) -> zc.buildout.UserError:
        """What a build ends with where no cache has something, and no origin may be
        asked; `failure` says why no cache has it."""
        self.report.blocked += 1
        why = f" ({reason_of(failure)}: {readable(failure)})" if failure else ""
        return zc.buildout.UserError(
            f"{name_of(request)} is not taken from the network cache{why}, and with"
            f" {_BLOCK} = true its origin is not asked"
        )

    def _look_up(self, request: Request, path: str) -> Hit:
        client = self.client()
        self.look_ahead()
        if self.config.publishes and self.giving.wait_for(request.key, _PATIENCE):
            client.forget(request.key)
        begin = time.monotonic()
        outcome = client.look_up(request)
        refused = outcome.refused
        if outcome.trusted is not None:  # else one of these is the reason of the miss
            refused += outcome.weighed.refused.values()
        self.report.refused.update(reason_of(refusal) for refusal in refused)
        self.report.only_legacy += outcome.only_legacy
        return self._fetch(client, outcome, path, begin)

    def _fetch(self, client: Client, outcome: Outcome, path: str, begin: float) -> Hit:
        trusted = outcome.trusted
        came: Source | NetworkcacheError | None = None
        if self._ahead is not None and trusted is not None:
            came = self._ahead.claim(trusted.digest)
        try:
            source = client.fetch(outcome, path, failed=partial(self._failed, came))
        except SourceFailure as error:
            raise _telling(came, error) from None
        if source is None and isinstance(came, Source):
            source = came
        assert trusted is not None
        where = LOCAL if source is None else str(source)
        seconds = time.monotonic() - begin
        return Hit(outcome.request, trusted, where, os.path.getsize(path), seconds)

    def count(self, hit: Hit) -> None:
        """Note that what was taken is used."""
        key, digest = hit.request.key, hit.trusted.digest
        origin = None
        if self._ahead is not None:
            origin = self._ahead.origin_seconds(key, digest)
        saved = 0.0 if origin is None else origin - hit.seconds
        self.report.hit(hit.where, hit.size, hit.seconds, saved)
        self.report.legacy += hit.trusted.legacy
        self.giving.used(key, digest, hit.size, origin)
        logger.info(
            "%s is taken from %s%s",
            name_of(hit.request),
            hit.where if hit.where == LOCAL else f"the network cache {hit.where}",
            " (signed in the old way)" if hit.trusted.legacy else "",
        )

    @property
    def recorded(self) -> Sequence[Used]:
        """What the record of an earlier run names."""
        return () if self._ahead is None else self._ahead.recorded

    def look_ahead(self) -> None:
        """Ask for all at once that is known to be needed and was not asked for yet."""
        with self._making:
            if self._ahead is None:
                from .ahead import Ahead

                self._ahead = Ahead(self.client(), self.profile)
            ahead = self._ahead
        ahead.look(self.expected.keys, self.expected.guesses(self._index))

    @property
    def giving(self) -> Giving:
        """What is published."""
        with self._making:
            if self._giving is None:
                from .giving import Giving

                self._giving = Giving(self)
            return self._giving

    def expect(self, text: Mapping[str, Mapping[str, str]], index: str) -> None:
        """Take a merged profile, and the URL of the package index; it is looked through
        when something is fetched."""
        self._text, self._index, self._expected = text, index, None

    @property
    def expected(self) -> Profile:
        """What the profile names."""
        if self._expected is None:
            from .expected import read_profile

            self._expected = read_profile(self._text)
        return self._expected

    def take_bytes(self, request: Request) -> tuple[Hit, bytes] | Exception:
        """The same as `take` for what is small, as bytes; it is for who calls to `count`
        it as a hit. Counts a miss, and gives the reason instead."""
        taken = []

        def take() -> None:
            with tempfile.TemporaryDirectory(prefix="networkcache-") as folder:
                path = os.path.join(folder, "content")
                hit = self._look_up(request, path)
                with open(path, "rb") as file:
                    taken.append((hit, file.read()))

        failure = self.forgiven(
            f"{name_of(request)} is not taken from the network cache", take
        )
        if failure is not None:
            self.report.misses[reason_of(failure)] += 1
            return failure
        return taken[0]

    def _failed(
        self,
        came: Source | NetworkcacheError | None,
        source: Source,
        error: NetworkcacheError,
    ) -> None:
        """A content did not come from one source; another one may have it."""
        error = _telling(came, error)
        if not isinstance(error, NotFound):
            self.report.failed[reason_of(error)] += 1
            self.say(logging.INFO, f"{source}: {readable(error)}")

    # -- what is made when it is first needed

    def client(self) -> Client:
        """Raises `InvalidConfiguration` where the configuration cannot be used."""
        with self._making:
            if self._broken is not None:
                raise self._broken
            if self._client is None:
                from ..client import open_client

                try:
                    self._client, warnings = open_client(
                        self.config, budget=self.budget(), local=self.local_store()
                    )
                except InvalidConfiguration as error:
                    self._turn_off(error)
                    raise
                for warning in warnings:
                    self.say(logging.WARNING, warning)
            return self._client


def _telling(
    came: Source | NetworkcacheError | None, error: NetworkcacheError
) -> NetworkcacheError:
    """Of why a content did not come ahead of time, and why it does not come now, what says
    more: that a source is left alone says only that it had failed."""
    left_alone = error.reason is Reason.LEFT_ALONE
    return came if left_alone and isinstance(came, NetworkcacheError) else error
