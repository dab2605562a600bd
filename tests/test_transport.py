"""Connections: what they cost in vain, TLS, proxies, and what is never carried along."""

from __future__ import annotations

import datetime
import ipaddress
import os
import pty
import socket
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from caches import ALICE, DATA, REQUEST, URL, asked, client_for, fetched, fill, options_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from slapos.networkcache.binding import Request
from slapos.networkcache.client import Client
from slapos.networkcache.config import Config, Source
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.errors import (
    InvalidConfiguration,
    NetworkcacheError,
    NotFound,
    Reason,
    SourceFailure,
)
from slapos.networkcache.testing import NetworkCache, faults
from slapos.networkcache.transport import Budget, Limits, Transport, exchange
from slapos.networkcache.transport.pacing import SLOWEST, Breaker, Pace
from slapos.networkcache.transport.sessions import (
    _PacedSocket,
    is_inside,
    leads_inside,
    paced,
)

DEAD = {
    "dropped": faults.drop,
    "silent": faults.silent,
    "stalled": faults.EarlyFault(
        faults.Answer(200, {"Content-Length": "1000"}, b"[[", held=60)
    ),
}

HANGS = 60.0
"""Seconds after which what is waited for will never come."""


@pytest.fixture
def cache() -> Iterator[NetworkCache]:
    with NetworkCache() as cache:
        yield cache


@pytest.fixture
def other() -> Iterator[NetworkCache]:
    with NetworkCache() as cache:
        yield cache


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


# -- what dead sources cost


@pytest.mark.parametrize("way", DEAD)
def test_a_dead_source_costs_a_run_no_more_than_the_budget(cache, way):
    cache.plan(DEAD[way])
    client = client_for(cache, options={"cache-time-budget": "2 s"})
    failures = [
        client.look_up(Request.for_file(f"{URL}?{number}")).answers[0].failure
        for number in range(300)
    ]
    reasons = [failure.reason for failure in failures]
    assert Reason.LEFT_ALONE not in reasons[:1]
    assert set(reasons[3:]) == {Reason.LEFT_ALONE}
    assert len(cache.requests) <= 3


@pytest.mark.parametrize("way", DEAD)
def test_a_dead_target_costs_uploads_no_more_than_the_budget(cache, way, tmp_path):
    cache.plan(DEAD[way])
    transport = Transport(cache.source, Budget(2))
    path = tmp_path / "content"
    path.write_bytes(DATA)
    reasons = []
    for _ in range(300):
        with pytest.raises(SourceFailure) as caught, path.open("rb") as file:
            transport.store(Digest.of(DATA), len(DATA), lambda file=file: file)
        reasons.append(caught.value.reason)
    assert Reason.LEFT_ALONE not in reasons[:1]
    assert set(reasons[3:]) == {Reason.LEFT_ALONE}
    assert len(cache.requests) <= 3


@pytest.mark.parametrize("way", DEAD)
def test_a_dead_source_leaves_the_budget_to_the_others(cache, other, way, tmp_path):
    cache.plan(DEAD[way])
    with NetworkCache() as third:
        fill(third)
        client = client_for(cache, other, third, options={"cache-time-budget": "1 s"})
        for number in range(5):
            folder = tmp_path / str(number)
            folder.mkdir()
            assert fetched(client, folder) == DATA
    assert client.budget.left > 0
    assert len(asked(cache)) <= 3
    assert len(asked(other)) == 5  # the contents are asked of the third one at once


def test_many_threads_lose_no_more_than_one(cache):
    cache.plan(faults.silent)
    client = client_for(cache, options={"cache-time-budget": "1 s"})
    threads = [
        threading.Thread(target=client.look_up, args=(REQUEST,), daemon=True)
        for _ in range(8)
    ]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS)
    assert not any(thread.is_alive() for thread in threads)
    assert len(asked(cache)) <= 8  # nobody asks twice
    assert 0 < 1 - client.budget.left <= time.monotonic() - begin


