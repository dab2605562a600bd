"""``networkcache release show``: each build that the network cache has, for which hosts it
is, and whether it would run here. It exits with 0 where one would, with 1 where none
would, and with 3 where none would and a source could not be asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ...binary.builds import Build
from ...binary.candidates import Candidate
from ...binary.hosts import hosts_of
from ...binary.releases import Releases
from ...errors import SourceFailure
from ...outcome import Outcome
from ...printable import readable
from ...urls import redact
from .. import DONE, REFUSED, UNKNOWN, layout
from ..terminal import escape_output

_HEADINGS = ("SIGNED BY", "SINCE", "BUILT IN", "FOR", "SIZE", "UNPACKED", "RUNS HERE")


def run(releases: Releases, url: str, *, as_json: bool) -> int:
    outcome, candidates = releases.candidates(url)
    if as_json:
        print(json.dumps(_plain(outcome, candidates)))
    else:
        escape_output()
        print(readable(f"{outcome.request.key}  {url}, here {releases.state(url).value}"))
        _print(outcome, candidates)
    if any(candidate.fits for candidate in candidates):
        return DONE
    failed = any(isinstance(a.failure, SourceFailure) for a in outcome.answers)
    return UNKNOWN if failed else REFUSED


def _print(outcome: Outcome, candidates: Sequence[Candidate]) -> None:
    if candidates:
        rows = [tuple(_cells(candidate)) for candidate in candidates]
        print(*layout.table(_HEADINGS, rows), sep="\n")
    for number, candidate in enumerate(candidates, 1):
        for refusal in candidate.refusals:
            text = f"build {number}: {refusal.reason}: {refusal}"
            print(layout.paragraph(text, "  ", "    "))
    for sentence in _sentences(outcome, candidates):
        print(layout.paragraph(sentence))


def _cells(candidate: Candidate) -> Iterator[str]:
    trusted, build = candidate.trusted, candidate.build
    yield layout.names_of(trusted)
    yield layout.date(trusted.created)
    yield "?" if build is None else build.software_root
    yield "?" if build is None else hosts_of(build)
    yield layout.size(trusted.size)
    yield layout.size(build.unpacked_size) if isinstance(build, Build) else ""
    yield "yes" if candidate.fits else f"no: {candidate.refusals[0].reason}"


def _sentences(outcome: Outcome, candidates: Sequence[Candidate]) -> Iterator[str]:
    for answer in outcome.answers:
        if isinstance(answer.failure, SourceFailure):
            yield f"{answer.source} could not be asked: {redact(str(answer.failure))}"
    refused = Counter(str(refusal.reason) for refusal in outcome.refused)
    for reason, count in sorted(refused.items()):
        yield f"{count} more not believed: {reason}; networkcache lookup shows them."
    if not candidates:
        yield f"Nothing is believed: {redact(str(outcome.refusal))}."


def _plain(outcome: Outcome, candidates: Sequence[Candidate]) -> dict[str, Any]:
    return {
        "key": outcome.request.key.text,
        "builds": [
            {
                "sha512": candidate.trusted.digest.hex,
                "signers": [
                    {"name": c.name, "fingerprint": c.fingerprint}
                    for c in candidate.trusted.signers
                ],
                "members": dict(candidate.trusted.members),
                "fits": candidate.fits,
                "refusals": [
                    {"reason": str(refusal.reason), "message": redact(str(refusal))}
                    for refusal in candidate.refusals
                ],
            }
            for candidate in candidates
        ],
        "refused": [str(refusal.reason) for refusal in outcome.refused],
    }
