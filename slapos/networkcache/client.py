"""Find, and fetch: what the network cache has for a request, and whether it counts.

`Client.look_up` asks the sources, nearest first, until an entry is believed, and tells
all it learned as an `Outcome`. `Client.fetch` downloads what was believed: from any
source, hashed while it is read, bounded by the signed size, and put into its place only
when it is right. How to publish is in `publisher`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from .binding import Request
from .certificates import CertificateList
from .config import Config, Source
from .digest import PIECE
from .download import Partial, Progress
from .entry import Pair
from .errors import (
    InvalidEntry,
    NetworkcacheError,
    NotBelieved,
    NotFound,
    Reason,
    Refusal,
    SourceFailure,
    WrongContent,
)
from .outcome import Answer, Outcome, Verdict, most_telling, vouchings
from .seen import Seen, SeenInMemory, open_seen
from .transport import Budget, Limits, Transport
from .trust import Policy, TrustedEntry, Weighed
from .urls import has_secret

logger = logging.getLogger("slapos.networkcache")

Failed = Callable[[Source, NetworkcacheError], None]
"""Told a source that did not give a content, and why."""

_CUTS = 20
"""How often a content may be cut at one source without a mebibyte in between."""


class Client:
    """Looks up and fetches, for one run.

    `config` says where and whom to believe; `sources` other sources than those of the
    download cache. `seen` remembers against roll-back, and is closed with the client;
    `clock` gives the POSIX time, `limits` bounds each attempt. Safe to use from several
    threads.
    """

    def __init__(
        self,
        config: Config,
        *,
        sources: Sequence[Source] | None = None,
        seen: Seen | None = None,
        clock: Callable[[], float] = time.time,
        budget: Budget | None = None,
        limits: Limits | None = None,
    ):
        self.config = config
        self.budget = budget or Budget(config.time_budget)
        self.certificates = CertificateList.parse(config.certificate_list)
        self.policy = Policy(
            self.certificates.certificates,
            config.threshold,
            config.digest_blacklist,
            config.accept_legacy,
            config.require_checked_origin,
        )
        self._listed = {c.fingerprint for c in self.certificates.certificates}
        self._seen = seen or SeenInMemory()
        self._clock = clock
        self._transports = [
            Transport(
                source,
                self.budget,
                cache_tls=config.cache_tls,
                dir_tls=config.dir_tls,
                limits=limits or Limits(),
            )
            for source in (config.sources if sources is None else sources)
        ]

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
        self._seen.close()

    # -- look up

    def look_up(self, request: Request, *, ask_all: bool = False) -> Outcome:
        """Ask the sources, nearest first, until an entry is believed, or all of them.

        Never raises for what a source says or does; see `Outcome`.
        """
        if hindrance := self._hindrance(request):
            return Outcome(request, refusal=hindrance)
        answers: list[Answer] = []
        weighed = Weighed()
        newest = self._seen.newest(request, self._listed, self.policy.threshold)
        for transport in self._transports:
            answers.append(self._ask(transport, request))
            weighed = self.policy.weigh(vouchings(answers), request, newest)
            if weighed.believed and not ask_all:
                break
        try:
            trusted = weighed.best()
        except NotBelieved as refusal:
            return Outcome(request, answers, None, refusal, weighed)
        except NotFound:
            telling = most_telling(answers) or NotFound("no source has an entry for it")
            return Outcome(request, answers, None, telling, weighed)
        self._remember(request, trusted)
        return Outcome(request, answers, trusted, weighed=weighed)

    def _remember(self, request: Request, trusted: TrustedEntry) -> None:
        if trusted.created is not None:
            words = {
                vouching.certificate.fingerprint: vouching.entry.created or 0
                for vouching in trusted.vouchings
            }
            self._seen.remember(request, trusted.created, words)

    def _hindrance(self, request: Request) -> NotBelieved | None:
        """Why nobody is asked at all."""
        if not self._transports:
            return NotBelieved(Reason.NOT_CONFIGURED, "no source is configured")
        url = request.url or ""
        if has_secret(url):
            return NotBelieved(Reason.SECRET_URL, "the URL carries a secret")
        if prefix := self.config.download_blacklist.match(url):
            return NotBelieved(
                Reason.BLACKLISTED_URL,
                f"{prefix} is in download-from-cache-url-blacklist",
            )
        return None

    def _ask(self, transport: Transport, request: Request) -> Answer:
        try:
            pairs = transport.look_up(request.key)
        except (NotFound, Refusal, SourceFailure) as failure:
            return Answer(transport.source, failure=failure)
        return Answer(transport.source, self._examine(pairs, request))

    def _examine(
        self, pairs: Sequence[Pair | InvalidEntry], request: Request
    ) -> list[Verdict]:
        """Judge pair by pair, as long as the budget bears what is not believed."""
        verdicts = []
        for pair in pairs:
            begin = self.budget.clock()
            if self.budget.left <= 0:
                refusal = NotBelieved(Reason.LEFT_ALONE, "the time budget is spent")
                verdicts.append(Verdict(None, refusal=refusal))
                break
            verdict = self._judge(pair, request)
            if verdict.refusal is not None:
                self.budget.charge(self.budget.clock() - begin)
            verdicts.append(verdict)
        return verdicts

    def _judge(self, pair: Pair | InvalidEntry, request: Request) -> Verdict:
        if isinstance(pair, InvalidEntry):
            return Verdict(None, refusal=NotBelieved(pair.reason, str(pair)))
        try:
            return Verdict(pair, self.policy.examine(pair, request, self._clock()))
        except NotBelieved as refusal:
            return Verdict(pair, None, refusal, self._lacks_legacy(pair, request, refusal))

    def _lacks_legacy(self, pair: Pair, request: Request, refusal: NotBelieved) -> bool:
        """Whether a pair that is refused would count with ``signature-legacy = accept``."""
        if refusal.reason not in (Reason.WEAK_SIGNATURE, Reason.UNKNOWN_FORMAT):
            return False
        lenient = replace(self.policy, accept_legacy=True)
        try:
            lenient.examine(pair, request, self._clock())
        except NotBelieved:
            return False
        return True

    # -- fetch

    def fetch(
        self,
        outcome: Outcome,
        path: str,
        progress: Progress | None = None,
        failed: Failed | None = None,
    ) -> Source:
        """Download what `outcome` trusts to `path`, and say which source it came from.

        The nearest source that named the content is asked first, then the others.
        Nothing stands at `path` before it is right; `failed` is told of each source that
        did not give it. Raises `NotBelieved` (a checksum of
        the request does not match), `NotFound` where nobody has it, else what the last
        source gave that may: `WrongContent`, `Refusal` or `SourceFailure`. `OSError`
        where `path` cannot be written.
        """
        if outcome.trusted is None:
            raise outcome.refusal
        return self.fetch_trusted(
            outcome.trusted,
            path,
            outcome.request,
            progress,
            outcome.nearest_with(outcome.trusted.digest),
            failed,
        )

    def fetch_trusted(
        self,
        trusted: TrustedEntry,
        path: str,
        request: Request | None = None,
        progress: Progress | None = None,
        first: int = 0,
        failed: Failed | None = None,
    ) -> Source:
        """The same for what is trusted without a look-up; `first` is the place of the
        source that is asked first."""
        failure: NetworkcacheError = NotFound("no source has the content")
        checksums = request.checksums if request else ()
        with Partial(path, trusted, checksums, progress) as partial:
            order = self._transports[first:] + self._transports[:first]
            for transport in order:
                try:
                    _download(transport, trusted, partial)
                except (NotFound, Refusal, SourceFailure, WrongContent) as error:
                    failure = failure if isinstance(error, NotFound) else error
                    if failed is not None:
                        failed(transport.source, error)
                    continue
                partial.commit()
                return transport.source
        raise failure


def open_client(
    config: Config, *, remembers: bool = True, budget: Budget | None = None
) -> tuple[Client, list[str]]:
    """A client with the user's memory against roll-back, and what hinders it, in
    sentences for its user.

    Without `remembers`, what was believed in other runs does not count. Raises
    `InvalidConfiguration` where the TLS files cannot be used.
    """
    seen, warnings = open_seen() if remembers else (SeenInMemory(), [])
    client = Client(config, seen=seen, budget=budget)
    warnings += client.certificates.problems
    if not client.certificates.certificates:
        warnings.append(
            "signature-certificate-list holds no certificate that parses: nothing in the"
            " network cache is believed"
        )
    return client, warnings


def _download(transport: Transport, trusted: TrustedEntry, partial: Partial) -> None:
    """Bring `partial` to its end from one source.

    What is cut is resumed as long as it gets further; what is wrong is asked for once
    more, past any mirror in between, and then the source is left alone for the run.
    """
    anew = False
    cuts = 0
    while cuts < _CUTS:
        begun_at = partial.count
        try:
            with transport.open(trusted.digest, partial.count, anew=anew) as incoming:
                partial.take(incoming)
            return
        except SourceFailure:
            if partial.count <= begun_at:
                raise
            cuts = cuts + 1 if partial.count < begun_at + PIECE else 0
        except WrongContent:
            partial.restart()
            if anew:
                transport.ban("it gave wrong content")
                raise
            anew = True
    raise SourceFailure(Reason.UNREACHABLE, "the transfer was cut again and again")
