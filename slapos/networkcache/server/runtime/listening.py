"""The sockets of a server: TCP, TLS, and a Unix socket for a server in front."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from contextlib import suppress
from typing import NamedTuple

from ...errors import NetworkcacheError
from ..accounts.authority import FOLDER
from ..configuration.options import PORT, Options
from .tls import renew, tls_context

BACKLOG = 1024
"""Connections that wait to be accepted."""


class CannotListen(NetworkcacheError):
    """No socket at the address that was asked for."""


class Listener(NamedTuple):
    """A bound socket, and the TLS that is spoken on it, if any; `path` is that of a Unix
    socket, which a closed one does not tell."""

    socket: socket.socket
    tls: ssl.SSLContext | None = None
    path: str | None = None

    @property
    def url(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        host, port = self.socket.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{host}:{port}"

    def close(self) -> None:
        """Close it; a Unix socket's name goes, too."""
        if self.path is not None:
            with suppress(OSError):
                os.unlink(self.path)
        self.socket.close()


def listen(options: Options) -> list[Listener]:
    """Bind what `options` ask for. Raises `CannotListen` and `InvalidConfiguration`."""
    listeners = []
    if options.port is not None or options.socket is None:
        port = PORT if options.port is None else options.port
        listeners.append(Listener(_bind(options.host, port)))
    if options.tls_port is not None:
        listeners.append(Listener(_bind(options.host, options.tls_port), _tls(options)))
    if options.socket is not None:
        name = os.path.abspath(options.socket)
        listeners.append(Listener(_bind_unix(name), path=name))
    return listeners


def renew_tls(listeners: list[Listener], options: Options) -> None:
    """Take certificates and keys anew for the connections to come."""
    for listener in listeners:
        if listener.tls is not None:
            renew(listener.tls, options.tls_certificate, options.tls_key)


def _tls(options: Options) -> ssl.SSLContext:
    return tls_context(
        options.tls_certificate,
        options.tls_key,
        options.root / FOLDER,
    )


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


def _bind_unix(name: str) -> socket.socket:
    """The lock of the root keeps others of ours away: a socket that is there is a
    left-over, unless somebody answers."""
    bound = socket.socket(socket.AF_UNIX)
    try:
        _remove_leftover(name)
        bound.bind(name)
        os.chmod(name, 0o660)
    except (OSError, OverflowError) as error:
        bound.close()
        why = getattr(error, "strerror", None) or error
        raise CannotListen(
            f"cannot listen on the Unix socket {name}: {why}; choose another --socket"
        ) from None
    return bound


def _remove_leftover(name: str) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(name).st_mode):
            raise FileExistsError(0, "there is something that is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(name)
            except ConnectionRefusedError:
                os.unlink(name)
            else:
                raise FileExistsError(0, "somebody answers there")
