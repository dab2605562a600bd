"""nginx in front, with the site of ``examples/server``: it changes nothing but speed."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import itertools
import os
import socket
import socketserver
import ssl
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from accounts import Operator
from incumbents import OldClient, OldClientError, Unavailable
from issuing import Issuer
from nginx import Nginx, nginx
from pages import HTML
from test_incumbent_client import show
from wire import ABSENT, TIMEOUT, Reply, ask, head, ours, pairs, post, put, read_all

from slapos.networkcache.digest import Digest
from slapos.networkcache.server.growing import SMALL

LARGE = os.urandom(1 << 20)
MIDDLE = LARGE[: SMALL + 1]
CONTENTS = {"large": LARGE, "middle": MIDDLE, "small": b"small", "empty": b""}
HOP_BY_HOP = {"Date", "Server", "Connection", "Keep-Alive"}
"""What may be different."""


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Iterator[Issuer]:
    """The authority of accounts, which also signs for this computer."""
    return Issuer(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    """A folder whose path is short enough for sockets in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def in_front(
    folder: Path, tls: Issuer, bound: Path, root: Path, authority: Path | None = None
) -> Iterator[Nginx]:
    """nginx on the Unix socket `bound`; `authority` is that of the accounts, if it is not
    `tls`."""
    site = tls.issue("127.0.0.1")
    places = {
        "unix:/run/networkcache/socket": f"unix:{bound}",
        "/etc/ssl/certs/cache.example.com.pem": site.certificate,
        "/etc/ssl/private/cache.example.com.key": site.key,
        "/var/lib/networkcache/authority/certificate.pem": authority
        or tls.files.certificate,
        "/var/lib/networkcache/v1": root / "v1",
    }
    with nginx(folder, places) as front:
        yield front


# -- the server itself behind it


class Behind(NamedTuple):
    """The server, asked over TCP; its Unix socket, and nginx on that."""

    direct: object
    socket: Path
    front: Nginx


@pytest.fixture(scope="module")
def behind(make_shared_server, tls, short) -> Iterator[Behind]:
    bound = short / "server"
    options = ("--socket", str(bound), "--accel-redirect", "/contents/")
    server = make_shared_server(*options)
    for data in CONTENTS.values():
        post(server, data)
    authority = server.root / "authority/certificate.pem"
    with in_front(short / "front", tls, bound, server.root, authority) as front:
        yield Behind(server, bound, front)


def shown(reply: Reply) -> tuple:
    """What must be the same."""
    headers = [(n, v) for n, v in reply.headers.items() if n not in HOP_BY_HOP]
    return reply.status, sorted(headers), reply.body


TAG = '"{digest}"'
ASKED = [
    {},
    {"Range": "bytes=0-"},
    {"Range": "bytes=1-2"},
    {"Range": "bytes=2-300000"},
    {"Range": "bytes=-262145"},
    {"Range": "bytes=-9999999"},
    {"Range": "bytes=9999999-"},
    {"Range": "bytes=-0"},
    {"Range": "bytes=0-1,3-4"},
    {"Range": "bytes=0-270000,300000-600000"},
    {"Range": "bytes=5-2"},
    {"Range": "bytes= 0-5"},
    {"Range": "BYTES=0-300000"},
    {"Range": "lines=1-2"},
    {"Range": "nonsense"},
    {"Range": "bytes=0-300000", "If-Range": TAG},
    {"Range": "bytes=0-300000", "If-Range": '"other"'},
    {"Range": "bytes=0-300000", "If-Range": "Wed, 25 Nov 2026 00:00:00 GMT"},
    {"If-None-Match": TAG},
    {"If-None-Match": '"other"'},
    {"If-None-Match": "*"},
    {"If-Match": '"other"'},
    {"If-Modified-Since": "Wed, 25 Nov 2099 00:00:00 GMT"},
    {"If-Unmodified-Since": "Wed, 25 Nov 1999 00:00:00 GMT"},
    {"Accept-Encoding": "gzip"},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_contents_are_answered_as_without_it(behind, method, asked):
    for data in (*CONTENTS.values(), b"never uploaded"):
        digest = Digest.of(data).hex
        headers = {name: value.format(digest=digest) for name, value in asked.items()}
        request = (method, f"/shacache/{digest}?query", None, headers)
        there, here = ask(behind.front, *request), ask(behind.direct, *request)
        assert shown(there) == shown(here)


def logged(server, place: str) -> dict:
    """The line of the access log about a request."""
    for count in itertools.count(1):
        found = [line for line in server.requests(count) if line["path"] == place]
        if found:
            return found[0]
    raise AssertionError


def test_large_contents_are_sent_by_nginx(behind):
    """And their bytes are counted; the server says where they are to nobody else."""
    place = f"/shacache/{Digest.of(LARGE)}?counted"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(behind.socket))
        connection.sendall(head("GET", place, "Connection: close", "Range: bytes=0-299999"))
        answer, _, body = read_all(connection).partition(b"\r\n\r\n")
    hex = Digest.of(LARGE).hex
    path = f"{hex[:2]}/{hex[2:4]}/{hex}"
    assert f"X-Accel-Redirect: /contents/{path}\r\n".encode() in answer + b"\r\n"
    assert body == b""
    assert logged(behind.direct, place)["sent"] == 300_000
    ask(behind.front, "GET", f"{place}-through-nginx")
    line = logged(behind.direct, f"{place}-through-nginx")
    assert (line["sent"], line["remote"]) == (len(LARGE), "127.0.0.1")
    assert "X-Accel-Redirect" not in ask(behind.direct, "GET", place).headers
    assert (behind.direct.root / "v1" / path).read_bytes() == LARGE
    assert ask(behind.front, "GET", f"/contents/{path}").status == 404


