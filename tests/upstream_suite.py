"""Run some of zc.buildout's own tests, in a Python that has them; prints what became of
each as JSON.

    python upstream_suite.py download.txt extends-cache.txt
"""

from __future__ import annotations

import json
import os
import sys
import unittest
from collections.abc import Iterator


def main(names: list[str]) -> None:
    import zc.buildout.testing  # noqa: F401 - the module of the tests counts on it
    from zc.buildout.tests.test_all import test_suite

    found = {os.path.basename(test.id()): test for test in _flat(test_suite())}
    outcome = {}
    for name in names:
        result = unittest.TestResult()
        found[name.replace(".", "_")].run(result)
        wrong = [text for _, text in result.failures + result.errors]
        outcome[name] = {"run": result.testsRun, "wrong": wrong}
    print(json.dumps(outcome))


def _flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test


if __name__ == "__main__":
    main(sys.argv[1:])
