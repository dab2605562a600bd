"""Whether those are believed who should be, and the signing key is good for anything."""

from __future__ import annotations

from collections.abc import Iterator

from ...certificates import (
    LEGACY_RSA_BITS,
    RSA_BITS,
    Certificate,
    CertificateList,
    Signer,
)
from ...config import Config
from ...errors import InvalidConfiguration
from ...publisher import read_signer
from ..layout import signer
from .check_files import check_private
from .finding import Finding, Mark

# -- who is believed


def check_list(config: Config) -> Iterator[Finding]:
    """The certificates, and whether they suffice."""
    listed = CertificateList.parse(config.certificate_list)
    for problem in listed.problems:
        change = "paste it again as it was handed out, or remove it"
        yield Finding(Mark.WRONG, "certificates", problem, change)
    for certificate in listed.certificates:
        yield _check_size(certificate, config)
    count = len(listed.certificates)
    if not count and config.reads:
        yield Finding(
            Mark.WRONG,
            "certificates",
            "signature-certificate-list holds no certificate that parses: nothing is"
            " believed",
            "add the certificates of those whom this node shall believe",
        )
    elif count and config.threshold > count:
        yield Finding(
            Mark.WRONG,
            "certificates",
            f"signature-threshold is {config.threshold}, and {count} different"
            f" {'key is' if count == 1 else 'keys are'} listed: nothing is believed",
            "list more signers, or lower signature-threshold",
        )


def _check_size(certificate: Certificate, config: Config) -> Finding:
    name = signer(certificate.name, certificate.fingerprint)
    bits = certificate.rsa_bits
    if bits is None or bits >= RSA_BITS:
        return Finding(Mark.OK, "certificates", f"{name} is listed")
    if bits < LEGACY_RSA_BITS:
        what = f"{name} has an RSA key of {bits} bits, which is never believed"
    elif config.accept_legacy:
        what = f"{name} has an RSA key of {bits} bits: believed in the old way only"
    else:
        what = f"{name} has an RSA key of {bits} bits, and signature-legacy = refuse:"
        what += " nothing that it signs is believed"
    change = "ask this signer for a new key; until then remove the certificate"
    if bits >= LEGACY_RSA_BITS:
        change = "ask this signer for a new key (generate-signature-key)"
        if not config.accept_legacy:
            change += ", or set signature-legacy = accept until there is one"
    return Finding(Mark.WARN, "certificates", what, change)


# -- the signing key


def check_key(config: Config) -> Iterator[Finding]:
    """The signing key, and the certificates that should go with it."""
    path = config.private_key_file
    if path is None:
        return
    try:
        key = read_signer(path)
    except InvalidConfiguration as error:
        change = "name the right file, or make one with generate-signature-key"
        yield Finding(Mark.WRONG, "signing key", str(error), change)
        return
    yield from _check_strength(key, config)
    yield _check_listed(key, config)
    if config.certificate_file is not None:
        yield _check_certificate(key, config.certificate_file)
    yield from check_private("signing key", "signature-private-key-file", path)


def _check_strength(key: Signer, config: Config) -> Iterator[Finding]:
    change = "make a new key with generate-signature-key, and hand its certificate out"
    if config.publish_legacy and not key.signs_legacy:
        what = "signature-legacy = publish takes an RSA key, and this is none"
        yield Finding(Mark.WRONG, "signing key", what, f"{change}, or take publish out")
    elif not key.signs:
        what = f"its RSA key has less than {RSA_BITS} bits"
        if config.publish_legacy:
            what += ": only what believes the old way believes it"
            yield Finding(Mark.WARN, "signing key", what, change)
        else:
            what += ": nobody would believe it, and nothing is published"
            yield Finding(Mark.WRONG, "signing key", what, change)


def _check_listed(key: Signer, config: Config) -> Finding:
    listed = CertificateList.parse(config.certificate_list)
    if key.certificate in listed.certificates:
        name = listed.name_of(key.fingerprint)
        what = f"{signer(name, key.fingerprint)} signs here, and is in the list"
        return Finding(Mark.OK, "signing key", what)
    return Finding(
        Mark.WRONG,
        "signing key",
        f"{key.fingerprint[:16]}, which signs here, is not in signature-certificate-list:"
        " this node would publish again and again what it will never believe",
        "add its certificate to the list",
    )


def _check_certificate(key: Signer, path: str) -> Finding:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            certificates = CertificateList.parse(file.read()).certificates
    except OSError as error:
        what = f"signature-certificate-file {path}: {error.strerror}"
        change = "name the file that generate-signature-key wrote, or remove the option"
        return Finding(Mark.WRONG, "signing key", what, change)
    if key.certificate in certificates:
        what = "signature-certificate-file is of signature-private-key-file"
        return Finding(Mark.OK, "signing key", what)
    return Finding(
        Mark.WRONG,
        "signing key",
        f"signature-certificate-file {path} is not of signature-private-key-file",
        "name the certificate and the key that were made together",
    )
