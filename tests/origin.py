"""An origin on loopback: files, profiles and a package index, and every way to misbehave.

What it is asked is in `Origin.requests`; its root page and that of its index must never
be among it.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import socketserver
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Asked(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    method: str = "GET"


@dataclass
class Page:
    """What is answered under one path.

    `announced` is the Content-Length if it is not that of `body`, 0 for none at all;
    `location` redirects; `password` is wanted as ``user:password``.
    """

    body: bytes
    type: str = "application/octet-stream"
    status: int = 200
    announced: int | None = None
    chunked: bool = False
    location: str = ""
    password: str = ""


def make_tls(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server on loopback speaks TLS with, and the certificate to believe it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "origin")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, secret = folder / "origin.pem", folder / "origin.key"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, secret)
    return context, path


@dataclass
class Origin:
    """A web server. `url` has no slash at its end."""

    tls: ssl.SSLContext | None = None
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._projects: dict[str, list[str]] = {}
        handler = type("Handler", (_Handler,), {"origin": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        scheme = "http"
        if self.tls is not None:
            scheme = "https"
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Nobody answers at its address any more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    # -- what it has

    def put(self, path: str, body: str | bytes, **how) -> str:
        """Answer with `body` under `path`; the URL of it. See `Page` for `how`."""
        data = body.encode() if isinstance(body, str) else body
        self.pages[path] = Page(data, **how)
        return self.url + path

    @property
    def index(self) -> str:
        return f"{self.url}/simple/"

    def distribute(self, name: str, *files: Path, hashed: bool = True) -> list[str]:
        """Add the files of a project to the index; their URLs."""
        links = self._projects.setdefault(name, [])
        urls = []
        for file in files:
            data = file.read_bytes()
            urls.append(self.put(f"/files/{urllib.parse.quote(file.name)}", data))
            if hashed:
                urls[-1] += f"#sha256={hashlib.sha256(data).hexdigest()}"
        links += [f'<a href="{url}">{url.rpartition("/")[2]}</a>' for url in urls]
        page = f"<html><body>{' '.join(links)}</body></html>"
        self.put(f"/simple/{name}/", page, type="text/html")
        return urls

    # -- what it was asked

    def asked(self, path: str) -> list[Asked]:
        return [request for request in self.requests if request.path == path]

    def forget(self) -> None:
        self.requests.clear()


@contextmanager
def out_of_order(origin: Origin, answer: bytes = b"") -> Iterator[list[object]]:
    """Whoever asks `origin` gets these bytes, and the connection is closed; gives who."""
    origin.stop()
    connections: list[object] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connections.append(self.client_address)
            self.request.recv(1 << 16)
            self.request.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    address = urllib.parse.urlsplit(origin.url)
    with Server((address.hostname, address.port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield connections
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    origin: Origin

    def do_GET(self) -> None:
        origin = self.origin
        origin.requests.append(Asked(self.path, dict(self.headers), self.command))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        page = origin.pages.get(self.path, Page(b"there is no such page", status=404))
        if page.password and not self._knows(page.password):
            page = Page(b"", status=401)
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="origin"')
        elif page.location:
            self.send_response(302)
            self.send_header("Location", page.location)
        else:
            self.send_response(page.status)
        self.send_header("Content-Type", page.type)
        self._send(page)

    do_HEAD = do_POST = do_GET

    def _knows(self, password: str) -> bool:
        wanted = "Basic " + base64.b64encode(password.encode()).decode()
        return self.headers.get("Authorization") == wanted

    def _send(self, page: Page) -> None:
        body = page.body
        if page.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif page.announced != 0:
            length = len(body) if page.announced is None else page.announced
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
