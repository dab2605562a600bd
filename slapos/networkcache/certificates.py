"""Signing keys and certificates: the only module that computes signatures.

A **certificate** is how a signer's public key is handed out; only that key matters.
Deployed lists hold certificates that are long past their dates, and some that do not
parse: each is read by itself, and what does not parse is named.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from .errors import InvalidConfiguration

PublicKey: TypeAlias = (
    rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
)
PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
)

RSA_BITS = 2048
"""The smallest RSA key whose SHA-512 signatures count."""
LEGACY_RSA_BITS = 1024
"""The smallest RSA key whose SHA-1 signatures may count, where they are asked for."""

_CURVE_ORDERS = {
    # SEC 2, version 2.0, sections 2.4.2 and 2.5.1
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
        16,
    ),
}
_PADDING = PKCS1v15()
_SHA512 = hashes.SHA512()
_SHA1 = hashes.SHA1()
_ECDSA = ec.ECDSA(_SHA512)


def fingerprint_of(key: PublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, in hexadecimal: the `signer` of an entry."""
    return hashlib.sha256(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).hexdigest()


class Strength(Enum):
    """How good a signature is."""

    STRONG = "made as this package makes it"
    LEGACY = "RSA of 1024 bits or more over SHA-1, as older programs make it"
    WEAK = "with an RSA key that is too small for that"


@dataclass(frozen=True)
class Certificate:
    """A signer's public key, and the name that its certificate gives.

    Two certificates of one public key are equal: they are one signer.
    """

    fingerprint: str
    name: str = field(compare=False)
    key: PublicKey = field(compare=False, repr=False)
    pem: str = field(compare=False, repr=False, default="")

    @classmethod
    def parse(cls, pem: str) -> Certificate:
        """Read one PEM certificate. Raises `InvalidConfiguration`."""
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            key = certificate.public_key()
        except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm):
            raise InvalidConfiguration(
                "not a certificate in PEM, or one that is damaged"
            ) from None
        return cls(fingerprint_of(_usable(key)), _name_of(certificate), _usable(key), pem)

    def verify(self, signature: bytes, data: bytes) -> Strength | None:
        """How good a signature over `data`, made as we sign, it is; None if it is none."""
        if not self._verifies(signature, data, _SHA512):
            return None
        bits = self.rsa_bits
        return Strength.WEAK if bits and bits < RSA_BITS else Strength.STRONG

    def verify_legacy(self, signature: bytes, data: bytes) -> Strength | None:
        """The same for one made as older programs sign: RSA over SHA-1."""
        bits = self.rsa_bits
        if not bits or not self._verifies(signature, data, _SHA1):
            return None
        return Strength.WEAK if bits < LEGACY_RSA_BITS else Strength.LEGACY

    @property
    def rsa_bits(self) -> int | None:
        """How large its key is; None where that is no RSA key."""
        return self.key.key_size if isinstance(self.key, rsa.RSAPublicKey) else None

    def _verifies(self, signature: bytes, data: bytes, hash: hashes.HashAlgorithm) -> bool:
        try:
            if isinstance(self.key, rsa.RSAPublicKey):
                self.key.verify(signature, data, _PADDING, hash)
            elif isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, data)
            else:
                if not _has_low_s(signature, self.key.curve):
                    return False
                self.key.verify(signature, data, _ECDSA)
        except InvalidSignature:
            return False
        return True


def _usable(key: object) -> PublicKey:
    if isinstance(key, (rsa.RSAPublicKey, ed25519.Ed25519PublicKey)):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVE_ORDERS:
        return key
    raise InvalidConfiguration(
        "the public key is none of RSA, Ed25519, ECDSA P-256 and ECDSA P-384"
    )


def _name_of(certificate: x509.Certificate) -> str:
    try:
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(names[0].value) if names else certificate.subject.rfc4514_string()
    except (ValueError, TypeError):
        return ""


def _has_low_s(signature: bytes, curve: ec.EllipticCurve) -> bool:
    """Of the two signatures that every ECDSA signature gives, only one counts."""
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return False
    return s <= _CURVE_ORDERS[curve.name] // 2 and encode_dss_signature(r, s) == signature


@dataclass(frozen=True)
class CertificateList:
    """What ``signature-certificate-list`` holds: the certificates that parse, and a
    sentence about each one that does not."""

    certificates: tuple[Certificate, ...] = ()
    problems: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> CertificateList:
        """Read PEM certificates one after the other; whatever stands between counts as
        a comment, and so does a line that begins with ``#``."""
        certificates: list[Certificate] = []
        problems: list[str] = []
        for number, (line, pem) in enumerate(_blocks(text), 1):
            try:
                certificate = Certificate.parse(pem)
            except InvalidConfiguration as error:
                problems.append(
                    f"certificate {number} of signature-certificate-list (its line"
                    f" {line}) is skipped: {error}"
                )
            else:
                if certificate not in certificates:
                    certificates.append(certificate)
        return cls(tuple(certificates), tuple(problems))

    def name_of(self, fingerprint: str | None) -> str:
        """The name of a signer; empty for who is not listed."""
        names = (c.name for c in self.certificates if c.fingerprint == fingerprint)
        return next(names, "")


