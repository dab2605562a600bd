"""What a run took from where: counted as it happens, said in a few lines at its end."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import NetworkcacheError, Reason
from ..printable import readable
from ..quantities import readable_size

if TYPE_CHECKING:
    from ..binding import Request

LOCAL = "the local store"
"""The name under which the node's own store stands among the sources."""
_SOURCES = 2
"""Sources that have a line of their own."""


@dataclass
class Tally:
    """How many files, bytes and seconds."""

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def add(self, bytes: int, seconds: float) -> None:
        self.files += 1
        self.bytes += bytes
        self.seconds += seconds

    def __str__(self) -> str:
        files = f"{self.files} file{'' if self.files == 1 else 's'}"
        return f"{files}, {readable_size(self.bytes)} in {self.seconds:.1f} s"


@dataclass
class Report:
    """The counts of one run.

    `hits` by source, `origin` what had to be fetched from origins, `blocked` how many of
    those were not asked, `published` what was sent afterwards, `misses` why look-ups gave
    nothing, `refused` why single pairs did not count, `only_legacy` how many of them only
    lack ``signature-legacy = accept``, `failed` why contents did not come from a source,
    `unpublished` why something was not sent, `kept` how much of that the next run sends,
    `legacy` how many files were believed in the old way, `saved` the seconds that the
    origins had taken for what was taken from caches, as far as a record of an earlier run
    tells, less what the caches took, `off` why the network cache was not used at all.
    """

    hits: dict[str, Tally] = field(default_factory=dict)
    origin: Tally = field(default_factory=Tally)
    published: Tally = field(default_factory=Tally)
    misses: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    blocked: int = 0
    only_legacy: int = 0
    unpublished: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    legacy: int = 0
    saved: float = 0.0
    off: str = ""

    def hit(self, source: str, bytes: int, seconds: float, saved: float = 0.0) -> None:
        self.hits.setdefault(source, Tally()).add(bytes, seconds)
        self.saved += saved

    @property
    def empty(self) -> bool:
        """Whether nothing was fetched at all, nor should have been."""
        return not (self.hits or self.misses or self.origin.files or self.blocked)

    def plain(self) -> dict[str, Any]:
        """The same for programs; seconds and bytes are numbers."""
        # `asdict` makes a Counter anew, of its items: it would count those.
        counts = {n: dict(v) for n, v in vars(self).items() if isinstance(v, Counter)}
        return {**asdict(self), **counts, "saved": round(self.saved, 3)}

    def lines(self) -> Iterator[str]:
        """What a person reads at the end of a run: at most ten lines."""
        if self.off:
            yield f"the network cache was off: {self.off}"
        if self.empty:
            yield "from the network cache: nothing, for nothing was fetched"
            return
        yield from self._taken()
        blocked = f", {self.blocked} not asked ({Reason.BLOCK_ORIGIN})"
        yield f"from their origin: {self.origin}{blocked if self.blocked else ''}"
        yield f"published: {self.published}"
        if self.misses:
            yield f"not in the network cache: {_counts(self.misses)}"
        yield from self._refusals()
        if self.unpublished:
            kept = f"; {self.kept} kept, the next run sends them" if self.kept else ""
            yield f"not published: {_counts(self.unpublished)}{kept}"

    def _taken(self) -> Iterator[str]:
        sources = sorted(
            self.hits.items(), key=lambda item: (item[0] == LOCAL, -item[1].files)
        )
        if not set(self.hits) - {LOCAL}:
            yield "from the network cache: nothing"
        saved = f", which saved {self.saved:.1f} s" if self.saved >= 1 else ""
        for source, tally in sources[:_SOURCES]:
            where = source if source == LOCAL else f"the network cache {source}"
            yield f"from {where}: {tally}{saved}"
            saved = ""
        if others := sources[_SOURCES:]:
            rest = sum(tally.files for _, tally in others)
            yield f"from {len(others)} other places: {rest} files"

    def _refusals(self) -> Iterator[str]:
        if self.refused:
            yield f"entries refused: {_counts(self.refused)}"
        if self.failed:
            yield f"contents refused: {_counts(self.failed)}"
        if self.only_legacy:
            yield (
                f"{self.only_legacy} refused only because they are signed in the old way:"
                " signature-legacy = accept believes them"
            )
        elif self.legacy:
            yield f"believed in the old way (signature-legacy = accept): {self.legacy}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counter.most_common(6))


def write_report(report: Report, path: str, *, merge: bool) -> None:
    """Write it to `path` as JSON. With `merge`, the buildout that this one has started
    after an upgrade has written its own there, and did the work."""
    plain = report.plain()
    if merge and os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            plain = {**json.load(file), "before_upgrade": plain}
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(plain, file, indent=2)
            file.write("\n")
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def name_of(request: Request) -> str:
    """What a log calls it."""
    return readable(request.url or request.key)


def reason_of(failure: Exception) -> str:
    """What a report calls it: a `Reason`, or the `Code` that a server answered."""
    reason = failure.reason if isinstance(failure, NetworkcacheError) else None
    return str(reason or "failed")
