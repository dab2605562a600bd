"""Find, and fetch: what the network cache has for a request, and whether it counts.

`Client.look_up` asks the sources, nearest first, until an entry is believed, and tells
all it learned as an `Outcome`. `Client.fetch` downloads what was believed: from any
source, hashed while it is read, bounded by the signed size, and put into its place only
when it is right. How to publish is in `publisher`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO

from .binding import Request
from .certificates import CertificateList
from .config import Config, Source
from .digest import Digest
from .download import Failed, Partial, Progress, Received, take_far, take_near
from .entry import Key, Pair
from .errors import (
    InvalidEntry,
    NotBelieved,
    NotFound,
    Reason,
    Refusal,
    SourceFailure,
    StorageFailure,
)
from .foreseen import Foreseen
from .holding import Holding, held_at
from .localstore import LocalStore
from .outcome import Answer, Outcome, Verdict, most_telling, vouchings
from .seen import Seen, SeenInMemory, open_seen
from .transport import Budget, Limits, Transport
from .trust import Policy, TrustedEntry, Weighed
from .urls import has_secret


class Client:
    """Looks up and fetches, for one run.

    `config` says where and whom to believe; `sources` other sources than those of the
    download cache. `seen` remembers against roll-back, and is closed with the client;
    `local` is the node's own store of contents; `clock` gives the POSIX time, `limits`
    bounds each attempt. Safe to use from several threads. ``with`` closes it.
    """

    def __init__(
        self,
        config: Config,
        *,
        sources: Sequence[Source] | None = None,
        seen: Seen | None = None,
        local: LocalStore | None = None,
        clock: Callable[[], float] = time.time,
        budget: Budget | None = None,
        limits: Limits | None = None,
    ):
        self.config = config
        self.local = local
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
        self._foreseen = Foreseen(self._transports)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
        self._seen.close()

    # -- many at once

    def foresee(
        self,
        keys: Iterable[Key],
        *,
        only_in_batches: bool = False,
        everywhere: bool = False,
    ) -> None:
        """Ask for many keys in few requests: `look_up` then answers from what the sources
        said, and does not ask them again.

        The nearest source that has something is enough, unless it is to be asked
        `everywhere`. A source that knows no batches is asked key by key, or not at all.
        Never raises for what a source says or does.
        """
        self._foreseen.ask(
            keys,
            pooled=everywhere or self.policy.threshold > 1,
            only_in_batches=only_in_batches,
        )

    def forget(self, key: Key) -> None:
        """Ask anew for `key`, since something was published there."""
        self._foreseen.forget(key)

    # -- look up

    def look_up(
        self,
        request: Request,
        *,
        ask_all: bool = False,
        remember: bool = True,
        ask: bool = True,
    ) -> Outcome:
        """Ask the sources, nearest first, until an entry is believed, or all of them.

        What the request itself names by its SHA-512 needs no entry, and is not asked
        for. `remember` tells whether what is believed counts against roll-back later;
        without `ask`, only what was foreseen is looked at.
        Never raises for what a source says or does; see `Outcome`.
        """
        if hindrance := next(self.hindrances(request), None):
            return Outcome(request, refusal=hindrance)
        if (digest := request.named_digest) is not None and not ask_all:
            try:
                return Outcome(request, trusted=self.policy.named_by_profile(digest))
            except NotBelieved as refusal:
                return Outcome(request, refusal=refusal)
        answers: list[Answer] = []
        weighed = Weighed()
        newest = self.newest_believed(request)
        for transport in self._transports:
            answers.append(self._ask(transport, request, ask))
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
        if remember:
            self.remember(request, trusted)
        return Outcome(request, answers, trusted, weighed=weighed)

    def remember(self, request: Request, trusted: TrustedEntry) -> None:
        """Let what was believed count against roll-back."""
        if trusted.created is not None:
            words = {
                vouching.certificate.fingerprint: vouching.entry.created or 0
                for vouching in trusted.vouchings
            }
            self._seen.remember(request, trusted.created, words)

    def _ask(self, transport: Transport, request: Request, ask: bool) -> Answer:
        try:
            pairs = self._foreseen.look_up(transport, request.key, ask=ask)
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
    ) -> Source | None:
        """Bring what `outcome` trusts to `path`, and say which source it came from; None
        where the local store had it.

        The nearest source that named the content is asked first, then the others.
        Nothing stands at `path` before it is right; `failed` is told of each source that
        did not give it. Raises `NotBelieved` (a checksum of the request does not match),
        `NotFound` where nobody has it, else what the last source gave that may:
        `WrongContent`, `Refusal` or `SourceFailure`. `OSError` where `path` cannot be
        written.
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
    ) -> Source | None:
        """The same for what is trusted without a look-up; `first` is the place of the
        source that is asked first."""
        checksums = request.checksums if request else ()
        with Partial(path, trusted, checksums, progress) as partial:
            received = partial.received
            if self.local is not None and take_near(self.local, trusted, received):
                partial.commit()
                return None
            source = take_far(self._nearest(first), trusted, received, failed)
            partial.commit()
        if self.local is not None:
            with contextlib.suppress(StorageFailure):
                self.local.add(trusted.digest, path)
        return source

    def fetch_ahead(
        self, trusted: TrustedEntry, progress: Progress | None = None, first: int = 0
    ) -> Source | None:
        """Bring what is trusted into the local store, where `fetch` finds it; what is
        there already stays. Raises as `fetch` does, and `StorageFailure`."""
        assert self.local is not None
        if self.local.has(trusted.digest):
            return None
        with (
            self.local.incoming(trusted.digest, trusted.size) as path,
            Partial(path, trusted, (), progress) as partial,
        ):
            source = take_far(self._nearest(first), trusted, partial.received)
            partial.commit()
        return source

    def fetch_into(
        self, trusted: TrustedEntry, file: IO[bytes], progress: Progress | None = None
    ) -> Source:
        """Bring what is trusted into an open file, which is right only once this returns.

        For what is unpacked at once: it does not go through the local store, of which it
        might take the most. Raises as `fetch` does.
        """
        received = Received(file, trusted, (), progress)
        return take_far(self._transports, trusted, received)

    def _nearest(self, first: int) -> list[Transport]:
        return self._transports[first:] + self._transports[:first]

    # -- look around

    def hindrances(self, request: Request) -> Iterator[NotBelieved]:
        """Why nobody is asked at all: everything that stands in the way."""
        if not self._transports:
            yield NotBelieved(Reason.NOT_CONFIGURED, "no source is configured")
        url = request.url or ""
        if has_secret(url):
            yield NotBelieved(Reason.SECRET_URL, "the URL carries a secret")
        if prefix := self.config.download_blacklist.match(url):
            yield NotBelieved(
                Reason.BLACKLISTED_URL,
                f"{prefix} is in download-from-cache-url-blacklist",
            )

    def newest_believed(self, request: Request) -> int | None:
        """The `created`, in POSIX seconds, that counts against roll-back."""
        return self._seen.newest(request, self._listed, self.policy.threshold)

    def holdings(self, digests: Iterable[Digest]) -> list[Holding]:
        """Which of these contents each source holds, nearest first.

        Never raises for what a source says or does.
        """
        wanted = tuple(dict.fromkeys(digests))
        return [held_at(transport, wanted) for transport in self._transports]


def open_client(
    config: Config,
    *,
    remembers: bool = True,
    budget: Budget | None = None,
    local: LocalStore | None = None,
) -> tuple[Client, list[str]]:
    """A client with the user's memory against roll-back, and what hinders it, in
    sentences for its user.

    Without `remembers`, what was believed in other runs does not count. Raises
    `InvalidConfiguration` where the TLS files cannot be used.
    """
    seen, warnings = open_seen() if remembers else (SeenInMemory(), [])
    client = Client(config, seen=seen, budget=budget, local=local)
    warnings += client.certificates.problems
    if not client.certificates.certificates:
        warnings.append(
            "signature-certificate-list holds no certificate that parses: nothing in the"
            " network cache is believed"
        )
    return client, warnings
