"""``kill -9`` of workers and of all processes while clients upload: what was acknowledged
is there, nothing is there in part, and the database agrees with itself."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import closing

import pytest
from processes import children, kill_all
from uploading import Uploader, check_kept


def upload_and_kill(server, chance: random.Random, number: int) -> list[Uploader]:
    """Kill one worker, then all processes, while four upload; start it again."""
    uploaders = [Uploader(server, f"{number} {n}", f"key{number}") for n in range(4)]
    for uploader in uploaders:
        uploader.start()
    time.sleep(chance.uniform(0.02, 0.3))
    os.kill(chance.choice(children(server.process.pid)), 9)
    time.sleep(chance.uniform(0, 0.3))
    kill_all(server)
    for uploader in uploaders:
        uploader.stop()
    server.start()
    return uploaders


def check_sums(server, promised: set[str]) -> None:
    """The database is whole, and agrees with itself, with the contents, and with what
    clients were promised."""
    with closing(sqlite3.connect(server.root / "entries.sqlite")) as database:

        def ask(question: str) -> list[tuple]:
            return database.execute(question).fetchall()

        assert ask("PRAGMA integrity_check") == [("ok",)]
        assert ask("SELECT * FROM transfer") == []
        assert ask("SELECT sum(contents), sum(bytes) FROM held") == ask(
            "SELECT count(*), sum(size) FROM content"
        )
        assert ask("SELECT sum(pairs), sum(bytes) FROM held_pairs") == ask(
            "SELECT count(*), sum(size) FROM entry"
        )
        sizes = dict(ask("SELECT lower(hex(digest)), size FROM content"))
        assert promised <= set(sizes)
        for name, size in sizes.items():
            assert (server.root / "v1" / name[:2] / name[2:4] / name).stat().st_size == size


def kill_many_times(server, rounds: int) -> None:
    chance = random.Random(11)
    right: set[str] = set()
    promised: set[str] = set()
    for number in range(rounds):
        uploaders = upload_and_kill(server, chance, number)
        check_kept(server, uploaders, right)
        promised.update(*(uploader.contents for uploader in uploaders))
    assert len(promised) > rounds, "hardly anything was put: the test tested nothing"
    assert server.stop() == 0
    check_sums(server, promised)
    assert "Traceback" not in server.errors.read_text()


def test_kill_9_of_two_workers(make_server):
    kill_many_times(make_server("--workers", "2"), 1)


@pytest.mark.long
def test_kill_9_of_two_workers_50_times(make_server):
    kill_many_times(make_server("--workers", "2"), 50)
