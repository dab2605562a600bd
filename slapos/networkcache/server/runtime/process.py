"""The life of one process of a server: what it serves from when to when, and reloading."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from ...errors import NetworkcacheError
from ...storage.durable import disk_faults
from ..accounts.authorisation import read_secret
from ..accounts.authority import FOLDER, Authority
from ..configuration.options import Options
from ..http.access_log import AccessLog
from ..http.connection import Connections
from ..monitoring.tally import EVERY, Tally
from ..root import Root, open_root
from ..threads import Threads
from ..upstream.upstreams import after_put, upstream_tls
from .listening import BACKLOG, Listener, listen, renew_tls
from .serving import Serving

_AT_ONCE = 4
"""Connections that a worker accepts in a row, so that the others get some too."""

Reread = Callable[[], Options]
"""Reads the options again. Raises `InvalidConfiguration`."""


class Process:
    """One process of the server, or their supervisor, which only binds and forks.

    `listeners` are its sockets. Raises `CannotListen`, and `StorageFailure` where the
    access log cannot be written.
    """

    def __init__(self, options: Options, reread: Reread):
        self.listeners = listen(options)
        self._options = options
        self._reread = reread
        self._alone = True  # a worker leaves it to its supervisor to say what stays
        try:
            self._log_fd = _open_log(options.access_log)
        except BaseException:
            self._close_listeners()
            raise

    def close(self) -> None:
        self._close_listeners()
        os.close(self._log_fd)

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()

    def reload(self) -> bool:
        """Take the options again; whether they can be used. If not, the old ones stay."""
        try:
            told = self._reread()
            if self._alone:
                _say_what_stays(self._options, told)
            # What was good as it was told may contradict what only a restart changes.
            options = told.with_fixed(self._options)
            options.check()
            read_secret(options.proxy_secret_file)
            upstream_tls(options)
            Authority(self._options.root / FOLDER, make=False)
            renew_tls(self.listeners, options)
            log_fd = _open_log(options.access_log)
        except Exception as error:
            _stays(error)
            return False
        os.dup2(log_fd, self._log_fd, inheritable=False)
        os.close(log_fd)
        self._options = options
        return True

    # -- serving

    async def serve(self, ready: Callable[[], None], lifeline: int | None = None) -> None:
        """Answer until a signal, or until `lifeline` ends."""
        self._alone = lifeline is None
        loop = asyncio.get_running_loop()
        stop, again = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, stop.set if os.isatty(0) else again.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        if lifeline is not None:
            loop.add_reader(lifeline, stop.set)
        with ExitStack() as stack:
            log = stack.enter_context(closing(AccessLog(self._log_fd)))
            root = stack.enter_context(
                closing(
                    open_root(
                        self._options.root,
                        make=True,
                        locked=True,
                        after_put=lambda *put: after_put(self._options)(*put),
                    )
                )
            )
            threads = stack.enter_context(closing(Threads()))
            tally = Tally()
            serving = Serving(root, threads, log, tally)
            await serving.take(self._options)
            writing = loop.create_task(_write(tally, root, threads))
            try:
                await self._accept(serving, ready, stop, again)
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                await serving.close()
                await threads.run(tally.write, root.database, root.catalogue)

    async def _accept(
        self,
        serving: Serving,
        ready: Callable[[], None],
        stop: asyncio.Event,
        again: asyncio.Event,
    ) -> None:
        loop = asyncio.get_running_loop()
        connections = serving.connections(self._options.stall)
        servers = [
            await _listen_on(each, connections, self._options.stall)
            for each in self.listeners
        ]
        watch = loop.create_task(connections.drop_stalled())
        reloading = loop.create_task(self._reload_when(again, serving, connections))
        ready()
        await stop.wait()
        end = loop.time() + self._options.shutdown
        reloading.cancel()
        serving.drain()
        for server in servers:
            server.close()
        await connections.drain(self._options.shutdown)
        watch.cancel()
        await serving.finish(end - loop.time())

    async def _reload_when(
        self, again: asyncio.Event, serving: Serving, connections: Connections
    ) -> None:
        while True:
            await again.wait()
            again.clear()
            before = self._options
            if not self.reload():
                continue
            try:
                await serving.take(self._options)
            except Exception as error:
                self._options = before
                _stays(error)
            connections.stall = self._options.stall


async def _listen_on(
    listener: Listener, connections: Connections, stall: float
) -> asyncio.Server:
    server = await asyncio.get_running_loop().create_server(
        connections,
        sock=listener.socket,
        ssl=listener.tls,
        ssl_handshake_timeout=stall if listener.tls else None,
        backlog=_AT_ONCE,
    )
    listener.socket.listen(BACKLOG)
    return server


async def _write(tally: Tally, root: Root, threads: Threads) -> None:
    """Write what was counted, again and again."""
    while True:
        await asyncio.sleep(EVERY)
        await threads.run(tally.write, root.database, root.catalogue)


def _say_what_stays(old: Options, new: Options) -> None:
    """Say what only a restart changes."""
    before, after = old.fixed(), new.fixed()
    if kept := [name for name in before if before[name] != after[name]]:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in kept)
        say(f"a change of {names} takes a restart")


def _open_log(path: Path | None) -> int:
    """A descriptor of its own, of standard error too."""
    if path is None:
        return os.dup(2)
    with disk_faults(f"write the access log {path}"):
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _stays(error: Exception) -> None:
    """Say so; nothing that a reload meets ends the server, not even a fault of its own."""
    if not isinstance(error, (NetworkcacheError, OSError)):
        traceback.print_exception(error)
    say(f"the configuration stays as it was: {error}")


def say(text: str) -> None:
    print(f"networkcache server: {text}", file=sys.stderr, flush=True)
