"""Who may upload to a server, told by the certificate of an account: over TLS, through the
Unix socket, from a proxy with a secret, and through nginx."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from accounts import Operator, https
from gate import gate
from issuing import Files, Issuer
from nginx import nginx
from wire import (
    ABSENT,
    TIMEOUT,
    Reply,
    ask,
    files,
    head,
    old,
    ours,
    pairs,
    post,
    put,
    read_head,
)

from slapos.networkcache.certificates import Certificate, generate
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import InvalidConfiguration
from slapos.networkcache.server.accounts.authorisation import (
    CERTIFICATE_HEADER,
    SECRET_HEADER,
    read_secret,
)
from slapos.networkcache.server.log import Log
from slapos.networkcache.storage.database import Database

PREFIX = "https://example.com/dist/"
SECRET = "a secret of the proxy in front"

Connect = Callable[[], http.client.HTTPConnection | None]


class Place(NamedTuple):
    """A server with two workers that is reached in all ways, and who runs it."""

    server: Any
    operator: Operator
    ca: Path
    socket: Path

    def https(self, shown: Files | None = None) -> http.client.HTTPSConnection:
        return https(self.server, self.ca, shown)

    def through_socket(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", timeout=TIMEOUT)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        return connection

    def ask(self, connect: Connect, *request) -> Reply:
        """One request, over a connection of its own: some are refused before their body
        is read, and that ends the connection."""
        connection = connect()
        reply = ask(self.server, *request, connection=connection)
        if connection is not None:
            connection.close()
        return reply


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Issuer:
    """It signs for this computer, and not for accounts."""
    return Issuer(tmp_path_factory.mktemp("site"), "site")


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    """A folder whose path is short enough for sockets in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def tls_options(site: Issuer) -> tuple[str, ...]:
    shown = site.issue("127.0.0.1")
    files = ("--tls-certificate", str(shown.certificate), "--tls-key", str(shown.key))
    return ("--tls-port", "0", *files)


@pytest.fixture(scope="module")
def place(make_shared_server, site, short) -> Place:
    secret = short / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    ways = ("--port", "0", "--socket", str(short / "socket"), *tls_options(site))
    ways = (*ways, "--proxy-secret-file", str(secret), "--workers", "2")
    server = make_shared_server(*ways, anonymous=False)
    operator = Operator(server.root, short)
    return Place(server, operator, site.files.certificate, short / "socket")


def message(reply) -> str:
    return json.loads(reply.body)["message"]


def escaped(shown: Files) -> str:
    """As nginx does."""
    return quote(shown.certificate.read_text(), safe="")


# -- what an account may do


def test_an_account_publishes_what_it_may(place, key) -> None:
    shown = place.operator.add("zoe", f"file-urlmd5:{PREFIX}", "pypi", key_type="rsa")
    with closing(place.https(shown)) as connection:
        reply = ask(place.server, "POST", "/shacache", b"of zoe", None, connection)
        assert reply.status == 201
        digest = reply.body.decode()
        url = f"{PREFIX}{key}"
        mine = str(Key.for_file(url))
        assert (
            put(place.server, mine, ours(mine, digest, url=url), connection).status == 201
        )
        elsewhere = "https://example.com/other"
        for name, url in [
            (f"git-bundle:{'0' * 32}={'0' * 40}", PREFIX),
            (str(Key.for_file(elsewhere)), elsewhere),
            (mine, f"{PREFIX}another"),
        ]:
            pair = ours(name, digest, url=url, repository=url)
            reply = put(place.server, name, pair, connection)
            assert (reply.status, reply.code) == (403, "forbidden")
            assert message(reply).startswith("account zoe: ")
            assert pairs(place.server, name) == (pairs(place.server, mine) * (name == mine))
    with closing(Database(place.server.root / "entries.sqlite")) as database:
        lines = list(Log(database).lines(account="zoe"))
    assert [(line.action, line.subject) for line in lines] == [
        ("upload", digest),
        ("put", mine),
    ]


def test_an_account_signs_with_its_own_key(place, key) -> None:
    signer, other = generate("ed25519"), generate("ed25519")
    certificate = Certificate.parse(signer.self_signed("signer", 0))
    shown = place.operator.add("sig", "pypi", signers=(certificate,))
    name = f"pypi:{key.replace(':', '-')}=1"
    with closing(place.https(shown)) as connection:
        reply = ask(place.server, "POST", "/shacache", b"of sig", None, connection)
        text, _ = ours(name, reply.body.decode())
        for who, status in ((other, 403), (signer, 201)):
            pair = list(Pair(text, who.sign(text)))
            assert put(place.server, name, pair, connection).status == status
    assert pairs(place.server, name) == [pair]


