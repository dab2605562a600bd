"""Bars over time: from numbers to what a template draws as SVG, without any script.

All places are in the units of a picture of `WIDTH` to `HEIGHT`, so small that its text can
be read on a phone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import count
from typing import NamedTuple

from ...quantities import readable_size
from ..monitoring.overview import Span

WIDTH, HEIGHT = 360, 170
LEFT, RIGHT, TOP, BOTTOM = 52, 356, 10, 146
"""Where the bars are."""
_TICKS = 4
"""Lines across, at most, beside the one at zero."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class Series(NamedTuple):
    """A count of each span, and its name for people."""

    name: str
    counted: str


class Scale(NamedTuple):
    """How numbers are told: one, and those beside the lines across."""

    words: Callable[[int], str]
    ticks: Callable[[int], Sequence[tuple[float, str]]]


class Bar(NamedTuple):
    """A piece of a bar, of series number `series`."""

    x: float
    y: float
    width: float
    height: float
    series: int


class Label(NamedTuple):
    """A text, and its place on the axis that it belongs to."""

    place: float
    text: str


class Row(NamedTuple):
    """What a table says of one span."""

    when: str
    numbers: Sequence[str]


@dataclass(frozen=True)
class Plot:
    """What is drawn and said. `summary` is it in a sentence, `rows` are in a table, the
    latest first, without those in which nothing was."""

    title: str
    summary: str
    series: Sequence[str]
    bars: Sequence[Bar]
    across: Sequence[Label]
    along: Sequence[Label]
    rows: Sequence[Row]


def plot(title: str, spans: Sequence[Span], series: Sequence[Series], scale: Scale) -> Plot:
    """The bars of each of `spans`, `series` upon each other."""
    values = [[span.of(each.counted) for each in series] for span in spans]
    highest = max(map(sum, values), default=0)
    ticks = scale.ticks(highest)
    top = max(highest, ticks[-1][0])
    hourly = len(spans) > 1 and spans[1].start - spans[0].start < 86400
    return Plot(
        title,
        _summary(spans, values, highest, scale, hourly),
        [each.name for each in series],
        _bars(values, top),
        [Label(_height(number, top), text) for number, text in ticks],
        _along(spans, hourly),
        [
            Row(_when(span.start, hourly), [scale.words(number) for number in numbers])
            for span, numbers in zip(reversed(spans), reversed(values), strict=True)
            if any(numbers)
        ],
    )


def _bars(values: Sequence[Sequence[int]], top: float) -> list[Bar]:
    step = (RIGHT - LEFT) / max(1, len(values))
    bars = []
    for place, numbers in enumerate(values):
        below = 0
        for series, number in enumerate(numbers):
            if number:
                y = _height(below + number, top)
                height = round(_height(below, top) - y, 2)
                x = round(LEFT + place * step, 2)
                bars.append(Bar(x, y, round(step * 0.8, 2), height, series))
            below += number
    return bars


def _height(number: float, top: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * number / top, 2)


def _along(spans: Sequence[Span], hourly: bool) -> list[Label]:
    step = (RIGHT - LEFT) / max(1, len(spans))
    labels = []
    for place, span in enumerate(spans):
        moment = datetime.fromtimestamp(span.start, timezone.utc)
        text = ""
        if not hourly and moment.day in (1, 15):
            text = f"{moment.day} {moment:%b}"
        elif hourly and moment.hour == 12:
            text = "12:00"
        elif hourly and moment.hour == 0:
            text = f"{moment.day} {moment:%b}"
        if text:
            labels.append(Label(round(LEFT + (place + 0.4) * step, 2), text))
    return labels


def _summary(
    spans: Sequence[Span],
    values: Sequence[Sequence[int]],
    highest: int,
    scale: Scale,
    hourly: bool,
) -> str:
    if not highest:
        return "Nothing yet."
    first = next(n for n, numbers in enumerate(values) if sum(numbers) == highest)
    kind = "hour" if hourly else "day"
    return (
        f"Bars for each {kind}; the highest is {scale.words(highest)},"
        f" {_when(spans[first].start, hourly)}."
    )


def _when(start: int, hourly: bool) -> str:
    moment = datetime.fromtimestamp(start, timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M}" if hourly else f"{moment:%Y-%m-%d}"


# -- numbers beside the lines across


def _steps(highest: float, whole: bool) -> list[float]:
    """Round numbers up to `highest` or a little more, and one at least."""
    for exponent in count(0 if whole else -2):
        for digit in (1, 2, 5):
            step = digit * 10.0**exponent
            if step * _TICKS >= highest:
                upto = max(1, -int(-highest // step))
                return [round(step * n, 2) for n in range(1, upto + 1)]
    raise AssertionError("never gets here")


def _ticks_of_counts(highest: int) -> list[tuple[float, str]]:
    return [(number, f"{number:,.0f}") for number in _steps(highest, whole=True)]


def _ticks_of_bytes(highest: int) -> list[tuple[float, str]]:
    power = min((max(highest, 1).bit_length() - 1) // 10, len(_UNITS) - 1)
    unit = 1 << (10 * power)
    steps = _steps(highest / unit, whole=not power)
    return [(number * unit, f"{number:g} {_UNITS[power]}") for number in steps]


COUNTS = Scale("{:,}".format, _ticks_of_counts)
BYTES = Scale(readable_size, _ticks_of_bytes)
