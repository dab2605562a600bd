"""Choosing among the entries that `select` gave, by what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..criteria import Criterion, choose
from .exceptions import raised_as_before


class NetworkcacheFilter:
    """Criteria that apply one after the other: ``KEY{==,<=,>=,<,>,<<,>>}VALUE`` as text,
    or parsed into three. Raises `NetworkcacheException` for what is no criterion."""

    def __init__(self, criterion_list: Iterable[str | Sequence[Any]] = ()):
        with raised_as_before():
            self._criteria = [
                Criterion.parse(criterion)
                if isinstance(criterion, str)
                else Criterion(*criterion)
                for criterion in criterion_list
            ]

    def __call__(self, data_dict_list: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that fit, in their order."""
        return choose(self._criteria, list(data_dict_list), lambda members: members)
