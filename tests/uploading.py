"""Clients that upload until they are told to stop, whatever becomes of the server; and
whether what they were promised is there."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Sequence
from contextlib import closing

from wire import TIMEOUT, Reply, ask, connect, files, ours, pairs, put

from slapos.networkcache.digest import Digest

SIZES = (10, 5_000, 300_000, 3_000_000)


class Uploader(threading.Thread):
    """Uploads contents, and a pair for each under `key`, and begins anew where it is cut.

    `contents` and `pairs` are what was answered ``201``, `refusals` the other answers.
    """

    def __init__(self, server, seed: str, key: str = "key"):
        super().__init__(daemon=True)
        self.contents: dict[str, bytes] = {}
        self.pairs: list[list[str]] = []
        self.refusals: list[Reply] = []
        self._server = server
        self.key = key
        self._random = random.Random(seed)
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with closing(connect(self._server)) as connection:
                    while not self._stopping.is_set():
                        self._upload(connection)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)  # killed

    def _upload(self, connection: http.client.HTTPConnection) -> None:
        data = self._random.randbytes(self._random.choice(SIZES))
        reply = ask(self._server, "POST", "/shacache", data, connection=connection)
        if self._took(reply):
            digest = reply.body.decode()
            self.contents[digest] = data
            pair = ours(self.key, digest)
            if self._took(put(self._server, self.key, pair, connection)):
                self.pairs.append(pair)

    def _took(self, reply: Reply) -> bool:
        if reply.status != 201:
            self.refusals.append(reply)
        return reply.status == 201

    def stop(self) -> None:
        """Let it end what it is doing."""
        self._stopping.set()
        self.join(TIMEOUT)


def check_kept(server, uploaders: Sequence[Uploader], right: set[str]) -> None:
    """All that `uploaders` were promised is there, and nothing is there in part.

    `right` are the contents that were looked at before, and then those of now.
    """
    for uploader in uploaders:
        assert uploader.refusals == []
        there = pairs(server, uploader.key)
        assert all(pair in there for pair in uploader.pairs)
        for digest, data in uploader.contents.items():
            assert ask(server, "GET", f"/shacache/{digest}").body == data
    for name in set(files(server.root)) - right:
        assert Digest.of(ask(server, "GET", f"/shacache/{name}").body).hex == name
        right.add(name)
