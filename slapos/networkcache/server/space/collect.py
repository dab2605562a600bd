"""Collecting: by hand, every hour, and when room is wanted."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

from ...errors import StorageFailure
from ...storage.disk import Disk
from ..configuration.options import Options
from ..leader import Job
from ..root import Root
from ..threads import Threads
from .clock import doubt, lower
from .contents import least_used_go, room_can_be_made, unnamed_go
from .pairs import forget_keys, pairs_go
from .room import Room
from .rules import Collected, Gone, Rules

EVERY = 3600.0
"""Seconds between the end of a collection and the next one."""


def rules_of(options: Options, root: Root) -> Rules:
    """What a server's options say about space."""
    disk = Disk(root.contents.temporary, options.min_free) if options.min_free else None
    return Rules(options.keep, options.max_size, disk, origin=not options.upstreams)


def room_of(root: Root, rules: Rules) -> Room:
    """The room for what is to come, which is made where there is none."""
    return Room(
        root.catalogue.transfers,
        total=rules.max_size,
        disk=rules.disk,
        make=partial(make_room, root, rules),
        can_make=partial(room_can_be_made, root, rules),
    )


def steps(
    root: Root, rules: Rules, *, now: float, dry_run: bool = False
) -> Iterator[Sequence[Gone]]:
    """Collect, one short step after the other, and give what went in each; or what would,
    in a `dry_run`. Whoever stops in between, or is killed, leaves the rest to the next.

    `now` is POSIX seconds. Raises `StorageFailure`.
    """
    collected = Collected()
    for gone in pairs_go(root, rules, now, dry_run):
        yield gone
    for gone in unnamed_go(root, rules, now, dry_run):
        collected.add(gone)
        yield gone
    gone_before = collected.content_bytes if dry_run else 0
    yield from least_used_go(root, rules, gone=gone_before, dry_run=dry_run)
    if not dry_run:
        yield from forget_keys(root, rules, now)


def collect(
    root: Root, rules: Rules, *, now: float | None = None, dry_run: bool = False
) -> Collected:
    """All `steps`, and what went."""
    collected = Collected()
    for gone in steps(
        root, rules, now=time.time() if now is None else now, dry_run=dry_run
    ):
        collected.add(gone)
    return collected


def make_room(root: Root, rules: Rules, size: int) -> None:
    """Make room for `size` bytes more, where what upstreams gave can make it."""
    for _ in least_used_go(root, rules, size):
        pass


def collecting(root: Root, rules: Rules, threads: Threads) -> Job:
    """Collects every hour, unless the clock is to be doubted; a `Job`."""

    async def all_steps() -> None:
        now = time.time()
        if doubted := await threads.run(doubt, root.database, int(now)):
            _say_not_collected(doubted)
            return
        each = chain(lower(root.database, int(now)), steps(root, rules, now=now))
        while await threads.run(next, each, None) is not None:
            pass

    async def job() -> None:
        while True:
            try:
                await all_steps()
            except StorageFailure as error:
                _say_not_collected(str(error))
            await asyncio.sleep(EVERY)

    return job


def _say_not_collected(why: str) -> None:
    print(f"networkcache server: not collected: {why}", file=sys.stderr)
