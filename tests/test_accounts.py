"""What an account may publish, who issues its certificate, and where it is kept."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from slapos.networkcache.certificates import Certificate, Signer, generate, named
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import Code, InvalidInput, Refusal, StorageFailure
from slapos.networkcache.server.accounts.account import ANONYMOUS, Account
from slapos.networkcache.server.accounts.authority import (
    Authority,
    requested_key,
    sha256_of,
)
from slapos.networkcache.server.accounts.rights import KINDS, Right
from slapos.networkcache.server.accounts.store import (
    AccountExists,
    Accounts,
    NoSuchAccount,
    authority_of,
    check_name,
)
from slapos.networkcache.server.log import Log
from slapos.networkcache.storage.database import Database

URL = "https://example.com/dist/a-1.0.tar.gz"
MD5 = hashlib.md5(URL.encode()).hexdigest()
PREFIX = "https://example.com/dist/"
LOCAL = "a" * 64
REVISION = "b" * 40


def put(rights: str, under: str, signature: str = "", signers=(), **members) -> None:
    account = Account("zoe", tuple(map(Right.parse, rights.split())), None, signers)
    account.check_pair(Key.parse(under), Pair(json.dumps(members), signature))


# -- rights

ALLOWED = {
    "file": ("file-urlmd5", f"file-urlmd5:{MD5}", {"url": URL}),
    "page": ("page-urlmd5", f"page-urlmd5:{MD5}", {"url": URL}),
    "run": ("buildout-run", f"buildout-run:{MD5}", {"profile": URL}),
    "bundle": ("git-bundle", f"git-bundle:{MD5}={REVISION}", {"repository": URL}),
    "release": ("release", MD5, {"software_url": URL}),
}
UNNAMED = {
    "distribution": ("pypi", "pypi:a=1.0", {"url": "https://elsewhere.example.com/"}),
    "local run": ("buildout-run", f"buildout-run:{LOCAL}", {"profile": LOCAL}),
    "file of an old client": ("file-urlmd5", f"file-urlmd5:{MD5}", {"urlmd5": MD5}),
    "old page": (
        "pypi-index",
        f"pypi-index-{MD5}-a==1",
        {"urlmd5": MD5, "requirement": "a==1"},
    ),
    "old file": ("slapos-buildout", f"slapos-buildout-{MD5}", {"urlmd5": MD5}),
    "old distribution": ("pypi-buildout", f"pypi-buildout-{MD5}", {"urlmd5": MD5}),
    "old checkout": ("git-buildout", f"git-buildout-{MD5}", {"revision": REVISION}),
}


@pytest.mark.parametrize("which", [*ALLOWED, *UNNAMED])
def test_a_kind_is_allowed_or_not(which: str) -> None:
    right, key, members = {**ALLOWED, **UNNAMED}[which]
    put(right, key, **members)
    put(f"release {right} pypi", key, **members)
    others = " ".join(kind for kind in KINDS if kind != right)
    with pytest.raises(Refusal, match=r"^account zoe: it has no right") as raised:
        put(others, key, **members)
    assert raised.value.code is Code.FORBIDDEN


@pytest.mark.parametrize("which", ALLOWED)
def test_a_url_begins_with_the_prefix(which: str) -> None:
    right, key, members = ALLOWED[which]
    put(f"{right}:{PREFIX}", key, **members)
    put(f"{right}:https://example.org/ {right}:HTTPS://EXAMPLE.com:443/d", key, **members)
    for prefix in (
        "https://example.com/dist/b",
        "https://example.com:8443/",
        "http://example.com",
    ):
        with pytest.raises(Refusal, match="may publish what begins with"):
            put(f"{right}:{prefix}", key, **members)


@pytest.mark.parametrize("which", [*ALLOWED, "file of an old client", "old page"])
def test_a_key_is_made_of_what_the_entry_names(which: str) -> None:
    right, key, members = {**ALLOWED, **UNNAMED}[which]
    (name, value), *rest = members.items()
    wrong = value.upper() if name == "urlmd5" else value + "x"
    for entry in ({name: wrong}, {}, {name: 5}):
        with pytest.raises(Refusal) as raised:
            put(right, key, **entry, **dict(rest))
        assert raised.value.code is Code.FORBIDDEN


def test_a_run_of_a_local_profile_is_named_by_its_digest() -> None:
    with pytest.raises(Refusal, match="is not made of the profile"):
        put("buildout-run", f"buildout-run:{LOCAL}", profile="b" * 64)


@pytest.mark.parametrize("which", ["local run", "file of an old client"])
def test_with_a_prefix_an_entry_names_its_url(which: str) -> None:
    right, key, members = UNNAMED[which]
    with pytest.raises(Refusal, match="an entry that does not name its URL"):
        put(f"{right}:{PREFIX}", key, **members)


def test_an_entry_is_about_its_key() -> None:
    """Also one of a format that is not known yet."""
    with pytest.raises(Refusal, match="the entry is about the key 'pypi:b=1'"):
        put("pypi", "pypi:a=1", key="pypi:b=1", format=2)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com.example.org/dist/a",
        "https://example.com@example.org/dist/a",
        "https://example.com/dist/../secret",
        "https://example.com/dist/%2e%2E/secret",
        "https://example.com/distribution",
        "http://example.com/dist/a",
        "https://example.org/?of=https://example.com/dist/a",
        "/dist/a",
    ],
)
def test_what_only_looks_like_the_prefix(url: str) -> None:
    with pytest.raises(Refusal, match="and not"):
        put(f"file-urlmd5:{PREFIX}", str(Key.for_file(url)), url=url)


def test_a_host_without_a_path_is_that_host() -> None:
    assert str(Right.parse("release:https://example.com")) == "release:https://example.com/"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected KIND or KIND:URL_PREFIX"),
        ("other", "expected KIND or KIND:URL_PREFIX"),
        ("file-urlmd5-", "expected KIND or KIND:URL_PREFIX"),
        ("pypi:https://example.com/", "pypi takes no URL prefix"),
        ("slapos-buildout:https://example.com/", "slapos-buildout takes no URL prefix"),
        ("release:", "expected a URL prefix"),
        ("release:https://", "expected a URL prefix"),
        ("release:example.com", "expected a URL prefix"),
        ("release:/software", "expected a URL prefix"),
        ("release:https://example.com/#a", "expected a URL prefix"),
    ],
)
def test_what_is_no_right(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Right.parse(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_is_read_as_it_is_written(kind: str) -> None:
    assert str(Right.parse(kind)) == kind


# -- signers


@pytest.fixture(scope="module")
def signers() -> dict[str, Signer]:
    kinds = {kind: generate(kind) for kind in ("rsa", "ed25519", "ecdsa")}
    return {**kinds, "weak": Signer(rsa.generate_private_key(65537, 1024))}


@pytest.mark.parametrize("how", ["rsa", "ed25519", "ecdsa", "legacy", "weak legacy"])
def test_a_pair_is_signed_by_one_of_the_signers(signers, how: str) -> None:
    name = how.split()[0].replace("legacy", "rsa")
    signer, legacy = signers[name], "legacy" in how
    members = {"url": URL} if legacy else {"url": URL, "format": 1}
    text = json.dumps(members)
    signature = signer.sign_legacy(text) if legacy else signer.sign(text)
    others = tuple(s.certificate for kind, s in signers.items() if kind != name)
    put("pypi", "pypi:a=1", signature, (*others, signer.certificate), **members)
    for changed in (
        {"signature": signature, "signers": others},
        {"signature": "", "signers": (signer.certificate,)},
        {"signature": signature, "signers": (signer.certificate,), "basename": "a"},
    ):
        with pytest.raises(Refusal, match="signed by none of the signers") as raised:
            put("pypi", "pypi:a=1", **changed, **members)
        assert raised.value.code is Code.FORBIDDEN


def test_a_key_that_is_too_small_signs_nothing(signers) -> None:
    """Nobody would believe it."""
    weak = signers["weak"]
    text = json.dumps({"format": 1})
    with pytest.raises(Refusal, match="signed by none"):
        put("pypi", "pypi:a=1", weak.sign(text), (weak.certificate,), format=1)


def test_without_an_account_all_may_be_put() -> None:
    ANONYMOUS.check_pair(Key.parse("anything"), Pair("{}", ""))
    assert ANONYMOUS.quota is None


# -- the authority


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path / "root" / "authority")


@pytest.fixture(scope="module")
def key():
    return requested_key(generate("ecdsa").request("whoever"))


def test_it_is_made_once_by_whoever_is_first(tmp_path) -> None:
    folder = tmp_path / "root" / "authority"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Authority(folder), range(8)))
    (pem,) = {each.certificate.public_bytes(serialization.Encoding.PEM) for each in made}
    assert (folder / "certificate.pem").read_bytes() == pem
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "root") == ["authority"]


@pytest.mark.parametrize("file", ["certificate.pem", "key.pem"])
@pytest.mark.parametrize("damage", ["lost", "spoilt"])
def test_it_is_never_made_again(authority, tmp_path, key, file: str, damage: str) -> None:
    path = tmp_path / "root" / "authority" / file
    kept = sorted(os.listdir(path.parent))
    if damage == "lost":
        path.unlink()
        kept.remove(file)
    else:
        path.write_text("damaged")
    with pytest.raises(StorageFailure, match=str(path)):
        Authority(path.parent).issue(key, "zoe", 60, time.time())
    assert sorted(os.listdir(path.parent)) == kept


def test_where_nothing_can_be_made_nothing_is_left(tmp_path) -> None:
    (tmp_path / "authority").write_text("a file")
    with pytest.raises(StorageFailure, match="cannot write in"):
        Authority(tmp_path / "authority")
    assert os.listdir(tmp_path) == ["authority"]


def test_of_a_request_the_key_alone_is_taken(authority) -> None:
    signing = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder(named("root"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("example.com")]), critical=False
        )
        .sign(signing, hashes.SHA256())
    )
    pem = request.public_bytes(serialization.Encoding.PEM).decode()
    issued = authority.issue(requested_key(pem), "zoe", 60, 1_800_000_000.7)
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    assert certificate.public_key() == signing.public_key()
    assert certificate.subject == named("zoe")
    said = {extension.value for extension in certificate.extensions}
    assert x509.BasicConstraints(ca=False, path_length=None) in said
    assert x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]) in said
    assert not any(isinstance(one, x509.SubjectAlternativeName) for one in said)
    assert issued.sha256 == sha256_of(certificate)
    assert (issued.issued, issued.expires) == (1_800_000_000, 1_800_000_060)
    assert certificate.not_valid_after_utc.timestamp() == issued.expires
    assert authority.issued(certificate)


def test_what_another_issued_is_not_its_own(authority, tmp_path, key) -> None:
    other = Authority(tmp_path / "other")
    issued = other.issue(key, "zoe", 60, time.time())
    assert not authority.issued(x509.load_pem_x509_certificate(issued.pem.encode()))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("purpose", ["CLIENT_AUTH", "SERVER_AUTH"])
def test_a_certificate_in_its_name(authority, tmp_path, signed, purpose) -> None:
    """It must be signed by it, and be one of an account."""
    own = (tmp_path / "root" / "authority" / "key.pem").read_bytes()
    signing = serialization.load_pem_private_key(own, None)
    forger = ec.generate_private_key(ec.SECP256R1())
    usage = x509.ExtendedKeyUsage([getattr(x509.oid.ExtendedKeyUsageOID, purpose)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named("zoe"))
        .issuer_name(authority.certificate.subject)
        .public_key(forger.public_key())
        .serial_number(1)
        .not_valid_before(authority.certificate.not_valid_before_utc)
        .not_valid_after(authority.certificate.not_valid_after_utc)
        .add_extension(usage, critical=True)
        .sign(signing if signed else forger, hashes.SHA256())
    )
    assert authority.issued(certificate) == (signed and purpose == "CLIENT_AUTH")
    assert not authority.issued(authority.certificate)


SMALL = {
    "rsa 1024": lambda: rsa.generate_private_key(65537, 1024),
    "p-192": lambda: ec.generate_private_key(ec.SECP192R1()),
    "dsa": lambda: dsa.generate_private_key(2048),
}


@pytest.mark.parametrize("kind", SMALL)
def test_keys_that_are_too_small(kind: str) -> None:
    builder = x509.CertificateSigningRequestBuilder(named("zoe"))
    request = builder.sign(SMALL[kind](), hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(InvalidInput, match="expected a key of"):
        requested_key(pem)


def test_a_request_that_was_changed_is_refused() -> None:
    signing = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder(named("zoe"))
    der = builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    changed = x509.load_der_x509_csr(der.replace(b"zoe", b"eve"))
    pem = changed.public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(InvalidInput, match="not signed with the key"):
        requested_key(pem)


def of_version_6() -> str:
    request = x509.load_pem_x509_csr(generate("ed25519").request("zoe").encode())
    der = request.public_bytes(serialization.Encoding.DER)
    changed = der.replace(b"\x02\x01\x00", b"\x02\x01\x05", 1)
    return (
        f"{BEGIN}\n{base64.encodebytes(changed).decode()}{BEGIN.replace('BEGIN', 'END')}\n"
    )


BEGIN = "-----BEGIN CERTIFICATE REQUEST-----"
NO_REQUESTS = ["", "nonsense", generate("ed25519").self_signed("a", 0), of_version_6()]


@pytest.mark.parametrize(
    "text", NO_REQUESTS, ids=["", "nonsense", "certificate", "version"]
)
def test_what_is_no_request(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a certificate request in PEM"):
        requested_key(text)


@pytest.mark.parametrize("valid", [0, 0.5, 1e12])
def test_a_certificate_is_good_for_a_while(authority, key, valid: float) -> None:
    with pytest.raises(InvalidInput, match="a certificate is good for 1 s to 36500 d"):
        authority.issue(key, "zoe", valid, time.time())


# -- the store


@pytest.fixture
def database(tmp_path):
    with closing(Database(tmp_path / "entries.sqlite")) as database:
        yield database


@pytest.fixture
def accounts(database) -> Accounts:
    return Accounts(database)


def account(name: str = "zoe") -> Account:
    signer = Certificate.parse(generate("ed25519").self_signed("signer", 0))
    return Account(name, (Right.parse(f"release:{PREFIX}"),), 1 << 30, (signer,))


def actions(database) -> list[tuple[str, str, str]]:
    return [(line.account, line.action, line.subject) for line in Log(database).lines()]


def test_accounts_are_found_by_their_certificates(
    accounts, authority, key, database
) -> None:
    zoe, issued = account(), authority.issue(key, "zoe", 60, time.time())
    accounts.add(zoe, issued)
    accounts.add(account("abe"), authority.issue(key, "abe", 60, time.time()))
    shown = accounts.by_certificate(issued.sha256)
    assert (shown.account, shown.certificate.pem) == (zoe, issued.pem)
    assert shown.account.signers[0].name == "signer"
    assert [one.name for one in accounts.all()] == ["abe", "zoe"]
    assert accounts.by_certificate("0" * 64) is None
    assert actions(database) == [
        ("operator", "account add", "zoe"),
        ("operator", "account add", "abe"),
    ]


def test_a_name_is_given_once(accounts, authority, key, database) -> None:
    accounts.add(account(), authority.issue(key, "zoe", 60, time.time()))
    another = authority.issue(key, "zoe", 60, time.time())
    with pytest.raises(AccountExists, match="there is an account zoe already"):
        accounts.add(account(), another)
    assert accounts.by_certificate(another.sha256) is None
    assert len(actions(database)) == 1


def test_revoking_ends_what_there_is_and_renewing_begins_anew(
    accounts, authority, key, database
) -> None:
    other = requested_key(generate("ecdsa").request("whoever"))
    keys = (key, key, other)
    certificates = [authority.issue(each, "zoe", 60, time.time()) for each in keys]
    accounts.add(account(), certificates[0])
    accounts.renew("zoe", lambda newest: certificates[1])
    assert accounts.revoke("zoe") == 2
    assert accounts.revoke("zoe") == 0
    accounts.renew("zoe", lambda newest: certificates[2])
    held = [accounts.by_certificate(one.sha256).certificate for one in certificates]
    assert [one.revoked is None for one in held] == [False, False, True]
    assert [action for _, action, _ in actions(database)] == [
        "account add",
        "account renew",
        "account revoke",
        "account renew",
    ]


def test_a_key_that_was_revoked_comes_back_for_nobody(
    accounts, authority, key, database
) -> None:
    accounts.add(account(), authority.issue(key, "zoe", 60, time.time()))
    accounts.revoke("zoe")
    again = authority.issue(key, "abe", 60, time.time())
    with pytest.raises(InvalidInput, match="the key was revoked with the account zoe"):
        accounts.add(account("abe"), again)
    with pytest.raises(InvalidInput, match="the key was revoked with the account zoe"):
        accounts.renew("zoe", lambda newest: again)
    assert [one.name for one in accounts.all()] == ["zoe"]
    assert len(actions(database)) == 2


def test_the_newest_certificate_is_the_last_one_whatever_the_clock_says(
    accounts, authority, key
) -> None:
    now = time.time()
    issued = [authority.issue(key, "zoe", 60, now - ago) for ago in (0, 86400, 3600)]
    given: list[str] = []
    accounts.add(account(), issued[0])
    for each in issued[1:]:
        accounts.renew("zoe", lambda newest, each=each: (given.append(newest), each)[1])
    assert given == [issued[0].pem, issued[1].pem]
    assert [one.pem for one in accounts.certificates("zoe")] == [one.pem for one in issued]


def test_an_authority_that_issued_is_not_made_anew(
    accounts, authority, key, database, tmp_path
) -> None:
    root = tmp_path / "root"
    accounts.add(account(), authority.issue(key, "zoe", 60, time.time()))
    assert authority_of(root, database).certificate == authority.certificate
    (root / "authority").rename(tmp_path / "away")
    with pytest.raises(StorageFailure, match=r"restore .*/authority from a backup"):
        authority_of(root, database)
    assert os.listdir(root) == []


def test_who_is_not_there(accounts, authority, key, database) -> None:
    for ask in (
        accounts.get,
        accounts.revoke,
        lambda name: accounts.renew(
            name, lambda newest: authority.issue(key, name, 60, time.time())
        ),
    ):
        with pytest.raises(NoSuchAccount, match="there is no account 'zoe'"):
            ask("zoe")
    assert actions(database) == []


@pytest.mark.parametrize(
    "name", ["", "a b", "é", "a/b", "a" * 65, "operator", "import", "a\n"]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="expected a name of 1 to 64"):
        check_name(name)


def test_names() -> None:
    for name in ("a", "a.B_c-9", "a" * 64):
        assert check_name(name) == name