def test_an_account_keeps_no_more_than_its_quota(place) -> None:
    shown = place.operator.add("small", "pypi", quota=1000)
    with closing(place.https(shown)) as connection:
        reply = ask(place.server, "POST", "/shacache", bytes(600), None, connection)
        assert reply.status == 201
        reply = ask(place.server, "POST", "/shacache", b"x" * 600, None, connection)
        assert (reply.status, reply.code) == (507, "quota")
    assert Digest.of(b"x" * 600).hex not in files(place.server.root)


# -- who shows none, or one that is good no more


def test_without_a_certificate_there_is_only_reading(place) -> None:
    for connect in (lambda: None, place.https, place.through_socket):
        reply = place.ask(connect, "POST", "/shacache", b"nobody's")
        assert (reply.status, reply.code) == (401, "unauthorized")
        assert "none was shown" in message(reply)
        assert place.ask(connect, "GET", "/").status == 200
    assert Digest.of(b"nobody's").hex not in files(place.server.root)


def test_revoking_counts_at_once_for_every_worker(place) -> None:
    """On connections that are open, too; reading goes on."""
    shown = place.operator.add("gone", "pypi")
    connections = [place.https(shown) for _ in range(8)]
    for connection in connections:
        reply = ask(place.server, "POST", "/shacache", b"of gone", None, connection)
        assert reply.status == 201
    place.operator.revoke("gone")
    for connection in connections:
        reply = ask(place.server, "POST", "/shacache", b"of gone", None, connection)
        assert (reply.status, reply.code) == (401, "unauthorized")
        assert "account gone was revoked" in message(reply)
        digest = Digest.of(b"of gone").hex
        reply = ask(place.server, "GET", f"/shacache/{digest}", None, None, connection)
        assert reply.status == 200
        connection.close()


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/shacache", b"drawn out"),
        ("PUT", "/shadir/pypi:drawn=out", json.dumps(old(ABSENT)).encode()),
    ],
    ids=["content", "entry"],
)
def test_revoking_counts_for_what_was_begun_before(place, method, target, body) -> None:
    """Who draws an upload out would else put what they like, weeks later."""
    name = f"slow-{method.lower()}"
    shown = place.operator.add(name, "pypi")
    with closing(place.https(shown)) as connection:
        connection.connect()
        lines = (f"Content-Length: {len(body)}", "Expect: 100-continue")
        connection.sock.sendall(head(method, target, *lines))
        assert b" 100 " in read_head(connection.sock)  # it may go on
        place.operator.revoke(name)
        connection.sock.sendall(body)
        answer = http.client.HTTPResponse(connection.sock)
        answer.begin()
        assert (answer.status, answer.headers["Networkcache-Error"]) == (
            401,
            "unauthorized",
        )
    assert Digest.of(body).hex not in files(place.server.root)
    with closing(Database(place.server.root / "entries.sqlite")) as database:
        assert not database.rows("SELECT 1 FROM entry WHERE key = 'pypi:drawn=out'")


def test_revoking_counts_while_a_content_is_fetched(make_server, site, short) -> None:
    """A pair waits for what it names as long as an upstream takes to send that."""
    key = "pypi:fetched=1"
    with gate(b"fetched" * 1000, 1000) as far, ThreadPoolExecutor(1) as pool:
        ways = ("--upstream", far.cache_url, far.dir_url, *tls_options(site))
        server = make_server(*ways, anonymous=False)
        operator = Operator(server.root, short)
        with closing(https(server, site.files.certificate, operator.add("f", "pypi"))) as c:
            body = json.dumps(ours(key, far.digest.hex)).encode()
            reply = pool.submit(ask, server, "PUT", f"/shadir/{key}", body, None, c)
            end = time.monotonic() + TIMEOUT
            while not far.asked:
                assert time.monotonic() < end, "nobody asked"
                time.sleep(0.01)
            operator.revoke("f")
            far.open()
            assert reply.result(TIMEOUT).status == 401
    with closing(Database(server.root / "entries.sqlite")) as database:
        assert not database.rows("SELECT 1 FROM entry")


