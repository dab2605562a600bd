"""The network cache that `slapos.networkcache.testing` starts in a thread."""

from __future__ import annotations

import subprocess
import sys

import pytest
from wire import TIMEOUT

START = """
import resource, sys, threading
from slapos.networkcache.testing import NetworkCache
{how}
try:
    with NetworkCache():
        print("started")
except (ImportError, OSError) as error:
    print(error, threading.active_count(), sep="|")
"""


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("sys.modules['aiohttp'] = None", "aiohttp"),
        (
            "import slapos.networkcache.server.app\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6))",
            "Too many open files",
        ),
    ],
    ids=["without aiohttp", "with few files"],
)
def test_cache_that_cannot_start_says_why(how, why):
    program = START.format(how=how)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT
    )
    said, _, threads = done.stdout.strip().partition("|")
    assert why in said, done.stderr
    assert threads == "1"
