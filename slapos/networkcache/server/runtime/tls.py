"""TLS of the server: who it is, and which certificates clients may show.

A client may show the certificate of an account, and one that has expired too: old clients
always show theirs, and may read with it. What it is good for is decided at each upload, by
`authorisation`; one that another authority signed ends the handshake.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from ...errors import InvalidConfiguration
from ..accounts.authority import Authority

_NO_CHECK_TIME = 0x200000
"""OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``, which Python has no name for."""


def tls_context(
    certificate: Path | None, key: Path | None, authority: Path
) -> ssl.SSLContext:
    """TLS with the server's `certificate` and `key`; `authority` is the folder of that of
    the accounts, which is made where there is none: so accounts that are added while the
    server runs are known to it.

    Raises `InvalidConfiguration` and `StorageFailure`.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    renew(context, certificate, key)
    pem = Authority(authority).certificate.public_bytes(serialization.Encoding.PEM)
    context.load_verify_locations(cadata=pem.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


def renew(context: ssl.SSLContext, certificate: Path | None, key: Path | None) -> None:
    """Take the certificate and the key anew, for connections to come."""
    # With a certificate that is not of its key, OpenSSL has already let go of the old one.
    probe = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        for each in (probe, context):
            each.load_cert_chain(str(certificate), str(key))
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfiguration(
            f"cannot use {certificate} and {key} for TLS: {error}"
        ) from None