def test_who_shows_an_expired_certificate_may_read(place) -> None:
    shown = place.operator.add("late", "pypi", age=3601)
    digest = Digest.of(b"of late").hex
    for connect, headers in (
        (lambda: place.https(shown), {}),
        (place.through_socket, {CERTIFICATE_HEADER: escaped(shown)}),
    ):
        reply = place.ask(connect, "POST", "/shacache", b"of late", headers)
        assert (reply.status, reply.code) == (401, "unauthorized")
        assert "account late expired on" in message(reply)
        reply = place.ask(connect, "GET", f"/shacache/{digest}", None, headers)
        assert (reply.status, reply.code) == (404, "not-found")


def test_one_that_is_not_good_yet_is_good(place) -> None:
    """The clock was set back: nobody has to wait until it is where it was."""
    shown = place.operator.add("early", "pypi", age=-7200)
    with closing(place.https(shown)) as connection:
        reply = ask(place.server, "POST", "/shacache", b"of early", None, connection)
        assert reply.status == 201


def test_one_that_no_account_has_counts_for_nothing(place) -> None:
    shown = place.operator.issue("stray")
    with closing(place.https(shown)) as connection:
        reply = ask(place.server, "POST", "/shacache", b"stray", None, connection)
    assert (reply.status, reply.code) == (401, "unauthorized")
    assert "does not know it any more" in message(reply)


