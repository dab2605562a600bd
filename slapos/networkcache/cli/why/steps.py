"""The steps of the decision about one URL: values made of what a look-up learned.

Nothing here asks anybody, and nothing prints; see `why`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...certificates import CertificateList
from ...config import Config, Source
from ...errors import Code, NetworkcacheError, NotBelieved, Reason, SourceFailure
from ...holding import Holding
from ...outcome import Answer, Outcome, Verdict
from ...trust import TrustedEntry
from ..layout import content_of, count, date, short, signer, size


@dataclass(frozen=True)
class Step:
    """One question, and how it was answered.

    `passed` is False for what speaks against taking it, or publishing it, and None for
    what decides nothing by itself, or could not be told. `reason` is of the closed list,
    or what a server answered.
    """

    question: str
    answer: str
    passed: bool | None = True
    reason: Reason | Code | None = None


@dataclass(frozen=True)
class Facts:
    """What was learned about one request.

    `hindrances` are why nobody is asked at all, `newest` is what counts against roll-back
    (POSIX seconds), `kept` whether the local store has the content, and `holdings` which
    sources have. `fetched` is what a fetch came to, where one was made: a source, or why
    not. `left` are the seconds left of the budget, `left_alone` the sources that would not
    be asked again, and why. `unpublished` is why nothing would be published.
    """

    config: Config
    outcome: Outcome
    hindrances: Sequence[NotBelieved]
    certificates: CertificateList
    newest: int | None
    kept: bool
    holdings: Sequence[Holding]
    fetched: Source | NetworkcacheError | None
    left: float
    left_alone: Sequence[tuple[Source, SourceFailure]]
    unpublished: NetworkcacheError | None

    @property
    def holders(self) -> list[Source]:
        """The sources that hold the content which is believed, the nearest first."""
        trusted = self.outcome.trusted
        if trusted is None:
            return []
        return [h.source for h in self.holdings if trusted.digest in h.digests]

    @property
    def named(self) -> bool:
        """Whether the URL itself names the content, so that no entry is needed."""
        return self.outcome.request.named_digest is not None


def steps_of(facts: Facts, *, taken: bool) -> list[Step]:
    """All of them, in order; `taken` is what they come to."""
    steps = [
        *_before_asking(facts),
        *_answers(facts),
        *_weighing(facts),
        *_content(facts),
        *_time(facts),
    ]
    return steps if taken else [*steps, *_instead(facts)]


# -- before anybody is asked


def _before_asking(facts: Facts) -> Iterator[Step]:
    sources = count(len(facts.config.sources), "source is", "sources are")
    passed = {
        Reason.NOT_CONFIGURED: ("sources", f"{sources} asked, nearest first"),
        Reason.SECRET_URL: ("secret", "the URL carries none"),
        Reason.BLACKLISTED_URL: (
            "blacklist",
            "no prefix of download-from-cache-url-blacklist fits",
        ),
    }
    hindrances = {hindrance.reason: hindrance for hindrance in facts.hindrances}
    for reason, (question, text) in passed.items():
        if reason in hindrances:
            yield Step(question, str(hindrances[reason]), False, reason)
        else:
            yield Step(question, text)
    listed = len(facts.certificates.certificates)
    yield (
        Step("signers", count(listed, "is", "are") + " listed and may be believed")
        if listed
        else Step(
            "signers",
            "signature-certificate-list holds no certificate that parses: nobody is"
            " believed",
            None if facts.named else False,
            Reason.UNKNOWN_SIGNER,
        )
    )


# -- what each source said


def _answers(facts: Facts) -> Iterator[Step]:
    outcome = facts.outcome
    if facts.named and not facts.hindrances:
        yield Step("entry", "none is needed: the URL names the content by its SHA-512")
        return
    for place, answer in enumerate(outcome.answers, 1):
        yield _answer(place, answer)
        for number, verdict in enumerate(answer.verdicts, 1):
            yield _pair(f"entry {place}.{number}", facts, verdict)
    if outcome.trusted is not None:
        asked = len(outcome.answers)
        for place, source in enumerate(facts.config.sources[asked:], asked + 1):
            text = f"{source} is not asked: what a nearer one has is believed"
            yield Step(f"source {place}", text, None)


def _answer(place: int, answer: Answer) -> Step:
    question = f"source {place}"
    if answer.failure is not None:
        failure = answer.failure
        passed = False if isinstance(failure, SourceFailure) else None
        return Step(question, f"{answer.source}: {failure}", passed, failure.reason)
    entries = count(len(answer.verdicts), "entry", "entries")
    return Step(question, f"{answer.source} has {entries}", None)


def _pair(question: str, facts: Facts, verdict: Verdict) -> Step:
    entry, fingerprint = verdict.entry, verdict.signer
    said = ""
    if entry is not None:
        name = facts.certificates.name_of(fingerprint)
        who = signer(name, fingerprint) if fingerprint else "?"
        parts = (who, date(entry.created), size(entry.size), short(entry.sha512.hex))
        said = ", ".join(filter(None, parts))
    if verdict.refusal is not None:
        text = f"{said}: {verdict.refusal}" if said else str(verdict.refusal)
        return Step(question, text, False, verdict.refusal.reason)
    legacy = verdict.vouching is not None and verdict.vouching.legacy
    return Step(question, said + (": counts, though signed in the old way" * legacy))


# -- what all of it together is worth


def _weighing(facts: Facts) -> Iterator[Step]:
    weighed = facts.outcome.weighed
    if not (weighed.believed or weighed.refused):
        return
    threshold = facts.config.threshold
    newest = facts.newest
    checksums = facts.outcome.request.checksums
    asked = ", ".join(f"{c.algorithm} {short(c.value)}" for c in checksums)
    passed = {
        Reason.CONFLICT: ("sizes", "no content is signed with two sizes"),
        Reason.BELOW_THRESHOLD: (
            "threshold",
            f"enough signers vouch for the same (signature-threshold = {threshold})",
        ),
        Reason.CHECKSUM: (
            "checksum",
            f"asked for is {asked}" if asked else "the URL names none",
        ),
        Reason.ROLLBACK: (
            "memory",
            "nothing was believed for it before"
            if newest is None
            else f"nothing newer than {date(newest)} was believed before",
        ),
    }
    for reason, (question, text) in passed.items():
        refusals = [r for r in weighed.refused.values() if r.reason is reason]
        for refusal in refusals:
            # What is out beside something that is believed is in nobody's way.
            stands = None if weighed.believed else False
            yield Step(question, str(refusal), stands, reason)
        if not refusals and weighed.believed:
            yield Step(question, text)
    if (trusted := facts.outcome.trusted) is not None:
        yield Step("believed", _believed(trusted))


def _believed(trusted: TrustedEntry) -> str:
    who = ", ".join(signer(c.name, c.fingerprint) for c in trusted.signers)
    return (
        f"{who} since {date(trusted.created) or 'nobody says when'}: {content_of(trusted)}"
    )


# -- the content, and the time


def _content(facts: Facts) -> Iterator[Step]:
    trusted = facts.outcome.trusted
    if trusted is None:
        return
    if facts.kept:
        yield Step("content", "the local store of this node has it")
    if isinstance(facts.fetched, NetworkcacheError):
        yield Step("content", str(facts.fetched), False, facts.fetched.reason)
        return
    if facts.fetched is not None:
        yield Step("content", f"it came from {facts.fetched}, and is right")
        return
    for holding in facts.holdings:
        if holding.failure is not None:
            text = f"{holding.source}: {holding.failure}"
            yield Step("content", text, None, holding.failure.reason)
    if facts.holders:
        yield Step("content", f"there is one at {', '.join(map(str, facts.holders))}")
    elif not any(holding.failure for holding in facts.holdings):
        stands = None if facts.kept else False
        yield Step("content", "no source has the content", stands, Reason.NOT_FOUND)


def _time(facts: Facts) -> Iterator[Step]:
    left, seconds = facts.left, facts.config.time_budget
    spent = left <= 0
    yield Step(
        "time",
        f"{left:.1f} s of {seconds:g} s are left (cache-time-budget)",
        not spent,
        Reason.LEFT_ALONE if spent else None,
    )
    for source, failure in facts.left_alone:
        text = f"{source} is left alone from here on: {failure}"
        yield Step("left alone", text, None, failure.reason)


# -- what happens in its place


def _instead(facts: Facts) -> Iterator[Step]:
    if facts.config.block_origin:
        text = "block-origin = true: it is not asked"
        yield Step("origin", text, False, Reason.BLOCK_ORIGIN)
        return
    yield Step("origin", "it is asked")
    if facts.unpublished is not None:
        reason = facts.unpublished.reason
        yield Step("publish", str(facts.unpublished), False, reason)
    else:
        yield Step("publish", f"what comes is signed and sent to {facts.config.upload}")
