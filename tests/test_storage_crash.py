"""Processes that are killed, and what is synced in which order: nothing is cut, and nothing
that was promised is lost."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from store_process import IMPORTS, run

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.storage.folder import FolderContents
from slapos.networkcache.storage.kinds import open_stores

# Left-overs


def test_leftovers_of_the_dead_are_removed_and_of_the_living_are_not(tmp_path):
    store = FolderContents(tmp_path)
    with store.writer() as writer:
        writer.write(b"alive")
        script = "FolderContents(root).writer().write(b'dead')\nos.kill(os.getpid(), 9)"
        dead = subprocess.run([sys.executable, "-c", IMPORTS + script, str(tmp_path)])
        assert dead.returncode == -signal.SIGKILL
        assert len(os.listdir(store.temporary)) == 2
        FolderContents(tmp_path)
        assert len(os.listdir(store.temporary)) == 1
        digest = writer.commit()
    assert store.has(digest)


# Killed

_KILLED = """
stores = open_stores(root)
turn = sys.argv[2]
def work(number):
    for i in range(10_000):
        data = f"{turn}-{number}-{i}".encode() * (i % 7 * 5000 + 1)
        with stores.contents.writer() as writer:
            for start in range(0, len(data), 10_000):
                writer.write(data[start:start + 10_000])
            digest = writer.commit()
        os.write(1, f"content {digest}\\n".encode())
        stores.entries.put(Key(f"key-{number}"), Stored(Pair(str(digest), "")))
        os.write(1, f"entry {digest} {number}\\n".encode())
for number in range(4):
    threading.Thread(target=work, args=(number,)).start()
"""


def test_killed_at_any_moment_nothing_is_cut_and_nothing_is_lost(tmp_path):
    chance = random.Random(2)
    contents: set[str] = set()
    entries: set[tuple[str, str]] = set()
    left_over = 0
    for turn in range(15):
        process = subprocess.Popen(
            [sys.executable, "-c", IMPORTS + _KILLED, str(tmp_path), str(turn)],
            stdout=subprocess.PIPE,
        )
        first = process.stdout.readline()
        threading.Timer(chance.uniform(0, 0.06), process.kill).start()
        for line in [first, *process.stdout]:
            what, digest, *number = line.decode().split()
            if what == "content":
                contents.add(digest)
            else:
                entries.add((digest, number[0]))
        assert process.wait(timeout=60) == -signal.SIGKILL
        left_over += len(os.listdir(tmp_path / "v1" / "tmp"))
    assert contents
    assert entries

    with closing(open_stores(str(tmp_path))) as stores:
        assert os.listdir(tmp_path / "v1" / "tmp") == []
        for digest in stores.contents:
            with stores.contents.open(digest) as content:
                assert Digest.of(content.read(0, content.size)) == digest
        assert contents <= {digest.hex for digest in stores.contents}
        found = stores.entries.get([Key(f"key-{number}") for number in range(4)])
        there = {
            (pair.pair.entry, key.text[4:])
            for key, pairs in found.items()
            for pair in pairs
        }
        assert entries <= there
        # An entry was put after its content: none is without.
        assert all(stores.contents.has(Digest(digest)) for digest, _ in there)
    assert left_over, "no process was killed while it wrote: the test shows nothing"


# Synced

_SYNCED = """
stores = open_stores(root)
def mark(name):
    os.access(f"/mark/{name}", os.F_OK)
mark("begin")
stores.contents.put([b"hello"])
mark("content")
stores.entries.put(KEY, Stored(Pair("a", "")))
mark("entry")
stores.contents.put([b"hello"])
mark("again")
stores.close()
"""


def test_everything_is_synced_before_it_is_promised(tmp_path):
    """Seen by strace: file synced, renamed, folders synced; then the log of SQLite."""
    strace = [
        "strace",
        "-f",
        "-y",
        "-e",
        "trace=access,faccessat,faccessat2,rename,renameat,renameat2,fsync,fdatasync",
        "-o",
        str(tmp_path / "trace"),
    ]
    if not shutil.which("strace"):
        pytest.skip("strace is not there: apt-get install strace")
    if subprocess.run([*strace, "true"], capture_output=True).returncode:
        pytest.skip("strace may not trace here: allow ptrace, or run as root")
    root = tmp_path / "root"
    run(_SYNCED, root, before=strace)
    trace = (tmp_path / "trace").read_text()
    steps = []
    for line in trace[trace.index("/mark/begin") :].splitlines()[1:]:
        if match := re.search(r"/mark/(\w+)", line):
            steps.append(match.group(1))
        elif match := re.search(r"f(?:data)?sync\(\d+<(.*?)>\)", line):
            steps.append("sync " + match.group(1))
        elif match := re.search(r'rename\w*\(.*?"(.*?)".*"(.*?)"', line):
            steps.append(f"rename {match.group(1)} {match.group(2)}")
    digest = Digest.of(b"hello").hex
    first = root / "v1" / digest[:2]
    second = first / digest[2:4]
    temporary = steps[0].removeprefix("sync ")
    assert os.path.dirname(temporary) == str(root / "v1" / "tmp")
    assert steps[: steps.index("content") + 1] == [
        f"sync {temporary}",
        f"rename {temporary} {second / digest}",
        f"sync {second}",
        f"sync {first}",
        f"sync {root / 'v1'}",
        "content",
    ]
    put = steps[steps.index("content") + 1 : steps.index("entry")]
    assert f"sync {root}/entries.sqlite-wal" in put
    again = steps[steps.index("entry") + 1 : steps.index("again")]
    assert again == [f"sync {second / digest}", f"sync {second}"]
