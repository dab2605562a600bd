"""What `libnetworkcache` does otherwise than the module that it stands for; what it does
alike is in `test_libnetworkcache_incumbent`."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from caches import ALICE, BOB, DATA, DIGEST, EVE, KEY, NOW, URL, asked, pair_of, put
from cryptography.hazmat.primitives.asymmetric import rsa

from slapos.networkcache.certificates import Signer
from slapos.networkcache.entry import Entry, Key
from slapos.networkcache.errors import Code
from slapos.networkcache.libnetworkcache import (
    DirectoryNotFound,
    NetworkcacheClient,
    NetworkcacheException,
    NetworkcacheFilter,
    UploadError,
)
from slapos.networkcache.protocol import STATUS
from slapos.networkcache.testing import NetworkCache, faults

ANY = "some-key"


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered against roll-back stays in this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def private_key(tmp_path: Path) -> Path:
    path = tmp_path / "signature.key"
    path.write_bytes(ALICE.private_pem())
    path.chmod(0o600)
    return path


def make(
    *caches: NetworkCache, signers: tuple[Signer, ...] = (ALICE,), **options: Any
) -> NetworkcacheClient:
    """Reads from `caches`, publishes in the first, believes `signers`."""
    source = caches[0].source
    return NetworkcacheClient(
        {
            "download-cache-url-list": "\n".join(c.source.cache_url for c in caches),
            "download-dir-url-list": "\n".join(c.source.dir_url for c in caches),
            "upload-cache-url": source.cache_url,
            "upload-dir-url": source.dir_url,
            **{name.replace("_", "-"): value for name, value in options.items()},
        },
        [signer.self_signed("x", NOW) for signer in signers],
    )


def digests(client: NetworkcacheClient, key: Key | str = KEY) -> list[str]:
    return [entry["sha512"] for entry in client.select(str(key))]


def numbered(number: int, **how: Any) -> Any:
    return pair_of(bytes([number]), number=number, **how)


def numbers(client: NetworkcacheClient) -> list[int]:
    return [entry["number"] for entry in client.select(str(KEY))]


def lines(caplog: pytest.LogCaptureFixture, level: int = 0) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= level]


# -- who is believed


@pytest.mark.parametrize("certificates", [None, "", [], "no certificate", ["none"]])
def test_without_a_list_nobody_is_believed(
    near: NetworkCache, caplog: pytest.LogCaptureFixture, certificates: Any
) -> None:
    put(near, pair_of())
    urls = near.source.cache_url, near.source.dir_url
    client = NetworkcacheClient(*urls, signature_certificate_list=certificates)
    assert lines(caplog) == []  # who only uploads need not know
    assert digests(client) == digests(client) == []
    (warning,) = lines(caplog, logging.WARNING)
    assert warning.startswith("signature-certificate-list holds no certificate")


def test_who_is_not_listed_is_not_believed(
    near: NetworkCache, caplog: pytest.LogCaptureFixture
) -> None:
    put(near, pair_of(signer=EVE))
    assert digests(make(near)) == []
    (line,) = lines(caplog)
    assert line.startswith(f"Nothing is believed about {KEY}: ")
    assert digests(make(near, signers=(ALICE, EVE))) == [DIGEST.hex]


def test_an_entry_of_another_key_is_not_believed(near: NetworkCache) -> None:
    put(near, pair_of(), key=Key.parse(ANY))
    assert digests(make(near), ANY) == []
    put(near, pair_of(key=Key.parse(ANY)), key=Key.parse(ANY))
    assert digests(make(near), ANY) == [DIGEST.hex]


def test_a_threshold_counts(near: NetworkCache, far: NetworkCache) -> None:
    put(near, pair_of())
    signers = (ALICE, BOB)
    assert digests(make(near, far, signers=signers, signature_threshold="2")) == []
    put(far, pair_of(signer=BOB))
    client = make(near, far, signers=signers, signature_threshold="2")
    assert digests(client) == [DIGEST.hex]


def test_the_newest_comes_first_whatever_the_server_says(near: NetworkCache) -> None:
    put(near, *(numbered(n, created=NOW - age) for n, age in ((1, 5), (2, 0), (3, 9))))
    assert numbers(make(near)) == [2, 1, 3]


def test_those_of_one_age_keep_the_order_of_the_server(near: NetworkCache) -> None:
    put(near, *map(numbered, range(8)))
    assert numbers(make(near)) == list(range(8))[::-1]


def test_a_statement_of_two_signers_counts_once(near: NetworkCache) -> None:
    put(near, pair_of(), pair_of(signer=BOB))
    client = make(near, signers=(ALICE, BOB))
    assert digests(client) == [DIGEST.hex]
    assert len(list(client.select_generic(str(KEY), filter=False))) == 2


def test_all_sources_are_asked(near: NetworkCache, far: NetworkCache) -> None:
    put(near, numbered(1))
    put(far, numbered(2, created=NOW - 1))
    assert numbers(make(near, far)) == [1, 2]


def test_older_entries_stay_and_rolling_back_is_seen(
    near: NetworkCache, caplog: pytest.LogCaptureFixture
) -> None:
    put(near, numbered(1, created=NOW - 1), numbered(2))
    for _ in range(2):
        assert numbers(make(near)) == [2, 1]
    with NetworkCache() as old:
        put(old, numbered(1, created=NOW - 1))
        assert numbers(make(old)) == []
    assert "older than what was believed" in lines(caplog)[-1]


def test_what_is_no_pair_hides_no_other(near: NetworkCache) -> None:
    put(near, pair_of())
    near.plan(faults.among([1, 2], "x", ["{", "YWI="], ["{}", "*"]), "GET /shadir")
    client = make(near)
    assert digests(client) == [DIGEST.hex]
    everything = client.select_generic(str(KEY), filter=False)
    assert [entry for entry, _ in everything].count(pair_of().entry) == 1


def test_results_belong_to_the_caller(near: NetworkCache) -> None:
    put(near, pair_of(list=[1]))
    client = make(near)
    (entry,) = client.select(str(KEY))
    entry["list"].append(2)
    assert json.loads(json.dumps(entry)) == entry
    assert next(client.select(str(KEY)))["list"] == [1]


def test_members_that_are_wanted_or_required(near: NetworkCache) -> None:
    put(near, numbered(1), numbered(2, extra="x"))
    client = make(near)
    required = client.select(str(KEY), required_key_list=["extra", "url"])
    wanted = client.select(str(KEY), {"number": 1, "url": URL})
    assert [[e["number"] for e in entries] for entries in (required, wanted)] == [[2], [1]]
    assert list(client.select(str(KEY), {"extra": "y"}, ["number"])) == []


@pytest.mark.parametrize("signature", ["", "*", "YWI", "YWJj", None])
def test_what_is_no_signature_does_not_verify(near: NetworkCache, signature: Any) -> None:
    client = make(near)
    entry, good = pair_of()
    assert client.verifySignatureInCertificateList(entry, good)
    assert not client.verifySignatureInCertificateList(entry, signature)
    assert not client.verifySignatureInCertificateList(entry + " ", good)


def test_old_signatures_verify_where_they_are_accepted(near: NetworkCache) -> None:
    signer = Signer(rsa.generate_private_key(65537, 2048))
    signature = signer.sign_legacy("text")
    for words, verdict in (("accept", True), ("publish", False), ("", False)):
        client = make(near, signers=(signer,), signature_legacy=words)
        assert client.verifySignatureInCertificateList("text", signature) is verdict


# -- the constructor


def test_the_ten_places_mean_what_they_meant(private_key: Path) -> None:
    urls = "http://127.0.0.1:1/cache", "http://127.0.0.1:1/dir"
    certificate = ALICE.self_signed("x", NOW)
    files = ("ca", "key", "cert", "ca2", "key2", "cert2")
    client = NetworkcacheClient(*urls, str(private_key), certificate, *files)
    assert client.config == {
        "download-cache-url": urls[0],
        "upload-cache-url": urls[0],
        "download-dir-url": urls[1],
        "upload-dir-url": urls[1],
        "signature-private-key-file": str(private_key),
        "shacache-ca-file": "ca",
        "shacache-key-file": "key",
        "shacache-cert-file": "cert",
        "shadir-ca-file": "ca2",
        "shadir-key-file": "key2",
        "shadir-cert-file": "cert2",
    }


def test_a_certificate_that_does_not_parse_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = ALICE.self_signed("x", NOW)
    bad = good.replace("\n", "\nAAAA", 1)
    client = NetworkcacheClient("", "", None, [bad, good])
    assert len(client.signature_certificate_list) == 1
    (warning,) = lines(caplog, logging.WARNING)
    assert warning.startswith("Ignored wrong certificate, reason: certificate 1 of")


def test_an_empty_list_beside_a_section_counts() -> None:
    section = {"signature-certificate-list": ALICE.self_signed("x", NOW)}
    assert len(NetworkcacheClient(section).signature_certificate_list) == 1
    assert NetworkcacheClient(section, []).signature_certificate_list == []


def test_a_key_without_its_certificate_is_refused(
    near: NetworkCache, private_key: Path
) -> None:
    with pytest.raises(NetworkcacheException, match="no matching certificate"):
        make(near, signers=(BOB,), signature_private_key_file=private_key)


# -- contents


def test_a_content_is_whole(near: NetworkCache) -> None:
    near.contents.put([DATA])
    with make(near).download(DIGEST.hex.upper()) as file:
        assert file.read(2) + file.read() == DATA
        file.seek(0)
        assert file.read(2) == DATA[:2]


@pytest.mark.parametrize("fault", [faults.wrong, faults.cut(9), faults.cut(0)])
def test_nothing_of_a_wrong_content_is_handed_out(
    near: NetworkCache, tmp_path: Path, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    near.contents.put([DATA])
    near.plan(fault, "GET /shacache")
    error = NetworkcacheException if fault is faults.wrong else ConnectionError
    with pytest.raises(error):
        make(near).download(DIGEST.hex)
    assert list(tmp_path.glob("networkcache-*")) == []


def test_the_size_that_is_signed_bounds_what_is_read(near: NetworkCache) -> None:
    near.contents.put([DATA])
    put(near, pair_of())
    near.plan(faults.endless(b"x" * 1000), "GET /shacache")
    client = make(near)
    (digest,) = digests(client)
    with pytest.raises(NetworkcacheException, match=f"goes on after the {len(DATA)} bytes"):
        client.download(digest)


def test_a_blacklisted_content_is_not_handed_out(near: NetworkCache) -> None:
    near.contents.put([DATA])
    client = make(near, digest_blacklist=DIGEST.hex)
    with pytest.raises(NetworkcacheException, match="digest-blacklist"):
        client.download(DIGEST.hex)
    assert near.requests == []


# -- errors


def test_the_old_names_of_errors() -> None:
    assert DirectoryNotFound is UploadError is NetworkcacheException


@pytest.mark.parametrize("code", [Code.FORBIDDEN, Code.QUOTA, Code.BUSY])
def test_what_a_server_refuses_is_an_error_of_http(near: NetworkCache, code: Code) -> None:
    near.plan(faults.refuse(code))
    client = make(near)
    calls = (
        lambda: next(client.select(ANY)),
        lambda: client.download(DIGEST.hex),
        lambda: client.upload(io.BytesIO(b"x")),
    )
    for call in calls:
        with pytest.raises(HTTPError) as raised:
            call()
        assert raised.value.code == STATUS[code]
        assert raised.value.read() == b""
        assert raised.value.url == near.source.dir_url


def test_a_silent_server_is_a_timeout(near: NetworkCache) -> None:
    near.plan(faults.silent)
    with pytest.raises(TimeoutError):
        make(near, cache_time_budget="100 ms").download(DIGEST.hex)


@pytest.mark.parametrize("error", [OSError, NetworkcacheException])
@pytest.mark.parametrize(
    "fault", [faults.say(200, b"[1"), faults.redirect("http://example.com/")]
)
def test_nonsense_is_caught_as_either(near: NetworkCache, fault: Any, error: type) -> None:
    near.plan(fault)
    with pytest.raises(error):
        next(make(near).select(ANY))


def test_what_is_not_configured_is_said() -> None:
    client = NetworkcacheClient({"download-cache-url": "http://127.0.0.1:1"})
    with pytest.raises(NetworkcacheException, match="needs download-cache-url and"):
        client.download(DIGEST.hex)
    with pytest.raises(NetworkcacheException, match="needs upload-cache-url and"):
        client.upload(io.BytesIO(b"x"))


@pytest.mark.parametrize(
    "options", [{"download-cache-url": "ftp://a"}, {"signature-legacy": "yes"}]
)
def test_a_wrong_option_is_said_at_the_start(options: dict[str, str]) -> None:
    with pytest.raises(NetworkcacheException, match=next(iter(options))):
        NetworkcacheClient({"download-dir-url": "http://127.0.0.1:1", **options})


def test_a_key_that_is_none_is_said(near: NetworkCache) -> None:
    with pytest.raises(NetworkcacheException, match="expected a key"):
        next(make(near).select("a/b"))


def test_with_forgives_no_interruption(near: NetworkCache) -> None:
    with pytest.raises(KeyboardInterrupt), make(near):
        raise KeyboardInterrupt


def test_no_secret_in_the_log(near: NetworkCache, caplog: pytest.LogCaptureFixture) -> None:
    secret = "http://user:hunter2@example.com/a?token=hunter2"
    client = make(near)
    client.tryDownload(secret)
    client.tryUpload(secret)
    with client:
        client.upload(io.BytesIO(b"x"), ANY, url=secret)
    with client:
        raise OSError(f"{secret} and\na new line")
    assert len(lines(caplog)) == 4
    assert "hunter2" not in caplog.text
    assert "and\\na new" in caplog.text
    assert near.requests == []


# -- publishing


def test_what_is_signed_is_an_entry_of_today(near: NetworkCache, private_key: Path) -> None:
    client = make(near, signature_private_key_file=private_key)
    digest = client.upload(io.BytesIO(DATA), str(KEY), url=URL, os=("a", "b"))
    (pair,) = client.select_generic(str(KEY))
    entry = Entry.parse(pair[0])
    assert (entry.key, entry.size, entry.signer) == (KEY.text, len(DATA), ALICE.fingerprint)
    assert entry.members["os"] == ["a", "b"]
    assert (digest, digests(client)) == (DIGEST.hex, [DIGEST.hex])


def test_what_stands_is_not_sent_again(near: NetworkCache, private_key: Path) -> None:
    client = make(near, signature_private_key_file=private_key)
    for _ in range(2):
        assert client.upload(io.BytesIO(DATA), ANY, number=1) == DIGEST.hex
    assert [r.split()[0] for r in asked(near)] == ["POST", "POST", "PUT", "POST"]


def test_the_entry_of_a_distribution_repeats_what_its_key_says(
    near: NetworkCache, private_key: Path
) -> None:
    client = make(near, signature_private_key_file=private_key)
    url = "http://example.com/a-1.0.tar.gz"
    client.upload(io.BytesIO(DATA), "pypi:a=1.0", basename="a-1.0.tar.gz", url=url)
    (entry,) = client.select("pypi:a=1.0")
    assert (entry["name"], entry["version"]) == ("a", "1.0")


def test_the_entry_alone_has_the_size_of_what_is_there(
    near: NetworkCache, private_key: Path
) -> None:
    near.contents.put([DATA])
    client = make(near, signature_private_key_file=private_key)
    client.index(ANY, sha512=DIGEST.hex, number=1)
    (entry,) = client.select(ANY)
    assert (entry["sha512"], entry["size"]) == (DIGEST.hex, len(DATA))
    with pytest.raises(HTTPError, match="404"):
        client.index(ANY, sha512="0" * 128, number=1)
    with pytest.raises(NetworkcacheException, match="SHA-512"):
        client.index(ANY, number=1)
    assert len(digests(client, ANY)) == 1


def test_without_a_key_nobody_believes_it_and_the_log_says_so(
    near: NetworkCache, caplog: pytest.LogCaptureFixture
) -> None:
    client = make(near)
    assert client.upload(io.BytesIO(DATA), ANY, number=1) == DIGEST.hex
    (warning,) = lines(caplog)
    assert "signature-private-key-file" in warning
    ((_, signature),) = client.select_generic(ANY, filter=False)
    assert signature == ""
    assert digests(client, ANY) == []


def test_what_is_about_nothing_is_published_with_a_warning(
    near: NetworkCache, private_key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = make(near, signature_private_key_file=private_key)
    client.upload(io.BytesIO(DATA), str(KEY), file_name="a")
    (warning,) = lines(caplog)
    assert warning.endswith("it does not say its url")
    assert len(list(client.select_generic(str(KEY), filter=False))) == 1
    assert digests(client) == []


@pytest.mark.parametrize("signed", [True, False])
def test_what_is_blacklisted_is_not_sent(
    near: NetworkCache, private_key: Path, signed: bool
) -> None:
    options = {"signature-private-key-file": private_key} if signed else {}
    client = make(near, upload_to_cache_url_blacklist="http://example.com", **options)
    with pytest.raises(NetworkcacheException, match="upload-to-cache-url-blacklist"):
        client.upload(io.BytesIO(DATA), str(KEY), url=URL)
    assert near.requests == []


@pytest.mark.parametrize("member", ["size", "created", "signer", "md5"])
def test_what_is_signed_anyway_is_no_metadata(
    near: NetworkCache, private_key: Path, member: str
) -> None:
    client = make(near, signature_private_key_file=private_key)
    with pytest.raises(NetworkcacheException, match=f"{member} cannot be chosen"):
        client.upload(io.BytesIO(DATA), ANY, **{member: 1})
    assert near.requests == []


def test_a_key_too_small_to_be_believed_reads_but_signs_nothing(
    near: NetworkCache, tmp_path: Path
) -> None:
    signer = Signer(rsa.generate_private_key(65537, 1024))
    path = tmp_path / "small.key"
    path.write_bytes(signer.private_pem())
    put(near, pair_of())
    client = make(near, signers=(ALICE, signer), signature_private_key_file=str(path))
    assert digests(client) == [DIGEST.hex]
    with pytest.raises(NetworkcacheException, match="less than 2048 bits"):
        client.upload(io.BytesIO(DATA), ANY, number=1)


def test_a_file_is_read_from_its_beginning_and_stays_open(near: NetworkCache) -> None:
    file = io.BytesIO(DATA)
    file.read()
    assert make(near).upload(file) == DIGEST.hex
    assert not file.closed


def test_what_cannot_seek_is_read_from_where_it_is(near: NetworkCache) -> None:
    class Stream:
        def __init__(self) -> None:
            self.read = io.BytesIO(DATA).read

    assert make(near).upload(Stream()) == DIGEST.hex  # type: ignore[arg-type]


def test_an_entry_must_say_something(near: NetworkCache) -> None:
    with pytest.raises(UploadError, match="metadata should not be empty"):
        make(near).upload(io.BytesIO(DATA), ANY)
    assert near.requests == []


# -- folders, and choosing


def test_a_folder_comes_back_under_any_name(near: NetworkCache, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(DATA)
    client = make(near)
    with client.archive(str(tmp_path / "tree")) as packed:
        digest = client.upload(packed)
    client.extract(str(tmp_path / "other"), client.download(digest))
    assert (tmp_path / "other" / "file").read_bytes() == DATA


@pytest.mark.parametrize("name", ["../out", "/out", "tree/../../out", "tree/file"])
def test_nothing_of_a_hostile_archive_stays(tmp_path: Path, name: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for member in ("tree/file", name):
            tar.addfile(tarfile.TarInfo(member), io.BytesIO())
    packed.seek(0)
    (tmp_path / "inner").mkdir()
    with pytest.raises(NetworkcacheException):
        NetworkcacheClient.extract(str(tmp_path / "inner" / "tree"), packed)
    assert list(tmp_path.iterdir()) == [tmp_path / "inner"]
    assert list((tmp_path / "inner").iterdir()) == []


def test_criteria_as_text_or_parsed() -> None:
    entries = [{"n": n} for n in range(5)]
    assert NetworkcacheFilter(["n>=2", "n<<9"])(entries) == [{"n": 2}]
    assert NetworkcacheFilter([["n", "==", 3]])(entries) == [{"n": 3}]
    assert NetworkcacheFilter()(entries) == entries
    with pytest.raises(NetworkcacheException, match="expected KEY"):
        NetworkcacheFilter(["n=3"])