_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_COMMENT = re.compile(r"^[ \t]*#.*", re.MULTILINE)


def _blocks(text: str) -> list[tuple[int, str]]:
    """Each certificate with the number of the line that it begins on."""
    blocks = []
    before, *rest = _COMMENT.sub("", text).split(_BEGIN)
    line = before.count("\n") + 1
    for block in rest:
        body, end, _ = block.partition(_END)
        lines = [part.strip() for part in body.splitlines()]
        blocks.append((line, "\n".join([_BEGIN, *filter(None, lines), end]) + "\n"))
        line += block.count("\n")
    return blocks


class Signer:
    """Holds a private key and signs entries with it.

    `fingerprint` is the SHA-256 of its public key.
    """

    def __init__(self, key: PrivateKey):
        self._key = key
        self.fingerprint = fingerprint_of(key.public_key())

    @classmethod
    def parse(cls, pem: bytes) -> Signer:
        """Read a PEM private key without a passphrase. Raises `InvalidConfiguration`."""
        try:
            key = serialization.load_pem_private_key(pem, None)
        except TypeError:
            raise InvalidConfiguration(
                "expected a private key without a passphrase, got one with a passphrase"
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidConfiguration(
                "not a private key in PEM, or one that is damaged"
            ) from None
        if not isinstance(
            key,
            (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey),
        ):
            raise InvalidConfiguration("the private key is none of RSA, Ed25519 and ECDSA")
        _usable(key.public_key())
        if isinstance(key, rsa.RSAPrivateKey) and key.key_size < LEGACY_RSA_BITS:
            raise InvalidConfiguration(f"an RSA key of {key.key_size} bits is too small")
        return cls(key)

    @property
    def certificate(self) -> Certificate:
        """The public half, as others believe it."""
        return Certificate(self.fingerprint, "", self._key.public_key())

    @property
    def signs(self) -> bool:
        """Whether its signatures are believed: an RSA key under 2048 bits only signs in
        the old way."""
        return not (
            isinstance(self._key, rsa.RSAPrivateKey) and self._key.key_size < RSA_BITS
        )

    @property
    def signs_legacy(self) -> bool:
        """Whether it can sign in the old way, which takes an RSA key."""
        return isinstance(self._key, rsa.RSAPrivateKey)

    def sign(self, text: str) -> str:
        """The signature over the text of an entry, in base64."""
        data = text.encode()
        if isinstance(self._key, rsa.RSAPrivateKey):
            signature = self._key.sign(data, _PADDING, _SHA512)
        elif isinstance(self._key, ed25519.Ed25519PrivateKey):
            signature = self._key.sign(data)
        else:
            r, s = decode_dss_signature(self._key.sign(data, _ECDSA))
            order = _CURVE_ORDERS[self._key.curve.name]
            signature = encode_dss_signature(r, min(s, order - s))
        return base64.b64encode(signature).decode()

    def sign_legacy(self, text: str) -> str:
        """The signature that older programs verify: RSA over SHA-1, in base64.

        Raises `InvalidConfiguration` unless the key is RSA.
        """
        if not isinstance(self._key, rsa.RSAPrivateKey):
            raise InvalidConfiguration(
                "signature-legacy = publish needs an RSA key: older programs know no other"
            )
        return base64.b64encode(self._key.sign(text.encode(), _PADDING, _SHA1)).decode()

    def private_pem(self) -> bytes:
        """The key as it is kept in ``signature-private-key-file``."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def self_signed(self, common_name: str, now: float) -> str:
        """The public key as a self-signed certificate in PEM, good for 100 years from
        the POSIX time `now`: what others put into their ``signature-certificate-list``.
        """
        begin = datetime.fromtimestamp(now, timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(named(common_name))
            .issuer_name(named(common_name))
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=36500))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, self._hash)
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def request(self, common_name: str) -> str:
        """A request in PEM for a certificate of the public key, to the authority of a
        server."""
        builder = x509.CertificateSigningRequestBuilder(named(common_name))
        request = builder.sign(self._key, self._hash)
        return request.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def _hash(self) -> hashes.SHA256 | None:
        """What certificates are signed over; Ed25519 has it built in."""
        return None if isinstance(self._key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def named(common_name: str) -> x509.Name:
    """Whom a certificate is about, or who issued it."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


KEY_TYPES: dict[str, Callable[[], PrivateKey]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 3072),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
}
"""What ``--key-type`` makes; RSA unless said otherwise, since an old client that shares
the configuration fails on a private key of any other kind."""


def generate(key_type: str = "rsa") -> Signer:
    """A new key of one of `KEY_TYPES`; RSA has 3072 bits, ECDSA the curve P-256."""
    return Signer(KEY_TYPES[key_type]())
