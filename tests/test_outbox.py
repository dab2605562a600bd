"""Publishing in the background: sent, or kept as it is for the next run; never signed
twice, never what may not be."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from caches import ALICE, BOB, NOW, asked, client_for, fetched
from wire import TIMEOUT

from slapos.networkcache.binding import Request
from slapos.networkcache.certificates import Signer
from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import Code, NotPublished, Reason, SourceFailure
from slapos.networkcache.members import members_of_file
from slapos.networkcache.outbox import Offer, Outbox, Sent
from slapos.networkcache.publisher import Publisher
from slapos.networkcache.spool import Spool
from slapos.networkcache.testing import NetworkCache, faults
from slapos.networkcache.transport import Limits
from slapos.networkcache.urls import Checksum

pytestmark = pytest.mark.filterwarnings(
    "error::pytest.PytestUnhandledThreadExceptionWarning"
)
PUT, POST = "PUT /shadir", "POST /shacache"
LONG = 60.0


def url_of(name: str) -> str:
    return f"http://example.com/{name}.tar.gz"


def body_of(name: str) -> bytes:
    return name.encode() * 1000


class Desk:
    """What a run has: a signer, a spool, and what it was told. `ahead` is how far its
    clock is, `limits` bounds each attempt."""

    def __init__(self, cache: NetworkCache, folder: Path, signer: Signer = ALICE):
        self.folder = folder
        self.told: list[Sent] = []
        self.spool = Spool(folder / "spool", 1 << 20)
        self.ahead = 0.0
        self.limits = Limits(first_byte=0.5)
        self._outboxes: list[Outbox] = []
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_bytes(signer.private_pem())
        self.config = Config.parse(
            {
                "upload-cache-url": cache.source.cache_url,
                "upload-dir-url": cache.source.dir_url,
                "signature-private-key-file": str(key),
            }
        )

    def publisher(self) -> Publisher:
        return Publisher(
            self.config, clock=lambda: time.time() + self.ahead, limits=self.limits
        )

    def outbox(self, told: Callable[[Sent], None] | None = None) -> Outbox:
        """A new run's."""
        publisher = self.publisher()
        self._outboxes.append(Outbox(lambda: publisher, self.spool, told or self.tell))
        return self._outboxes[-1]

    def tell(self, sent: Sent) -> None:
        assert Path(sent.offer.path).exists()
        self.told.append(sent)

    def offer(self, name: str, *checksums: Checksum, expires: int | None = None) -> Offer:
        path = self.folder / f"outgoing-{name}"
        path.write_bytes(body_of(name))
        url = url_of(name)
        members = members_of_file(url, checked=True)
        return Offer(Key.for_file(url), str(path), members, checksums, expires)

    @property
    def failures(self) -> list[object]:
        return [getattr(sent.failure, "reason", sent.failure) for sent in self.told]

    @property
    def unsent(self) -> list[tuple[Key, tuple[Pair, ...]]]:
        """What waits in the spool."""
        target = self.config.upload
        assert target is not None
        return [(found.key, found.pairs) for found in self.spool.waiting(target)]

    @property
    def left_over(self) -> list[str]:
        return [path.name for path in self.folder.glob("outgoing-*")]

    def close(self) -> None:
        for outbox in self._outboxes:
            outbox.close()


