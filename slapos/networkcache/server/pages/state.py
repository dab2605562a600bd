"""What an operator should look at: rules over the numbers of `statistics`."""

from __future__ import annotations

from collections.abc import Iterator

from ...quantities import readable_size
from ..monitoring.overview import WELL, Overview, UpstreamState
from .rendering import ago

LITTLE = 20
"""A disk of which less than one part in so many is free is told."""
LONG = 3600
"""Seconds for which an entry waits to go on upstream before that is told."""


def worries(overview: Overview, now: float, *, names: bool) -> Iterator[str]:
    """A sentence each, at `now`, POSIX seconds; nothing where all is well. Only with
    `names` do they name an upstream."""
    disk = overview.disk
    if disk.free * LITTLE < disk.total:
        yield f"The disk is nearly full: {readable_size(disk.free)} are left."
    for upstream in overview.upstreams:
        if upstream.state != WELL:
            yield _of_upstream(upstream, now, names)
    waiting = overview.outgoing
    if waiting.failed and waiting.since is not None and now - waiting.since > LONG:
        yield (
            f"{_count(waiting.pairs, 'entry', 'entries')} could not go on upstream since"
            f" {ago(now - waiting.since)}."
        )
    if overview.check is not None and overview.check.wrong:
        wrong = _count(overview.check.wrong, "content", "contents")
        yield f"The last check found {wrong} wrong or missing."


def _of_upstream(upstream: UpstreamState, now: float, names: bool) -> str:
    name = f" ({upstream.name})" if names else ""
    return (
        f"Upstream {upstream.number}{name} has been {upstream.state} for"
        f" {ago(now - upstream.since)}."
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