def test_entries_and_refusals_are_those_of_the_server(behind):
    key = "file-urlmd5:0123"
    assert put(behind.direct, key, ours(key, Digest.of(LARGE).hex)).status == 201
    for method, place in [
        ("GET", f"/shadir/{key}"),
        ("GET", "/shadir/none"),
        ("GET", "/shadir/a%2Fb"),
        ("GET", "/shadir/..%2f"),
        ("GET", "/nothing//here"),
        ("DELETE", f"/shadir/{key}"),
        ("GET", "/shacache/nonsense"),
        ("POST", "/shadir"),
    ]:
        there = ask(behind.front, method, place, b"" if method == "POST" else None)
        here = ask(behind.direct, method, place, b"" if method == "POST" else None)
        assert shown(there) == shown(here)


def test_pages_say_how_it_was_reached(behind, tls):
    with closing(https(behind.front, tls)) as connection:
        secure = ask(behind.front, "GET", "/", None, HTML, connection)
    for reply, url in [
        (ask(behind.front, "GET", "/", None, HTML), behind.front.url),
        (secure, behind.front.tls_url),
    ]:
        assert f"download-cache-url = {url}/shacache\n" in reply.body.decode()


def test_anonymous_uploads_do_not_come_through_it(behind):
    reply = ask(behind.front, "POST", "/shacache", b"content")
    assert (reply.status, reply.code) == (403, "forbidden")


@pytest.mark.incumbent
def test_an_old_client_publishes_and_reads_through_it(behind, tls, tmp_path):
    """Over https with its account, which has expired by the time it reads again."""
    url = "http://example.com/old-1.0.tar.gz"
    key, content = f"file-urlmd5:{hashlib.md5(url.encode()).hexdigest()}", tmp_path / "a"
    content.write_bytes(LARGE[::-1])
    urls = f"{behind.front.tls_url}/shacache", f"{behind.front.tls_url}/shadir"
    try:
        old = OldClient.of(tmp_path, *urls)
    except Unavailable as error:
        pytest.skip(str(error))
    operator = Operator(behind.direct.root, tmp_path)
    show(old, operator.add("old", "file-urlmd5", key_type="rsa"), tls)
    digest = old.upload(content, key, url=url)
    assert pairs(behind.direct, key)
    show(old, operator.add("late", "file-urlmd5", key_type="rsa", age=3601), tls)
    assert old.download(digest) == LARGE[::-1]
    with pytest.raises(OldClientError, match="401"):
        old.index(key, sha512=digest, url=url, another="entry")
    old.options |= {"download-cache-url": f"{behind.front.url}/shacache"}
    assert old.download(digest) == LARGE[::-1]


# -- what it passes on, and what it says by itself


class Witness(socketserver.ThreadingUnixStreamServer):
    """A server on a Unix socket that remembers what it is asked; `answer` is what it says
    in return, and `begun` is set once the first byte of a body came."""

    daemon_threads = True

    def __init__(self, path: Path):
        super().__init__(str(path), _Handler)
        self.asked: list[tuple[str, http.client.HTTPMessage]] = []
        self.answer: dict[str, str] = {}
        self.begun = threading.Event()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Witness

    def handle_one_request(self) -> None:
        self.client_address = ("unix", 0)  # type: ignore[assignment]
        super().handle_one_request()

    def do_GET(self) -> None:
        self.server.asked.append((self.requestline.split()[1], self.headers))
        rest = int(self.headers.get("Content-Length", 0))
        if rest:
            self.rfile.read(1)
            self.server.begun.set()
            self.rfile.read(rest - 1)
        self.send_response(200)
        for name, value in {"Content-Length": "0", **self.server.answer}.items():
            self.send_header(name, value)
        self.end_headers()

    do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def witnessed(tls, short) -> Iterator[tuple[Nginx, Witness]]:
    bound = short / "witness"
    with Witness(bound) as witness:
        thread = threading.Thread(target=witness.serve_forever, daemon=True)
        thread.start()
        with in_front(short / "before", tls, bound, short) as front:
            yield front, witness
        witness.shutdown()
        thread.join(TIMEOUT)


