"""What a dead cache adds to a run of 300 URLs, with a budget of 3 s.

Each way of being dead is tried for look-ups and for uploads. The incumbent has no budget:
of a source that is silent it waits 60 s for each URL, five hours in all, so it is not
measured here.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from slapos.networkcache.binding import Request
from slapos.networkcache.certificates import generate
from slapos.networkcache.client import Client
from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Key
from slapos.networkcache.errors import SourceFailure
from slapos.networkcache.members import members_of_file
from slapos.networkcache.publisher import Publisher

from .dead import WAYS, dead
from .rows import Row, take_turns

ROUNDS, URLS, BUDGET = 3, 300, 3.0
CONTENT = b"hello" * 100_000


def run(folder: Path) -> list[Row]:
    key = folder / "signature.key"
    key.touch(0o600)
    signer = generate("ed25519")
    key.write_bytes(signer.private_pem())
    options = {
        "signature-private-key-file": str(key),
        "signature-certificate-list": signer.self_signed("signer", time.time()),
        "cache-time-budget": f"{BUDGET:g} s",
    }
    rows = []
    for what, attempt in (("look-ups", _look_up), ("uploads", _publish)):
        for way in WAYS:
            (seconds,) = take_turns(ROUNDS, partial(_run, attempt, way, options))
            added = f"dead cache, {way}: time added to {URLS} {what}"
            rows.append(Row(added, None, seconds, "s", str(ROUNDS), limit=BUDGET))
    return rows


def _run(attempt: Callable[[Config], None], way: str, options: dict[str, str]) -> float:
    with dead(way) as url:
        services = {
            f"{direction}-{service}-url": url
            for direction in ("download", "upload")
            for service in ("cache", "dir")
        }
        config = Config.parse(options | services)
        start = time.perf_counter()
        attempt(config)
        return time.perf_counter() - start


def _urls() -> list[str]:
    return [f"http://example.com/{number}.tar.gz" for number in range(URLS)]


def _look_up(config: Config) -> None:
    client = Client(config)
    for url in _urls():
        if client.look_up(Request.for_file(url)).trusted:
            raise RuntimeError("a dead cache was believed")
    client.close()


def _publish(config: Config) -> None:
    publisher = Publisher(config)
    digests = Digests.of([CONTENT])
    for url in _urls():
        try:
            members = members_of_file(url, checked=True)
            publisher.publish(Key.for_file(url), io.BytesIO(CONTENT), digests, members)
        except SourceFailure:
            continue
        raise RuntimeError("a dead cache took something")
    publisher.close()
