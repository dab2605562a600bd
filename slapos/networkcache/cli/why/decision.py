"""What would become of a URL, and why, in one sentence: a value made of what a look-up
learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...binding import Request
from ...config import Source
from ...entry import Kind
from ...errors import Code, NetworkcacheError, NotFound, Reason, SourceFailure
from ..layout import content_of, names_of
from .steps import Facts, Step, steps_of

_AS = {
    Kind.FILE: "as a file of a profile or a recipe",
    Kind.DISTRIBUTION: "as a distribution to be installed",
    Kind.PAGE: "as an index page",
}


@dataclass(frozen=True)
class Decision:
    """What would happen. `taken` is None where it could not be told; `reason` is why the
    URL would not be taken."""

    request: Request
    steps: Sequence[Step]
    taken: bool | None
    reason: Reason | Code | None
    clause: str

    @property
    def what(self) -> str:
        """As what it was asked for."""
        return _AS.get(self.request.key.kind, "by its key")


def decide(facts: Facts) -> Decision:
    """Walk through all of it."""
    failure, told = _failure(facts)
    steps = steps_of(facts, taken=failure is None)
    taken = None if not told else failure is None
    reason = None if failure is None else failure.reason
    return Decision(facts.outcome.request, steps, taken, reason, _clause(facts, failure))


def sentence(decisions: Sequence[Decision]) -> str:
    """What would happen, and why."""
    clauses = dict.fromkeys(decision.clause for decision in decisions)
    if len(clauses) == 1:
        return f"It {decisions[0].clause}."
    both = "; ".join(f"{d.what}, it {d.clause}" for d in decisions)
    return f"{both[0].upper()}{both[1:]}."


def _failure(facts: Facts) -> tuple[NetworkcacheError | None, bool]:
    """Why the URL would not be taken, if so, and whether that is certain."""
    outcome = facts.outcome
    if outcome.trusted is None:
        return outcome.refusal, not isinstance(outcome.refusal, SourceFailure)
    if facts.kept or isinstance(facts.fetched, Source) or facts.holders:
        return None, True
    if isinstance(facts.fetched, NetworkcacheError):
        return facts.fetched, not isinstance(facts.fetched, SourceFailure)
    for holding in facts.holdings:
        if holding.failure is not None:
            return holding.failure, not isinstance(holding.failure, SourceFailure)
    return NotFound("no source has the content"), True


def _clause(facts: Facts, failure: NetworkcacheError | None) -> str:
    """What would happen to it; the sentence is ``It CLAUSE.``"""
    if failure is None:
        return _taken(facts)
    not_taken = f"would not be taken from the network cache ({_because(failure)})"
    if facts.config.block_origin:
        return (
            f"{not_taken}, and the build would fail, since block-origin = true keeps it"
            f" from its origin ({Reason.BLOCK_ORIGIN})"
        )
    if facts.unpublished is not None:
        return (
            f"{not_taken}, but fetched from its origin, and not published"
            f" ({_because(facts.unpublished)})"
        )
    return f"{not_taken}, but fetched from its origin and published"


def _taken(facts: Facts) -> str:
    trusted = facts.outcome.trusted
    assert trusted is not None
    source = facts.fetched if isinstance(facts.fetched, Source) else None
    near = "the local store of this node"
    where = near if facts.kept else f"the network cache {source or facts.holders[0]}"
    names = names_of(trusted)
    word = f"on the word of {names}" if names else "which the URL itself names"
    return f"would be taken from {where}: {content_of(trusted)}, {word}"


def _because(error: NetworkcacheError) -> str:
    return f"{error.reason}: {error}" if error.reason else str(error)
