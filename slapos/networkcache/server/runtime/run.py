"""`networkcache server run`: the root, the sockets, and the processes that answer."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from contextlib import ExitStack, closing

from ..accounts.authorisation import read_secret
from ..accounts.store import authority_of
from ..configuration.options import Options
from ..root import lock_root, open_root
from ..upstream.upstreams import upstream_tls
from .process import Process, Reread, say
from .processes import supervise


def run(options: Options, reread: Reread | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. SIGHUP takes what `reread` gives; on
    a terminal, whose end it is, it ends the server.

    Raises `InvalidConfiguration`, `StorageFailure` and `CannotListen` for what cannot
    begin.
    """
    options.check()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    _allow_many_files()
    with ExitStack() as stack:
        stack.callback(os.close, lock_root(options.root))
        # What is wrong is said once, and here.
        opened = open_root(options.root, make=True, locked=True, progress=say)
        with closing(opened) as root:
            authority_of(root.folder, root.database)
        read_secret(options.proxy_secret_file)
        upstream_tls(options)
        process = Process(options, reread or (lambda: options))
        stack.callback(process.close)

        def announce() -> None:
            for listener in process.listeners:
                print(f"listening on {listener.url}", flush=True)

        if options.workers == 1:
            asyncio.run(process.serve(announce))
            return 0
        return supervise(
            options.workers,
            lambda ready, lifeline: asyncio.run(process.serve(ready, lifeline)),
            announce,
            None if os.isatty(0) else process.reload,
        )


def _allow_many_files() -> None:
    """Take all that this process may open: with the 1,024 that systemd and shells give at
    first, a few hundred slow clients would keep away all others."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
