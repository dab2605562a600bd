"""`slapos.libnetworkcache` 0.30's client against our server: protocol.md, section 1."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import incumbents
import pytest
from accounts import Operator
from incumbents import POISON, OldClient, OldClientError
from issuing import Files, Issuer
from relay import relay
from wire import ask, pairs, put

from slapos.networkcache.certificates import Certificate, Signer, generate
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key, Pair

pytestmark = pytest.mark.incumbent

URL = "http://example.com/hello-1.0.tar.gz"
KEY = Key.for_file(URL)
CONTENT = b"the content of hello-1.0.tar.gz"


@pytest.fixture(scope="session", autouse=True)
def environment() -> Path:
    try:
        return incumbents.client_environment()
    except incumbents.Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def signers() -> dict[str, Signer]:
    return {kind: generate(kind) for kind in ("rsa", "ed25519", "ecdsa")}


@pytest.fixture(scope="module")
def certificates(signers: dict[str, Signer]) -> str:
    """All our certificates, the RSA one last."""
    return "".join(
        signers[k].self_signed(k, time.time()) for k in ("ed25519", "ecdsa", "rsa")
    )


@pytest.fixture
def private_key(tmp_path: Path, signers: dict[str, Signer]) -> Path:
    path = tmp_path / "signature.key"
    path.write_bytes(signers["rsa"].private_pem())
    return path


@pytest.fixture
def old(server: Any, tmp_path: Path, certificates: str, private_key: Path) -> OldClient:
    """The old client with our RSA key and all our certificates."""
    return OldClient.of(
        tmp_path, server.cache_url, server.dir_url, certificates, private_key
    )


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


# -- contents


def test_uploads_finds_and_downloads(old: OldClient, content: Path) -> None:
    # That it does not raise shows that it could read the digest that the server answers:
    # it reads the answer after it closed its own side.
    assert old.upload(content, str(KEY), url=URL) == sha512(CONTENT)
    (entry,) = old.select(str(KEY))
    assert entry == {"sha512": sha512(CONTENT), "url": URL}
    assert old.download(sha512(CONTENT)) == CONTENT


def test_contents_of_any_length(old: OldClient, tmp_path: Path) -> None:
    for size in (0, 1, 10_000, 5_000_000):
        data = os.urandom(size)
        (tmp_path / "any").write_bytes(data)
        assert old.download(old.upload(tmp_path / "any")) == data


def test_over_https_with_the_certificate_of_an_account(
    make_server: Callable[..., Any],
    tmp_path: Path,
    content: Path,
    certificates: str,
    private_key: Path,
    signers: dict[str, Signer],
) -> None:
    """It knows no https without one, and reads on with one that has expired."""
    site = Issuer(tmp_path, "site")
    shown = site.issue("127.0.0.1")
    tls = ("--tls-certificate", str(shown.certificate), "--tls-key", str(shown.key))
    server = make_server("--tls-port", "0", *tls, anonymous=False)
    urls = (f"{server.tls_url}/shacache", f"{server.tls_url}/shadir")
    old = OldClient.of(tmp_path, *urls, certificates, private_key)
    operator = Operator(server.root, tmp_path)
    signer = Certificate.parse(signers["rsa"].self_signed("signer", 0))
    rights = ("file-urlmd5:http://example.com/", "pypi")
    account = operator.add("zoe", *rights, signers=(signer,), key_type="rsa")
    show(old, account, site)
    old.upload(content, str(KEY), url=URL)
    (entry,) = old.select(str(KEY))
    assert entry["url"] == URL
    with pytest.raises(OldClientError, match="403"):
        old.index("pypi-buildout-" + "0" * 32, sha512=sha512(CONTENT), urlmd5="0" * 32)
    show(old, operator.add("late", *rights, age=3601), site)
    assert old.download(sha512(CONTENT)) == CONTENT
    assert old.select(str(KEY)) == [entry]
    with pytest.raises(OldClientError, match="401"):
        old.index(str(KEY), sha512=sha512(CONTENT), url=URL, another="entry")


def show(old: OldClient, account: Files, site: Issuer) -> None:
    """Have it show that certificate."""
    for service in ("shacache", "shadir"):
        old.options[f"{service}-ca-file"] = str(site.files.certificate)
        old.options[f"{service}-cert-file"] = str(account.certificate)
        old.options[f"{service}-key-file"] = str(account.key)


def test_what_is_missing_is_an_error_of_http(old: OldClient) -> None:
    with pytest.raises(OldClientError) as raised:
        old.download(sha512(b"nowhere"))
    assert (raised.value.kind, raised.value.status) == ("HTTPError", 404)
    with pytest.raises(OldClientError) as raised:
        old.select("file-urlmd5:" + "0" * 32)
    assert (raised.value.kind, raised.value.status) == ("HTTPError", 404)


def test_error_of_a_content_has_no_body(server: Any) -> None:
    for digest in (sha512(b"nowhere"), "not-a-digest"):
        reply = ask(server, "GET", f"/shacache/{digest}", None, {"Connection": "close"})
        assert reply.status in (400, 404)
        assert reply.body == b""


def test_content_that_is_there_is_not_sent_again(
    server: Any, old: OldClient, tmp_path: Path
) -> None:
    """Its existence test is a ``GET`` whose body, larger than any buffer, is not read."""
    data = os.urandom(20 << 20)
    (tmp_path / "large").write_bytes(data)
    old.upload(tmp_path / "large")
    with relay(server.cache_url) as way:
        again = OldClient.of(tmp_path, way.url(server.cache_url), server.dir_url)
        assert again.upload(tmp_path / "large") == sha512(data)
    assert way.requests == ["GET"]
    assert old.download(sha512(data)) == data


@pytest.mark.parametrize("size", [200_000, 3_000_000])
def test_cut_download_is_resumed(
    server: Any, old: OldClient, tmp_path: Path, size: int
) -> None:
    data = os.urandom(size)
    (tmp_path / "cut").write_bytes(data)
    digest = old.upload(tmp_path / "cut")
    with relay(server.cache_url, cuts=[size // 3, size // 4]) as way:
        reader = OldClient.of(tmp_path, way.url(server.cache_url), server.dir_url)
        assert reader.download(digest) == data
    assert way.requests == ["GET"] * 3
    assert "Range: bytes=" in way.heads[1]
    assert "Range: bytes=" in way.heads[2]


def test_cut_download_of_a_lost_content_does_not_loop(
    server: Any, old: OldClient, tmp_path: Path
) -> None:
    """An error with a body would be taken for content, a piece at each request."""
    data = os.urandom(300_000)
    (tmp_path / "lost").write_bytes(data)
    digest = old.upload(tmp_path / "lost")
    (kept,) = server.root.rglob(digest)
    with relay(server.cache_url, cuts=[100_000], between=kept.unlink) as way:
        reader = OldClient.of(tmp_path, way.url(server.cache_url), server.dir_url)
        with pytest.raises(OldClientError, match="invalid checksum"):
            reader.download(digest)
    assert way.requests == ["GET", "GET"]


# -- entries


def test_latest_entry_comes_first_and_none_is_lost(
    server: Any, old: OldClient, tmp_path: Path
) -> None:
    digests = []
    for version in (b"one", b"two", b"three"):
        (tmp_path / "version").write_bytes(version)
        digests.append(old.upload(tmp_path / "version", str(KEY), url=URL))
    assert [entry["sha512"] for entry in old.select(str(KEY))] == digests[::-1]
    done = old.script("networkcache-download", "-u", URL)
    assert done.stdout == b"three"


def test_same_entry_is_kept_once(server: Any, old: OldClient, content: Path) -> None:
    old.upload(content, str(KEY), url=URL)
    old.upload(content, str(KEY), url=URL)
    assert len(pairs(server, str(KEY))) == 1


def test_entry_is_hidden_until_its_content_comes(old: OldClient, content: Path) -> None:
    """It puts an entry although the content, that a mirror shows it, is lost."""
    old.index(str(KEY), sha512=sha512(CONTENT), url=URL)
    with pytest.raises(OldClientError, match="404"):
        old.select(str(KEY))
    old.upload(content)
    assert [entry["sha512"] for entry in old.select(str(KEY))] == [sha512(CONTENT)]


KEYS = [
    "pypi:zc.buildout=6.0.1",
    "slapos-buildout-" + "0" * 32,
    "pypi-index-" + "0" * 32 + "-zc.buildout==6.0.1",
    "0123456789abcdef" * 2,
    """a!"$&'()*+,-.:;<=>@[]^_`{|}~z""",
    "...",
    ".hidden",
    "a" * 255,
]


