"""Whether certificates, the signing key and the files of a node are as they should be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..certificates import (
    LEGACY_RSA_BITS,
    RSA_BITS,
    Certificate,
    CertificateList,
    Signer,
)
from ..config import Config
from ..errors import InvalidConfiguration, StorageFailure
from ..localstore import default_folder
from ..private_folder import check_private_folder
from ..publisher import read_signer
from ..seen import default_path
from .finding import Finding, Mark
from .table import signer

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


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
    listed = CertificateList.parse(config.certificate_list).certificates
    if key.certificate in listed:
        name = next(c.name for c in listed if c == key.certificate)
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


# -- files


def check_files(config: Config) -> Iterator[Finding]:
    """The files for TLS, and the folders that this user's runs share."""
    seen = set()
    for server, tls in (("shacache", config.cache_tls), ("shadir", config.dir_tls)):
        for what in ("ca", "cert", "key"):
            path = getattr(tls, f"{what}_file")
            if path is None or (what, path) in seen:
                continue
            seen.add((what, path))
            option = f"{server}-{what}-file"
            if what == "key":
                yield from check_private("files", option, path)
            elif not os.access(path, os.R_OK):
                yield _unreadable("files", option, path)
    yield from _check_folders(config)


def _check_folders(config: Config) -> Iterator[Finding]:
    """Others could put into them what runs then read."""
    store = Path(config.local_store) if config.local_store else default_folder()
    memory = default_path().parent
    changes = {
        store: "set local-store to a folder of this user's own, or mend that one",
        memory: f"it remembers what was believed before: chmod 700 {memory}",
    }
    for folder, change in changes.items():
        if os.path.lexists(folder):
            try:
                check_private_folder(folder)
            except StorageFailure as error:
                yield Finding(Mark.WRONG, "files", str(error), change)
            else:
                yield Finding(Mark.OK, "files", f"{folder} is this user's own")


def check_private(about: str, option: str, path: str) -> Iterator[Finding]:
    """A private key: only its owner may read it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        yield _unreadable(about, option, path)
        return
    if mode & _OTHERS:
        what = f"others may read or write {option} {path} (mode {mode & 0o777:o})"
        yield Finding(Mark.WRONG, about, what, f"chmod 600 {path}")
    elif not os.access(path, os.R_OK):
        yield _unreadable(about, option, path)


def _unreadable(about: str, option: str, path: str) -> Finding:
    change = "name a file that this user may read, by its path from the root on"
    return Finding(Mark.WRONG, about, f"{option} {path} cannot be read", change)
