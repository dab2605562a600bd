"""Who may upload: one question per request, answered by one replaceable function.

An account is known by its TLS client certificate. That comes from the connection itself,
or from a server in front that speaks TLS with the client and passes on what it was shown;
either way it is checked here, at every upload, and nothing of it is remembered.
"""

from __future__ import annotations

import hmac
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web
from cryptography import x509

from ...errors import Code, InvalidConfiguration, Refusal
from ...quantities import readable_time
from ...storage.database import Database
from ..configuration.options import Options, is_loopback
from ..http.front import came_through_socket
from .account import ANONYMOUS, Account
from .authority import Authority, sha256_of
from .store import Accounts, authority_of

Authorise = Callable[[web.BaseRequest], Account]
"""Returns the account that uploads; raises `Refusal` (``unauthorized``, ``forbidden``).
It is asked before any of the body is read, and again once all of it has come."""

CERTIFICATE_HEADER = "Networkcache-Client-Certificate"
"""The certificate that a server in front was shown: PEM, its characters escaped as in a
URL, as nginx has it in ``$ssl_client_escaped_cert``."""
SECRET_HEADER = "Networkcache-Proxy-Secret"
"""What a server in front shows that does not come through the Unix socket."""

_BEGIN = "-----BEGIN "
_PASSED_ON = (
    "Origin",
    "Via",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    SECRET_HEADER,
)


def nobody(request: web.BaseRequest) -> Account:
    """No uploads without an account."""
    raise Refusal(
        Code.UNAUTHORIZED,
        "uploads need the certificate of an account, and none was shown: they go over"
        " https, with a certificate that who runs this server issued",
    )


def anonymous_nearby(request: web.BaseRequest) -> Account:
    """Uploads by everybody on this computer, but not through a browser or a proxy.

    A page in somebody's browser, or a proxy in front, reaches a loopback address too; the
    Unix socket is for a server in front.
    """
    if came_through_socket(request):
        raise Refusal(
            Code.FORBIDDEN,
            "anonymous uploads come from this computer itself, not through the Unix socket,"
            " which is for a server in front",
        )
    for name in _PASSED_ON:
        if name in request.headers:
            raise Refusal(
                Code.FORBIDDEN,
                f"anonymous uploads come from this computer itself: {name} says that"
                " this one went through a browser or a proxy",
            )
    if not is_loopback(_without_port(request.headers.get("Host", ""))):
        raise Refusal(
            Code.FORBIDDEN, "anonymous uploads are sent to a loopback address by name"
        )
    return ANONYMOUS


def by_certificate(
    accounts: Accounts,
    authority: Authority,
    *,
    secret: bytes | None = None,
    otherwise: Authorise = nobody,
    now: Callable[[], float] = time.time,
) -> Authorise:
    """Uploads by whom the certificate names, which `authority` issued; `otherwise` decides
    where there is none. `secret` is what a server in front shows; `now` are POSIX seconds.
    """

    def authorise(request: web.BaseRequest) -> Account:
        certificate = _certificate(request, secret)
        if certificate is None:
            return otherwise(request)
        return _holder(certificate, accounts, authority, now())

    return authorise


def authorise_of(options: Options, database: Database, root: Path) -> Authorise:
    """What `options` say of uploads to the server whose folder is `root`.

    Raises `InvalidConfiguration` and `StorageFailure`.
    """
    return by_certificate(
        Accounts(database),
        authority_of(root, database),
        secret=read_secret(options.proxy_secret_file),
        otherwise=anonymous_nearby if options.anonymous else nobody,
    )


def read_secret(path: Path | None) -> bytes | None:
    """The secret of a server in front, where there is one. Raises `InvalidConfiguration`,
    also where others than its owner may read it."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(1 << 10).strip()
    except OSError as error:
        raise InvalidConfiguration(
            f"cannot read the secret of --proxy-secret-file {path}: {error.strerror}"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidConfiguration(
            f"--proxy-secret-file {path} can be read or written by others than its owner"
            f" (mode {mode & 0o777:o}): chmod 600 {path}"
        )
    if len(secret) < 16:
        raise InvalidConfiguration(
            f"--proxy-secret-file {path} holds {len(secret)} bytes: a secret has 16 or more"
        )
    return secret


# -- which certificate


def _certificate(request: web.BaseRequest, secret: bytes | None) -> x509.Certificate | None:
    """What the client showed, here or to a server in front. Raises `Refusal`."""
    said = _said(request, CERTIFICATE_HEADER)
    shown = _shown_in_tls(request)
    if said is None:
        return shown
    if not _is_trusted(request, secret):
        raise Refusal(
            Code.FORBIDDEN,
            f"{CERTIFICATE_HEADER} counts from a server in front alone: it comes through"
            f" the Unix socket, or shows the secret in {SECRET_HEADER}",
        )
    if shown is not None:
        raise Refusal(
            Code.BAD_REQUEST,
            f"there are two certificates, that of TLS and that in {CERTIFICATE_HEADER}",
        )
    return _parse(said)


def _shown_in_tls(request: web.BaseRequest) -> x509.Certificate | None:
    transport = request.transport
    tls = transport.get_extra_info("ssl_object") if transport else None
    shown = tls.getpeercert(True) if tls else None
    return x509.load_der_x509_certificate(shown) if shown else None


def _is_trusted(request: web.BaseRequest, secret: bytes | None) -> bool:
    """Whether it comes from a server in front, which says nothing but what is so."""
    if came_through_socket(request):
        return True
    said = _said(request, SECRET_HEADER)
    if said is None or secret is None:
        return False
    return hmac.compare_digest(said.encode("utf-8", "surrogateescape"), secret)


def _said(request: web.BaseRequest, name: str) -> str | None:
    """The header, where it is there and not empty. Two of it mean that somebody in front
    added one to what the client sent."""
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise Refusal(Code.BAD_REQUEST, f"there are {len(values)} headers {name}")
    return values[0] if values and values[0] else None


def _parse(escaped: str) -> x509.Certificate:
    pem = unquote(escaped)
    try:
        if pem.count(_BEGIN) != 1:
            raise ValueError
        return x509.load_pem_x509_certificate(pem.encode("utf-8", "surrogateescape"))
    except (ValueError, x509.InvalidVersion):
        raise Refusal(
            Code.BAD_REQUEST, f"{CERTIFICATE_HEADER} is not one certificate in PEM, escaped"
        ) from None


# -- whose it is


def _holder(
    certificate: x509.Certificate, accounts: Accounts, authority: Authority, now: float
) -> Account:
    """The account that it is of. Raises `Refusal` (``unauthorized``) where it says nothing,
    or nothing any more."""
    if not authority.issued(certificate):
        raise _unauthorized(
            "the certificate is not of an account of this server: ask who runs it for one"
            " (networkcache account request)"
        )
    shown = accounts.by_certificate(sha256_of(certificate))
    if shown is None:
        raise _unauthorized(
            "this server issued the certificate, but does not know it any more: ask who"
            " runs it for another one"
        )
    account, held = shown
    if held.revoked is not None:
        raise _unauthorized(
            f"the certificate of account {account.name} was revoked on"
            f" {readable_time(held.revoked)}: ask who runs this server why"
        )
    # That it is not good yet can only be said by a clock that was set back.
    if certificate.not_valid_after_utc.timestamp() < now:
        raise _unauthorized(
            f"the certificate of account {account.name} expired on"
            f" {readable_time(held.expires)}: ask who runs this server to renew it"
        )
    return account


def _unauthorized(message: str) -> Refusal:
    return Refusal(Code.UNAUTHORIZED, message)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdigit() or not port) else host
