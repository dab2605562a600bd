"""Contents that come ahead: in the order in which they are wanted, waited for only where
they are on their way, and never in anybody's way."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from caches import client_for
from wire import TIMEOUT

from slapos.networkcache.client import Client
from slapos.networkcache.digest import Digest
from slapos.networkcache.errors import SourceFailure, StorageFailure, WrongContent
from slapos.networkcache.localstore import LocalStore
from slapos.networkcache.prefetch import Prefetch
from slapos.networkcache.testing import NetworkCache, faults
from slapos.networkcache.transport import CONNECTIONS

pytestmark = pytest.mark.filterwarnings(
    "error::pytest.PytestUnhandledThreadExceptionWarning"
)
CONTENTS = "GET /shacache"
SLOWLY = faults.drip(30_000)
"""A second for a content."""


@pytest.fixture
def digests(near: NetworkCache, far: NetworkCache) -> list[Digest]:
    """Of contents that both have."""
    found = []
    for number in range(CONNECTIONS + 4):
        data = str(number).encode() * 30_000
        for cache in (near, far):
            cache.contents.put([data])
        found.append(Digest.of(data))
    return found


@pytest.fixture
def client(near: NetworkCache, far: NetworkCache, tmp_path: Path) -> Iterator[Client]:
    local = LocalStore(tmp_path / "store", 1 << 30)
    client = client_for(near, far, local=local)
    yield client
    client.close()


@pytest.fixture
def prefetch(client: Client) -> Iterator[Prefetch]:
    prefetch = Prefetch(client)
    yield prefetch
    prefetch.close()
    until(lambda: not at_work())


def want(prefetch: Prefetch, client: Client, digests: list[Digest], first: int = 0) -> None:
    prefetch.want([(client.policy.named_by_profile(d), first) for d in digests])


def until(is_so: Callable[[], object]) -> None:
    """Wait for what other threads do."""
    end = time.monotonic() + TIMEOUT
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def at_work() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def asked(cache: NetworkCache) -> list[str]:
    return [request.path.rpartition("/")[2] for request in cache.requests]


def hexes(digests: list[Digest]) -> list[str]:
    return [digest.hex for digest in digests]


def files(client: Client) -> list[str]:
    found = client.local.folder.rglob("*")
    return [path.name for path in found if path.is_file() and path.parent.name != "store"]


def test_they_come_into_the_local_store(near, client, prefetch, digests):
    want(prefetch, client, digests[:3])
    for digest in digests[:3]:
        until(lambda digest=digest: client.local.has(digest))
        assert prefetch.claim(digest) == near.source
        assert prefetch.claim(digest) is None  # told once
    until(lambda: not at_work())
    assert sorted(files(client)) == sorted(hexes(digests[:3]))


def test_in_the_order_in_which_they_are_wanted(near, client, prefetch, digests):
    near.plan(SLOWLY, CONTENTS)
    want(prefetch, client, digests[:2])
    want(prefetch, client, digests[1:])
    until(lambda: len(near.requests) == len(digests))
    assert set(asked(near)[:CONNECTIONS]) == set(hexes(digests[:CONNECTIONS]))
    assert sorted(asked(near)) == sorted(hexes(digests))  # each once
    assert near.connections == CONNECTIONS


def test_more_may_be_wanted_later(near, client, prefetch, digests):
    want(prefetch, client, digests[:1])
    until(lambda: client.local.has(digests[0]) and not at_work())
    want(prefetch, client, digests[:2])
    until(lambda: client.local.has(digests[1]))
    assert asked(near) == hexes(digests[:2])


def test_what_is_there_already_is_not_fetched(near, client, prefetch, digests):
    client.fetch_ahead(client.policy.named_by_profile(digests[0]))
    want(prefetch, client, digests[:2])
    until(lambda: client.local.has(digests[1]) and not at_work())
    assert prefetch.claim(digests[0]) is None
    assert asked(near) == hexes(digests[:2])


def test_the_source_that_is_asked_first(near, far, client, prefetch, digests):
    want(prefetch, client, digests[:1], first=1)
    until(lambda: client.local.has(digests[0]))
    assert prefetch.claim(digests[0]) == far.source
    assert asked(near) == []


# Claimed


def test_one_that_is_on_its_way_is_waited_for(near, client, prefetch, digests):
    near.plan(SLOWLY, CONTENTS)
    want(prefetch, client, digests[:1])
    until(lambda: near.requests)
    assert not client.local.has(digests[0])
    assert prefetch.claim(digests[0]) == near.source
    assert client.local.has(digests[0])


def test_one_that_has_not_begun_is_left_to_who_asks(near, client, prefetch, digests):
    near.plan(SLOWLY, CONTENTS)
    want(prefetch, client, digests)
    until(lambda: len(near.requests) == CONNECTIONS)
    assert prefetch.claim(digests[-1]) is None
    until(lambda: not at_work())
    assert digests[-1].hex not in asked(near)
    assert len(files(client)) == len(digests) - 1


def test_one_that_nobody_wanted(client, prefetch, digests):
    assert prefetch.claim(digests[0]) is None


# Failures

FAILURES = {SourceFailure, WrongContent}


@pytest.mark.parametrize("fault", [faults.drop, faults.wrong, faults.cut(1)])
def test_what_goes_wrong_is_told_to_who_asks(
    near, far, client, prefetch, digests, caplog, fault
):
    caplog.set_level(logging.INFO)
    for cache in (near, far):
        cache.plan(fault, CONTENTS)
    want(prefetch, client, digests)
    until(lambda: not at_work())
    assert {type(prefetch.claim(digest)) for digest in digests} <= FAILURES
    assert files(client) == []
    assert caplog.records == []


def test_a_store_that_cannot_be_written(client, prefetch, digests, caplog):
    caplog.set_level(logging.INFO)
    place = Path(client.local.path(digests[0])).parent
    place.parent.mkdir(parents=True)
    place.write_text("in the way")
    want(prefetch, client, digests[:2])
    until(lambda: client.local.has(digests[1]) and not at_work())
    assert isinstance(prefetch.claim(digests[0]), StorageFailure)
    assert caplog.records == []


# Its end


def test_what_is_under_way_stops(near, client, prefetch, digests):
    near.plan(faults.drip(10_000), CONTENTS)
    want(prefetch, client, digests)
    until(lambda: len(near.requests) == CONNECTIONS)
    prefetch.close()
    assert at_work() == 0
    assert files(client) == []
    assert len(near.requests) == CONNECTIONS
    assert prefetch.claim(digests[-1]) is None
    want(prefetch, client, digests[-1:])
    until(lambda: not at_work())
    assert len(near.requests) == CONNECTIONS


def test_nothing_keeps_the_process_alive(near, digests, tmp_path):
    """A server that is silent, and a client that would wait for it for hours."""
    near.plan(faults.silent, CONTENTS)
    script = """
import sys
from pathlib import Path
from slapos.networkcache.client import Client
from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digest
from slapos.networkcache.localstore import LocalStore
from slapos.networkcache.prefetch import Prefetch
from slapos.networkcache.transport import Limits
cache, folder, *digests = sys.argv[1:]
config = Config.parse({
    "download-cache-url": cache, "download-dir-url": cache, "cache-time-budget": "9 h"})
limits = Limits(first_byte=10000, window=10000)
client = Client(config, local=LocalStore(Path(folder), 1 << 30), limits=limits)
prefetch = Prefetch(client)
prefetch.want([(client.policy.named_by_profile(Digest(d)), 0) for d in digests])
input()
"""
    arguments = [near.source.cache_url, tmp_path / "store", *hexes(digests)]
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE
    ) as process:
        try:
            until(lambda: len(near.requests) == CONNECTIONS)
            process.communicate(b"\n", TIMEOUT)
            assert process.returncode == 0
        finally:
            process.kill()
