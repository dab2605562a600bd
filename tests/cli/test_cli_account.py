"""``networkcache account request``, ``networkcache server account`` and ``... log``."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import CONTENT, SHA512, URL, Node, networkcache
from cryptography import x509
from issuing import Issuer

from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.cli import main
from slapos.networkcache.digest import Digest
from slapos.networkcache.key import Key
from slapos.networkcache.server.accounts.authority import Authority, requested_key
from slapos.networkcache.server.root import open_root

TERMS = ("--allow", "file-urlmd5", "pypi", "--quota", "1 GiB")


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Commands:
    """``networkcache server account`` for one root, in this process."""

    def __init__(self, root: Path, capsys):
        self.root = root
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Done:
        line = ["server", "account", *map(str, arguments), "--root", str(self.root)]
        try:
            code = main(line)
        except SystemExit as end:  # of argparse
            code = end.code
        return Done(code, *self._capsys.readouterr())

    def add(self, csr: Path, name: str = "zoe", *terms: str | Path) -> str:
        """The certificate that is printed."""
        done = self("add", csr, "--name", name, *(terms or TERMS))
        assert done.code == 0, done.err
        return done.out


@pytest.fixture
def account(tmp_path, capsys) -> Commands:
    """For a server that does not run."""
    open_root(tmp_path / "root", make=True).close()
    return Commands(tmp_path / "root", capsys)


def make_request(folder: Path, name: str = "zoe") -> Path:
    csr = folder / f"{name}.csr"
    csr.write_text(generate("ed25519").request(name))
    return csr


def read(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


# -- from the request to what is published


def test_from_the_request_to_the_log(tmp_path, make_server, capsys) -> None:
    site = Issuer(tmp_path, "site")
    shown = site.issue("127.0.0.1")
    tls = ("--tls-certificate", str(shown.certificate), "--tls-key", str(shown.key))
    server = make_server("--tls-port", "0", *tls, anonymous=False)
    key, csr = tmp_path / "zoe.key", tmp_path / "zoe.csr"
    done = networkcache("account", "request", "zoe", "--key", key, "--csr", csr)
    assert done.returncode == 0, done.stderr
    account = Commands(server.root, capsys)
    node = Node.of(tmp_path / "node", server)
    signer = node.write("signer", node.options["signature-certificate-list"].encode())
    terms = ("--signer-certificate", str(signer), "--quota", "1 MiB", "--allow")
    printed = account.add(csr, "zoe", *terms, "file-urlmd5:http://example.com/")
    url = server.tls_url
    node.options |= {
        "upload-cache-url": f"{url}/shacache",
        "upload-dir-url": f"{url}/shadir",
        "shacache-ca-file": str(site.files.certificate),
        "shacache-cert-file": str(node.write("zoe.pem", printed.encode())),
        "shacache-key-file": str(key),
    }
    content = node.write("hello", CONTENT)
    done = node.run("upload", "-f", content, "-u", URL)
    assert done.returncode == 0, done.stderr
    done = node.run("upload", "-f", content, "-u", "http://example.org/hello-1.0.tar.gz")
    assert done.returncode == 1
    assert "account zoe: it may publish what begins with http://example.com/" in done.stderr
    assert node.run("doctor").returncode == 0

    done = account("revoke", "zoe")
    assert (done.code, done.out) == (0, "account zoe: 1 certificate is revoked\n")
    done = node.run("upload", "-f", content, "-u", URL + "x")
    assert done.returncode == 1
    assert "the certificate of account zoe was revoked on" in done.stderr
    assert node.run("download", "-u", URL).stdout == CONTENT

    lines = map(json.loads, log(server.root, capsys, "--since", "1 d", "--json"))
    said = [(line["account"], line["action"], line["subject"]) for line in lines]
    assert said == [
        ("operator", "account add", "zoe"),
        ("zoe", "upload", SHA512),
        ("zoe", "put", str(Key.for_file(URL))),
        ("zoe", "upload", Digest.of(b"").hex),  # that is how doctor sees that it may
        ("operator", "account revoke", "zoe"),
    ]
    for chosen, expected in [
        (("--account", "zoe"), [1, 2, 3]),
        (("--action", "put"), [2]),
        (("--key", SHA512), [1]),
        (("--account", "nobody"), []),
        (("--since", "0 s"), []),
    ]:
        found = log(server.root, capsys, *chosen)
        assert len(found) == len(expected)
        for line, number in zip(found, expected, strict=True):
            assert all(word in line for word in said[number])


def log(root: Path, capsys, *chosen: str) -> list[str]:
    assert main(["server", "log", "--root", str(root), *chosen]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("key_type", ["rsa", "ed25519", "ecdsa"])
def test_a_request(tmp_path, key_type) -> None:
    key, csr = tmp_path / "key", tmp_path / "csr"
    files = ("--key", str(key), "--csr", str(csr))
    assert main(["account", "request", "zoe", *files, "--key-type", key_type]) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    made = x509.load_pem_x509_csr(csr.read_bytes())
    signer = Signer.parse(key.read_bytes())
    assert made.is_signature_valid
    assert made.public_key() == signer.certificate.key
    assert made.subject.rfc4514_string() == "CN=zoe"


@pytest.mark.parametrize("there", ["key", "csr"])
def test_a_request_writes_over_nothing(tmp_path, there) -> None:
    (tmp_path / there).symlink_to("nowhere")
    arguments = ("account", "request", "zoe", "--key", "key", "--csr", "csr")
    done = networkcache(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert f"{there} is there already" in done.stderr
    assert os.listdir(tmp_path) == [there]


@pytest.mark.parametrize(
    ("days", "mark", "said"),
    [
        (31, "OK", "is good until 2"),
        (29, "WARN", "is good until 2"),
        (-1, "WRONG", "expired 2"),
        (None, "WRONG", "is no certificate in PEM"),
    ],
)
def test_doctor_sees_when_it_ends(tmp_path, near, days, mark, said) -> None:
    node = Node.of(tmp_path / "node", near.source)
    issued = "nonsense"
    if days is not None:
        key = requested_key(generate("ed25519").request("zoe"))
        begin = time.time() + (days - 100) * 86400
        authority = Authority(tmp_path / "authority")
        issued = authority.issue(key, "zoe", 100 * 86400, begin).pem
    path = node.write("zoe.pem", issued.encode())
    node.options["shacache-cert-file"] = str(path)
    told = json.loads(node.run("doctor", "--json").stdout)["findings"]
    about = f"shacache-cert-file {path} "
    (found,) = (each for each in told if each["what"].startswith(about))
    assert found["mark"] == mark
    assert found["what"].startswith(about + said)


# -- what the operator sees


def test_a_certificate_is_renewed(tmp_path, account) -> None:
    """For the same key, or another one; one that was revoked is not certified again."""
    csr = make_request(tmp_path)
    first = read(account.add(csr))
    second = read(account("renew", "zoe", "--valid", "2 h").out)
    assert second.public_key() == first.public_key()
    valid = second.not_valid_after_utc - second.not_valid_before_utc
    assert valid.total_seconds() == 7200
    assert account("revoke", "zoe").code == 0
    for again in ((), (csr,)):
        done = account("renew", "zoe", *again)
        assert (done.code, done.out) == (2, "")
        assert "the key was revoked with the account zoe" in done.err
    third = read(account("renew", "zoe", make_request(tmp_path, "other")).out)
    assert third.public_key() != first.public_key()
    shown = account("show", "zoe").out
    assert [shown.count(word) for word in ("revoked 2", "good until 2")] == [2, 1]


def test_accounts_are_shown(tmp_path, account) -> None:
    assert account("list").out == "There are no accounts.\n"
    signer = generate("ed25519")
    (tmp_path / "signer").write_text(signer.self_signed("sam\x1b[31m", 0))
    csr = make_request(tmp_path)
    terms = ("--allow", "pypi", "release:https://example.com", "--quota", "2 GiB")
    account.add(csr, "zoe", *terms, "--signer-certificate", tmp_path / "signer")
    account.add(csr, "abe")
    listed = account("list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "abe", "zoe"]
    assert listed[2].endswith("pypi release:https://example.com/")
    shown = account("show", "zoe").out
    for word in (signer.fingerprint, "sam\\x1b[31m", "quota: 2.0 GiB", "keeps: 0 B"):
        assert word in shown


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("add", "CSR", "--name", "zoe", *TERMS), 1, "there is an account zoe already"),
        (("add", "CSR", "--name", "operator", *TERMS), 2, "other than check"),
        (("add", "signer", "--name", "a", *TERMS), 2, "not a certificate request in PEM"),
        (("add", "nowhere", "--name", "a", *TERMS), 1, "nowhere: No such file"),
        (("add", "CSR", "--name", "a", *TERMS, "--valid", "0 s"), 2, "is good for 1 s to"),
        (("add", "CSR", "--name", "a", "--allow", "x"), 2, "KIND being one of file-urlmd5"),
        (
            ("add", "CSR", "--name", "a", *TERMS, "--signer-certificate", "CSR"),
            2,
            "CSR: expected the certificates of signers in PEM",
        ),
        (("renew", "eve"), 1, "there is no account 'eve'"),
        (("revoke", "eve"), 1, "there is no account 'eve'"),
        (("show", "eve"), 1, "there is no account 'eve'"),
    ],
)
def test_what_is_refused(tmp_path, account, monkeypatch, arguments, code, sentence) -> None:
    monkeypatch.chdir(tmp_path)
    Path("signer").write_text(generate("ed25519").self_signed("sam", 0))
    make_request(tmp_path, "CSR").rename("CSR")
    account.add(tmp_path / "CSR")
    done = account(*arguments)
    assert (done.code, done.out) == (code, "")
    assert sentence in done.err
    listed = account("list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "zoe"]


def test_the_folder_of_a_server_is_not_made(tmp_path, capsys) -> None:
    for what in (("account", "list"), ("log",)):
        assert main(["server", *what, "--root", str(tmp_path / "nowhere")]) == 1
        assert "there is no server's folder at" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
