"""Lists of certificates as production has them, and keys that sign."""

from __future__ import annotations

import base64
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from golden.signing import KEYS, MAKERS, certificate, fingerprint, key_of

from slapos.networkcache.certificates import (
    KEY_TYPES,
    Certificate,
    CertificateList,
    Signer,
    Strength,
    generate,
)
from slapos.networkcache.errors import InvalidConfiguration


def pem(name: str) -> str:
    return (KEYS / f"{name}.crt").read_text()


def damaged(name: str) -> str:
    lines = pem(name).splitlines()
    return "\n".join([*lines[:2], lines[2][:10], *lines[3:]]) + "\n"


def with_version(name: str, version: int) -> str:
    """The certificate with the number of a version that does not exist."""
    return changed(name, "a003020102", f"a0030201{version:02x}")


def changed(name: str, old: str, new: str) -> str:
    """The certificate with bytes `new` in place of `old`, both in hexadecimal."""
    der = base64.b64decode("".join(pem(name).splitlines()[1:-1]))
    marked = der.replace(bytes.fromhex(old), bytes.fromhex(new))
    assert marked != der
    body = base64.encodebytes(marked).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def names(text: str) -> list[str]:
    return [certificate.name for certificate in CertificateList.parse(text).certificates]


def test_a_list_as_production_has_it() -> None:
    text = "\n".join(
        [
            "# the first computer",
            pem("rsa-1024-expired"),
            damaged("p256"),
            "  # the second -----BEGIN CERTIFICATE----- follows",
            pem("rsa-2048"),
            "-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----",
            pem("ed25519"),
        ]
    )
    indented = "\n" + "".join(f"  {line}\n" for line in text.splitlines())
    listed = CertificateList.parse(indented)
    assert [c.name for c in listed.certificates] == ["rsa-1024", "rsa-2048", "ed25519"]
    first, second = listed.problems
    line = indented.splitlines().index("  " + damaged("p256").splitlines()[2]) - 1
    assert first.startswith(
        f"certificate 2 of signature-certificate-list (its line {line}) is skipped: "
    )
    assert second.startswith("certificate 4 of signature-certificate-list")


def test_the_lines_of_problems() -> None:
    listed = CertificateList.parse("\n# one\n" + damaged("p256") + damaged("p384"))
    lines = [3, 3 + damaged("p256").count("\n")]
    for problem, line in zip(listed.problems, lines, strict=True):
        assert f"(its line {line})" in problem


def test_a_certificate_that_is_commented_out_is_not_believed() -> None:
    for mark in ("#", "# ", "  #"):
        commented = "".join(f"{mark}{line}\n" for line in pem("p256").splitlines())
        assert CertificateList.parse(commented + pem("p384")).problems == ()
        assert names(commented + pem("p384")) == ["p384"]


def test_one_that_has_no_end_takes_no_other_along() -> None:
    cut = pem("p256").partition("-----END")[0]
    assert names(cut + pem("p384")) == ["p384"]
    assert len(CertificateList.parse(cut + pem("p384")).problems) == 1


def test_a_version_that_does_not_exist_is_skipped_and_named() -> None:
    listed = CertificateList.parse(with_version("p256", 7) + pem("p384"))
    assert [c.name for c in listed.certificates] == ["p384"]
    assert len(listed.problems) == 1


def test_a_name_that_is_no_text_is_left_out() -> None:
    """A bit string in place of UTF-8; the key counts as before."""
    listed = CertificateList.parse(changed("p256", "06035504030c", "060355040303"))
    assert names(pem("p256")) == ["p256"]
    assert [c.name for c in listed.certificates] == [""]


def test_white_space_and_line_ends_do_not_matter() -> None:
    assert names(pem("p256").replace("\n", "\r\n")) == ["p256"]
    assert names("\t" + pem("p256").replace("\n", " \n\n\t")) == ["p256"]
    assert names(pem("p256").rstrip() + pem("p384").rstrip()) == ["p256", "p384"]


def test_one_key_in_two_certificates_is_one_signer() -> None:
    assert names(pem("p256") + pem("p256-expired") + pem("p256")) == ["p256"]


@pytest.mark.parametrize("text", ["", "\n", "# none yet", "hello"])
def test_a_list_without_certificates(text: str) -> None:
    assert CertificateList.parse(text) == CertificateList()


def test_a_key_of_another_kind_is_named() -> None:
    for key in (dsa.generate_private_key(2048), ec.generate_private_key(ec.SECP521R1())):
        unusable = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        with pytest.raises(InvalidConfiguration, match="key is none of RSA"):
            Signer.parse(unusable)


@pytest.mark.parametrize("text", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_private_key(text: bytes) -> None:
    with pytest.raises(InvalidConfiguration, match="not a private key in PEM"):
        Signer.parse(text)


def test_a_private_key_with_a_passphrase_is_refused() -> None:
    locked = key_of("p256").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    with pytest.raises(InvalidConfiguration):
        Signer.parse(locked)


# -- signing


@pytest.mark.parametrize("name", MAKERS)
def test_a_signer_and_its_certificate(name: str) -> None:
    signer = Signer.parse((KEYS / f"{name}.key").read_bytes())
    assert signer.fingerprint == certificate(name).fingerprint == fingerprint(name)
    made = Certificate.parse(signer.self_signed("a name \u00e9", time.time()))
    assert (made, made.name) == (certificate(name), "a name \u00e9")
    assert Signer.parse(signer.private_pem()).fingerprint == signer.fingerprint
    strength = certificate(name).verify(base64.b64decode(signer.sign("x")), b"x")
    assert strength is (Strength.STRONG if signer.signs else Strength.WEAK)
    assert signer.signs == (name != "rsa-1024")


@pytest.mark.parametrize("name", ["p256", "p384"])
def test_every_ecdsa_signature_has_a_low_s(name: str) -> None:
    signer = Signer(key_of(name))
    for number in range(30):
        made = base64.b64decode(signer.sign(str(number)))
        assert certificate(name).verify(made, str(number).encode()) is Strength.STRONG


@pytest.mark.parametrize("name", ["rsa-2048", "rsa-1024"])
def test_signing_in_the_old_way(name: str) -> None:
    made = base64.b64decode(Signer(key_of(name)).sign_legacy("x"))
    assert certificate(name).verify_legacy(made, b"x") is Strength.LEGACY
    assert certificate(name).verify_legacy(made, b"y") is None
    assert certificate(name).verify(made, b"x") is None


@pytest.mark.parametrize("name", ["ed25519", "p256"])
def test_only_rsa_signs_in_the_old_way(name: str) -> None:
    signer = Signer(key_of(name))
    assert not signer.signs_legacy
    with pytest.raises(InvalidConfiguration, match="needs an RSA key"):
        signer.sign_legacy("x")


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("signature", [b"", b"\0", b"\0" * 64, b"0" * 128, b"\x30\x00"])
def test_what_is_no_signature_is_none(name: str, signature: bytes) -> None:
    assert certificate(name).verify(signature, b"x") is None
    assert certificate(name).verify_legacy(signature, b"x") is None


def test_the_keys_that_are_generated() -> None:
    sizes = {name: getattr(generate(name)._key, "key_size", None) for name in KEY_TYPES}
    assert sizes == {"rsa": 3072, "ed25519": None, "ecdsa": 256}
