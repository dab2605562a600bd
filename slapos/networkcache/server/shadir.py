"""SHADIR: entries by key, and many of them in one round trip."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

from aiohttp import web

from ..digest import Digest
from ..entry import Key, Pair
from ..errors import Code, NotFound, Refusal
from ..protocol import (
    BATCH_BODY_LIMIT,
    BATCH_LIMIT,
    DIRECTORY_LIMIT,
    PUT_LIMIT,
    Batch,
    BatchAnswer,
    decode_put,
    encode_directory,
)
from ..storage import ContentStore, EntryStore, Stored
from .accounts.authorisation import Authorise
from .directory import accept, fit, named_content, together, visible
from .http import body
from .http.answers import JSON, NO_STORE, Answer, created, etag_matches
from .monitoring.tally import Tally
from .threads import Threads
from .upstream.entries import Found
from .upstream.upstreams import Upstreams

_NOTHING = Found({})
_SHORT = 64 << 10
"""Bytes of pairs of upstreams that are shown without a thread."""
_DIGEST_ROOM = len(Digest.of(b"").hex) + len('"", ')


class Shadir:
    """Answers requests about entries; `upstream` has more of them. `check_room` raises
    `StorageFull` where the disk has no room for another one."""

    def __init__(
        self,
        contents: ContentStore,
        entries: EntryStore,
        authorise: Authorise,
        threads: Threads,
        tally: Tally,
        upstream: Upstreams | None = None,
        check_room: Callable[[], None] = lambda: None,
    ):
        self._contents = contents
        self._entries = entries
        self._authorise = authorise
        self._threads = threads
        self._tally = tally
        self._upstream = upstream
        self._check_room = check_room

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
        if self._upstream is None:
            return self._look_up(request, key, _NOTHING)
        found = await self._upstream.look_up([key])
        if sum(row.pair.size for row in found.rows.get(key, ())) > _SHORT:
            return await self._threads.read(self._look_up, request, key, found)
        return self._look_up(request, key, found)

    def _look_up(self, request: web.BaseRequest, key: Key, found: Found) -> Answer:
        rows = visible(self._entries.get([key]).get(key, ()), self._contents.has)
        pairs = fit(together(rows, found.rows.get(key, ())))
        self._count(key, bool(pairs))
        if not pairs and key in found.unknown:
            raise Refusal(Code.UPSTREAM, f"no upstream could be asked for {key}")
        if not pairs:
            raise NotFound(f"nothing is known under {key}")
        text = encode_directory(pairs)
        etag = f'"{hashlib.sha256(text).hexdigest()[:32]}"'
        headers = {**JSON, "Cache-Control": "max-age=60", "ETag": etag}
        if etag_matches(request.headers.get("If-None-Match"), etag):
            return Answer(304, headers)
        return Answer(200, headers, text)

    async def _put(self, request: web.BaseRequest, key: Key) -> Answer:
        self._authorise(request)
        await self._threads.run(self._check_room)
        pair = decode_put(await body.whole(request, PUT_LIMIT))
        digest, may_come_later = accept(key, pair)
        has = self._contents.has(digest)
        if not has and self._upstream is not None:
            # Whoever asked was told that it is here, and sends no content.
            has = await self._upstream.bring(digest)
        account = self._authorise(request)  # it may have been revoked while this came
        account.check_pair(key, pair)
        if not has and not may_come_later:
            raise Refusal(
                Code.MISSING_CONTENT,
                f"upload the content {digest} before the entry that names it",
            )
        stored = Stored(pair, account.name, hidden=not has)
        await self._threads.run(self._entries.put, key, stored, digest)
        self._tally.count("entry-uploads")
        return created()

    def _count(self, key: Key, found: bool) -> None:
        self._tally.count("entry-hits" if found else "entry-misses")
        if found:
            self._tally.looked_up(key)

    # -- batches

    async def _batch(self, request: web.BaseRequest) -> Answer:
        asked = Batch.decode(await body.whole(request, BATCH_BODY_LIMIT))
        found = _NOTHING
        if self._upstream is not None:
            doubtful = await self._threads.read(self._doubtful, asked)
            found = await self._upstream.look_up(asked.keys, doubtful)
        text = await self._threads.read(self._look_up_all, asked, found)
        return Answer(200, {**JSON, "Cache-Control": NO_STORE}, text)

    def _doubtful(self, asked: Batch) -> list[Digest]:
        """The contents that a batch is about and that are not here."""
        missing = [digest for digest in asked.contents if not self._contents.has(digest)]
        doubtful = dict.fromkeys(missing)
        for key in asked.keys:  # one by one: all of them may be very many bytes
            doubtful |= dict.fromkeys(self._missing(self._entries.get([key]).get(key, ())))
        return list(doubtful)[:BATCH_LIMIT]

    def _look_up_all(self, asked: Batch, found: Found) -> bytes:
        """The answer to a batch. What it says beside pairs is given its room first."""
        missing = {
            digest
            for digest in asked.contents
            if digest not in found.held and not self._contents.has(digest)
        }
        room = DIRECTORY_LIMIT - len(BatchAnswer().encode()) - len(missing) * _DIGEST_ROOM
        room -= sum(len(key.text) + len('"", ') for key in asked.keys)
        answered: dict[Key, Sequence[Pair]] = {}
        later = []
        for key in asked.keys:
            if key in found.put_off:
                later.append(key)
                continue
            known = self._entries.get([key]).get(key, ())
            local = visible(known, self._contents.has)
            rows = together(local, found.rows.get(key, ()))
            self._count(key, bool(rows))
            if not rows:
                later += [key] if key in found.later else []
                continue
            gone = self._missing(local) - found.held
            if found.missing:
                gone |= self._missing(rows) & found.missing
            room_of_key = len(key.text) + len('"": , ') + len(gone) * _DIGEST_ROOM
            pairs = fit(rows, room - room_of_key)
            if not pairs or (answered and len(pairs) < len(rows)):
                later.append(key)
                continue
            room -= room_of_key + len(encode_directory(pairs))
            answered[key] = pairs
            missing |= gone
        return BatchAnswer(answered, frozenset(missing), later).encode()

    def _missing(self, rows: Sequence[Stored]) -> set[Digest]:
        named = {digest for row in rows if (digest := named_content(row))}
        return {digest for digest in named if not self._contents.has(digest)}


def key_of(name: str) -> Key:
    """The key in a path, decoded exactly once. Raises `InvalidKey`.

    Old clients send keys unquoted; a ``?`` was never part of one.
    """
    return Key.parse(unquote_to_bytes(name).decode("latin-1"))