def test_a_source_that_refuses_late_is_charged(cache):
    late = faults.Answer(500, {"Content-Length": "100"}, b"x" * 100, rate=400)
    cache.plan(faults.EarlyFault(late))
    budget = Budget(10)
    transport = Transport(cache.source, budget)
    with pytest.raises(NetworkcacheError):
        transport.look_up(REQUEST.key)
    assert budget.left < budget.seconds


def test_answers_and_moving_transfers_are_free(cache, tmp_path):
    fill(cache, b"x" * 3000)
    cache.plan(faults.drip(6000))
    client = client_for(cache)
    assert fetched(client, tmp_path)
    assert client.look_up(Request.for_file("http://example.com/no")).reason
    assert client.budget.left == client.budget.seconds


def test_a_source_that_came_back_is_asked_again(cache, monkeypatch):
    monkeypatch.setattr(Breaker, "PAUSE", 0.2)
    fill(cache)
    cache.plan(faults.drop)
    client = client_for(cache)
    while client.look_up(REQUEST).answers[0].failure.reason is not Reason.LEFT_ALONE:
        pass
    cache.heal()
    end = time.monotonic() + HANGS
    while client.look_up(REQUEST).trusted is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert client.look_up(REQUEST).trusted


# -- the rules, with a clock of our own


def test_the_breaker_opens_and_tries_again_ever_more_seldom():
    clock = Clock()
    breaker = Breaker(clock)

    def closed() -> bool:
        try:
            breaker.check()
        except SourceFailure:
            return False
        return True

    for _ in range(Breaker.TRIES):
        assert closed()
        breaker.failed(Reason.UNREACHABLE)
    assert not closed()
    clock.now += Breaker.PAUSE
    assert [closed(), closed()] == [True, False]  # one attempt at a time
    breaker.failed(Reason.UNREACHABLE)
    clock.now += Breaker.PAUSE
    assert not closed()
    clock.now += Breaker.PAUSE
    assert closed()
    breaker.succeeded()
    breaker.failed(Reason.UNREACHABLE)
    assert closed()
    breaker.failed(Reason.TOO_SLOW)
    assert not closed()
    clock.now += 10 * Breaker.PAUSE
    breaker.ban("it lied")
    assert not closed()


def test_no_attempt_may_lose_more_than_half_of_the_budget():
    clock = Clock()
    budget = Budget(4, clock)
    assert Pace(Limits(), budget).next_wait() == 2
    budget.charge(3)
    assert Pace(Limits(), budget).next_wait() == 0.5
    clock.now += 1
    budget.charge(1)
    with pytest.raises(SourceFailure):
        Pace(Limits(), budget).next_wait()
    with pytest.raises(SourceFailure, match="cache-time-budget"):
        budget.check()


def test_what_threads_wait_at_the_same_time_counts_once():
    clock = Clock()
    budget = Budget(10, clock)
    clock.now += 3
    for seconds in (3, 3, 2):
        budget.charge(seconds)
    assert budget.left == 7
    clock.now += 2
    budget.charge(4)  # two of them were charged already
    assert budget.left == 5
    budget.charge(-1)
    clock.now += 3
    budget.charge(1)
    assert budget.left == 4
    budget.charge(3)  # what was lost of it meanwhile does not hide the rest
    assert budget.left == 2


def test_a_transfer_that_moves_gets_the_whole_window():
    pace = Pace(Limits(window=10), Budget(10, Clock()))
    pace.next_wait()
    pace.moved(1)
    assert pace.next_wait() == 5
    pace.moved(10 * SLOWEST)
    assert pace.next_wait() == 10


@pytest.mark.parametrize(("sent", "wait"), [(1 << 20, 4), (1 << 30, 10)])
def test_what_was_sent_counts_once_the_system_cannot_have_it_all(sent, wait):
    """A server that syncs a large upload may take longer to answer than another."""
    pace = Pace(Limits(first_byte=4, window=10), Budget(10, Clock()))
    pace.next_wait()
    pace.moved(sent)
    pace.expect_answer()
    assert pace.next_wait() == wait


