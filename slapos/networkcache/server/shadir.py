"""SHADIR: entries by key, and many of them in one round trip."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from aiohttp import web

from ..digest import Digest
from ..entry import Key, Pair
from ..errors import Code, NotFound, Refusal
from ..protocol import (
    BATCH_BODY_LIMIT,
    DIRECTORY_LIMIT,
    PUT_LIMIT,
    Batch,
    BatchAnswer,
    decode_put,
    encode_directory,
)
from ..storage import ContentStore, EntryStore, Stored
from . import body
from .answers import JSON, NO_STORE, Answer, created, etag_matches
from .authorisation import Authorise
from .directory import accept, fit, named_content, visible
from .threads import Threads

_DIGEST_ROOM = len(Digest.of(b"").hex) + len('"", ')


class Shadir:
    """Answers requests about entries."""

    def __init__(
        self,
        contents: ContentStore,
        entries: EntryStore,
        authorise: Authorise,
        threads: Threads,
    ):
        self._contents = contents
        self._entries = entries
        self._authorise = authorise
        self._threads = threads

    def methods(self, name: str | None) -> tuple[str, ...]:
        """What may be done with the key `name`, or with the service itself."""
        return ("POST",) if name is None else ("GET", "HEAD", "PUT")

    async def answer(self, request: web.BaseRequest, name: str | None) -> Answer:
        """`name` is what follows the service in the path, undecoded."""
        if name is None:
            return await self._batch(request)
        key = key_of(name)
        if request.method == "PUT":
            return await self._put(request, key)
        return self._look_up(request, key)

    def _look_up(self, request: web.BaseRequest, key: Key) -> Answer:
        rows = self._entries.get([key]).get(key, ())
        pairs = fit(visible(rows, self._contents.has)) if rows else []
        if not pairs:
            raise NotFound(f"nothing is known under {key}")
        text = encode_directory(pairs)
        etag = f'"{hashlib.sha256(text).hexdigest()[:32]}"'
        headers = {**JSON, "Cache-Control": "max-age=60", "ETag": etag}
        if etag_matches(request.headers.get("If-None-Match"), etag):
            return Answer(304, headers)
        return Answer(200, headers, text)

    async def _put(self, request: web.BaseRequest, key: Key) -> Answer:
        account = self._authorise(request)
        pair = decode_put(await body.whole(request, PUT_LIMIT))
        digest, may_come_later = accept(key, pair)
        has = self._contents.has(digest)
        if not has and not may_come_later:
            raise Refusal(
                Code.MISSING_CONTENT,
                f"upload the content {digest} before the entry that names it",
            )
        stored = Stored(pair, account, hidden=not has)
        await self._threads.run(self._entries.put, key, stored)
        return created()

    # -- batches

    async def _batch(self, request: web.BaseRequest) -> Answer:
        asked = Batch.decode(await body.whole(request, BATCH_BODY_LIMIT))
        text = await self._threads.run(self._look_up_all, asked)
        return Answer(200, {**JSON, "Cache-Control": NO_STORE}, text)

    def _look_up_all(self, asked: Batch) -> bytes:
        """The answer to a batch. What it says beside pairs is given its room first."""
        missing = {digest for digest in asked.contents if not self._contents.has(digest)}
        room = DIRECTORY_LIMIT - len(BatchAnswer().encode()) - len(missing) * _DIGEST_ROOM
        room -= sum(len(key.text) + len('"", ') for key in asked.keys)
        found: dict[Key, Sequence[Pair]] = {}
        later = []
        known = self._entries.get(asked.keys)
        for key in asked.keys:
            rows = visible(known.get(key, ()), self._contents.has)
            if not rows:
                continue
            gone = self._missing(rows)
            room_of_key = len(key.text) + len('"": , ') + len(gone) * _DIGEST_ROOM
            pairs = fit(rows, room - room_of_key)
            if not pairs or (found and len(pairs) < len(rows)):
                later.append(key)
                continue
            room -= room_of_key + len(encode_directory(pairs))
            found[key] = pairs
            missing |= gone
        return BatchAnswer(found, frozenset(missing), later).encode()

    def _missing(self, rows: Sequence[Stored]) -> set[Digest]:
        named = {digest for row in rows if (digest := named_content(row))}
        return {digest for digest in named if not self._contents.has(digest)}


def key_of(name: str) -> Key:
    """The key in a path, decoded exactly once. Raises `InvalidKey`.

    Old clients send keys unquoted; a ``?`` was never part of one.
    """
    return Key.parse(unquote_to_bytes(name).decode("latin-1"))
