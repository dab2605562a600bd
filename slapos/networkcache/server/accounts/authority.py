"""The authority of a server: it issues the certificates that accounts are known by, and
is used for nothing else.

Its key and its certificate are in a folder of the server's root, which is made whole or
not at all, once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ...certificates import RSA_BITS, PublicKey, fingerprint_of, named
from ...errors import InvalidInput, StorageFailure
from ...storage.durable import disk_faults, make_folder, sync_folder

FOLDER = "authority"
"""Its name in the root of a server."""
CERTIFICATE = "certificate.pem"
KEY = "key.pem"
LIFETIME = 36500 * 86400.0
"""Seconds for which its certificate says that it is good, and for which one that it issues
may say so. That such a one outlasts it does no harm: nobody looks at its own end."""

_PEM = serialization.Encoding.PEM
_CLIENT = x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH


class Issued(NamedTuple):
    """A certificate in PEM, its SHA-256 in hexadecimal, and the POSIX seconds from and up
    to which it is good."""

    pem: str
    sha256: str
    issued: int
    expires: int


class Authority:
    """The authority in `folder`, which is made where there is none, unless not to `make`
    one; two may do that at once. Raises `StorageFailure`."""

    def __init__(self, folder: Path, *, make: bool = True):
        if make and not _is_there(folder):
            _make(folder)
        self._folder = folder
        try:
            pem = _read(folder / CERTIFICATE)
            self.certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            raise _damaged(folder / CERTIFICATE) from None

    def issue(self, key: PublicKey, name: str, valid: float, now: float) -> Issued:
        """A certificate that says that `key` is the account `name`, good for `valid`
        seconds from the POSIX time `now`.

        Raises `InvalidInput` for a time that is none, and `StorageFailure`.
        """
        if not 1 <= valid <= LIFETIME:
            raise InvalidInput(
                f"a certificate is good for 1 s to {LIFETIME / 86400:.0f} d, not for"
                f" {valid:g} s"
            )
        begin = datetime.fromtimestamp(int(now), timezone.utc)
        usage = x509.ExtendedKeyUsage([_CLIENT])
        issuer = self.certificate.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(seconds=int(valid)))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer),  # type: ignore[arg-type]
                critical=False,
            )
        )
        signed = builder.sign(self._key(), hashes.SHA256())
        return Issued(
            signed.public_bytes(_PEM).decode(),
            sha256_of(signed),
            int(now),
            int(now) + int(valid),
        )

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether `certificate` is one of an account, signed by this authority."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        except x509.ExtensionNotFound:
            return False
        return _CLIENT in usage.value

    def _key(self) -> ec.EllipticCurvePrivateKey:
        path = self._folder / KEY
        try:
            key = serialization.load_pem_private_key(_read(path), None)
        except (ValueError, TypeError):
            raise _damaged(path) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise _damaged(path)
        return key


def sha256_of(certificate: x509.Certificate) -> str:
    """What the server knows a certificate by."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def requested_key(pem: str) -> PublicKey:
    """The public key of a request: all that is taken of it. Raises `InvalidInput`."""
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        signed = request.is_signature_valid
        key = request.public_key()
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm):
        raise InvalidInput(
            "not a certificate request in PEM, or one that is damaged: it is made with"
            " networkcache account request"
        ) from None
    if not signed:
        raise InvalidInput("the request is not signed with the key that it is for")
    return _usable(key)


def certified_key(pem: str) -> PublicKey:
    """The public key of a certificate that an `Authority` issued."""
    return _usable(x509.load_pem_x509_certificate(pem.encode()).public_key())


def _usable(key: object) -> PublicKey:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= 256:
        return key
    raise InvalidInput(
        f"expected a key of Ed25519, ECDSA with 256 bits or more, or RSA with {RSA_BITS}"
        f" bits or more, got {_kind_of(key)}: have a larger one made"
    )


def _kind_of(key: object) -> str:
    kind = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    return f"{kind} with {getattr(key, 'key_size', 'some')} bits"


# -- the folder


def _make(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with disk_faults(f"write in {folder}"):
        make_folder(str(folder.parent))
        # In a folder of its own until all of it is there: who comes later finds it so.
        new = tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent)
        try:
            _write(os.path.join(new, KEY), 0o600, _private_pem(key))
            certificate = _self_signed(key, datetime.now(timezone.utc))
            _write(os.path.join(new, CERTIFICATE), 0o644, certificate)
            os.chmod(new, 0o755)
            sync_folder(new)
            _rename(new, folder)
            sync_folder(str(folder.parent))
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _rename(new: str, folder: Path) -> None:
    """Unless another one was quicker: a folder with something in it is not replaced."""
    try:
        os.rename(new, folder)
    except OSError:
        if not _is_there(folder):
            raise


def _is_there(folder: Path) -> bool:
    """Even without its key, which somebody may keep elsewhere."""
    with disk_faults(f"read {folder}"):
        return any((folder / name).exists() for name in (CERTIFICATE, KEY))


def _write(path: str, mode: int, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def _read(path: Path) -> bytes:
    with disk_faults(f"read {path}"):
        return path.read_bytes()


def _damaged(path: Path) -> StorageFailure:
    return StorageFailure(f"{path} is damaged: restore it from a backup")


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _self_signed(key: ec.EllipticCurvePrivateKey, begin: datetime) -> bytes:
    """With a name of its own: servers ask clients for certificates by that."""
    public = key.public_key()
    name = named(f"networkcache accounts {fingerprint_of(public)[:16]}")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(seconds=LIFETIME))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(_PEM)