def test_one_of_another_authority_ends_the_handshake(place, tmp_path) -> None:
    shown = Issuer(tmp_path).issue("zoe")
    with (
        closing(place.https(shown)) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        ask(place.server, "GET", "/", None, None, connection)


# -- servers in front


def test_a_server_in_front_passes_the_certificate_on(place) -> None:
    shown = place.operator.add("behind", "pypi")
    header = {CERTIFICATE_HEADER: escaped(shown)}
    with closing(place.through_socket()) as connection:
        reply = ask(place.server, "POST", "/shacache", b"of behind", header, connection)
    assert reply.status == 201
    header[SECRET_HEADER] = SECRET
    assert ask(place.server, "POST", "/shacache", b"of behind", header).status == 201


@pytest.mark.parametrize("secret", [None, "", "another secret", SECRET + "x"])
@pytest.mark.parametrize("way", ["http", "https"])
def test_nobody_else_does(place, secret, way) -> None:
    shown = place.operator.issue("forged")
    header = {CERTIFICATE_HEADER: escaped(shown)}
    if secret is not None:
        header[SECRET_HEADER] = secret
    connect = place.https if way == "https" else lambda: None
    reply = place.ask(connect, "POST", "/shacache", b"forged", header)
    assert (reply.status, reply.code) == (403, "forbidden")
    assert place.ask(connect, "GET", "/", None, header).status == 200
    assert Digest.of(b"forged").hex not in files(place.server.root)


def ask_twice(place, **headers) -> http.client.HTTPResponse:
    """An upload through the socket; several values make several headers."""
    with closing(place.through_socket()) as connection:
        connection.putrequest("POST", "/shacache")
        for name, values in headers.items():
            for value in values:
                connection.putheader(name.replace("_", "-"), value)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer


def test_two_certificates_are_an_error(place) -> None:
    """Somebody in front added one to what the client sent."""
    shown = place.operator.add("twice", "pypi")
    one = escaped(shown)
    how = "Networkcache_Client_Certificate"
    assert ask_twice(place, **{how: [one]}).status == 201
    for values in (
        [one, one],
        [one, "nonsense"],
        [one, ""],
        [one + one],
        [f"{one}, {one}"],
    ):
        answer = ask_twice(place, **{how: values})
        code = answer.headers["Networkcache-Error"]
        assert (answer.status, code) == (400, "bad-request"), values
    both = {CERTIFICATE_HEADER: one, SECRET_HEADER: SECRET}
    with closing(place.https(shown)) as connection:
        reply = ask(place.server, "POST", "/shacache", b"", both, connection)
    assert (reply.status, reply.code) == (400, "bad-request")


@pytest.mark.parametrize(
    "text", ["nonsense", "%", "\xe9", "-----BEGIN CERTIFICATE-----", "of version 35"]
)
def test_what_is_no_certificate(place, text: str) -> None:
    if text == "of version 35":
        pem = place.operator.issue("version").certificate.read_text()
        der = ssl.PEM_cert_to_DER_cert(pem)
        changed = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x22", 1)
        assert changed != der
        text = quote(ssl.DER_cert_to_PEM_cert(changed), safe="")
    header = {CERTIFICATE_HEADER: text}
    with closing(place.through_socket()) as connection:
        reply = ask(place.server, "POST", "/shacache", b"x", header, connection)
    assert (reply.status, reply.code) == (400, "bad-request")


def test_one_of_another_authority_passed_on(place, tmp_path) -> None:
    """Be it in the name of ours."""
    ours = place.operator.authority.certificate.subject.rfc4514_string()
    for name in ("authority", ours.removeprefix("CN=")):
        shown = Issuer(tmp_path, name).issue("zoe")
        header = {CERTIFICATE_HEADER: escaped(shown)}
        with closing(place.through_socket()) as connection:
            reply = ask(place.server, "POST", "/shacache", b"x", header, connection)
        assert (reply.status, reply.code) == (401, "unauthorized")
        assert "not of an account of this server" in message(reply)


def test_through_nginx(place, short, site) -> None:
    """nginx passes on who shows what, and nothing that a client says of itself."""
    shown = place.operator.add("front", "pypi")
    late = place.operator.add("front-late", "pypi", age=3601)
    of_site = site.issue("127.0.0.1")
    root = place.server.root
    places = {
        "unix:/run/networkcache/socket": f"unix:{place.socket}",
        "/etc/ssl/certs/cache.example.com.pem": of_site.certificate,
        "/etc/ssl/private/cache.example.com.key": of_site.key,
        "/var/lib/networkcache/authority/certificate.pem": root
        / "authority/certificate.pem",
        "/var/lib/networkcache/v1": root / "v1",
    }
    forged = {CERTIFICATE_HEADER: escaped(shown), SECRET_HEADER: SECRET}
    with nginx(short / "nginx", places) as front:
        for certificate, status in ((shown, 201), (late, 401), (None, 401)):
            with closing(https(front, place.ca, certificate)) as connection:
                reply = ask(front, "POST", "/shacache", b"of front", forged, connection)
            assert reply.status == status
            with closing(https(front, place.ca, certificate)) as connection:
                digest = Digest.of(b"of front").hex
                reply = ask(front, "GET", f"/shacache/{digest}", None, None, connection)
            assert (reply.status, reply.body) == (200, b"of front")
        assert ask(front, "POST", "/shacache", b"of front", forged).status == 401


# -- beside anonymous uploads; the secret


def test_what_comes_through_a_proxy_is_not_anonymous(make_server, short) -> None:
    """One that says nothing of whom it speaks for included."""
    server = make_server("--port", "0", "--socket", str(short / "anonymous"))
    operator = Operator(server.root, short)
    place = Place(server, operator, short, short / "anonymous")
    reply = place.ask(place.through_socket, "POST", "/shacache", b"x")
    assert (reply.status, reply.code) == (403, "forbidden")
    reply = ask(server, "POST", "/shacache", b"x", {SECRET_HEADER: "any"})
    assert (reply.status, reply.code) == (403, "forbidden")
    assert ask(server, "POST", "/shacache", b"x").status == 201


def test_who_has_an_account_is_not_anonymous(make_server, site, tmp_path, key) -> None:
    server = make_server(*tls_options(site))
    shown = Operator(server.root, tmp_path).add("zoe", "pypi")
    digest = post(server, b"content")
    for certificate, status in ((None, 201), (shown, 403)):
        with closing(https(server, site.files.certificate, certificate)) as connection:
            reply = put(server, key, ours(key, digest), connection)
        assert reply.status == status


@pytest.mark.parametrize(
    ("mode", "text", "said"),
    [
        (0o640, SECRET, "chmod 600"),
        (0o602, SECRET, "chmod 600"),
        (0o600, "short\n", "a secret has 16 or more"),
        (None, "", "cannot read the secret"),
    ],
)
def test_a_secret_that_is_none(tmp_path, mode, text, said) -> None:
    path = tmp_path / "secret"
    if mode is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(InvalidConfiguration, match=said):
        read_secret(path)


def test_with_such_a_secret_nothing_is_served(make_server, tmp_path) -> None:
    """It is said once, before there are workers."""
    secret = ("--proxy-secret-file", str(tmp_path / "nowhere"))
    with pytest.raises(RuntimeError, match="cannot read the secret") as raised:
        make_server(*secret, "--workers", "2")
    assert "Traceback" not in str(raised.value)
