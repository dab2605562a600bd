"""One line of the table, and how it is measured and printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Row:
    """What was measured, for the incumbent and for ours, in `unit`.

    Where `factor` is set, ours must be that many times better than the incumbent; where
    `limit` is set, ours must stay below it. `higher_is_better` is for rates. `count`
    says what the medians are made of.
    """

    what: str
    incumbent: float | None
    ours: float
    unit: str
    count: str
    factor: float | None = None
    limit: float | None = None
    higher_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better ours is."""
        if not self.incumbent or not self.ours:
            return None
        if self.higher_is_better:
            return self.ours / self.incumbent
        return self.incumbent / self.ours

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        enough = self.factor is None or (self.ratio or 0) >= self.factor
        return enough and (self.limit is None or self.ours <= self.limit)

    @property
    def target(self) -> str:
        """What was promised; empty where the line is there for comparison only."""
        if self.factor is not None:
            return f"{self.factor:g}x"
        return "" if self.limit is None else f"{self.limit:g} {self.unit}"

    def cells(self) -> list[str]:
        """The line of the table."""
        return [
            self.what,
            "-" if self.incumbent is None else _number(self.incumbent, self.unit),
            _number(self.ours, self.unit),
            f"{self.ratio:.1f}x" if self.ratio else "-",
            self.target,
            ("yes" if self.met else "NO") if self.target else "",
            self.count,
        ]


def _number(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def table(rows: Iterable[Row]) -> str:
    """The rows below their heads, in columns."""
    heads = ["what", "incumbent", "ours", "ratio", "target", "met", "medians of"]
    lines = [heads, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def in_turn(rounds: int, *runs: Callable[[], Measured]) -> list[list[Measured]]:
    """What `runs` give, run in turn, for each of `rounds`."""
    return [[run() for run in runs] for _ in range(rounds)]


def take_turns(rounds: int, *runs: Callable[[], float]) -> list[float]:
    """The median of each of `runs`, run in turn `rounds` times."""
    return [median(column) for column in zip(*in_turn(rounds, *runs), strict=True)]
