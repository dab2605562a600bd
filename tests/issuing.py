"""Certificates for TLS, of servers and of accounts, made for a test."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = datetime.timedelta(days=1)


class Files(NamedTuple):
    """PEM files of a certificate and of its key."""

    certificate: Path
    key: Path


class Issuer:
    """An authority; its own certificate and key are `files`."""

    def __init__(self, folder: Path, name: str = "authority"):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.files = self._write(name, self._key, self._builder(name, self._key, ca=True))

    def issue(self, name: str, *, expired: bool = False) -> Files:
        """A certificate for `name`, which is this computer's address or an account's."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, key, self._builder(name, key, expired=expired))

    def _builder(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, ca=False, expired=False
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + (-DAY if expired else DAY))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            # A strict client wants to know what it may sign, and which key signed it.
            .add_extension(_usage(ca), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if name == "127.0.0.1":
            address = x509.IPAddress(ipaddress.ip_address(name))
            names = x509.SubjectAlternativeName([address])
            builder = builder.add_extension(names, critical=False)
        return builder

    def _write(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        builder: x509.CertificateBuilder,
    ) -> Files:
        files = Files(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        signed = builder.sign(self._key, hashes.SHA256())
        files.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
