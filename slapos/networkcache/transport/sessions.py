"""HTTP sessions as the client side needs them: kept connections, an explicit choice of
proxies, TLS by file, nothing taken from netrc, and every byte paced.

An HTTP library's time-outs bound a single wait, so a peer that sends one byte a second
holds it for ever. Here each read and write of a socket asks the attempt's `Pace` how
long it may take: headers, bodies and uploads alike.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
import threading
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar

from ..config import TLS
from ..errors import InvalidConfiguration, Reason, SourceFailure
from .pacing import Pace

CONNECTIONS = 8
"""Connections that are kept to one server."""
_BLOCK = 1 << 17
"""Bytes given to a socket at a time."""

_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": "slapos.networkcache",
}

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


class _PacedSocket:
    """A connected socket whose reads and writes keep the pace of the current attempt."""

    def __init__(self, sock: socket.socket):
        self._sock = sock

    def sendall(self, data: bytes) -> None:
        pace = _attempt.pace
        try:
            self._sock.settimeout(pace.next_wait())
            self._sock.sendall(data)
        except TimeoutError:
            raise pace.too_slow() from None
        pace.moved(len(data))

    def makefile(self, mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        pace = _attempt.pace
        pace.expect_answer()
        return io.BufferedReader(_PacedRaw(self._sock, pace), 1 << 16)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Connection(urllib3.connection.HTTPConnection):
    public_only = False

    def connect(self) -> None:
        super().connect()
        self.sock = _PacedSocket(self.sock)

    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self.public_only)


class _SecureConnection(urllib3.connection.HTTPSConnection):
    public_only = False

    def connect(self) -> None:
        super().connect()
        self.sock = _PacedSocket(self.sock)

    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self.public_only)


class _PublicConnection(_Connection):
    public_only = True


class _PublicSecureConnection(_SecureConnection):
    public_only = True


def _checked(sock: socket.socket, public_only: bool) -> socket.socket:
    """Refuse a redirect that leads inside, by the address that was really reached."""
    if public_only and is_inside(sock.getpeername()[0]):
        sock.close()
        raise SourceFailure(
            Reason.UNREACHABLE, "it redirects to a loopback, private or link-local address"
        )
    return sock


def is_inside(address: str) -> bool:
    """Whether an IP address is anything but a public one."""
    return not ipaddress.ip_address(address.partition("%")[0]).is_global


def leads_inside(host: str) -> bool:
    """Whether a host's name stands for an address inside; False where it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
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
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ValueError) as error:
        files = ", ".join(filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))
        raise InvalidConfiguration(
            f"the TLS files {files} cannot be used: {error}"
        ) from None
    return context


def make_session(
    url: str, tls: TLS | None = None, *, public_only: bool = False
) -> requests.Session:
    """A session for the server of `url`, or, with `public_only`, for redirects to any.

    `tls` names the files for https. Raises `InvalidConfiguration` where they cannot be
    used.
    """
    session = requests.Session()
    session.trust_env = False
    session.cookies = RequestsCookieJar(DefaultCookiePolicy(allowed_domains=[]))
    session.headers = requests.structures.CaseInsensitiveDict(
        {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "slapos.networkcache",
        }
    )
    session.proxies.update(requests.utils.get_environ_proxies(url))
    secure = public_only or url.lower().startswith("https:")
    context = _tls_context(tls or TLS()) if secure else None
    adapter = _Adapter(context, _PUBLIC_POOLS if public_only else _POOLS)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