@given(
    st.lists(st.tuples(st.floats(0.001, 4), st.integers(1, 20000)), min_size=1),
    st.floats(1, 20),
)
def test_waits_end_unless_bytes_come(steps, seconds):
    """However the bytes come, what is lost is bounded by what an attempt may lose."""
    clock = Clock()
    budget = Budget(seconds, clock)
    pace = Pace(Limits(), budget)
    with suppress(SourceFailure):
        for waits, count in steps:
            allowed = pace.next_wait()
            assert 0 < allowed <= 10
            clock.now += min(waits, allowed)
            if waits >= allowed:
                raise pace.too_slow()
            pace.moved(count)
    assert 0 <= pace.lost <= min(10, seconds) + 5 + 0.001
    assert pace.lost <= pace.waited + 0.001 <= clock.now + 0.002


def test_what_a_slow_peer_takes_piece_by_piece_is_all_sent():
    ours, theirs = socket.socketpair()
    data, taken = os.urandom(1 << 20), bytearray()

    def take() -> None:
        while piece := theirs.recv(30_000):
            taken.extend(piece)

    reader = threading.Thread(target=take)
    reader.start()
    with paced(Pace(Limits(), Budget(10))):
        _PacedSocket(ours).sendall(data)
    ours.close()
    reader.join(10)
    theirs.close()
    assert taken == data


# -- never an unexpected error


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\nLocation: "]),
    st.binary(max_size=200)
    | st.text(
        "01²:;-/, \r\nabcgzipchunkedContentLengthTransferEncodingRangeDat", max_size=200
    ).map(lambda text: text.encode("latin-1")),
)
def test_whatever_a_server_says_is_a_failure_at_worst(fuzzed, start, rest):
    fuzzed.heal()
    answer = faults.Answer(0, body=start + rest + b"\r\n\r\n", cut=1 << 20)
    fuzzed.plan(faults.EarlyFault(answer))
    limits = Limits(0.2, 0.2, 0.2)
    transport = Transport(fuzzed.source, Budget(60), limits=limits)
    for attempt in (
        lambda: transport.look_up(REQUEST.key),
        lambda: transport.has(Digest.of(b"")),
        lambda: b"".join(_opened(transport)),
    ):
        with suppress(NetworkcacheError):
            attempt()
    transport.close()


def _opened(transport: Transport) -> Iterator[bytes]:
    with transport.open(Digest.of(b""), 5) as incoming:
        yield from incoming.pieces


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[NetworkCache]:
    """One for all examples; there is nothing to wait for before it is asked again."""
    with NetworkCache() as cache, patch.object(exchange, "_RETRY_PAUSE", (0, 0)):
        yield cache


# -- what is carried along


@settings(deadline=None, max_examples=100)
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255)
)
def test_every_key_arrives_as_it_is(fuzzed, text):
    try:
        key = Key.parse(text)
    except NetworkcacheError:
        return
    fuzzed.heal()
    fuzzed.requests.clear()
    with pytest.raises(NotFound):
        Transport(fuzzed.source, Budget(10)).look_up(key)
    (request,) = fuzzed.requests
    assert urllib.parse.unquote(request.path.removeprefix("/shadir/")) == text


def test_cookies_are_not_kept(cache):
    cache.plan(faults.labelled(Set_Cookie="a=b; Path=/"))
    client = client_for(cache)
    for _ in range(2):
        client.look_up(REQUEST)
    assert not any("cookie" in request.headers for request in cache.requests)


def test_netrc_is_not_read(cache, tmp_path, monkeypatch):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    client_for(cache).look_up(REQUEST)
    assert "authorization" not in cache.requests[0].headers


def test_user_and_password_of_a_cache_are_sent_to_it(cache):
    options = {"download-dir-url-list": cache.source.dir_url.replace("//", "//me:p%40ss@")}
    client = client_for(cache, options=options)
    outcome = client.look_up(REQUEST)
    assert cache.requests[0].headers["authorization"] == "Basic bWU6cEBzcw=="
    assert "ss" not in str(outcome.answers[0].source)


