"""``networkcache key generate``, and ``generate-signature-key``."""

from __future__ import annotations

import os
import resource
import socket
import stat

import pytest
from commands import networkcache, script, write_config

from slapos.networkcache.certificates import Certificate, CertificateList, Signer
from slapos.networkcache.configfile import read_section

GENERATE = "generate-signature-key"


@pytest.fixture
def config(tmp_path):
    """A node's configuration file; ``write(**slapos)`` writes it."""

    def write(**slapos: str) -> str:
        path = tmp_path / "slapos.cfg"
        files = {
            "signature-private-key-file": str(tmp_path / "key"),
            "signature-certificate-file": str(tmp_path / "certificate"),
        }
        write_config(path, slapos=slapos, networkcache=files)
        return str(path)

    return write


def made(tmp_path) -> tuple[Signer, Certificate]:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    return Signer.parse(key.read_bytes()), Certificate.parse(certificate.read_text())


@pytest.mark.parametrize("computer", ["COMP-1", None])
def test_a_node_gets_the_files_that_its_configuration_names(
    tmp_path, config, computer
) -> None:
    path = config(**({"computer_id": computer} if computer else {}))
    done = networkcache("key", "generate", path, umask=0)
    assert done.returncode == 0, done.stderr
    signer, certificate = made(tmp_path)
    assert certificate.fingerprint == signer.fingerprint
    assert certificate.name == (computer or socket.gethostname())
    assert certificate.key.key_size == 3072
    assert "signature-certificate-list" in done.stderr
    # What is printed can be pasted into the configuration file as it stands.
    with open(path, "ab") as file:
        file.write(b"signature-certificate-list =\n" + done.stdout)
    listed = CertificateList.parse(read_section(path)["signature-certificate-list"])
    assert listed.certificates == (certificate,)


@pytest.mark.parametrize("there", ["key", "certificate"])
def test_nothing_is_overwritten(tmp_path, config, there) -> None:
    path = tmp_path / there
    path.symlink_to("nowhere")
    done = script(GENERATE, config(), "--key-type", "ed25519")
    assert (done.returncode, done.stdout) == (1, b"")
    assert str(path) in done.stderr
    assert path.is_symlink()
    assert sorted(os.listdir(tmp_path)) == sorted(["slapos.cfg", there])


@pytest.mark.parametrize("key_type", ["rsa", "ed25519", "ecdsa"])
def test_the_older_form(tmp_path, key_type) -> None:
    arguments = ("--key-type", key_type, tmp_path / "key", "a name")
    done = script(GENERATE, "--cert-file", tmp_path / "certificate", *arguments)
    assert done.returncode == 0, done.stderr
    signer, certificate = made(tmp_path)
    assert (certificate.fingerprint, certificate.name) == (signer.fingerprint, "a name")
    assert done.stdout.decode() == certificate.pem
    assert key_type.upper()[:2] in type(certificate.key).__name__.upper()


def test_the_older_form_prints_a_certificate_that_is_kept_nowhere(tmp_path) -> None:
    done = script(GENERATE, "--key-type=ed25519", "key", "a name", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path) == ["key"]
    signer = Signer.parse((tmp_path / "key").read_bytes())
    assert Certificate.parse(done.stdout.decode()).fingerprint == signer.fingerprint


def test_if_the_second_file_fails_the_first_does_not_stay(tmp_path) -> None:
    """The limit lets the key be written, but not the certificate, which is larger."""
    (tmp_path / "empty").write_bytes(b"")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    arguments = ("--key-type=ed25519", "--cert-file=certificate", "key", "a name")
    done = script(GENERATE, *arguments, cwd=tmp_path, preexec_fn=limit)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "File too large" in done.stderr
    assert os.listdir(tmp_path) == ["empty"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "SLAPOS_CFG"),
        (("missing.cfg",), "missing.cfg"),
        (("no-section.cfg",), "has no section [networkcache]"),
        (("empty.cfg",), "signature-private-key-file"),
        (("unknown.cfg",), "did you mean signature-private-key-file?"),
        (("empty.cfg", "--cert-file", "c"), "--cert-file"),
        (("no/folder/key", "name"), "no/folder"),
        (("key", ""), "common name"),
        (("key", "n" * 65), "common name"),
        (("--cert-file", "./key", "key", "name"), "both"),
        (("--key-type", "dsa", "key", "name"), "dsa"),
    ],
)
def test_wrong_use(tmp_path, arguments, sentence) -> None:
    write_config(tmp_path / "no-section.cfg", slapos={})
    write_config(tmp_path / "empty.cfg", networkcache={})
    unknown = {"signature-private-keyfile": "key"}
    write_config(tmp_path / "unknown.cfg", networkcache=unknown)
    before = os.listdir(tmp_path)
    done = script(GENERATE, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert sentence in done.stderr
    assert os.listdir(tmp_path) == before
