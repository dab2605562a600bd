"""The clock of a server is far ahead, or is set back: nothing goes because of that, and
nothing waits until it is as late again."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from keeping import keep, make_root, name
from processes import wait_until
from wire import ask, old, pairs, post, put

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import Code
from slapos.networkcache.storage import Stored
from slapos.networkcache.testing import faults


class Clock:
    """The clock of a server, which can be set; `wrap` is how that is started."""

    def __init__(self, file: Path, library: str):
        self._file = file
        self.wrap = (
            "env",
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        )

    def set(self, days: int) -> None:
        """So many days after now."""
        self._file.write_text(f"+{days}d")


@pytest.fixture
def clock(tmp_path) -> Clock:
    faketime = shutil.which("faketime")
    if faketime is None:
        pytest.skip("faketime is not here: apt-get install faketime")
    asked = [faketime, "-m", "-f", "+0d", "printenv", "LD_PRELOAD"]
    library = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return Clock(tmp_path / "clock", library.strip())


def rows(server, question: str) -> list[tuple]:
    with closing(sqlite3.connect(server.root / "entries.sqlite")) as database:
        return database.execute(question).fetchall()


def test_nothing_is_collected_because_a_clock_was_set_back(make_server, clock):
    clock.set(400)
    server = make_server("--keep", "30 d", wrap=clock.wrap)
    then = post(server, b"then")
    put(server, "then", old(then))
    clock.set(0)
    now = post(server, b"now")
    put(server, "now", old(now))
    assert rows(server, "SELECT max(put) - min(put) > 399 * 86400 FROM entry") == [(1,)]
    command = [sys.executable, "-m", "slapos.networkcache", "server", "collect"]
    subprocess.run([*command, "--root", server.root, "--keep", "30 d"], check=True)
    for data, key in ((b"then", "then"), (b"now", "now")):
        assert pairs(server, key) == [old(Digest.of(data).hex)]
        assert ask(server, "GET", f"/shacache/{Digest.of(data)}").body == data
    assert put(server, "then", old(then, n=2)).status == 201
    assert pairs(server, "then") == [old(then, n=2), old(then)], "the latest is first"


def test_nothing_is_collected_because_a_clock_was_far_ahead_once(
    make_server, clock, tmp_path
):
    """As that of a computer may be until it is told the time."""
    with closing(make_root(tmp_path / "root")) as root:
        orphan = keep(root, b"orphan")
        name(root, "key", keep(root, b"named"))
    clock.set(400)
    server = make_server(root=tmp_path / "root", wrap=clock.wrap)
    for _ in range(2):
        wait_until(lambda: "not collected: the clock says" in server.errors.read_text())
        server.errors.write_text("")
        post(server, b"now")
        assert ask(server, "HEAD", f"/shacache/{orphan}").status == 200
        server.stop()
        server.start()


def test_what_upstreams_did_is_not_held_against_them_for_400_days(make_server, far, clock):
    clock.set(400)
    server = make_server("--upstream", far.cache_url, far.dir_url, wrap=clock.wrap)
    assert pairs(server, "key") == []
    far.plan(faults.drop)
    assert ask(server, "GET", "/shadir/another").status == 502
    wait_until(lambda: rows(server, "SELECT state FROM upstream") == [("dead",)])
    far.heal()
    clock.set(0)
    digest = far.contents.put([b"content"])
    pair = old(digest.hex)
    far.entries.put(Key("key"), Stored(Pair(*pair)))
    wait_until(lambda: pairs(server, "key") == [pair])
    assert ask(server, "GET", f"/shacache/{digest}").body == b"content"


def test_what_was_to_go_on_later_goes_on_after_a_clock_was_set_back(
    make_server, far, clock
):
    clock.set(400)
    far.plan(faults.refuse(Code.FORBIDDEN), "PUT /shadir")
    server = make_server(
        "--upstream", far.cache_url, far.dir_url, "--upload-through", wrap=clock.wrap
    )
    pair = old(post(server, b"content"))
    assert put(server, "key", pair).status == 201
    later = "SELECT due > strftime('%s') + 399 * 86400 FROM outgoing"
    wait_until(lambda: rows(server, later) == [(1,)])
    far.heal()
    clock.set(0)
    wait_until(lambda: rows(server, "SELECT * FROM outgoing") == [])
    assert [stored.pair for stored in far.entries.get([Key("key")])[Key("key")]] == [
        Pair(*pair)
    ]