def test_a_proxy_of_the_environment_is_used(cache, monkeypatch):
    fill(cache)
    monkeypatch.setenv("http_proxy", cache.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    source = Source("http://cache.invalid/shacache", "http://cache.invalid/shadir")
    config = Config.parse(options_for())
    client = Client(config, sources=[source])
    client.look_up(REQUEST)
    assert cache.requests[0].path == f"http://cache.invalid/shadir/{REQUEST.key}"
    monkeypatch.setenv("no_proxy", "cache.invalid")
    assert Client(config, sources=[source]).look_up(REQUEST).reason is Reason.UNREACHABLE
    assert len(cache.requests) == 1


# -- addresses inside


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("0.0.0.0", "100.64.0.1", "::1", "fe80::1%eth0", "fd00::1", "::"),
        "::ffff:127.0.0.1",
    ],
)
def test_addresses_inside(address):
    assert is_inside(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1"])
def test_addresses_outside(address):
    assert not is_inside(address)


@pytest.mark.parametrize("proxied", [False, True])
def test_a_public_source_redirects_nowhere_inside(cache, other, monkeypatch, proxied):
    """The source is on loopback, but taken for a public one."""
    other.contents.put([DATA])
    digest = Digest.of(DATA)
    cache.plan(faults.redirect(f"{other.source.cache_url}/{digest}"))
    home = cache.source.cache_url.replace("127.0.0.1", "localhost")
    monkeypatch.setattr(
        "slapos.networkcache.transport.leads_inside", lambda host: host != "localhost"
    )
    if proxied:
        monkeypatch.setenv("http_proxy", other.url)
        monkeypatch.setenv("no_proxy", "localhost")
    transport = Transport(Source(home, home), Budget(5))
    with pytest.raises(SourceFailure, match="loopback"), transport.open(digest):
        pass
    assert other.requests == []


def test_a_proxy_may_be_inside_where_the_redirect_is_not(cache, other, monkeypatch):
    digest = Digest.of(DATA)
    cache.plan(faults.redirect(f"http://files.invalid/{digest}"))
    other.plan(faults.say(200, DATA))
    home = cache.source.cache_url.replace("127.0.0.1", "localhost")
    monkeypatch.setattr("slapos.networkcache.transport.leads_inside", lambda host: False)
    monkeypatch.setenv("http_proxy", other.url)
    monkeypatch.setenv("no_proxy", "localhost")
    transport = Transport(Source(home, home), Budget(5))
    with transport.open(digest) as incoming:
        assert b"".join(incoming.pieces) == DATA
    assert asked(other) == [f"GET http://files.invalid/{digest}"]


def test_names_inside():
    assert leads_inside("localhost")
    assert not leads_inside("a" * 300)
    assert not leads_inside("no-such-host.invalid")


# -- TLS


class Authority:
    """A private certificate authority and the certificates it made, as files."""

    def __init__(self, folder: Path, name: str):
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = self._issue(name, self._key, self._name, ca=True)

    def certificate(self, name: str) -> Path:
        """Key and certificate in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        path = self._issue(name, key, subject, ca=False)
        with path.open("ab") as file:
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        return path

    def _issue(self, name: str, key, subject: x509.Name, *, ca: bool) -> Path:
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def secure(authority: Authority) -> Iterator[NetworkCache]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # As private authorities in the field are: not for the strict checks of Python 3.13.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_cert_chain(authority.certificate("server"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_OPTIONAL
    with NetworkCache(context) as cache:
        yield cache


def test_a_private_authority_is_believed_where_it_is_named(secure, authority, tmp_path):
    fill(secure)
    folder = tmp_path / "folder"
    folder.mkdir()
    client = client_for(secure, options={"shacache-ca-file": str(authority.path)})
    assert fetched(client, folder) == DATA
    assert all(request.certificate is None for request in secure.requests)


def test_an_authority_that_is_not_named_is_not_believed(secure, tmp_path):
    wrong = Authority(tmp_path, "theirs")
    for options in ({}, {"shacache-ca-file": str(wrong.path)}):
        outcome = client_for(secure, options=options).look_up(REQUEST)
        assert outcome.reason is Reason.UNREACHABLE
        assert "certificate verify failed" in str(outcome.refusal)
    assert secure.requests == []


def test_a_server_with_another_name_is_not_believed(secure, authority):
    options = {
        "shacache-ca-file": str(authority.path),
        "download-dir-url-list": secure.source.dir_url.replace("127.0.0.1", "localhost"),
    }
    outcome = client_for(secure, options=options).look_up(REQUEST)
    assert outcome.reason is Reason.UNREACHABLE
    assert "localhost" in str(outcome.refusal)


def test_the_accounts_certificate_is_shown(secure, authority, tmp_path):
    fill(secure)
    account = authority.certificate("account")
    folder = tmp_path / "folder"
    folder.mkdir()
    options = {
        "shadir-ca-file": str(authority.path),
        "shadir-cert-file": str(account),
        "shadir-key-file": str(account),
    }
    assert fetched(client_for(secure, options=options), folder) == DATA
    shown = x509.load_pem_x509_certificate(account.read_bytes()).public_bytes(
        serialization.Encoding.DER
    )
    assert [request.certificate for request in secure.requests] == [shown, shown]


def test_a_redirect_from_https_to_http_is_not_followed(secure, authority, cache, tmp_path):
    fill(secure)
    cache.contents.put([DATA])
    there = f"{cache.source.cache_url}/{Digest.of(DATA)}"
    secure.plan(faults.redirect(there), "GET /shacache")
    client = client_for(secure, options={"shacache-ca-file": str(authority.path)})
    with pytest.raises(SourceFailure, match="from https to http"):
        client.fetch(client.look_up(REQUEST), str(tmp_path / "x"))
    assert cache.requests == []


def test_no_client_certificate_goes_to_another_host(secure, authority, tmp_path):
    """The other host would be shown it, if asked: its authority is not believed."""
    fill(secure)
    account = authority.certificate("account")
    options = {
        "shacache-ca-file": str(authority.path),
        "shacache-cert-file": str(account),
    }
    secure.plan(faults.redirect("/shacache/" + "0" * 128), "GET /shacache")
    client = client_for(secure, options=options)
    with pytest.raises(SourceFailure):
        client.fetch(client.look_up(REQUEST), str(tmp_path / "x"))
    assert [bool(request.certificate) for request in secure.requests] == [True, True]


def encrypted_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


@pytest.mark.parametrize("what", ["missing", "nonsense", "encrypted"])
def test_tls_files_that_cannot_be_used_are_named(tmp_path, authority, what):
    path = tmp_path / "bad.pem"
    if what == "nonsense":
        path.write_text("no certificate")
    if what == "encrypted":
        path.write_bytes(authority.path.read_bytes() + encrypted_key())
    option = "cert" if what == "encrypted" else "ca"
    config = Config.parse(
        {
            "download-cache-url": "https://a/",
            "download-dir-url": "https://a/",
            f"shacache-{option}-file": str(path),
        }
    )
    with pytest.raises(InvalidConfiguration, match=str(path)):
        Client(config)


def test_nobody_is_asked_for_a_passphrase(tmp_path, authority):
    """In a build with a terminal, OpenSSL would wait for one there."""
    path = tmp_path / "account.pem"
    path.write_bytes(authority.path.read_bytes() + encrypted_key())
    command = (
        "from slapos.networkcache.config import TLS\n"
        "from slapos.networkcache.transport.sessions import Session\n"
        f"Session('https://a/', TLS(cert_file={str(path)!r}))"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", command])
    said = b""
    with suppress(OSError):  # how the end of a terminal reads
        while b"PEM pass phrase" not in said and (piece := os.read(terminal, 4096)):
            said += piece
    os.close(terminal)
    os.waitpid(child, 0)
    assert b"InvalidConfiguration" in said


def test_nothing_is_left_open(cache, tmp_path):
    fill(cache)
    before = len(os.listdir("/proc/self/fd"))
    client = client_for(cache, signers=(ALICE,))
    fetched(client, tmp_path)
    client.close()
    end = time.monotonic() + HANGS
    while len(os.listdir("/proc/self/fd")) > before:
        assert time.monotonic() < end
        time.sleep(0.02)
