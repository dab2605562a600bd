"""Reading along what another process fetches."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ...errors import Code, NotFound, Refusal
from ..growing import Fill, Interrupted
from .claim import WELL, Claim, Said

POLL = 0.03
"""Seconds between two looks."""
STUCK = 30.0
"""Seconds after which nothing more is expected of a process that tells nothing."""


async def follow(fill: Fill, claim: Claim) -> None:
    """Let `fill` grow as the process that holds the lock of `claim` lets it, until it is
    stored. Raises what kept it from that, `Interrupted` where that is not known."""
    now = asyncio.get_running_loop().time
    path = ""
    seen, changed = (Said(0, "", ""), 0, 0), now()
    while not claim.lock():
        said = claim.read()
        if path:
            _check_same(said, path)
        elif said.path:
            with suppress(FileNotFoundError):  # it was stored a moment ago
                fill.grow_in(said.path, said.size)
                path = said.path
        look = said, fill.measure() if path else 0, claim.follow()
        if look != seen:
            seen, changed = look, now()
        elif now() > changed + STUCK:
            raise Interrupted("the process that fetches it does not go on")
        await asyncio.sleep(POLL)
    _judge(claim.read(), path)


def _check_same(said: Said, path: str) -> None:
    if said.path != path:
        raise Interrupted("the process that fetched it is gone, and another one begins")


def _judge(said: Said, path: str) -> None:
    """Raise what is not well about the end of what grew in `path`, if anything could be
    read of it."""
    if path:
        _check_same(said, path)
    if said.outcome == WELL:
        return
    if said.outcome == Code.NOT_FOUND:
        raise NotFound("neither here nor upstream is the content")
    if said.outcome in list(Code):
        raise Refusal(Code(said.outcome), "another process could not get the content")
    raise Interrupted("the process that fetched it is gone")
