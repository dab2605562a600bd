"""`networkcache server run`: the root, the sockets, and the life of one process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from ..errors import InvalidConfiguration, NetworkcacheError, StorageFailure
from ..storage.durable import disk_faults, make_folder
from ..storage.kinds import Stores, open_stores
from .access_log import AccessLog
from .app import App, make_app
from .authorisation import anonymous_nearby, nobody
from .options import Options
from .processes import supervise
from .threads import Threads

BACKLOG = 1024
"""Connections that wait to be accepted."""
_AT_ONCE = 4
"""Connections that a worker accepts in a row, so that the others get some too."""


class CannotListen(NetworkcacheError):
    """No socket at the address and the port that were asked for."""


class Listener(NamedTuple):
    """A bound socket, and the TLS that is spoken on it, if any."""

    socket: socket.socket
    tls: ssl.SSLContext | None

    @property
    def url(self) -> str:
        host, port = self.socket.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{host}:{port}"


def run(options: Options) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Raises `InvalidConfiguration`, `StorageFailure` and `CannotListen` for what cannot
    begin.
    """
    options.check()
    with ExitStack() as stack:
        stack.callback(os.close, _lock(options.root))
        _open_stores(options.root).close()  # what is wrong is said once, and here
        listeners = _listen(options)
        for listener in listeners:
            stack.enter_context(closing(listener.socket))
        log = _open_log(options.access_log)
        stack.callback(os.close, log)

        def announce() -> None:
            for listener in listeners:
                print(f"listening on {listener.url}", flush=True)

        if options.workers == 1:
            asyncio.run(_serve(options, listeners, log, announce))
            return 0
        return supervise(
            options.workers,
            lambda ready, lifeline: asyncio.run(
                _serve(options, listeners, log, ready, lifeline)
            ),
            announce,
        )


async def _serve(
    options: Options,
    listeners: list[Listener],
    log_fd: int,
    ready: Callable[[], None],
    lifeline: int | None = None,
) -> None:
    """The life of one process: until a signal, or until `lifeline` ends."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if lifeline is not None:
        loop.add_reader(lifeline, stop.set)
    with ExitStack() as stack:
        log = stack.enter_context(closing(AccessLog(log_fd)))
        stores = stack.enter_context(closing(_open_stores(options.root)))
        threads = stack.enter_context(closing(Threads()))
        app = make_app(
            stores.contents,
            stores.entries,
            threads=threads,
            log=log,
            authorise=anonymous_nearby if options.anonymous else nobody,
            content_limit=options.content_limit,
        )
        await _accept(options, listeners, app, ready, stop)


async def _accept(
    options: Options,
    listeners: list[Listener],
    app: App,
    ready: Callable[[], None],
    stop: asyncio.Event,
) -> None:
    connections = app.connections(options.stall)
    loop = asyncio.get_running_loop()
    servers = []
    for listener in listeners:
        servers.append(
            await loop.create_server(
                connections,
                sock=listener.socket,
                ssl=listener.tls,
                ssl_handshake_timeout=options.stall if listener.tls else None,
                backlog=_AT_ONCE,
            )
        )
        listener.socket.listen(BACKLOG)
    watch = loop.create_task(connections.drop_stalled(min(5.0, options.stall / 4)))
    ready()
    await stop.wait()
    app.draining = True
    for server in servers:
        server.close()
    await connections.drain(options.shutdown)
    watch.cancel()


def _open_stores(root: Path) -> Stores:
    """The stores in the folder `root`: an absolute path is never another kind's name."""
    return open_stores(os.path.abspath(root))


def _lock(root: Path) -> int:
    """Take the root for this server alone, for as long as the descriptor is open."""
    with disk_faults(f"write in {root}"):
        make_folder(str(root))
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StorageFailure(
            f"another `networkcache server run` uses {root}: stop it, or choose another"
            " --root"
        ) from None
    return lock


def _listen(options: Options) -> list[Listener]:
    listeners = [Listener(_bind(options.host, options.port), None)]
    if options.tls_port is not None:
        tls = _tls(options.tls_certificate, options.tls_key)
        listeners.append(Listener(_bind(options.host, options.tls_port), tls))
    return listeners


def _bind(host: str, port: int) -> socket.socket:
    try:
        address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[4][:2], family=address[0], backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise CannotListen(
            f"cannot listen on {host} port {port}: {why}; choose another address or port"
        ) from None


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(str(certificate), str(key))
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfiguration(
            f"cannot use {certificate} and {key} for TLS: {error}"
        ) from None
    return context


def _open_log(path: Path | None) -> int:
    """A descriptor of its own, of standard error too."""
    if path is None:
        return os.dup(2)
    with disk_faults(f"write the access log {path}"):
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
