"""What only the servers can tell: whether they answer, what time they have, and whether
this node may upload.

No entry is ever made: of a pair that is none, a server only says whether it would have
taken it; and the empty content, which is stored, means nothing to anybody.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import NamedTuple

from ...config import Config, Source
from ...digest import Digest
from ...entry import Key
from ...errors import (
    Code,
    InvalidConfiguration,
    NetworkcacheError,
    NotFound,
    Refusal,
    SourceFailure,
)
from ...protocol import Batch
from ...transport import Budget, Transport
from ...trust import CLOCK_TOLERANCE
from ...uploader import CLOCK_LIMIT
from ...urls import redact
from ..advice import advice_for
from .finding import Finding, Mark

_KEY = Key.parse("networkcache-doctor")
"""Nobody publishes under it."""
_EMPTY = Digest.of(b"")
_NO_PAIR = b"{}"
_PATIENCE = 10.0
"""Seconds that one service may cost."""


class _Server(NamedTuple):
    """A network cache, and what it is to this node."""

    source: Source
    roles: tuple[str, ...]


def probe(config: Config) -> list[Finding]:
    """Ask all servers at once; the findings on the sources come first."""
    servers = _servers_of(config)

    def ask(server: _Server) -> list[Finding]:
        try:
            return list(_probe(config, server))
        except InvalidConfiguration as error:
            change = "name files of one account that this user may read"
            return [Finding(Mark.WRONG, "servers", str(error), change)]

    with ThreadPoolExecutor(max(1, len(servers)), "probe") as pool:
        return [finding for found in pool.map(ask, servers) for finding in found]


def _servers_of(config: Config) -> list[_Server]:
    """Each one once, the sources first."""
    named = [
        *((source, f"source {n}") for n, source in enumerate(config.sources, 1)),
        *((source, "binary source") for source in config.binary_sources),
        *((source, "upload") for source in (config.upload,) if source),
        *((source, "binary upload") for source in (config.binary_upload,) if source),
    ]
    roles: dict[Source, list[str]] = {}
    for source, role in named:
        roles.setdefault(source, []).append(role)
    return [_Server(source, tuple(its)) for source, its in roles.items()]


def _probe(config: Config, server: _Server) -> Iterator[Finding]:
    # Each service for itself: they may be on two machines, of which one is dead.
    shadir, shacache = (
        Transport(
            server.source,
            Budget(_PATIENCE),
            cache_tls=config.cache_tls,
            dir_tls=config.dir_tls,
        )
        for _ in range(2)
    )
    with closing(shadir), closing(shacache):
        roles = ", ".join(server.roles)
        yield _answers(
            f"{roles}: SHADIR {redact(server.source.dir_url)}", lambda: _ask_shadir(shadir)
        )
        yield _answers(
            f"{roles}: SHACACHE {redact(server.source.cache_url)}",
            lambda: _ask_shacache(shacache),
        )
        yield from _clock(config, server, shadir, shacache)
        if any(role.endswith("upload") for role in server.roles):
            yield _rights(
                f"contents to {redact(server.source.cache_url)}", shacache, _store
            )
            yield _rights(f"entries to {redact(server.source.dir_url)}", shadir, _put)


# -- reachability


def _ask_shadir(transport: Transport) -> str:
    with suppress(NotFound):
        transport.look_up(_KEY)
    if transport.batch(Batch(keys=(_KEY,))) is not None:
        return ""
    return ", without batches, as older servers do"


def _ask_shacache(transport: Transport) -> str:
    transport.has(_EMPTY)
    return ""


def _answers(what: str, ask: Callable[[], str]) -> Finding:
    begin = time.monotonic()
    try:
        how = ask()
    except SourceFailure as failure:
        change = "try again; check the URL, whether the server runs, and over https whether"
        change += " shacache-cert-file is of an account there"
        text = f"{what}: {failure.reason}: {failure}"
        return Finding(Mark.UNKNOWN, "servers", text, change)
    except Refusal as refusal:
        text = f"{what}: {refusal.code}: {refusal}"
        change = "check the URL, or ask who runs the server"
        return Finding(Mark.WRONG, "servers", text, change)
    took = (time.monotonic() - begin) * 1000
    return Finding(Mark.OK, "servers", f"{what} answers in {took:.0f} ms{how}")


# -- clocks


def _clock(config: Config, server: _Server, *transports: Transport) -> Iterator[Finding]:
    """How far this clock is off the server's."""
    offsets = [t.clock_offset for t in transports if t.clock_offset is not None]
    if not offsets:
        return
    offset = max(offsets, key=abs)
    if abs(offset) <= CLOCK_LIMIT:
        yield Finding(
            Mark.OK, "clocks", f"the clock of {server.source} agrees with this one"
        )
        return
    what = f"this clock and that of {server.source} are {abs(offset):.0f} s apart"
    what += ": nothing is published"
    if abs(offset) > CLOCK_TOLERANCE:
        what += ", and new entries of one side are refused by the other"
    harmless = not config.publishes and abs(offset) <= CLOCK_TOLERANCE
    mark = Mark.WARN if harmless else Mark.WRONG
    yield Finding(mark, "clocks", what, "set whichever clock is wrong, and keep it set")


# -- rights


def _store(transport: Transport) -> None:
    transport.store(_EMPTY, 0, lambda: io.BytesIO())


def _put(transport: Transport) -> None:
    """Put what is no pair: who may put is told what is wrong with it."""
    if not transport.batches:
        raise _Older()
    try:
        transport.put(_KEY, _NO_PAIR)
    except Refusal as refusal:
        if refusal.code not in (Code.BAD_ENTRY, Code.BAD_REQUEST):
            raise


class _Older(NetworkcacheError):
    """A server that may take anything for a pair."""


def _rights(
    what: str, transport: Transport, upload: Callable[[Transport], None]
) -> Finding:
    try:
        upload(transport)
    except _Older:
        text = f"whether this node may upload {what} cannot be told without making an entry"
        return Finding(Mark.UNKNOWN, "rights", text, "upload something, and see")
    except SourceFailure as failure:
        text = f"whether this node may upload {what} cannot be told"
        text += f": {failure.reason}: {failure}"
        return Finding(Mark.UNKNOWN, "rights", text, "try again once the server answers")
    except Refusal as refusal:
        text = f"this node may not upload {what}: {refusal.code}: {refusal}"
        change = advice_for(refusal) or "ask who runs the server"
        return Finding(Mark.WRONG, "rights", text, change)
    except NotFound:
        text = f"this node may not upload {what}: there is nothing of that name"
        return Finding(Mark.WRONG, "rights", text, "check the URL")
    return Finding(Mark.OK, "rights", f"this node may upload {what}")