@pytest.fixture
def witness(witnessed) -> Iterator[Witness]:
    witness = witnessed[1]
    witness.asked.clear()
    witness.answer = {}
    return witness


@pytest.fixture
def front(witnessed) -> Nginx:
    return witnessed[0]


def test_paths_are_passed_on_as_they_are(front, witness):
    places = ["/shadir/a%2Bb:c@d", "/shadir//a", "/shadir/%2e%2E", "/shacache/%41?q=%2F&r"]
    for place in places:
        assert ask(front, "GET", place).status == 200
    assert [place for place, _ in witness.asked] == places


FORGED = {
    "Networkcache-Client-Certificate": "forged",
    "Networkcache_Client_Certificate": "forged",
    "Networkcache-Proxy-Secret": "forged",
    "X-Forwarded-For": "forged",
    "Forwarded": "for=forged",
}


def https(front: Nginx, tls: Issuer, account=None) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=tls.files.certificate)
    if account is not None:
        context.load_cert_chain(account.certificate, account.key)
    return http.client.HTTPSConnection(
        "127.0.0.1", front.tls_port, context=context, timeout=TIMEOUT
    )


def test_who_the_client_is_cannot_be_forged(front, witness, tls):
    account = tls.issue("account")
    for connection in (None, https(front, tls), https(front, tls, account)):
        reply = ask(front, "PUT", "/shadir/a", b"body", FORGED, connection)
        assert reply.status == 200
        if connection:
            connection.close()
    said = [
        headers.get_all("Networkcache-Client-Certificate") for _, headers in witness.asked
    ]
    assert said[:2] == [None, None]
    assert urllib.parse.unquote(said[2][0]) == account.certificate.read_text()
    for _, headers in witness.asked:
        assert "forged" not in str(headers)
        assert headers["X-Forwarded-For"] == "127.0.0.1"


@pytest.mark.parametrize("which", ["expired", "foreign"])
def test_who_shows_another_certificate_may_read(front, witness, tls, tmp_path, which):
    """The server is told which, and decides."""
    expired = which == "expired"
    issuer = tls if expired else Issuer(tmp_path, "foreign")
    account = issuer.issue("account", expired=expired)
    connection = https(front, tls, account)
    for method, body in (("GET", None), ("PUT", b"body")):
        reply = ask(front, method, "/shadir//a%2Fb", body, FORGED, connection)
        assert reply.status == 200
    connection.close()
    for place, headers in witness.asked:
        assert place == "/shadir//a%2Fb"
        said = headers.get_all("Networkcache-Client-Certificate")
        assert [urllib.parse.unquote(one) for one in said] == [
            account.certificate.read_text()
        ]
        assert "forged" not in str(headers)


def test_a_body_is_passed_on_while_it_comes(front, witness):
    """It is neither kept back nor written to a disk first, and has no limit of size."""
    witness.begun.clear()
    size = 3 << 20
    with socket.create_connection(("127.0.0.1", front.port), timeout=TIMEOUT) as sock:
        lines = head("PUT", "/shacache/a", f"Content-Length: {size}", "Connection: close")
        sock.sendall(lines + bytes(100_000))
        assert witness.begun.wait(TIMEOUT)
        sock.sendall(bytes(size - 100_000))
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")


def test_a_content_that_is_gone_by_now(front, witness):
    path = f"{ABSENT[:2]}/{ABSENT[2:4]}/{ABSENT}"
    witness.answer = {"X-Accel-Redirect": f"/contents/{path}"}
    reply = ask(front, "GET", f"/shacache/{ABSENT}")
    assert (reply.status, reply.code, reply.body) == (404, "not-found", b"")
    assert reply.headers["Cache-Control"] == "no-store"


def test_a_path_that_is_no_content_is_not_sent(front, witness):
    for path in ("../authority/key.pem", "tmp/a", f"00/00/{ABSENT}/../../../x"):
        witness.answer = {"X-Accel-Redirect": f"/contents/{path}"}
        assert ask(front, "GET", "/shacache/a").status in (404, 500, 503)


def test_while_the_server_is_away(tls, short):
    """What a client in the field gets has no body that it could append."""
    with in_front(short / "alone", tls, short / "nobody", short) as front:
        reply = ask(front, "GET", f"/shacache/{ABSENT}")
    assert (reply.status, reply.code, reply.body) == (503, "busy", b"")
    assert reply.headers["Cache-Control"] == "no-store"