@pytest.fixture
def desk(near: NetworkCache, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(near, tmp_path)
    yield desk
    desk.close()


def drain(outbox: Outbox) -> None:
    outbox.drain(time.monotonic() + LONG)
    assert outbox.left == 0


def there(cache: NetworkCache, name: str) -> list[Pair]:
    key = Key.for_file(url_of(name))
    return [stored.pair for stored in cache.entries.get([key]).get(key, ())]


def until(is_so: Callable[[], object]) -> None:
    """Wait for what other threads do."""
    end = time.monotonic() + TIMEOUT
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


# Sent


def test_in_the_background(near, desk, tmp_path):
    outbox = desk.outbox()
    names = [f"file{number}" for number in range(9)]
    for name in names:
        outbox.put(desk.offer(name))
    drain(outbox)
    assert desk.failures == [None] * 9
    assert all(sent.entry_sent and not sent.kept for sent in desk.told)
    assert desk.left_over == []
    outbox.close()
    assert len(desk.told) == 9
    (tmp_path / "there").mkdir()
    for name in names:
        request = Request.for_file(url_of(name))
        data = fetched(client_for(near), tmp_path / "there", request)
        assert data == body_of(name)
    assert desk.unsent == []


def test_what_it_tells(near, desk):
    near.contents.put([body_of("a")])
    outbox = desk.outbox()
    offer = desk.offer("a", expires=NOW + 1000)
    outbox.put(offer)
    drain(outbox)
    (sent,) = desk.told
    assert sent.offer is offer
    assert sent.content.sha512 == Digest.of(body_of("a"))
    assert sent.content.size == len(body_of("a"))
    assert sent.seconds > 0
    assert f'"expires":{NOW + 1000}' in there(near, "a")[0].entry.replace(" ", "")


def test_what_stands_there_is_not_put_again(near, desk):
    for _ in range(2):
        outbox = desk.outbox()
        outbox.put(desk.offer("a"))
        drain(outbox)
    assert [sent.entry_sent for sent in desk.told] == [True, False]
    assert len(there(near, "a")) == 1


def test_one_key_is_waited_for(near, desk):
    near.plan(faults.drip(300), "PUT /shadir", times=1)
    outbox = desk.outbox()
    outbox.put(desk.offer("slow"))
    until(lambda: any(str(r).startswith(PUT) for r in near.requests))
    outbox.wait_for(Key.for_file(url_of("another")), LONG)
    assert desk.told == []
    outbox.wait_for(Key.for_file(url_of("slow")), 0.001)  # no longer than that
    assert desk.told == []
    outbox.wait_for(Key.for_file(url_of("slow")), LONG)
    assert len(desk.told) == 1


def test_how_many_are_left(near, desk):
    near.plan(faults.drip(300), "PUT /shadir")
    outbox = desk.outbox()
    ticks: list[int] = []
    for name in "abcde":
        outbox.put(desk.offer(name))
    outbox.drain(time.monotonic() + LONG, ticks.append)
    assert ticks[0] == 5
    assert ticks[-1] == 0
    assert ticks == sorted(ticks, reverse=True)


# Not sent


def test_a_checksum_that_does_not_match_is_not_signed(near, desk):
    right = Checksum("md5", hashlib.md5(body_of("right")).hexdigest())
    outbox = desk.outbox()
    outbox.put(desk.offer("right", right))
    outbox.put(desk.offer("wrong", right))
    drain(outbox)
    assert sorted(map(str, desk.failures)) == ["None", "checksum"]
    assert len(there(near, "right")) == 1
    assert there(near, "wrong") == []
    assert not near.contents.has(Digest.of(body_of("wrong")))
    assert desk.unsent == []
    assert desk.left_over == []


def test_a_secret_is_not_signed(near, desk):
    outbox = desk.outbox()
    outbox.put(desk.offer("a?token=x&"))
    drain(outbox)
    assert desk.failures == [Reason.SECRET_URL]
    assert asked(near) == []
    assert desk.unsent == []


@pytest.mark.parametrize("ahead", [-400, 400])
def test_a_clock_that_is_off(near, desk, ahead):
    """What it would sign has the wrong time: it is neither sent nor kept."""
    desk.ahead = ahead
    near.plan(faults.clock(-ahead))
    outbox = desk.outbox()
    outbox.put(desk.offer("a"))
    drain(outbox)
    assert desk.failures == [Reason.CLOCK]
    assert there(near, "a") == []
    assert desk.unsent == []
    assert not desk.told[0].kept


FOR_GOOD = [Code.FORBIDDEN, Code.UNAUTHORIZED, Code.BAD_ENTRY, Code.TOO_LARGE]
FOR_NOW = [Code.BUSY, Code.INTERNAL, Code.QUOTA, Code.STORAGE_FULL, Code.UPSTREAM]


@pytest.mark.parametrize("code", [*FOR_GOOD, *FOR_NOW])
@pytest.mark.parametrize("at", [PUT, POST])
def test_a_refusal(near, desk, code, at):
    near.plan(faults.refuse(code), at)
    outbox = desk.outbox()
    outbox.put(desk.offer("a"))
    drain(outbox)
    assert desk.failures == [code]
    assert [sent.kept for sent in desk.told] == [code in FOR_NOW]
    assert len(desk.unsent) == (code in FOR_NOW)
    assert desk.left_over == []


@pytest.mark.parametrize("fault", [faults.drop, faults.silent])
def test_a_server_that_is_down(near, desk, fault):
    near.plan(fault)
    outbox = desk.outbox()
    for name in "abc":
        outbox.put(desk.offer(name))
    drain(outbox)
    assert all(isinstance(sent.failure, SourceFailure) for sent in desk.told)
    assert all(sent.kept for sent in desk.told)
    assert len(desk.unsent) == 3
    assert desk.left_over == []


def test_without_a_spool_nothing_is_kept(near, desk):
    near.plan(faults.drop)
    publisher = desk.publisher()
    outbox = Outbox(lambda: publisher, None, desk.tell)
    outbox.send_spooled()
    outbox.put(desk.offer("a"))
    drain(outbox)
    assert [sent.kept for sent in desk.told] == [False]
    assert isinstance(desk.told[0].failure, SourceFailure)


def test_a_spool_that_is_full(near, desk):
    near.plan(faults.drop)
    desk.spool = Spool(desk.folder / "small", 100)
    outbox = desk.outbox()
    outbox.put(desk.offer("a"))
    drain(outbox)
    assert [sent.kept for sent in desk.told] == [False]
    assert isinstance(desk.told[0].failure, SourceFailure)  # which tells more
    assert desk.left_over == []


def test_a_file_that_is_gone(near, desk):
    outbox = desk.outbox()
    offer = desk.offer("a")
    os.unlink(offer.path)
    told: list[Sent] = []
    outbox = desk.outbox(told.append)
    outbox.put(offer)
    drain(outbox)
    assert isinstance(told[0].failure, FileNotFoundError)


def test_no_publisher(desk):
    def fail() -> Publisher:
        raise NotPublished(Reason.NOT_CONFIGURED, "no key")

    outbox = Outbox(fail, desk.spool, desk.tell)
    outbox.send_spooled()
    outbox.put(desk.offer("a"))
    drain(outbox)
    assert desk.failures == [Reason.NOT_CONFIGURED]


# The end of a run


def test_what_is_not_sent_in_time_is_kept(near, desk):
    near.plan(faults.silent)
    desk.limits = Limits(first_byte=1000, window=1000)
    outbox = desk.outbox()
    names = [f"file{number}" for number in range(6)]
    for name in names:
        outbox.put(desk.offer(name))
    until(lambda: near.requests)
    outbox.drain(time.monotonic())
    assert outbox.left == 6
    outbox.close()
    assert desk.failures == [Reason.TOO_SLOW] * 6
    assert all(sent.kept for sent in desk.told)
    keys = sorted(Key.for_file(url_of(name)) for name in names)
    assert sorted(key for key, _ in desk.unsent) == keys
    assert outbox.left == 0
    assert desk.left_over == []


def at_work() -> int:
    return sum(thread.name == "publish" for thread in threading.enumerate())


def test_what_is_sent_after_all(near, desk):
    """It was on its way when the run ended: it is kept, too, and told once."""
    near.plan(faults.drip(300), PUT)
    outbox = desk.outbox()
    outbox.put(desk.offer("a"))
    until(lambda: any(str(request).startswith(PUT) for request in near.requests))
    outbox.close()
    assert desk.failures == [Reason.TOO_SLOW]
    until(lambda: not at_work())
    assert desk.failures == [Reason.TOO_SLOW]
    assert len(desk.unsent) == len(there(near, "a")) == 1


def test_each_is_told_once(near, desk):
    """The run ends while the outcome of something is being told."""
    begun, go_on = threading.Event(), threading.Event()

    def tell(sent: Sent) -> None:
        desk.tell(sent)
        begun.set()
        go_on.wait(TIMEOUT)

    outbox = desk.outbox(tell)
    outbox.put(desk.offer("a"))
    assert begun.wait(TIMEOUT)
    closing = threading.Thread(target=outbox.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()  # the outcome counts for the end of the run
    go_on.set()
    closing.join(TIMEOUT)
    assert not closing.is_alive()
    assert desk.failures == [None]
    assert desk.unsent == []


def test_the_last_one(near, desk):
    outbox = desk.outbox()
    outbox.close()
    outbox.put_last(desk.offer("sent"), send=True)
    assert desk.failures == [None]
    assert len(there(near, "sent")) == 1
    outbox.put_last(desk.offer("late"), send=False)
    assert desk.failures == [None, Reason.TOO_SLOW]
    assert [key for key, _ in desk.unsent] == [Key.for_file(url_of("late"))]
    assert desk.left_over == []


# The next run


def keep(desk: Desk, near: NetworkCache, *names: str) -> dict[Key, tuple[Pair, ...]]:
    """Have these in the spool, as a run left them to which the server was down."""
    near.plan(faults.drop)
    outbox = desk.outbox()
    for name in names:
        outbox.put(desk.offer(name))
    drain(outbox)
    outbox.close()
    near.heal()
    near.requests.clear()
    desk.told.clear()
    kept = dict(desk.unsent)
    assert len(kept) == len(names)
    return kept


def test_what_was_kept_is_sent_as_it_is(near, desk, tmp_path):
    """By a run with another key and another clock; the pairs are equal to the byte."""
    kept = keep(desk, near, "a", "b")
    (tmp_path / "other").mkdir()
    other = Desk(near, tmp_path / "other", BOB)
    other.spool = desk.spool
    other.ahead = 100
    outbox = other.outbox()
    outbox.send_spooled()
    drain(outbox)
    for name in "ab":
        assert there(near, name) == list(kept[Key.for_file(url_of(name))])
        assert near.contents.has(Digest.of(body_of(name)))
    assert desk.unsent == []
    assert other.told == []  # it is no offer of this run


def test_nothing_is_told_of_it_nor_left(near, desk):
    keep(desk, near, "a")
    outbox = desk.outbox()
    outbox.send_spooled()
    outbox.put(desk.offer("new"))
    drain(outbox)
    assert [sent.offer.key for sent in desk.told] == [Key.for_file(url_of("new"))]
    assert len(there(near, "a")) == 1


def test_a_server_that_is_still_down(near, desk):
    kept = keep(desk, near, "a", "b")
    near.plan(faults.drop)
    outbox = desk.outbox()
    outbox.send_spooled()
    drain(outbox)
    assert dict(desk.unsent) == kept


def test_what_is_refused_for_good_is_dropped(near, desk):
    """And the others are sent."""
    keep(desk, near, "a", "b", "c")
    near.plan(faults.refuse(Code.FORBIDDEN), PUT, times=1)
    outbox = desk.outbox()
    outbox.send_spooled()
    drain(outbox)
    assert sum(len(there(near, name)) for name in "abc") == 2
    assert desk.unsent == []


def test_what_is_refused_for_now_waits(near, desk):
    kept = keep(desk, near, "a", "b")
    near.plan(faults.refuse(Code.QUOTA), POST)
    outbox = desk.outbox()
    outbox.send_spooled()
    drain(outbox)
    assert dict(desk.unsent) == kept
    assert asked(near).count(POST) == 1  # nor is the next one tried


def test_what_nobody_can_send_is_dropped(near, desk):
    """Somebody else wrote it."""
    path = desk.folder / "content"
    path.write_bytes(b"x")
    target = desk.config.upload
    bad = (Pair("no entry", "c2ln"),)
    desk.spool.keep(target, Key("a"), bad, Digest.of(b"x"), 1, str(path))
    outbox = desk.outbox()
    outbox.send_spooled()
    drain(outbox)
    assert desk.unsent == []
    assert near.entries.get([Key("a")]) == {}


def test_a_clock_that_is_off_sends_nothing_that_was_kept(near, desk):
    kept = keep(desk, near, "a")
    near.plan(faults.clock(1000))
    outbox = desk.outbox()
    outbox.send_spooled()
    drain(outbox)
    assert dict(desk.unsent) == kept


def test_the_end_of_the_run_stops_it(near, desk):
    kept = keep(desk, near, "a", "b")
    near.plan(faults.silent)
    desk.limits = Limits(first_byte=1000, window=1000)
    outbox = desk.outbox()
    outbox.send_spooled()
    until(lambda: near.requests)
    outbox.drain(time.monotonic())
    outbox.close()
    (waiting,) = {key for key, _ in desk.unsent} ^ set(kept)
    assert waiting in kept  # that one is still under way


def test_after_the_end_of_the_run_no_other_is_sent(near, desk):
    keep(desk, near, "a", "b")
    near.plan(faults.drip(300), PUT)
    outbox = desk.outbox()
    outbox.send_spooled()
    until(lambda: any(str(request).startswith(PUT) for request in near.requests))
    outbox.close()
    until(lambda: not at_work())
    assert len(desk.unsent) == 1


# Killed


SCRIPT = """
import sys, time
from pathlib import Path
from slapos.networkcache.config import Config
from slapos.networkcache.entry import Key
from slapos.networkcache.members import members_of_file
from slapos.networkcache.outbox import Offer, Outbox
from slapos.networkcache.publisher import Publisher
from slapos.networkcache.spool import Spool
cache, directory, key, folder = sys.argv[1:]
config = Config.parse({
    "upload-cache-url": cache, "upload-dir-url": directory,
    "signature-private-key-file": key})
outbox = Outbox(lambda: Publisher(config), Spool(Path(folder) / "spool", 1 << 20), repr)
outbox.send_spooled()
for name in ("killed0", "killed1", "killed2"):
    url = f"http://example.com/{name}.tar.gz"
    path = Path(folder) / f"outgoing-{name}"
    path.write_bytes(name.encode() * 1000)
    outbox.put(Offer(Key.for_file(url), str(path), members_of_file(url, checked=True)))
time.sleep(1000)
"""


def unanswered(answer: faults.Answer) -> faults.Answer:
    """The server did what it was asked, and nobody learns that."""
    return replace(answer, held=1)


@pytest.mark.parametrize("at", ["POST /shadir", POST, PUT])
def test_killed_in_mid_way(near, desk, at):
    """Nothing half-sent counts, what was kept before is still there, and is sent."""
    kept = keep(desk, near, "before")
    near.plan(unanswered, at)
    source = near.source
    arguments = [source.cache_url, source.dir_url, desk.folder / "key", desk.folder]
    with subprocess.Popen([sys.executable, "-c", SCRIPT, *map(str, arguments)]) as process:
        until(lambda: sum(str(r).startswith(at) for r in near.requests) >= 4)
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT)
    near.heal()
    assert dict(desk.unsent) == kept
    outbox = desk.outbox()
    outbox.send_spooled()
    for name in ("killed0", "killed1", "killed2"):
        outbox.put(desk.offer(name))
    drain(outbox)
    assert desk.failures == [None] * 3
    assert there(near, "before") == list(kept[Key.for_file(url_of("before"))])
    client = client_for(near)
    for name in ("before", "killed0", "killed1", "killed2"):
        assert client.look_up(Request.for_file(url_of(name))).trusted
    assert desk.unsent == []
