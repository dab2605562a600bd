"""What ``networkcache upload`` fetches from an origin, and what it does not sign."""

from __future__ import annotations

import hashlib
import ssl
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address

import pytest
from commands import CONTENT, SHA512, URL, entries, origin
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)


def test_what_a_url_fetches_over_http_is_marked(node) -> None:
    with origin() as there:
        url = there.put("/a.tar.gz", CONTENT)
        done = node.run("upload", "-u", url)
        assert done.returncode == 0, done.stderr
        (entry,) = entries(node, "-u", url)
        assert (entry["sha512"], entry["transport"]) == (SHA512, "http")
        # Nobody else sends what a user keeps for a host.
        assert not [h for _, h in there.asked if "Authorization" in h]


def test_a_checksum_in_the_url_makes_up_for_http(node) -> None:
    with origin() as there:
        url = there.put("/a.tar.gz", CONTENT)
        checksum = hashlib.sha256(CONTENT).hexdigest()
        done = node.run("upload", "-u", f"{url}#sha256={'0' * 64}")
        assert done.returncode == 1
        assert "sha256" in done.stderr
        assert node.run("upload", "-u", f"{url}#sha256={checksum}").returncode == 0
    (entry,) = entries(node, "-u", url)
    assert entry["url"] == url
    assert "transport" not in entry


@pytest.mark.parametrize(
    ("answer", "code", "sentence"),
    [
        ((404, {"Content-Length": "0"}, b""), 1, "404"),
        ((500, {"Content-Length": "0"}, b""), 3, "500"),
        ((206, {"Content-Length": "4"}, b"part"), 3, "206"),
        ((200, {"Content-Length": "9"}, b"cut"), 3, ""),
        ((200, {}, b"of unknown length"), 3, "how long"),
        ((302, {"Location": "ftp://example.com/x"}, b""), 3, "no http or https"),
        ((302, {"Location": "/a"}, b""), 3, "again and again"),
    ],
)
def test_what_is_not_whole_is_not_signed(lone, server, answer, code, sentence) -> None:
    with origin() as there:
        there.answers["/a"] = answer
        done = lone.run("upload", "-u", f"{there.url}/a")
    assert (done.returncode, done.stdout) == (code, b"")
    assert sentence in done.stderr
    assert server.requests() == []


def test_a_redirect_is_followed(node) -> None:
    with origin() as there:
        there.put("/b", CONTENT)
        there.answers["/a"] = (302, {"Location": "/b", "Content-Length": "0"}, b"")
        assert node.run("upload", "-u", f"{there.url}/a").returncode == 0
        (entry,) = entries(node, "-u", f"{there.url}/a")
    assert (entry["url"], entry["sha512"]) == (f"{there.url}/a", SHA512)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-u", "http://user:pass@127.0.0.1:1/x"),
        ("-u", "http://127.0.0.1:1/x?token=pass"),
        ("-f", "slapos.cfg", "-k", "x:y", "mirror=http://user:pass@127.0.0.1:1/x"),
    ],
)
def test_a_secret_is_neither_fetched_nor_published(lone, server, arguments) -> None:
    done = lone.run("upload", *arguments)
    assert done.returncode == 1
    assert "pass" not in done.stdout.decode() + done.stderr
    assert server.requests() == []


def test_a_blacklisted_url_is_not_published(lone, server) -> None:
    lone.options["upload-to-cache-url-blacklist"] = "http://example.com/"
    done = lone.run("upload", "-f", lone.write("hello", CONTENT), "-u", URL)
    assert done.returncode == 1
    assert "upload-to-cache-url-blacklist" in done.stderr
    assert server.requests() == []


def test_verified_https_needs_no_mark(node, tmp_path) -> None:
    with origin(tls_context(tmp_path)) as there:
        url = there.put("/a.tar.gz", CONTENT)
        done = node.run("upload", "-u", url)
        assert (done.returncode, done.stdout) == (3, b"")
        assert "certificate" in done.stderr
        node.environment["SSL_CERT_FILE"] = str(tmp_path / "tls.crt")
        done = node.run("upload", "-u", url)
        assert done.returncode == 0, done.stderr
        # One hop over http is enough for the mark.
        with origin() as plain:
            there.answers["/b"] = (302, {"Location": plain.put("/b", CONTENT)}, b"")
            plain.answers["/c"] = (302, {"Location": url}, b"")
            for mixed in (f"{there.url}/b", f"{plain.url}/c"):
                assert node.run("upload", "-u", mixed).returncode == 0
                assert entries(node, "-u", mixed)[0]["transport"] == "http"
    assert "transport" not in entries(node, "-u", url)[0]


def tls_context(folder) -> ssl.SSLContext:
    """Of a server whose certificate for 127.0.0.1 is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "origin")])
    now = datetime.now(timezone.utc)
    alternative = x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "tls.key").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context
