"""What a server opens it closes: contents, stores, sockets, its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from wire import TIMEOUT, ask, post

from slapos.networkcache.errors import StorageFailure
from slapos.networkcache.server.configuration.options import Options
from slapos.networkcache.server.runtime.run import run
from slapos.networkcache.storage.memory import MemoryContents
from slapos.networkcache.testing import NetworkCache


class Watched(MemoryContents):
    """Counts the contents that are open."""

    opened = closed = 0

    def open(self, digest):
        content = super().open(digest)
        self.opened += 1
        close = content.close

        def counted():
            self.closed += 1
            close()

        content.close = counted
        return content


def test_every_content_is_closed_once():
    cache = NetworkCache()
    contents = cache.contents = Watched()
    with cache:
        for data in (b"small", bytes(700_000)):
            place = f"/shacache/{post(cache, data)}"
            heads = [{}, {"If-None-Match": "*"}]
            heads += [{"Range": "bytes=0-0"}, {"Range": "bytes=9999999-"}]
            answers = [ask(cache, "GET", place, None, headers) for headers in heads]
            assert [answer.status for answer in answers] == [200, 304, 206, 416]
    assert (contents.opened, contents.closed) == (8, 8)


def open_files():
    """What this process has open, by number."""
    links = {}
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            links[number] = os.readlink(f"/proc/self/fd/{number}")
    return links


def test_nothing_stays_open_of_what_cannot_begin(tmp_path):
    (tmp_path / "entries.sqlite").mkdir()  # the second store
    before = open_files()
    with pytest.raises(StorageFailure):
        run(Options(tmp_path, port=0))
    assert open_files() == before


RUN = """
import os, sys
from pathlib import Path
from slapos.networkcache.server.configuration.options import Options
from slapos.networkcache.server.runtime.run import run
root = Path(sys.argv[1])
code = run(Options(root, port=0, access_log=root / "access.log"))
for number in os.listdir("/proc/self/fd"):
    try:
        print(os.readlink(f"/proc/self/fd/{number}"), flush=True)
    except FileNotFoundError:
        pass
sys.exit(code)
"""


def test_nothing_stays_open_at_the_end(tmp_path):
    program = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("listening on ")
        process.send_signal(signal.SIGTERM)
        left, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert str(tmp_path) not in left
    assert "socket:" not in left
