"""Show who says what about a URL, a Python distribution or a key, and who is believed.

All sources are asked. It exits with 0 where something is believed, with 1 where nothing
is, and with 3 where nothing is and a source could not be asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..binding import Request
from ..entry import Entry, Key
from ..errors import InvalidEntry, NotFound, SourceFailure
from ..printable import readable
from ..urls import is_remote, normalised_name, safe_name
from . import DONE, REFUSED, UNKNOWN
from .configuration import add_config_arguments, make_client, read_config

if TYPE_CHECKING:
    from ..client import Client
    from ..outcome import Answer, Outcome, Verdict


@dataclass(frozen=True)
class Row:
    """What one source said: about one entry, or that it had none to show.

    `created` is in POSIX seconds, `size` in bytes; None where it is not known. `reason`
    is None for what is believed.
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="the same for programs")
    parser.add_argument("what", metavar="WHAT", help="a URL, NAME==VERSION, or a key")


def run(arguments: argparse.Namespace) -> int:
    requests = _requests(arguments.what)
    config = read_config(arguments)
    with closing(make_client(config)) as client:
        outcomes = [client.look_up(request, ask_all=True) for request in requests]
        tables = [list(_rows(client, outcome)) for outcome in outcomes]
    if arguments.json:
        print(json.dumps([_plain(o, t) for o, t in zip(outcomes, tables, strict=True)]))
    else:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        for outcome, rows in zip(outcomes, tables, strict=True):
            _print_table(outcome, rows)
        print(_sentence(outcomes))
    return _code(outcomes)


def _requests(what: str) -> list[Request]:
    """What to look up: the file and the distribution that a URL names, or one key; the
    names of a project that its files may be written with."""
    name, equals, version = what.partition("==")
    if is_remote(what) or "/" in what:
        distribution = Request.for_distribution(what)
        return [Request.for_file(what), *([distribution] if distribution else [])]
    if equals:
        names = (safe_name(name), normalised_name(name))
        keys = dict.fromkeys(Key.for_distribution(n, version.strip()) for n in names)
    else:
        keys = {Key.parse(what): None}
    return [Request(key) for key in keys]


def _rows(client: Client, outcome: Outcome) -> Iterator[Row]:
    for answer in outcome.answers:
        source = str(answer.source)
        if answer.failure is not None:
            reason = str(answer.failure.reason or "")
            yield Row(source, reason=reason, message=str(answer.failure))
        for verdict in answer.verdicts:
            yield _row(client, outcome, source, verdict)


def _row(client: Client, outcome: Outcome, source: str, verdict: Verdict) -> Row:
    refusal = verdict.refusal
    entry = _entry(verdict)
    fingerprint = entry.signer if entry else None
    if verdict.vouching is not None:
        fingerprint = verdict.vouching.certificate.fingerprint
        refusal = outcome.weighed.refused.get(verdict.vouching.statement)
    names = {c.fingerprint: c.name for c in client.certificates.certificates}
    return Row(
        source,
        names.get(fingerprint or "", ""),
        fingerprint,
        entry.created if entry else None,
        entry.size if entry else None,
        entry.sha512.hex if entry else None,
        refusal.reason.value if refusal else None,
        str(refusal) if refusal else "",
        verdict.vouching is not None and verdict.vouching.legacy,
    )


def _entry(verdict: Verdict) -> Entry | None:
    """What a pair says, whether it is believed or not."""
    if verdict.vouching is not None:
        return verdict.vouching.entry
    try:
        return Entry.parse(verdict.pair.entry) if verdict.pair else None
    except InvalidEntry:
        return None


# -- for people

_HEADINGS = ("SOURCE", "SIGNED BY", "CREATED", "SIZE", "SHA-512", "BELIEVED")


def _print_table(outcome: Outcome, rows: list[Row]) -> None:
    print(readable(outcome.request.key))
    if not rows:
        return
    lines = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  " + "  ".join(padded).rstrip())
    print()


def _cells(row: Row) -> tuple[str, ...]:
    signer = f"{row.signer or '?'} ({row.fingerprint[:16]})" if row.fingerprint else ""
    believed = f"no: {row.reason}: {row.message}" if row.reason else "yes"
    if row.legacy and not row.reason:
        believed += ", signed in the old way"
    created = "" if row.created is None else _date(row.created)
    size = "" if row.size is None else str(row.size)
    cells = (row.source, signer, created, size, (row.sha512 or "")[:16], believed)
    return tuple(readable(cell) for cell in cells)


def _date(created: int) -> str:
    try:
        return f"{datetime.fromtimestamp(created, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return str(created)


def _sentence(outcomes: list[Outcome]) -> str:
    for outcome in outcomes:
        if (entry := outcome.trusted) is not None:
            names = ", ".join(c.name or c.fingerprint[:16] for c in entry.signers)
            size = "of unknown size" if entry.size is None else f"of {entry.size} bytes"
            return readable(
                f"Believed: {outcome.request.key} is the content {entry.digest.hex[:16]}…"
                f" {size}, on the word of {names}."
            )
    refusal = _refusal(outcomes)
    if _code(outcomes) == UNKNOWN:
        return readable(f"Could not tell, for a source could not be asked: {refusal}.")
    return readable(f"Nothing is believed: {refusal}.")


def _refusal(outcomes: list[Outcome]) -> Exception:
    """Of all that kept the look-ups from success, what says most."""
    refusals = [outcome.refusal for outcome in outcomes]
    telling = [r for r in refusals if not isinstance(r, NotFound)]
    return (telling or refusals)[0]


def _code(outcomes: list[Outcome]) -> int:
    if any(outcome.trusted is not None for outcome in outcomes):
        return DONE
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    return UNKNOWN if any(map(_failed, answers)) else REFUSED


def _failed(answer: Answer) -> bool:
    return isinstance(answer.failure, SourceFailure)


# -- for programs


def _plain(outcome: Outcome, rows: list[Row]) -> dict[str, Any]:
    entry = outcome.trusted
    return {
        "key": outcome.request.key.text,
        "url": outcome.request.url,
        "rows": [asdict(row) for row in rows],
        "believed": dict(entry.members) if entry is not None else None,
        "reason": None if outcome.reason is None else outcome.reason.value,
        "message": None if entry is not None else str(outcome.refusal),
    }
