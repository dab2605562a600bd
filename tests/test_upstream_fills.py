"""Contents that come from upstream."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace

import pytest
from gate import Gate, gate
from upstreams import KEY, LARGE, SMALL, A, Near, near, put

from slapos.networkcache.digest import Digest
from slapos.networkcache.errors import (
    Code,
    NotFound,
    Refusal,
    StorageFull,
    WrongContent,
)
from slapos.networkcache.server.growing import Fill, Growing, Interrupted
from slapos.networkcache.server.upstream import fills, following
from slapos.networkcache.server.upstream.claim import WELL, Claim
from slapos.networkcache.server.upstream.exchange import Limits
from slapos.networkcache.server.upstream.following import follow
from slapos.networkcache.storage import Content
from slapos.networkcache.storage.folder import FolderContents
from slapos.networkcache.storage.memory import MemoryContents
from slapos.networkcache.testing import NetworkCache, faults

HELD = 1 << 20


async def read_all(content: Content, start: int = 0) -> bytes:
    """As a client reads it, while it grows."""
    with content:
        data = b""
        while start + len(data) < content.size:
            upto = content.size
            if isinstance(content, Growing):
                upto = await content.there(start + len(data))
            data += content.read(start + len(data), upto - start - len(data))
        return data


def gets(far: NetworkCache) -> list[str | None]:
    """The ranges of the contents that were asked for."""
    return [asked.headers.get("range") for asked in far.requests if asked.method == "GET"]


@pytest.mark.parametrize("data", [b"", b"x", SMALL, LARGE], ids=len)
def test_many_who_ask_for_a_content_are_one_fetch(tmp_path, far, data):
    digest = far.contents.put([data])

    async def work(here: Near):
        async def ask():
            return await read_all(await here.upstreams.open(digest))

        assert await asyncio.gather(*(ask() for _ in range(50))) == [data] * 50
        return here.contents.size(digest)

    assert near(tmp_path, work, far) == len(data)
    assert gets(far) == [None]


def test_a_store_without_files_is_filled_before_anybody_reads(tmp_path, far):
    digest = far.contents.put([LARGE])

    async def work(here: Near):
        content = await here.upstreams.open(digest)
        assert not isinstance(content, Growing)
        return await read_all(content)

    assert near(tmp_path, work, far, contents=MemoryContents()) == LARGE


def test_of_many_contents_only_some_come_at_a_time(tmp_path, far, monkeypatch):
    monkeypatch.setattr(fills, "AT_ONCE", 2)
    datas = [bytes([number]) * 1000 for number in range(10)]
    digests = [far.contents.put([data]) for data in datas]
    most = 0

    async def work(here: Near):
        def make_writer(digest, size):
            nonlocal most
            writing = len(os.listdir(tmp_path / "fills"))
            most = max(most, writing)
            return here.contents.writer(digest, size)

        here.upstreams._fills._make_writer = make_writer
        opened = await asyncio.gather(*map(here.upstreams.open, digests))
        return [await read_all(content) for content in opened]

    assert near(tmp_path, work, far) == datas
    assert most == 2


def test_nobody_waits_for_ever_until_others_have_come(tmp_path, gated, monkeypatch):
    monkeypatch.setattr(fills, "AT_ONCE", 1)
    monkeypatch.setattr(fills, "PATIENCE", 0.1)

    async def work(here: Near):
        content, _ = await begin(here, gated.digest)
        with pytest.raises(Refusal) as caught:
            await here.upstreams.open(Digest.of(b"other"))
        gated.open()
        await read_all(content)
        await here.settle()
        with pytest.raises(NotFound):  # its turn comes
            await here.upstreams.open(Digest.of(b"other"))
        return caught.value.code

    assert near(tmp_path, work, gated) is Code.UPSTREAM


@pytest.fixture
def gated() -> Iterator[Gate]:
    with gate(LARGE, HELD) as far:
        yield far


async def begin(here: Near, digest: Digest) -> tuple[Content, bytes]:
    """A content that is on its way, and all of it that can come."""
    content = await here.upstreams.open(digest)
    assert isinstance(content, Growing)
    while await content.there(0) < HELD:
        await asyncio.sleep(0.001)
    return content, content.read(0, HELD)


def test_it_is_read_before_it_is_there_and_resumed_where_it_was_cut(tmp_path, gated):
    async def work(here: Near):
        content, first = await begin(here, gated.digest)
        assert first == LARGE[:HELD]
        assert content.read(0, len(LARGE)) == first
        reading = asyncio.gather(
            read_all(content, HELD),
            read_all(await here.upstreams.open(gated.digest), 2_000_000),
        )
        gated.cut()
        return await reading

    assert near(tmp_path, work, gated) == [LARGE[HELD:], LARGE[2_000_000:]]
    assert gated.asked == [None, f"bytes={HELD}-"]


def test_the_rest_comes_from_another_upstream(tmp_path, gated):
    with gate(LARGE, len(LARGE)) as further:
        further.open()

        async def work(here: Near):
            content, first = await begin(here, gated.digest)
            gated.die()
            return first + await read_all(content, HELD), await here.states()

        data, states = near(tmp_path, work, gated, further)
    assert (data, states) == (LARGE, {gated.dir_url: "dead"})
    assert further.asked == [f"bytes={HELD}-"]


def test_one_that_ignores_ranges_is_read_from_the_beginning(tmp_path, gated):
    gated.ranges = False

    async def work(here: Near):
        content, _ = await begin(here, gated.digest)
        gated.cut()
        return await read_all(content)

    assert near(tmp_path, work, gated) == LARGE


def test_readers_are_cut_where_no_upstream_gives_the_rest(tmp_path, gated):
    async def work(here: Near):
        content, _ = await begin(here, gated.digest)
        gated.die()
        with pytest.raises(Interrupted):
            await read_all(content)
        with pytest.raises(Refusal) as caught:
            await here.upstreams.open(gated.digest)
        left = os.listdir(here.contents.temporary)
        return caught.value.code, here.contents.has(gated.digest), left

    assert near(tmp_path, work, gated) == (Code.UPSTREAM, False, [])


def test_readers_are_cut_where_an_upstream_stalls(tmp_path, far):
    digest = far.contents.put([LARGE])
    far.plan(faults.stall(HELD))

    async def work(here: Near):
        content = await here.upstreams.open(digest)
        with pytest.raises(Interrupted):
            await read_all(content)
        return await here.states()

    limits = Limits(window=1.0)
    assert near(tmp_path, work, far, limits=limits) == {far.dir_url: "dead"}


def test_wrong_bytes_are_never_whole_and_the_next_one_is_asked(tmp_path, far):
    digest = far.contents.put([LARGE])
    far.plan(faults.wrong)
    with NetworkCache() as further:
        further.contents.put([LARGE])

        async def work(here: Near):
            content = await here.upstreams.open(digest)
            assert await content.there(0) < content.size
            with pytest.raises(Interrupted):
                await read_all(content)
            assert not here.contents.has(digest)
            data = await read_all(await here.upstreams.open(digest))
            return data, await here.states()

        assert near(tmp_path, work, far, further) == (LARGE, {})


@pytest.mark.parametrize("right", [False, True])
def test_one_that_gives_wrong_bytes_of_several_is_left_alone(tmp_path, far, right):
    """Unless it gives right ones as well; what it says of keys is another matter."""
    digests = [far.contents.put([bytes([number])]) for number in range(4)]
    put(far, A)

    async def work(here: Near):
        for number, digest in enumerate(digests):
            far.heal()
            if not right or number != 2:
                far.plan(faults.wrong, "GET /shacache")
            with suppress(Refusal):
                await here.upstreams.open(digest)
            await here.upstreams.look_up([KEY])
            await here.make_older(100)
        return await here.states()

    assert near(tmp_path, work, far) == ({} if right else {far.dir_url: "lying"})


def doubt(here: Near) -> None:
    """Let the first upstream have given wrong bytes of two contents."""
    for content in (b"one", b"two"):
        here.upstreams._upstreams[0].failed(WrongContent("wrong"), Digest.of(content))


def test_wrong_bytes_of_a_small_one_are_seen_by_nobody(tmp_path, far):
    digest = far.contents.put([SMALL])
    far.plan(faults.wrong)
    with NetworkCache() as further:
        further.contents.put([SMALL])

        async def work(here: Near):
            doubt(here)
            data = await read_all(await here.upstreams.open(digest))
            return data, await here.states()

        assert near(tmp_path, work, far, further) == (SMALL, {far.dir_url: "lying"})


def test_a_resumed_one_of_another_size_lies(tmp_path, gated):
    gated.said = len(LARGE) + 1

    async def work(here: Near):
        doubt(here)
        content, _ = await begin(here, gated.digest)
        gated.cut()
        with pytest.raises(Interrupted):
            await read_all(content)
        return await here.states()

    assert near(tmp_path, work, gated) == {gated.dir_url: "lying"}


def short(size: int, *, cut: int = 0):
    """It says that it has `size` bytes, and gives some wrong ones before it ends."""

    def fault(answer):
        wrong = faults.wrong(answer).with_headers(Content_Length=str(size))
        return replace(wrong, cut=cut)

    return fault


@pytest.mark.parametrize(
    "fault",
    [short(len(LARGE) + 1), short(len(LARGE), cut=HELD), short(1 << 50)],
    ids=["another size", "a wrong beginning", "endless"],
)
def test_a_lying_one_takes_no_other_one_with_it(tmp_path, far, fault):
    digest = far.contents.put([LARGE])
    far.plan(fault, times=1)
    far.plan(faults.drop)
    with NetworkCache() as further:
        further.contents.put([LARGE])

        async def work(here: Near):
            with suppress(Interrupted):
                await read_all(await here.upstreams.open(digest))
            data = await read_all(await here.upstreams.open(digest))
            return data, (await here.states()).get(further.dir_url)

        assert near(tmp_path, work, far, further) == (LARGE, None)


def test_the_size_is_that_of_one_who_says_a_possible_one(tmp_path, far):
    digest = far.contents.put([LARGE])
    far.plan(short(1 << 50))
    with NetworkCache() as further:
        further.contents.put([LARGE])

        async def work(here: Near):
            return await here.upstreams.size(digest)

        assert near(tmp_path, work, far, further) == len(LARGE)


def test_that_of_one_on_its_way_is_known(tmp_path, gated):
    async def work(here: Near):
        content, _ = await begin(here, gated.digest)
        with content:
            return await here.upstreams.size(gated.digest)

    assert near(tmp_path, work, gated) == len(LARGE)


def test_it_goes_on_to_be_told_that_bytes_come(tmp_path, gated):
    async def work(here: Near):
        content, _ = await begin(here, gated.digest)
        path = tmp_path / "fills" / str(gated.digest)
        os.utime(path, (1, 1))
        gated.open()
        with content:
            await content.there(HELD + 1)
            return path.stat().st_mtime > 1

    assert near(tmp_path, work, gated)


def without_length(answer):
    """It ends where the connection does."""
    whole = answer.with_headers(Content_Length=None, Connection="close")
    return replace(whole, cut=len(answer.body))


def test_one_of_unknown_length_is_filled_first(tmp_path, far):
    digest = far.contents.put([LARGE])
    far.plan(without_length)

    async def work(here: Near):
        content = await here.upstreams.open(digest)
        assert not isinstance(content, Growing)
        return await read_all(content), await here.upstreams.size(small)

    small = far.contents.put([SMALL])
    assert near(tmp_path, work, far) == (LARGE, len(SMALL))


def test_too_large(tmp_path, far):
    digest = far.contents.put([LARGE])

    async def work(here: Near):
        for ask in (here.upstreams.open, here.upstreams.size):
            with pytest.raises(Refusal) as caught:
                await ask(digest)
            assert caught.value.code is Code.TOO_LARGE
        return await here.states(), os.listdir(here.contents.temporary)

    assert near(tmp_path, work, far, content_limit=len(LARGE) - 1) == ({}, [])


def test_one_that_does_not_end_is_no_more_than_too_large(tmp_path, far):
    digest = far.contents.put([LARGE])
    far.plan(faults.endless(b"x" * 65536))

    async def work(here: Near):
        doubt(here)
        with pytest.raises(Refusal) as caught:
            await here.upstreams.open(digest)
        return caught.value.code, await here.states(), os.listdir(here.contents.temporary)

    def bounded(digest, size):  # the disk of whoever breaks this is not endless
        return FolderContents(tmp_path).writer(digest, 8 << 20)

    result = near(tmp_path, work, far, make_writer=bounded, content_limit=4 << 20)
    assert result == (Code.TOO_LARGE, {}, [])


def test_no_room(tmp_path, far):
    digest = far.contents.put([LARGE])

    def no_room(digest, size):
        raise StorageFull(f"no room for {size} bytes")

    async def work(here: Near):
        with pytest.raises(StorageFull):
            await here.upstreams.open(digest)
        return await here.states()

    assert near(tmp_path, work, far, make_writer=no_room) == {}


@pytest.mark.parametrize("what", ["open", "size"])
def test_absent_and_unknown(tmp_path, far, what):
    async def work(here: Near):
        await getattr(here.upstreams, what)(Digest.of(b"absent"))

    with pytest.raises(NotFound):
        near(tmp_path, work, far)
    far.plan(faults.drop)
    with pytest.raises(Refusal) as caught:
        near(tmp_path, work, far)
    assert caught.value.code is Code.UPSTREAM


# -- what processes know of each other


def test_a_claim_is_held_by_one(tmp_path):
    path = str(tmp_path / "claim")
    first, second = Claim(path), Claim(path)
    assert (first.mine, second.mine) == (True, False)
    first.announce(5, "/some where")
    assert second.read() == (5, "/some where", "")
    first.end(WELL)
    first.close()
    assert second.lock()
    assert second.read() == (5, "/some where", WELL)
    third = Claim(path)  # the name was free
    second.close()
    assert third.mine
    assert not Claim(path).mine  # and it still is that of the third


def test_who_takes_over_begins_anew(tmp_path):
    first = Claim(str(tmp_path / "claim"))
    first.announce(5, "/somewhere")
    os.close(first._fd)  # as the kernel does for a process that is killed
    second = Claim(str(tmp_path / "claim"))
    assert second.mine
    assert second.read() == (0, "", "")


def followed(tmp_path, *, dies: bool = False, outcome: str = WELL) -> Fill:
    """What a process sees of a content that another one fetches."""
    growing = tmp_path / "growing"
    growing.write_bytes(b"12345")
    first, fill = Claim(str(tmp_path / "claim")), Fill()
    first.announce(5, str(growing))

    async def run():
        following = asyncio.ensure_future(follow(fill, Claim(str(tmp_path / "claim"))))
        while not fill.growing:
            await asyncio.sleep(0.001)
        assert fill.there == 4  # whatever the file holds
        if dies:
            os.close(first._fd)
            other = Claim(str(tmp_path / "claim"))
            other.announce(5, "another")
            other.end(WELL)
            other.close()
        else:
            first.end(outcome)
            first.close()
        await following

    asyncio.run(run())
    return fill


def test_following_to_the_end(tmp_path):
    assert followed(tmp_path).there == 4  # until it is said to be done


@pytest.mark.parametrize("goes_on", [True, False])
def test_following_one_whose_bytes_are_not_seen(tmp_path, monkeypatch, goes_on):
    monkeypatch.setattr(following, "STUCK", 0.5)
    first, second = (Claim(str(tmp_path / "claim")) for _ in range(2))

    async def run():
        reading = asyncio.ensure_future(follow(Fill(), second))
        for _ in range(8):
            await asyncio.sleep(0.1)
            if goes_on:
                first.touch()
        first.end(WELL)
        first.close()
        await reading

    with nullcontext() if goes_on else pytest.raises(Interrupted, match="does not go on"):
        asyncio.run(run())


@pytest.mark.parametrize("how", [{"dies": True}, {"outcome": ""}])
def test_following_what_does_not_end_well(tmp_path, how):
    with pytest.raises(Interrupted):
        followed(tmp_path, **how)


@pytest.mark.parametrize(
    ("code", "error"), [("not-found", NotFound), ("too-large", Refusal)]
)
def test_following_what_nobody_gives(tmp_path, code, error):
    first = Claim(str(tmp_path / "claim"))
    second = Claim(str(tmp_path / "claim"))
    first.end(code)
    first.close()
    with pytest.raises(error):
        asyncio.run(follow(Fill(), second))