def test_keys_arrive_as_they_are_sent(old: OldClient, content: Path) -> None:
    """It quotes nothing in a key."""
    for key in KEYS:
        old.upload(content, key, url=key)
    for key in KEYS:
        assert [entry["url"] for entry in old.select(key)] == [key]


def test_what_hides_the_entries_of_a_key_is_refused(
    server: Any, old: OldClient, content: Path
) -> None:
    old.upload(content, str(KEY), url=URL)
    answers = {name: put(server, str(KEY), pair).status for name, pair in POISON.items()}
    assert answers == dict.fromkeys(POISON, 400)
    assert len(pairs(server, str(KEY))) == 1
    assert [entry["url"] for entry in old.select(str(KEY))] == [URL]


# -- signatures


def entry_of(signer: Signer, salt: str | None = None) -> str:
    now, signed = int(time.time()), {"signer": signer.fingerprint, "salt": salt}
    return Entry.make(KEY, Digests.of([CONTENT]), now, {"url": URL}, **signed).text


def strong(signer: Signer) -> Pair:
    text = entry_of(signer)
    return Pair(text, signer.sign(text))


def legacy(signer: Signer) -> Pair:
    text = entry_of(signer, "00" * 16)
    return Pair(text, signer.sign_legacy(text))


def test_takes_the_legacy_pair_and_skips_the_others(
    server: Any, old: OldClient, content: Path, signers: dict[str, Signer]
) -> None:
    old.upload(content)
    assert put(server, str(KEY), legacy(signers["rsa"])).status == 201
    for kind in ("ed25519", "ecdsa", "rsa"):
        assert put(server, str(KEY), strong(signers[kind])).status == 201
    assert [
        Entry.parse(entry).string("salt") is None for entry, _ in pairs(server, str(KEY))
    ] == [
        True,
        True,
        True,
        False,
    ]
    assert [entry["salt"] for entry in old.select(str(KEY))] == ["00" * 16]
    done = old.script("networkcache-download", "-u", URL)
    assert (done.stdout, done.returncode) == (CONTENT, 0)


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "ecdsa"])
def test_skips_what_it_cannot_verify(
    server: Any, old: OldClient, content: Path, signers: dict[str, Signer], kind: str
) -> None:
    old.upload(content)
    assert put(server, str(KEY), strong(signers[kind])).status == 201
    assert old.select(str(KEY)) == []
    done = old.script("networkcache-download", "-u", URL)
    assert b"No result found" in done.stderr
    assert b"Traceback" not in done.stderr


