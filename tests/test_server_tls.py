"""https beside plain http."""

from __future__ import annotations

import datetime
import http.client
import os
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from wire import TIMEOUT, ask, connect

from slapos.networkcache.digest import Digest

LARGE = os.urandom(20_000_000)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate for 127.0.0.1 that signed itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (folder / "certificate").write_bytes(signed.public_bytes(pem))
    (folder / "key").write_bytes(
        key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder


@pytest.mark.parametrize("workers", ["1", "2"])
def test_tls_beside_plain_http(make_server, certificate, workers):
    tls = [
        "--tls-certificate",
        certificate / "certificate",
        "--tls-key",
        certificate / "key",
    ]
    server = make_server("--tls-port", "0", *map(str, tls), "--workers", workers)
    assert server.tls_url.startswith("https://127.0.0.1:")
    context = ssl.create_default_context(cafile=certificate / "certificate")
    context.check_hostname = False
    port = int(server.tls_url.rpartition(":")[2])
    https = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=TIMEOUT)
    digest = Digest.of(LARGE).hex
    reply = ask(server, "POST", "/shacache", LARGE, connection=https)
    assert (reply.status, reply.body.decode()) == (201, digest)
    for connection in (https, connect(server)):
        reply = ask(server, "GET", f"/shacache/{digest}", connection=connection)
        assert reply.body == LARGE
        how = {"Range": "bytes=1000000-3000000"}
        reply = ask(server, "GET", f"/shacache/{digest}", None, how, connection)
        assert (reply.status, reply.body) == (206, LARGE[1000000:3000001])
        connection.close()
