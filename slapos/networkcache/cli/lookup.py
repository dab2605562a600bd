"""Show who says what about a URL, a Python distribution, a software release or a key, who
is believed, and where the contents are.

All sources are asked, and nothing is remembered. It exits with 0 where something is
believed, with 1 where nothing is, and with 3 where nothing is and a source could not be
asked.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ..binding import Request
from ..config import Config
from ..digest import Digest
from ..entry import Kind
from ..errors import NotFound, SourceFailure
from ..printable import readable
from ..urls import Prefixes, redact
from . import DONE, REFUSED, UNKNOWN, layout
from .configuration import add_config_arguments, make_client, read_config
from .naming import requests_for
from .terminal import add_json_argument, escape_output

if TYPE_CHECKING:
    from ..client import Client
    from ..holding import Holding
    from ..outcome import Answer, Outcome, Verdict

_WHAT = {
    Kind.FILE: "the file that a URL fetches",
    Kind.DISTRIBUTION: "a Python distribution",
    Kind.PAGE: "an index page",
    Kind.RUN: "what a run used",
    Kind.BUNDLE: "a git bundle",
    Kind.RELEASE: "a software release",
}


@dataclass(frozen=True)
class _Row:
    """What one source said: about one entry, or that it had none to show.

    `created` is in POSIX seconds, `size` in bytes; None where it is not known. `reason`
    is None for what is believed. `content_at` are the sources that hold the content.
    """

    source: str
    signer: str = ""
    fingerprint: str | None = None
    created: int | None = None
    size: int | None = None
    sha512: str | None = None
    reason: str | None = None
    message: str = ""
    legacy: bool = False
    content_at: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    """What became of one look-up: a row for each entry at each source, and one for each
    source that had none to show."""

    outcome: Outcome
    entries: Sequence[_Row]
    failures: Sequence[_Row]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    add_json_argument(parser)
    parser.add_argument(
        "what",
        metavar="WHAT",
        help="a URL, NAME==VERSION, a software URL, the path of a profile, or a key",
    )


def run(arguments: argparse.Namespace) -> int:
    requests = requests_for(arguments.what)
    found = _look_up(read_config(arguments), requests)
    # A URL may stand for many things: only what it does stand for is of interest.
    shown = [each for n, each in enumerate(found) if each.entries or not n]
    if arguments.json:
        print(json.dumps([_plain(each) for each in shown]))
    else:
        escape_output()
        _print(shown)
        for sentence in _sentences(found):
            print(layout.paragraph(sentence))
    return _code(found)


def _look_up(config: Config, requests: Sequence[Request]) -> list[_Found]:
    """Ask the sources of the download cache, and for releases those of their own."""
    releases = [r for r in requests if r.key.kind is Kind.RELEASE]
    others = [r for r in requests if r.key.kind is not Kind.RELEASE]
    found = []
    if not config.binary_sources:
        # Many have one server for both; but a URL is no release because it might be.
        others, releases = others or releases, []
    if others and (config.reads or not releases):
        with make_client(config) as client:
            found += [_find(client, request) for request in others]
    if releases:
        binary = replace(
            config, sources=config.binary_sources, download_blacklist=Prefixes()
        )
        with make_client(binary) as client:
            found += [_find(client, request) for request in releases]
    return found


def _find(client: Client, request: Request) -> _Found:
    outcome = client.look_up(request, ask_all=True, remember=False)
    entries = [
        _row(client, outcome, answer, verdict)
        for answer in outcome.answers
        for verdict in answer.verdicts
    ]
    holdings = client.holdings(Digest(row.sha512) for row in entries if row.sha512)
    failures = [
        _Row(
            str(a.source),
            reason=str(a.failure.reason or ""),
            message=redact(str(a.failure)),
        )
        for a in outcome.answers
        if a.failure is not None
    ]
    return _Found(outcome, [_located(row, holdings) for row in entries], failures)


def _located(row: _Row, holdings: Sequence[Holding]) -> _Row:
    at = (h for h in holdings if row.sha512 in {digest.hex for digest in h.digests})
    return replace(row, content_at=tuple(str(holding.source) for holding in at))


def _row(client: Client, outcome: Outcome, answer: Answer, verdict: Verdict) -> _Row:
    refusal = verdict.refusal
    if verdict.vouching is not None:
        refusal = outcome.weighed.refused.get(verdict.vouching.statement)
    entry = verdict.entry
    return _Row(
        str(answer.source),
        client.certificates.name_of(verdict.signer),
        verdict.signer,
        entry.created if entry else None,
        entry.size if entry else None,
        entry.sha512.hex if entry else None,
        refusal.reason.value if refusal else None,
        redact(str(refusal)) if refusal else "",
        verdict.vouching is not None and verdict.vouching.legacy,
    )


# -- for people

_HEADINGS = (
    "SIGNED BY", "SINCE", "BELIEVED", "ENTRY AT", "CONTENT", "SIZE", "AT",
)  # fmt: skip
_DIGITS = 12
"""Of fingerprints and digests, so that a line fits."""


def _print(found: Sequence[_Found]) -> None:
    """A table for each key; sources are numbered, and named once at the end."""
    sources = [str(a.source) for each in found for a in each.outcome.answers]
    numbers = {source: str(n) for n, source in enumerate(dict.fromkeys(sources), 1)}
    for each in found:
        request = each.outcome.request
        what = _WHAT.get(request.key.kind)
        print(readable(f"{request.key}  {what}" if what else request.key))
        _print_entries(each.entries, numbers)
        for row in each.failures:
            text = f"source {numbers[row.source]}: {row.reason}: {row.message}"
            print(layout.paragraph(text, "  ", "    "))
        print()
    for source, number in numbers.items():
        print(readable(f"source {number}: {source}"))
    if numbers:
        print()


def _print_entries(rows: Sequence[_Row], numbers: dict[str, str]) -> None:
    """One line for each entry, whatever the number of sources that have it."""
    merged: dict[_Row, list[str]] = {}
    for row in rows:
        merged.setdefault(replace(row, source=""), []).append(numbers[row.source])
    if merged:
        cells = [_cells(row, " ".join(at), numbers) for row, at in merged.items()]
        print(*layout.table(_HEADINGS, cells), sep="\n")
    for message in dict.fromkeys(f"{r.reason}: {r.message}" for r in merged if r.reason):
        print(layout.paragraph(message, "  ", "    "))


def _cells(row: _Row, entry_at: str, numbers: dict[str, str]) -> tuple[str, ...]:
    believed = f"no: {row.reason}" if row.reason else "yes"
    if row.legacy and not row.reason:
        believed += ", signed in the old way"
    return (
        layout.signer(row.signer, row.fingerprint, _DIGITS) if row.fingerprint else "",
        layout.date(row.created),
        believed,
        entry_at,
        layout.short(row.sha512 or "", _DIGITS),
        layout.size(row.size),
        " ".join(numbers[source] for source in row.content_at) or "-",
    )


def _sentences(found: Sequence[_Found]) -> Iterator[str]:
    """One for each key that something is believed of, else one for all."""
    believed = [e for e in (each.outcome.trusted for each in found) if e is not None]
    for each in found:
        if (entry := each.outcome.trusted) is not None:
            yield (
                f"Believed: {each.outcome.request.key} is {layout.content_of(entry)}, on"
                f" the word of {layout.names_of(entry)}."
            )
            if each.outcome.request.key.kind is Kind.RELEASE:
                yield "networkcache release show tells whether it runs here."
    if not believed and _code(found) == UNKNOWN:
        yield f"Could not tell, for a source could not be asked: {_refusal(found)}."
    elif not believed:
        yield f"Nothing is believed: {_refusal(found)}."


def _refusal(found: Sequence[_Found]) -> Exception:
    """Of all that kept the look-ups from success, what says most."""
    refusals = [each.outcome.refusal for each in found]
    telling = [r for r in refusals if not isinstance(r, NotFound)]
    return (telling or refusals)[0]


def _code(found: Sequence[_Found]) -> int:
    outcomes = [each.outcome for each in found]
    if any(outcome.trusted is not None for outcome in outcomes):
        return DONE
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    failed = any(isinstance(answer.failure, SourceFailure) for answer in answers)
    return UNKNOWN if failed else REFUSED


# -- for programs


def _plain(found: _Found) -> dict[str, Any]:
    outcome = found.outcome
    entry = outcome.trusted
    url = outcome.request.url
    return {
        "key": outcome.request.key.text,
        "url": None if url is None else redact(url),
        "rows": [asdict(row) for row in (*found.entries, *found.failures)],
        "believed": dict(entry.members) if entry is not None else None,
        "reason": None if outcome.reason is None else outcome.reason.value,
        "message": None if entry is not None else redact(str(outcome.refusal)),
    }
