"""What tests of the client side share: a signer, files put into a cache, clients."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from slapos.networkcache.binding import Request
from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.client import Client
from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digest, Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.storage import Stored
from slapos.networkcache.testing import NetworkCache

NOW = int(time.time())
URL = "http://example.com/hello-1.0.tar.gz"
DATA = bytes(range(256)) * 200
KEY = Key.for_file(URL)
REQUEST = Request.for_file(URL)
DIGEST = Digest.of(DATA)
ALICE, BOB, EVE = (generate("ed25519") for _ in range(3))


def pair_of(
    data: bytes = DATA,
    *,
    url: str = URL,
    signer: Signer = ALICE,
    created: int = NOW,
    key: Key | None = None,
    **members: Any,
) -> Pair:
    """A pair of today for the file at `url`."""
    key = key or Key.for_file(url)
    entry = Entry.make(
        key,
        Digests.of([data]),
        created,
        {"url": url, **members},
        signer=signer.fingerprint,
    )
    return Pair(entry.text, signer.sign(entry.text))


def put(cache: NetworkCache, *pairs: Pair, key: Key = KEY) -> None:
    for pair in pairs:
        cache.entries.put(key, Stored(pair))


def fill(cache: NetworkCache, data: bytes = DATA, url: str = URL, **how: Any) -> None:
    """Put a content and the pair that names it."""
    cache.contents.put([data])
    put(cache, pair_of(data, url=url, **how), key=Key.for_file(url))


def options_for(*caches: NetworkCache, signers: tuple[Signer, ...] = (ALICE,)) -> dict:
    """A section that reads `caches`, nearest first, and believes `signers`."""
    return {
        "download-cache-url-list": "\n".join(c.cache_url for c in caches),
        "download-dir-url-list": "\n".join(c.dir_url for c in caches),
        "signature-certificate-list": "".join(
            s.self_signed("x", time.time()) for s in signers
        ),
    }


def client_for(
    *caches: NetworkCache,
    signers: tuple[Signer, ...] = (ALICE,),
    options: dict[str, str] | None = None,
    **how: Any,
) -> Client:
    section = {**options_for(*caches, signers=signers), **(options or {})}
    return Client(Config.parse(section), **how)


def fetched(client: Client, folder: Path, request: Request = REQUEST) -> bytes:
    """Look up and fetch; what is there afterwards, and that nothing else is."""
    path = folder / "fetched"
    client.fetch(client.look_up(request), str(path))
    assert list(folder.iterdir()) == [path]
    return path.read_bytes()


def asked(cache: NetworkCache) -> list[str]:
    """The requests that came, without host-dependent parts and queries."""
    return [str(request).partition("?")[0] for request in cache.requests]
