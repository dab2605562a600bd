"""Keys and signatures of the golden files; what they sign is the same in every run.

The keys are test keys: they are in the repository on purpose, and worth nothing.
"""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from slapos.networkcache.certificates import _CURVE_ORDERS, Certificate, fingerprint_of

KEYS = Path(__file__).with_name("keys")
MAKERS = {
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed25519-second": ed25519.Ed25519PrivateKey.generate,
    "ed25519-stranger": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
}
STRANGER = "ed25519-stranger"
LISTED = [name for name in MAKERS if name != STRANGER]


def make_keys(folder: Path = KEYS) -> None:
    """Make what is not there yet: keys, and two certificates of each, the second one
    long past its dates."""
    for name, maker in MAKERS.items():
        path = folder / f"{name}.key"
        if path.exists():
            continue
        key = maker()
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        for suffix, year in (("", 2120), ("-expired", 2012)):
            (folder / f"{name}{suffix}.crt").write_bytes(_certificate(key, name, year))


def _certificate(key: Any, name: str, year: int) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    hash = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2011, 1, 1))
        .not_valid_after(datetime.datetime(year, 1, 1))
        .sign(key, hash)
        .public_bytes(serialization.Encoding.PEM)
    )


def key_of(name: str) -> Any:
    return serialization.load_pem_private_key((KEYS / f"{name}.key").read_bytes(), None)


def certificate(name: str) -> Certificate:
    return Certificate.parse((KEYS / f"{name}.crt").read_text())


def fingerprint(name: str) -> str:
    return fingerprint_of(key_of(name).public_key())


def signature(name: str, text: str, how: str = "sha512") -> str:
    """Sign `text`; `how` is ``sha512``, ``sha1``, or for ECDSA ``high-s``."""
    key, data = key_of(name), text.encode("utf-8", "surrogatepass")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signed = key.sign(data)
    elif isinstance(key, rsa.RSAPrivateKey):
        hash = hashes.SHA1() if how == "sha1" else hashes.SHA512()
        signed = key.sign(data, PKCS1v15(), hash)
    else:
        hash = hashes.SHA256() if how == "sha256" else hashes.SHA512()
        made = key.sign(data, ec.ECDSA(hash, deterministic_signing=True))
        r, s = decode_dss_signature(made)
        order = _CURVE_ORDERS[key.curve.name]
        low = min(s, order - s)
        signed = encode_dss_signature(r, order - low if how == "high-s" else low)
    return base64.b64encode(signed).decode()


def signed(
    entry: dict[str, Any] | str, name: str = "ed25519", how: str = "sha512"
) -> list[str]:
    """A pair, as a directory answers it."""
    text = entry if isinstance(entry, str) else json.dumps(entry)
    return [text, signature(name, text, how)]
