"""One thing broken on purpose, and the tests that must see it."""

from __future__ import annotations

from typing import NamedTuple

VALUES = "test_golden test_trust test_binding test_entry test_digest test_certificates"


class Mutation(NamedTuple):
    """In `file` of the package, the one place of `old` becomes `new`; `tests` are names
    of test files, and must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str = VALUES
