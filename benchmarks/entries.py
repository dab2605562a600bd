"""Entries, signed in our way and in the old one, and how they get into a server."""

from __future__ import annotations

import json
import time

from slapos.networkcache.certificates import Signer
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.protocol import encode_put

from .load import Connection
from .servers import Server


def pair_for(url: str, content: bytes, signer: Signer, *, named: bool = True) -> Pair:
    """A pair as we write it; `named` is whether the entry names its signer."""
    name = signer.fingerprint if named else None
    digests = Digests.of([content])
    entry = Entry.make(
        Key.for_file(url), digests, int(time.time()), {"url": url}, signer=name
    )
    return Pair(entry.text, signer.sign(entry.text))


def legacy_pair_for(url: str, content: bytes, signer: Signer) -> Pair:
    """A pair as the old client writes it."""
    text = json.dumps({"sha512": Digests.of([content]).sha512.hex, "url": url})
    return Pair(text, signer.sign_legacy(text))


def publish(server: Server, url: str, content: bytes, pair: Pair) -> None:
    """Put a content and its pair under the key of a URL."""
    publish_under(Key.for_file(url), server, content, pair)


def publish_under(key: Key, server: Server, content: bytes, pair: Pair) -> None:
    """The same under any key."""
    for service, method, path, body in (
        (server.cache_url, "POST", "", content),
        (server.dir_url, "PUT", f"/{key}", encode_put(pair)),
    ):
        connection = Connection(service)
        status = connection.ask(method, path, body)
        connection.close()
        if status != 201:
            raise RuntimeError(f"{method} {service}{path} answered {status}")
