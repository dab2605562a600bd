"""Attributes of other modules and classes that are replaced, and put back."""

from __future__ import annotations

from typing import Any

_MISSING = object()


class Seams:
    """What was put in place of what; `undo` leaves all as it was."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def put(self, owner: Any, name: str, replacement: Any) -> None:
        """Put `replacement` in the place of an attribute of `owner` itself; one that is
        inherited, or not there at all, is hidden until it is undone."""
        self._before.append((owner, name, vars(owner).get(name, _MISSING)))
        setattr(owner, name, replacement)

    def undo(self) -> None:
        while self._before:
            owner, name, before = self._before.pop()
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
