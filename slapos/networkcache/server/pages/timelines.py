"""Which plots there are: what each of them shows of what was counted by the hour."""

from __future__ import annotations

from collections.abc import Sequence

from ..monitoring.overview import Span
from ..monitoring.samples import BYTES as HELD
from .plots import BYTES, COUNTS, Plot, Series, plot

_SENT = Series("Sent", "bytes-sent")
_RECEIVED = Series("Received", "bytes-received")
_CONTENTS = (
    Series("Were here", "content-hits"),
    Series("Came from an upstream", "content-filled"),
    Series("Nobody has", "content-misses"),
)
_KEYS = (Series("With entries", "entry-hits"), Series("Without", "entry-misses"))
_SPACE = (Series("Contents", HELD),)


def in_short(spans: Sequence[Span]) -> list[Plot]:
    """Two for the first page."""
    return [
        plot("Contents that were asked for", spans, _CONTENTS, COUNTS),
        plot("Bytes sent", spans, [_SENT], BYTES),
    ]


def in_full(spans: Sequence[Span]) -> list[Plot]:
    """All of them."""
    return [
        plot("Contents that were asked for", spans, _CONTENTS, COUNTS),
        plot("Keys that were looked up", spans, _KEYS, COUNTS),
        plot("Bytes sent and received", spans, [_SENT, _RECEIVED], BYTES),
        plot("Space that contents take", spans, _SPACE, BYTES),
    ]