def test_loads_all_our_certificates(old: OldClient) -> None:
    assert old.certificates() == 3


def test_signs_with_the_key_we_make_unless_told_otherwise(
    server: Any, old: OldClient, content: Path, signers: dict[str, Signer]
) -> None:
    old.upload(content, str(KEY), url=URL)
    ((entry, signature),) = pairs(server, str(KEY))
    pair = Pair(entry, signature)
    certificate = Certificate.parse(signers["rsa"].self_signed("rsa", time.time()))
    strength = certificate.verify_legacy(pair.signature_bytes(), entry.encode())
    assert strength is not None
    assert strength.name == "LEGACY"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_fails_at_once_on_a_private_key_of_another_kind(
    old: OldClient, private_key: Path, signers: dict[str, Signer], kind: str
) -> None:
    private_key.write_bytes(signers[kind].private_pem())
    with pytest.raises(OldClientError) as raised:
        old.certificates()
    assert raised.value.kind == "Error"


# -- its scripts


def test_upload_and_download_by_url(old: OldClient, content: Path) -> None:
    done = old.script("networkcache-upload", "-u", URL, "-f", str(content), "colour=blue")
    assert (done.returncode, done.stderr) == (0, b"")
    listed = old.script("networkcache-download", "-u", URL, "-l")
    assert json.loads(listed.stdout) == [
        {"colour": "blue", "sha512": sha512(CONTENT), "url": URL}
    ]
    assert old.script("networkcache-download", "-u", URL).stdout == CONTENT


def test_upload_with_metadata_and_download_with_filters(
    old: OldClient, tmp_path: Path
) -> None:
    for version in (1, 2, 3):
        (tmp_path / "file").write_text(f"version {version}")
        (tmp_path / "metadata").write_text(json.dumps({"version": version}))
        arguments = ("-k", "some:key", "-f", str(tmp_path / "file"))
        done = old.script(
            "networkcache-upload", *arguments, "-m", str(tmp_path / "metadata")
        )
        assert (done.returncode, done.stderr) == (0, b"")
    newest = old.script("networkcache-download", "-k", "some:key", "version>>0")
    assert newest.stdout == b"version 3"
    oldest = old.script("networkcache-download", "-k", "some:key", "version<<10")
    assert oldest.stdout == b"version 1"


def test_upload_of_a_content_alone(old: OldClient, content: Path) -> None:
    assert old.script("networkcache-upload", "-f", str(content)).returncode == 0
    assert old.download(sha512(CONTENT)) == CONTENT
