"""Choosing among entries by what they say: ``KEY{==,<=,>=,<,>,<<,>>}VALUE``.

The criteria of `slapos.libnetworkcache`, with the same outcome in every case: they apply
one after the other, `VALUE` is JSON, ``<<`` and ``>>`` keep the lowest and the highest
value under and over `VALUE`, and what cannot be compared does not count.
"""

from __future__ import annotations

import json
import logging
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import InvalidInput

logger = logging.getLogger("slapos.networkcache")
Item = TypeVar("Item")

_COMPARISON = re.compile("(<<|>>|[<>]=?|==)")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    ">>": operator.gt,
    "<<": operator.lt,
}


@dataclass(frozen=True)
class Criterion:
    """One condition on the member `key`."""

    key: str
    comparison: str
    value: Any

    @classmethod
    def parse(cls, text: str) -> Criterion:
        """Raises `InvalidInput`."""
        key, *rest = _COMPARISON.split(text, maxsplit=1)
        if len(rest) != 2:
            raise InvalidInput(
                f"expected KEY, one of == <= >= < > << >>, and VALUE, got {text!r:.200}"
            )
        comparison, value = rest
        try:
            return cls(key, comparison, json.loads(value))
        except (ValueError, RecursionError):
            raise InvalidInput(
                f"the value of {text!r:.200} is not JSON; a string is written in double"
                f" quotes: '{key}{comparison}\"{value:.100}\"'"
            ) from None

    def choose(
        self, items: Sequence[Item], members: Callable[[Item], Mapping[str, Any]]
    ) -> list[Item]:
        """Those of `items` that fit, in their order; `members` tells what one says."""
        having = [item for item in items if self.key in members(item)]
        if self.comparison not in ("<<", ">>"):
            return [i for i in having if self._holds(members(i)[self.key], self.value)]
        extreme = self.value
        chosen: list[Item] = []
        for item in having:
            value = members(item)[self.key]
            if self._holds(value, extreme):
                chosen, extreme = [item], value
            elif chosen and value == extreme:
                chosen.append(item)
        return chosen

    def _holds(self, value: Any, other: Any) -> bool:
        try:
            return bool(_OPERATORS[self.comparison](value, other))
        except TypeError:
            logger.warning("cannot be compared: %a %s %a", value, self.comparison, other)
            return False


def choose(
    criteria: Sequence[Criterion],
    items: Sequence[Item],
    members: Callable[[Item], Mapping[str, Any]],
) -> list[Item]:
    """Apply `criteria` one after the other."""
    chosen = list(items)
    for criterion in criteria:
        chosen = criterion.choose(chosen, members)
    return chosen
