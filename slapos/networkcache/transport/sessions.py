"""HTTP sessions as the client side needs them: kept connections, an explicit choice of
proxies, TLS by file, nothing taken from netrc, and every byte paced.

An HTTP library's time-outs bound a single wait, so a peer that sends one byte a second
holds it for ever. Here each read and write of a socket asks the attempt's `Pace` how
long it may take: headers, bodies and uploads alike.
"""

from __future__ import annotations

import io
import ipaddress
import logging
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter

from ..config import TLS
from ..errors import InvalidConfiguration, Reason, SourceFailure
from .pacing import Pace

CONNECTIONS = 8
"""Connections that are kept to one server."""
_BLOCK = 1 << 17
"""Bytes given to a socket at a time."""
_LINES = 1000
"""Lines that may follow each other in an answer: no head, and no end of a body in
chunks, is that long, and an HTTP library would read them for ever."""

_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": "slapos.networkcache",
}
_INSIDE = "it redirects to a loopback, private or link-local address"

_attempt = threading.local()


class paced:
    """``with paced(pace):`` applies `pace` to all that this thread sends and to the
    answers that it gets, until they are read."""

    def __init__(self, pace: Pace):
        self._pace = pace

    def __enter__(self) -> None:
        _attempt.pace = self._pace

    def __exit__(self, *_: object) -> None:
        _attempt.pace = None


class _NotOurs(logging.Filter):
    """What the HTTP library logs of our requests: URLs as they are, to whoever asked for
    more words from another program."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(_attempt, "pace", None) is None


logging.getLogger(urllib3.connectionpool.__name__).addFilter(_NotOurs())


class _PacedRaw(io.RawIOBase):
    """The reading half of a socket; each wait is as long as the pace allows."""

    def __init__(self, sock: socket.socket, pace: Pace):
        # The socket's own raw file keeps it open while an answer is read that ends
        # with the connection.
        self._raw = sock.makefile("rb", buffering=0)
        self._sock = sock
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            self._sock.settimeout(self._pace.next_wait())
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            raise self._pace.too_slow() from None
        self._pace.moved(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """What an answer is read from; refuses heads and trailers that never end."""

    _lines = 0

    def readline(self, size: int | None = -1) -> bytes:
        self._lines += 1
        if self._lines > _LINES:
            raise SourceFailure(Reason.UNREACHABLE, "the head of its answer never ends")
        return super().readline(size)

    def read1(self, size: int = -1) -> bytes:
        self._lines = 0
        return super().read1(size)


class _PacedSocket:
    """A connected socket whose reads and writes keep the pace of the current attempt."""

    def __init__(self, sock: socket.socket):
        self._sock = sock

    def sendall(self, data: bytes) -> None:
        pace = _attempt.pace
        rest = memoryview(data)
        try:
            while rest:
                self._sock.settimeout(pace.next_wait())
                count = self._sock.send(rest)
                pace.moved(count)
                rest = rest[count:]
        except TimeoutError:
            raise pace.too_slow() from None

    def makefile(self, mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        pace = _attempt.pace
        pace.expect_answer()
        return _Reader(_PacedRaw(self._sock, pace), 1 << 16)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Connection(urllib3.connection.HTTPConnection):
    public_only = False

    def connect(self) -> None:
        super().connect()
        self.sock = _PacedSocket(self.sock)

    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self.public_only)


class _SecureConnection(_Connection, urllib3.connection.HTTPSConnection):
    """The same around the library's connection with TLS."""


class _PublicConnection(_Connection):
    public_only = True


class _PublicSecureConnection(_PublicConnection, _SecureConnection):
    pass


def _checked(sock: socket.socket, public_only: bool) -> socket.socket:
    """Refuse a redirect that leads inside, by the address that was really reached."""
    if public_only and is_inside(sock.getpeername()[0]):
        sock.close()
        raise SourceFailure(Reason.UNREACHABLE, _INSIDE)
    return sock


def is_inside(address: str) -> bool:
    """Whether an IP address is anything but a public one."""
    return not ipaddress.ip_address(address.partition("%")[0]).is_global


def leads_inside(host: str) -> bool:
    """Whether a host's name stands for an address inside; False where it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(is_inside(str(info[4][0])) for info in found)


def _pool(
    base: type[urllib3.connectionpool.HTTPConnectionPool], connection: Any
) -> type[urllib3.connectionpool.HTTPConnectionPool]:
    return type(base.__name__, (base,), {"ConnectionCls": connection})


_POOLS = {
    "http": _pool(urllib3.connectionpool.HTTPConnectionPool, _Connection),
    "https": _pool(urllib3.connectionpool.HTTPSConnectionPool, _SecureConnection),
}
_PUBLIC_POOLS = {
    "http": _pool(urllib3.connectionpool.HTTPConnectionPool, _PublicConnection),
    "https": _pool(urllib3.connectionpool.HTTPSConnectionPool, _PublicSecureConnection),
}


class _Adapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext | None, pools: dict[str, Any]):
        self._context = context
        self._pools = pools
        super().__init__(
            pool_connections=2, pool_maxsize=CONNECTIONS, max_retries=0, pool_block=False
        )

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(
            *args, ssl_context=self._context, blocksize=_BLOCK, **options
        )
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context alone says whom to believe and which certificate to show."""
        conn.cert_reqs = "CERT_REQUIRED"


def _tls_context(tls: TLS) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.ca_file:
            # Private authorities in the field are old: small keys, no key usage. What
            # is fetched is signed by itself.
            context.set_ciphers("DEFAULT:@SECLEVEL=1")
            context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        if tls.cert_file:
            # Without a password of ours OpenSSL would ask at the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    except (OSError, ValueError) as error:
        files = ", ".join(filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))
        raise InvalidConfiguration(
            f"the TLS files {files} cannot be used: {error}"
        ) from None
    return context


class Session:
    """Kept connections to the server of `url`.

    `tls` names the files for https; `public_only` refuses whatever is inside. Proxies
    are those of the environment. Of the library's own session nothing is used: it keeps
    cookies, reads netrc, and takes in the body of a redirect, however long. Raises
    `InvalidConfiguration` where the files cannot be used.
    """

    def __init__(self, url: str, tls: TLS | None = None, *, public_only: bool = False):
        self._proxies = requests.utils.get_environ_proxies(url)
        if public_only and requests.utils.select_proxy(url, self._proxies):
            # The address that is reached is the proxy's: the name must do.
            if leads_inside(urlsplit(url).hostname or ""):
                raise SourceFailure(Reason.UNREACHABLE, _INSIDE)
            public_only = False
        context = _tls_context(tls or TLS()) if url.lower().startswith("https:") else None
        self._adapter = _Adapter(context, _PUBLIC_POOLS if public_only else _POOLS)

    def send(self, request: requests.Request, timeout: float) -> requests.Response:
        """Send `request`; the body of the answer is still to be read. `timeout` in
        seconds is for the connection; the rest is paced."""
        request.headers = {**_HEADERS, **request.headers}
        return self._adapter.send(
            request.prepare(), stream=True, timeout=timeout, proxies=self._proxies
        )

    def close(self) -> None:
        self._adapter.close()
