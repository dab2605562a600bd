"""Looking up and fetching, as a `NetworkcacheClient` does it."""

from __future__ import annotations

import os
import tempfile
from functools import cached_property
from typing import IO

from ..binding import Request
from ..client import Client
from ..config import Config, Source
from ..digest import Digest
from ..entry import Key, Pair
from ..errors import Code, InvalidConfiguration, InvalidDigest, Refusal
from ..outcome import Outcome, vouchings
from ..printable import readable
from ..seen import open_seen
from ..trust import TrustedEntry
from .exceptions import logger


class Reading:
    """What the sources say and hold. Nothing is opened before the first question, and then
    its user is told what keeps it from believing anybody."""

    def __init__(self, config: Config):
        self._config = config
        self._trusted: dict[Digest, TrustedEntry] = {}

    def close(self) -> None:
        if "_client" in vars(self):
            self._client.close()

    def all_pairs(self, key: str) -> list[Pair]:
        """All pairs of `key`, in the order of the directory. Raises as `believed`."""
        answers = self._look_up(key).answers
        pairs = (verdict.pair for answer in answers for verdict in answer.verdicts)
        return [pair for pair in pairs if pair is not None]

    def believed(self, key: str) -> list[Pair]:
        """A pair for each statement that is believed: the newest first, and in the order of
        the directory where they are as old.

        Raises what kept all of the sources from saying anything.
        """
        outcome = self._look_up(key)
        if outcome.trusted is None:
            if outcome.refused or outcome.weighed.refused:
                what, why = readable(key), readable(outcome.refusal)
                logger.info("Nothing is believed about %s: %s", what, why)
            return []
        # The newest has passed the memory against roll-back. Whoever chooses among the
        # entries of a key must see those before it, too.
        weighed = self._client.policy.weigh(vouchings(outcome.answers), outcome.request)
        ages: dict[str, int] = {}
        for entry in reversed(weighed.believed):
            self._trusted[entry.digest] = entry
            age = -1 if entry.created is None else entry.created
            ages[entry.vouchings[0].statement] = age
        pairs: dict[str, Pair] = {}
        for verdict in (v for answer in outcome.answers for v in answer.verdicts):
            if verdict.pair and verdict.vouching and verdict.vouching.statement in ages:
                pairs.setdefault(verdict.vouching.statement, verdict.pair)
        return [pairs[s] for s in sorted(pairs, key=ages.__getitem__, reverse=True)]

    def _look_up(self, key: str) -> Outcome:
        request = Request(Key.parse(key), any_kind=True)
        outcome = self._client.look_up(request, ask_all=True)
        if all(answer.failure for answer in outcome.answers):
            raise outcome.refusal
        return outcome

    def fetch(self, sha512sum: str) -> IO[bytes]:
        """A temporary file with that content; where an entry that was believed names it,
        it has the size that was signed. Raises as `Client.fetch` does."""
        try:
            digest = Digest.parse(sha512sum)
        except InvalidDigest as error:
            raise Refusal(Code.BAD_DIGEST, str(error), 400) from None  # as a server does
        trusted = self._trusted.get(digest) or self._client.policy.named_by_profile(digest)
        return _fetch(self._client, trusted)

    @cached_property
    def _client(self) -> Client:
        if not self._config.reads:
            raise InvalidConfiguration(
                "looking up needs download-cache-url and download-dir-url"
            )
        seen, warnings = open_seen()
        client = Client(self._config, seen=seen)
        if not client.certificates.certificates:
            warnings.append(
                "signature-certificate-list holds no certificate that parses: no entry is"
                " believed, where slapos.libnetworkcache believed them all"
            )
        for warning in warnings:
            logger.warning("%s", warning)
        return client


def fetch_from(source: Source, config: Config, digest: Digest) -> IO[bytes]:
    """A temporary file with a content of one source. Raises as `Client.fetch` does."""
    client = Client(config, sources=[source])
    try:
        return _fetch(client, client.policy.named_by_profile(digest))
    finally:
        client.close()


def _fetch(client: Client, trusted: TrustedEntry) -> IO[bytes]:
    with tempfile.TemporaryDirectory(prefix="networkcache-") as folder:
        path = os.path.join(folder, "content")
        client.fetch_trusted(trusted, path)
        return open(path, "rb")
