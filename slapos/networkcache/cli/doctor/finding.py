"""What ``networkcache doctor`` finds: values, and how bad they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from .. import DONE, REFUSED, UNKNOWN


class Mark(str, Enum):
    """How bad a finding is. ``UNKNOWN`` is what could not be told."""

    OK = "OK"
    WARN = "WARN"
    WRONG = "WRONG"
    UNKNOWN = "?"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `about` which part, `what` is there, and what to
    `change`, where that is not nothing."""

    mark: Mark
    about: str
    what: str
    change: str = ""


def code_of(findings: Iterable[Finding]) -> int:
    """The exit code that they come to."""
    marks = {finding.mark for finding in findings}
    if Mark.WRONG in marks:
        return REFUSED
    return UNKNOWN if Mark.UNKNOWN in marks else DONE
