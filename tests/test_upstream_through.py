"""Local uploads that go on upstream."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from upstreams import KEY, Near, near
from wire import old

from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Pair
from slapos.networkcache.errors import (
    Code,
    Reason,
    SourceFailure,
)
from slapos.networkcache.server.configuration.options import UpstreamUrls
from slapos.networkcache.server.monitoring.tally import Tally
from slapos.networkcache.server.upstream.background import Background
from slapos.networkcache.server.upstream.door import Upstream, client_tls
from slapos.networkcache.server.upstream.exchange import Limits
from slapos.networkcache.server.upstream.through import (
    POLL,
    REFUSED_PAUSE,
    REST,
    Through,
    forgetting,
)
from slapos.networkcache.server.upstream.watched import Watched
from slapos.networkcache.testing import NetworkCache, faults


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def on_upstream(tmp_path, far: NetworkCache, work) -> Any:
    """What ``work(here, through, clock)`` does with pairs A and B queued, whose content
    is here."""
    data = b"content"

    async def run(here: Near):
        background, clock = Background(here.threads), Clock()
        urls = UpstreamUrls(far.cache_url, far.dir_url)
        door = Upstream(urls, client_tls(None, None, None), Limits(sent=1))
        watched = Watched(1, urls, door, here.database, Tally(), background, clock)
        through = Through(watched, here.database, here.contents, background, clock)
        digest = here.contents.put([data])
        for number in range(2):
            pair = Pair(*old(digest.hex, n=number))
            here.put(KEY, pair, upload_through=True)
        try:
            return await work(here, through, clock)
        finally:
            await background.close()
            await door.close()

    return near(tmp_path, run, far)


def queued(here: Near) -> list[tuple[int, str]]:
    return here.database.rows("SELECT tries, error FROM outgoing ORDER BY id")


def test_uploads_go_on_in_order_content_first(tmp_path, far):
    async def work(here, through, clock):
        assert [await through.send() for _ in range(3)] == [0, 0, POLL]
        return queued(here)

    assert on_upstream(tmp_path, far, work) == []
    digest = Digest.of(b"content")
    content, entry = f"/shacache/{digest}", f"PUT /shadir/{KEY}"
    assert [str(asked) for asked in far.requests] == [
        f"HEAD {content}",
        "POST /shacache",
        entry,
        f"HEAD {content}",
        entry,
    ]
    assert far.requests[1].headers["content-length"] == "7"
    pairs = [stored.pair for stored in far.entries.get([KEY])[KEY]]
    assert pairs == [Pair(*old(digest.hex, n=number)) for number in (1, 0)]


def test_uploads_stay_here_unless_they_shall_go_on(tmp_path, far):
    async def work(here, through, clock):
        here.put(KEY, Pair(*old("0" * 128)))
        return len(queued(here))

    assert on_upstream(tmp_path, far, work) == 2


def test_what_is_queued_is_forgotten_where_nothing_goes_on_any_more(tmp_path, far):
    async def work(here, through, clock):
        job = asyncio.ensure_future(forgetting(here.database, here.threads)())
        await asyncio.wait([job], timeout=0.3)
        job.cancel()
        return queued(here)

    assert on_upstream(tmp_path, far, work) == []


def test_uploads_wait_for_one_that_is_away(tmp_path, far):
    far.plan(faults.drop)

    async def work(here, through, clock):
        pauses = []
        for _ in range(3):
            pauses.append(await through.send())
            clock.now += 1000
        assert [tries for tries, _ in queued(here)] == [3, 0]
        far.heal()
        await through.send()
        return pauses, [tries for tries, _ in queued(here)]

    assert on_upstream(tmp_path, far, work) == ([1, 2, 4], [0])


@pytest.mark.parametrize("jump", [1, -10 * REFUSED_PAUSE], ids=["later", "set back"])
def test_a_pair_that_is_refused_does_not_keep_back_the_others(tmp_path, far, jump):
    far.plan(faults.refuse(Code.FORBIDDEN), "PUT", times=1)

    async def work(here, through, clock):
        assert [await through.send() for _ in range(3)] == [0, 0, POLL]
        (kept,) = queued(here)
        clock.now += REFUSED_PAUSE - 1
        assert await through.send() == POLL
        clock.now += jump
        assert [await through.send() for _ in range(2)] == [0, POLL]
        return kept, queued(here)

    assert on_upstream(tmp_path, far, work) == ((1, "refused: forbidden"), [])


@pytest.mark.parametrize("what", ["POST", "PUT"])
@pytest.mark.parametrize("code", [Code.QUOTA, Code.BUSY])
def test_a_pair_that_cannot_be_taken_does_not_keep_back_the_others(
    tmp_path, far, what, code
):
    far.plan(faults.refuse(code), what, times=1)

    async def work(here, through, clock):
        here.put(KEY, Pair(*old(here.contents.put([b"other"]).hex)), upload_through=True)
        assert [await through.send() for _ in range(4)] == [0, 0, 0, POLL]
        (kept,) = queued(here)
        clock.now += 2
        assert [await through.send() for _ in range(2)] == [0, POLL]
        return kept[0], queued(here), await here.states()

    assert on_upstream(tmp_path, far, work) == (1, [], {})


def test_one_that_takes_nothing_is_given_some_rest(tmp_path, far):
    far.plan(faults.refuse(Code.BUSY), "PUT")

    async def work(here, through, clock):
        for number in range(2, 5):
            pair = Pair(*old(Digest.of(b"content").hex, n=number))
            here.put(KEY, pair, upload_through=True)
        return [await through.send() for _ in range(4)]

    assert on_upstream(tmp_path, far, work) == [0, 0, REST, REST]


def test_a_pair_waits_for_its_content(tmp_path, far):
    async def work(here, through, clock):
        here.contents.delete(Digest.of(b"content"))
        assert await through.send() == 0
        assert len(queued(here)) == 2
        here.contents.put([b"content"])
        clock.now += 10
        assert [await through.send() for _ in range(3)] == [0, 0, POLL]

    on_upstream(tmp_path, far, work)


def rot(path):
    path.write_bytes(b"CONTENT")


def break_(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [rot, break_])
def test_what_is_damaged_here_is_no_fault_of_the_upstream(tmp_path, far, damage):
    async def work(here, through, clock):
        damage(Path(here.contents.path(Digest.of(b"content"))))
        other = here.contents.put([b"other"])
        here.put(KEY, Pair(*old(other.hex)), upload_through=True)
        assert [await through.send() for _ in range(4)] == [0, 0, 0, POLL]
        return len(queued(here)), set((await here.states()).values())

    count, states = on_upstream(tmp_path, far, work)
    assert count == 2
    assert states <= {"well"}
    assert list(far.contents) == [Digest.of(b"other")]


def test_an_upload_that_is_taken_no_further_is_given_up(tmp_path, far):
    async def work(here, through, clock):
        door = through._upstream.door

        async def pieces():
            yield b"x" * 1000
            await asyncio.sleep(3600)

        with pytest.raises(SourceFailure) as caught:
            await door.store(Digest.of(b""), 2000, pieces())
        return caught.value.reason

    assert on_upstream(tmp_path, far, work) is Reason.TOO_SLOW
